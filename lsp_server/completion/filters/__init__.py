"""From what a model has written to what may be shown: small filters, one after the other.

First those that need the text alone, then those that look at the cursor, last the parser. Every filter takes text away;
the only text that is ever added closes brackets and quotes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from famulus.lsp_server.completion.filters import (
    brackets,
    fences,
    indentation,
    parse,
    popup,
    repetition,
    scope,
    statements,
    suffix,
)
from famulus.lsp_server.completion.situation import Situation

__all__ = ["Refined", "insertion", "refine"]

ROUNDS = 4
"""A filter's cut may leave work for an earlier one; after so many rounds nothing changes any more."""

Filter = Callable[[str, Situation], str]

FILTERS: tuple[tuple[Filter, str], ...] = (
    (fences.characters, "characters that are no text were cut"),
    (fences.template_marks, "marks of the model's template were cut"),
    (fences.fences, "a code fence was cut"),
    (fences.cells, "the mark of another cell was cut"),
    (fences.prose, "a sentence that is no code was cut"),
    (popup.selection, "it does not begin with what is selected in the list"),
    (repetition.current_line, "the text before the cursor was written again"),
    (indentation.indentation, "the indentation was changed to the document's"),
    (repetition.loops, "a repetition was cut"),
    (repetition.lines_above, "lines from above the cursor were written again"),
    (scope.gap, "what follows two blank lines was cut"),
    (scope.scope, "what leaves the block was cut"),
    (suffix.following_lines, "lines from below the cursor were written again"),
    (suffix.rest_of_line, "what stands to the right of the cursor was written again"),
    (brackets.loose_closers, "a bracket that closes nothing was cut"),
    (statements.unfinished, "an unfinished last line was cut"),
    (statements.bare_head, "the head of a block without the block was cut"),
)
_PARSING = "the file would not parse"
_CLOSED = "brackets or quotes were closed"
_LIMITED = "the last line was cut: the model had no room to finish it"
_LINES = "more lines than wanted were cut"


@dataclass(frozen=True)
class Refined:
    """``text`` may be shown, with the document's line ends ("" if nothing may). ``dropped``: why nothing is left.
    ``cuts``: one phrase for each filter that changed something, in order. ``replaces``: how many characters to the
    right of the cursor the text brings itself."""

    text: str
    dropped: str | None = None
    cuts: list[str] = field(default_factory=list)
    replaces: int = 0


def refine(candidate: str, situation: Situation, *, limited: bool = False, max_lines: int | None = None) -> Refined:
    """What of ``candidate`` may be shown at the cursor.

    ``limited``: the model was stopped by its token limit. ``max_lines``: the most lines that are not blank.
    """
    cuts: list[str] = []

    def note(before: str, after: str, phrase: str) -> str:
        if after.rstrip() != before.rstrip() and phrase not in cuts:
            cuts.append(phrase)
        return after

    text = fences.characters(candidate, situation)
    text = note(text, statements.cut_short(text, limited), _LIMITED)
    for _ in range(ROUNDS):
        before = text
        for step, phrase in FILTERS:
            text = note(text, step(text, situation), phrase)
            if not text.strip():
                return Refined("", _why(cuts), cuts)
        text = _trimmed(note(text, _first_lines(text, max_lines), _LINES), situation)
        parsed = parse.parsing(text, situation)
        text = note(text, parsed, _PARSING if len(parsed) < len(text) else _CLOSED)
        if not text.strip():
            return Refined("", _why(cuts), cuts)
        text = _trimmed(text, situation)
        if text == before:
            break
    replaces = suffix.overtaken(text, situation)
    return Refined(text.replace("\n", situation.newline), None, cuts, replaces)


def insertion(text: str, situation: Situation) -> tuple[str, int, int]:
    """The edit that shows or accepts a refined text: what to insert, and the range of the document it replaces.

    The range lies within the cursor's line. It reaches back where the editor's list has a selection, which the text
    then begins with, and to the right over closing marks that the text repeats.
    """
    over = suffix.overtaken(text, situation)
    if situation.accepted is not None and (chosen := situation.accepted.popup) is not None:
        return chosen.text + text, chosen.start, chosen.end + over
    if situation.popup is not None:
        start = situation.popup.start
        return situation.text[start : situation.offset] + text, start, max(situation.offset, situation.popup.end) + over
    return text, situation.offset, situation.offset + over


def _why(cuts: list[str]) -> str:
    return f"nothing is left: {cuts[-1]}" if cuts else "the model wrote nothing"


def _trimmed(text: str, situation: Situation) -> str:
    """Without white space at the ends of lines; a line that the rest of the cursor's line is to follow stays open."""
    lines = text.split("\n")
    rest = situation.line_after.strip()
    if situation.inside == "code":
        lines = [*(line.rstrip(" \t") for line in lines[:-1]), lines[-1]]
    text = "\n".join(lines)
    if not rest:
        return text.rstrip()
    return text.rstrip(" \t") if rest[0] in ")]},;" and lines[-1].strip() else text


def _first_lines(text: str, most: int | None) -> str:
    if most is None:
        return text
    lines = text.split("\n")
    full = [number for number, line in enumerate(lines) if line.strip()]
    return text if len(full) <= most else "\n".join(lines[: full[most - 1] + 1])
