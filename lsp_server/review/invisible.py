"""Characters that a reader of code does not see: they reorder text, have no width, or carry hidden data.

See CVE-2021-42574 ("Trojan Source") for what reordering can do, and Unicode's report 36 for the rest. What
right-to-left scripts, joined emoji and flags need is left alone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST_LINE = 2_000
"""Characters; longer lines are made by machines, which write out what they mean."""

_EMBEDDINGS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_MARKS = frozenset("\u200e\u200f\u061c")
_WIDTHLESS = frozenset("\u200b\u2060\u2061\u2062\u2063\u2064\ufeff\u00ad\u180e\u115f\u1160\u3164\uffa0")
_JOINERS = frozenset("\u200c\u200d")
_TAGS = range(0xE0000, 0xE0080)
_HIDDEN_SELECTORS = range(0xE0100, 0xE01F0)
_FLAG = "\U0001f3f4"


@dataclass(frozen=True, slots=True)
class Invisible:
    """Invisible characters in a line: ``line[start:end]``, one after the other; ``kind`` is ``bidi``, ``width`` or
    ``hidden``."""

    kind: str
    start: int
    end: int


def in_line(line: str, *, prose: bool = False) -> Iterator[Invisible]:
    """The invisible characters of a line. In ``prose``, what a right-to-left script needs may stand."""
    if line.isascii() or len(line) > LONGEST_LINE:
        return
    right_to_left = any(unicodedata.bidirectional(c) in ("R", "AL") for c in line)
    at = 0
    while at < len(line):
        kind = _kind(line, at, lenient=prose and right_to_left, right_to_left=right_to_left)
        if not kind:
            at += 1
            continue
        end = at + 1
        while (
            end < len(line) and _kind(line, end, lenient=prose and right_to_left, right_to_left=right_to_left) == kind
        ):
            end += 1
        yield Invisible(kind, at, end)
        at = end


def _kind(line: str, at: int, *, lenient: bool, right_to_left: bool) -> str:
    character = line[at]
    if character in _EMBEDDINGS:
        return "" if lenient else "bidi"
    if character in _MARKS:
        return "" if right_to_left else "bidi"
    if character in _WIDTHLESS:
        return "width"
    if character in _JOINERS:
        around = (line[at - 1] if at else " ", line[at + 1] if at + 1 < len(line) else " ")
        return "width" if all(neighbour.isascii() for neighbour in around) else ""
    if ord(character) in _TAGS:
        return "" if _FLAG in line[max(0, at - 8) : at] else "hidden"
    if ord(character) not in _HIDDEN_SELECTORS or _ideograph(line[at - 1 : at]):
        return ""
    return "" if "-" in (line[at - 1 : at], line[at + 1 : at + 2]) else "hidden"  # a range of characters


def _ideograph(before: str) -> bool:
    return bool(before) and "IDEOGRAPH" in unicodedata.name(before, "")


def named(characters: str) -> str:
    """Their names for a person, each once: ``U+202E right-to-left override``."""
    seen = dict.fromkeys(characters)
    words = [f"U+{ord(c):04X} {unicodedata.name(c, 'without a name').lower()}" for c in list(seen)[:3]]
    return ", ".join(words) + (f" and {len(seen) - 3} more" if len(seen) > 3 else "")
