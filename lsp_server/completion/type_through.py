"""What was suggested stays offered while the user types exactly it: no model is asked, nothing flickers.

A suggestion is found again by the text around its place, not by a position, so that edits far away do not lose it and
returning to a place finds it. Lines may end in any way; texts are compared with line feeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from famulus.lsp_server.completion.lexical import OPENERS
from famulus.lsp_server.documents import Text

LOOK_BACK = 128
"""Characters before and behind the cursor that must be the same; before it at least the whole line so far."""
LONGEST_LINE = 1_024
CAPACITY = 16
"""Places of one document that are remembered, those that matched last."""

_CLOSING = {**OPENERS, '"': '"', "'": "'", "`": "`"}
_MARKS = frozenset(")]}>\"'`;,: \t\n")


@dataclass(frozen=True)
class Suggestion:
    """A text for the cursor. ``replaces``: characters to the right of the cursor that it brings itself."""

    id: str
    text: str
    replaces: int = 0
    confidence: float = 1.0


@dataclass(frozen=True)
class Match:
    """A suggestion of which the document has ``typed`` by now: ``rest`` is to follow, in place of the next
    ``replaces`` characters. Line ends are the document's."""

    suggestion: Suggestion
    typed: str
    rest: str
    replaces: int


@dataclass(frozen=True)
class _Place:
    """Where something was suggested. ``after_ends``: the text ends with ``after``."""

    before: str
    after: str
    before_begins: bool
    after_ends: bool
    suggestions: tuple[Suggestion, ...]


class Shown:
    """What was suggested lately in one document."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._places: list[_Place] = []  # the one that matched last stands last

    def remember(self, text: Text, offset: int, suggestions: Sequence[Suggestion]) -> None:
        """``suggestions``, best first, are offered at ``offset`` of ``text``; the same place's older ones go."""
        line = min(text.place(offset)[1], LONGEST_LINE)
        before, begins = _before(text.value, offset, max(LOOK_BACK, line))
        after, ends = _after(text.value, offset, LOOK_BACK)
        plain = tuple(Suggestion(s.id, _plain(s.text), s.replaces, s.confidence) for s in suggestions if s.text)
        place = _Place(before, after, begins, ends, plain)
        self._places = [old for old in self._places if (old.before, old.after) != (before, after)]
        if plain:
            self._places.append(place)
        del self._places[: -self._capacity]

    def match(self, text: Text, offset: int) -> list[Match]:
        """What of it may be offered at ``offset`` now, the suggestions of the place that matched last first."""
        found: list[Match] = []
        best: _Place | None = None
        for place in reversed(self._places):
            matches = list(_matches(place, text.value, offset))
            if matches and best is None:
                best = place
            known = {match.rest for match in found}
            found += [match for match in matches if match.rest not in known]
        if best is not None:
            self._places.remove(best)
            self._places.append(best)
        newline = "\r\n" if "\r\n" in text.value[: text.starts[1] if text.lines > 1 else 0] else "\n"
        if newline == "\n":
            return found
        return [Match(m.suggestion, m.typed, m.rest.replace("\n", newline), m.replaces) for m in found]

    def forget(self) -> None:
        """Nothing is remembered any more."""
        self._places.clear()


def _matches(place: _Place, text: str, offset: int) -> Iterator[Match]:
    """The suggestions of ``place`` that go on at ``offset``."""
    longest = max(len(suggestion.text) for suggestion in place.suggestions)
    window, begins = _before(text, offset, len(place.before) + longest + 1)
    for suggestion in place.suggestions:
        for size in range(min(len(suggestion.text) - 1, len(window)), -1, -1):
            typed, before = suggestion.text[:size], window[: len(window) - size]
            if not window.endswith(typed) or not before.endswith(place.before):
                continue
            if place.before_begins and not (begins and len(before) == len(place.before)):
                continue
            fitted = _fitted(place, suggestion, typed, text, offset)
            if fitted is not None:
                yield fitted
                break


def _fitted(place: _Place, suggestion: Suggestion, typed: str, text: str, offset: int) -> Match | None:
    """What is left of ``suggestion`` after ``typed``, given what stands to the right of the cursor now."""
    rest = suggestion.text[len(typed) :]
    own, fixed = place.after[: suggestion.replaces], place.after[suggestion.replaces :]
    expected = "".join(_CLOSING[mark] for mark in reversed(typed) if mark in _CLOSING)
    longest = len(own) + 2 * len(expected) + (LOOK_BACK if "\n" in typed else 0)
    right, ends = _after(text, offset, len(fixed) + longest)
    for size in range(min(len(right), longest) + 1):
        between = right[:size]
        if not set(between) <= _MARKS | set(own):
            break
        if not right.startswith(fixed, size) or (place.after_ends and not (ends and len(right) == size + len(fixed))):
            continue
        if not between:
            return Match(suggestion, typed, rest, 0)
        if not _subsequence(_dense(between), expected + _dense(own)):
            continue
        if between == own and len(typed) == 0:
            return Match(suggestion, typed, rest, len(between))
        if rest.endswith(between) and len(rest) > len(between) and between != own:
            return Match(suggestion, typed, rest[: -len(between)], 0)
        if "\n" not in between and _subsequence(between, rest.partition("\n")[0]):
            return Match(suggestion, typed, rest, len(between))
    return None


def _before(text: str, offset: int, size: int) -> tuple[str, bool]:
    """Up to ``size`` characters before ``offset``, and whether the text begins with them."""
    start = max(0, offset - 2 * size)
    plain = _plain(text[start:offset])
    return plain[max(0, len(plain) - size) :], start == 0 and len(plain) <= size


def _after(text: str, offset: int, size: int) -> tuple[str, bool]:
    """Up to ``size`` characters behind ``offset``, and whether the text ends with them."""
    plain = _plain(text[offset : offset + 2 * size + 1])
    return plain[:size], offset + 2 * size + 1 >= len(text) and len(plain) <= size


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _dense(text: str) -> str:
    return "".join(text.split())


def _subsequence(part: str, whole: str) -> bool:
    position = -1
    for character in part:
        position = whole.find(character, position + 1)
        if position < 0:
            return False
    return True
