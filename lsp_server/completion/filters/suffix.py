"""What stands behind the cursor is not written again."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from famulus.lsp_server.completion import lexical
from famulus.lsp_server.completion.filters.repetition import telling
from famulus.lsp_server.completion.situation import Situation, margin

SIMILAR = 0.95
"""From this share of equal characters on, two lines are taken for the same."""
COMPARED = 3
"""Lines below the cursor that are looked at."""
_PUNCTUATION = frozenset(")]}>\"'`;,: \t")
_FUZZY = 20


def following_lines(text: str, situation: Situation) -> str:
    """The text ends where it begins to write the lines below the cursor."""
    below = [line.rstrip() for line in situation.lines_below(2 * COMPARED)][:COMPARED]
    if not below or situation.line_after.strip():
        return text
    lines = text.split("\n")
    full = [(situation.line_before + lines[0]).rstrip(), *(line.rstrip() for line in lines[1:])]
    found = lexical.scan(text, situation.language, situation.quote)
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    for number, line in enumerate(full):
        if not line.strip() or (number == 0 and not lines[0].strip()):
            continue
        if telling(line):
            if _same(line, below[0]) or (number > 0 and len(below) > 1 and telling(below[1]) and _same(line, below[1])):
                return "\n".join(lines[:number])
        elif number > 0 and _tail(full[number:], below) and not _pairs_within(found, text, starts[number]):
            return "\n".join(lines[:number])
    return text


def _same(line: str, other: str) -> bool:
    """Equal but for the indentation, or nearly equal if both are long."""
    line, other = line.strip(), other.strip()
    if line == other:
        return True
    if min(len(line), len(other)) < _FUZZY or abs(len(line) - len(other)) > 0.05 * len(other):
        return False
    matcher = SequenceMatcher(None, line, other, autojunk=False)
    return matcher.real_quick_ratio() >= SIMILAR and matcher.quick_ratio() >= SIMILAR and matcher.ratio() >= SIMILAR


def _tail(lines: list[str], below: list[str]) -> bool:
    """Whether all lines that are left are the next ones of the document, with their indentation."""
    rest = [line for line in lines if line.strip()]
    return len(rest) <= len(below) and rest == below[: len(rest)]


def _pairs_within(found: lexical.Lexical, text: str, start: int) -> bool:
    """Whether the line at ``start`` closes what the text itself has opened."""
    first = start + len(margin(text[start:]))
    return first in found.pairs


def rest_of_line(text: str, situation: Situation) -> str:
    """What stands to the right of the cursor is not repeated at the text's end, and nothing is torn from its line."""
    rest = situation.line_after.rstrip()
    if not rest.strip():
        return text
    stripped = _without_overlap(text, rest, situation)
    if "\n" not in text or stripped != text:
        return stripped
    first, _, more = text.partition("\n")
    if overtaken(text, situation) == len(rest) or (set(rest) <= _PUNCTUATION and not _spent(first, rest, situation)):
        return text
    return _without_overlap(first, rest, situation) if more else first


def _spent(first: str, rest: str, situation: Situation) -> bool:
    """Whether the first line closes what ``rest`` closes."""
    return bool(_loose(first, situation)) and any(first[p] == rest.lstrip()[:1] for p in _loose(first, situation))


def _loose(text: str, situation: Situation) -> list[int]:
    """Offsets of marks in ``text`` that close what was opened before the cursor."""
    found = lexical.scan(text, situation.language, situation.quote)
    marks = list(found.loose)
    if len(situation.quote) == 1 and situation.quote != lexical.LINE_COMMENT and 0 < found.first_code <= len(text):
        closing = found.first_code - 1
        if text[closing] == situation.quote:
            marks.insert(0, closing)
    return marks


def _without_overlap(text: str, rest: str, situation: Situation) -> str:
    loose, found = set(_loose(text, situation)), lexical.scan(text, situation.language, situation.quote)
    for size in range(len(rest), 0, -1):
        part = rest[:size]
        if part[-1].isspace() or not text.endswith(part):
            continue
        start = len(text) - size
        closes = [p for p in range(start, len(text)) if text[p] in lexical.CLOSERS or text[p] in "\"'`"]
        own = all(p in loose or found.pairs.get(p, -1) >= start or _quotes_even(text[start:], text[p]) for p in closes)
        long = sum(map(str.isalnum, part)) >= 2 or len(part.strip()) >= 3 or part.strip() == rest.strip()
        if own and (set(part) <= _PUNCTUATION or long):
            return text[:start]
    return text


def _quotes_even(part: str, mark: str) -> bool:
    return mark in "\"'`" and part.count(mark) % 2 == 0


def overtaken(text: str, situation: Situation) -> int:
    """How many characters to the right of the cursor the text brings itself, and so must replace.

    They are the closing marks that the text repeats in order within its first line, where more follows them.
    """
    rest = situation.line_after.rstrip()
    first = text.replace("\r", "\n").partition("\n")[0]
    taken, last = 0, -1
    for position in _loose(first, situation):
        while taken < len(rest) and rest[taken] == " ":
            taken += 1
        if taken >= len(rest) or first[position] != rest[taken]:
            break
        taken, last = taken + 1, position
    if not taken:
        return 0
    remains = rest[taken:].strip()
    if remains and first[last + 1 :].lstrip().startswith(remains):
        taken = len(rest)
    return len(rest[:taken].rstrip())
