"""Dictionaries, sets and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def inverted(mapping: Mapping[str, str]) -> dict[str, list[str]]:
    """The names of each value."""
    found: dict[str, list[str]] = {}
    for name, value in mapping.items():
        found.setdefault(value, []).append(name)
    return found


def unique(items: Iterable[str]) -> list[str]:
    """Each item once, where it first stood; capital letters make no difference."""
    seen = set()
    found = []
    for item in items:
        if item.lower() not in seen:
            seen.add(item.lower())
            found.append(item)
    return found


def added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """The sums of two counts, without those that are nothing."""
    total = dict(one)
    for name, count in other.items():
        total[name] = total.get(name, 0) + count
    return {name: count for name, count in total.items() if count}


def most_frequent(words: Sequence[str], number: int) -> list[str]:
    """The words that occur most; of equal ones the first in the alphabet."""
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return sorted(counts, key=lambda word: (-counts[word], word))[:number]


def in_one_only(one: Iterable[int], other: Iterable[int]) -> list[int]:
    """What is in just one of two collections, sorted."""
    left, right = set(one), set(other)
    return sorted((left - right) | (right - left))


def overlaid(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with another laid over it; dictionaries in it are laid over each other."""
    result = dict(base)
    for name, value in over.items():
        if isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = overlaid(result[name], value)
        else:
            result[name] = value
    return result


def turned(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Columns as rows; where a row is shorter, 0."""
    width = max((len(row) for row in rows), default=0)
    return [[row[place] if place < len(row) else 0 for row in rows] for place in range(width)]


def ranks(scores: Mapping[str, int]) -> dict[str, int]:
    """1 for the highest score; equal ones share a rank, and the ranks after it are left out."""
    ordered = sorted(scores.values(), reverse=True)
    return {name: ordered.index(score) + 1 for name, score in scores.items()}


def changes(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, str]:
    """``added``, ``removed`` or ``changed`` for each name that is not as it was."""
    found = {}
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            found[name] = "added"
        elif name not in after:
            found[name] = "removed"
        elif before[name] != after[name]:
            found[name] = "changed"
    return found


def order(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Names after all that they need. Raises ValueError for a circle."""
    done: list[str] = []
    open_names: list[str] = []

    def visit(name: str) -> None:
        if name in open_names:
            raise ValueError(f"circle at {name}")
        if name not in done:
            open_names.append(name)
            for need in needs.get(name, ()):
                visit(need)
            open_names.remove(name)
            done.append(name)

    for name in sorted(needs):
        visit(name)
    return done
