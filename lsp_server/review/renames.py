"""Which added files are deleted ones under a new name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath

from famulus.lsp_server.review.change import Tree, decoded

ALIKE = 0.5
"""Share of lines from which on a file counts as the same one, as in git."""
MOST_PAIRS = 10_000
"""Pairs of files that are compared; beyond, only equal files are found."""
_LEAST_LINES = 3
"""Shorter files are alike by chance."""


def renames(old: Tree, new: Tree) -> dict[str, str]:
    """New path → old path. Each file has at most one partner, the most alike one; names decide between equals."""
    was, now = set(old.paths()), set(new.paths())
    gone, come = sorted(was - now), sorted(now - was)
    if not gone or not come:
        return {}
    found = _equal(old, new, gone, come)
    taken = set(found.values())
    left, right = [p for p in gone if p not in taken], [p for p in come if p not in found]
    if len(left) * len(right) <= MOST_PAIRS:
        found |= _alike(_lines(old, left), _lines(new, right))
    return found


def _equal(old: Tree, new: Tree, gone: list[str], come: list[str]) -> dict[str, str]:
    by_digest: dict[str, list[str]] = {}
    for path in gone:
        if digest := old.digest(path):
            by_digest.setdefault(digest, []).append(path)
    found = {}
    for path in come:
        candidates = by_digest.get(new.digest(path) or "")
        if candidates and old.read(candidates[0]):
            best = max(candidates, key=lambda other: _nearness(path, other))
            candidates.remove(best)
            found[path] = best
    return found


def _alike(old: Mapping[str, Counter[str]], new: Mapping[str, Counter[str]]) -> dict[str, str]:
    pairs = []
    for path, lines in new.items():
        for other, others in old.items():
            size = max(lines.total(), others.total())
            if min(lines.total(), others.total()) < ALIKE * size:
                continue
            share = (lines & others).total() / size
            if share >= ALIKE:
                pairs.append((share, _nearness(path, other), path, other))
    found: dict[str, str] = {}
    for _, _, path, other in sorted(pairs, reverse=True):
        if path not in found and other not in found.values():
            found[path] = other
    return found


def _lines(tree: Tree, paths: list[str]) -> dict[str, Counter[str]]:
    """The lines that say something, of the files that are text."""
    found = {}
    for path in paths:
        content = tree.read(path)
        if content and b"\0" not in content[:8000]:
            lines = Counter(line for raw in decoded(content).split("\n") if len(line := raw.strip()) > 1)
            if lines.total() >= _LEAST_LINES:
                found[path] = lines
    return found


def _nearness(one: str, other: str) -> tuple[bool, bool, int]:
    """How much two paths look like one file: the same name, the same ending, folders in common."""
    a, b = PurePosixPath(one), PurePosixPath(other)
    return a.name == b.name, a.suffix == b.suffix, len(set(a.parts[:-1]) & set(b.parts[:-1]))
