"""What a model writes when it has lost the thread: loops, the line it was given, the lines above."""

from __future__ import annotations

import re
from collections.abc import Iterator

from famulus.engine.languages import SENTENCE_LANGUAGES
from famulus.lsp_server.completion.situation import Situation

LONGEST_LOOP = 6
"""Lines of the longest block whose repetition is looked for."""
ABOVE = 40
"""Lines above the cursor of which a block may not be written again."""
RUN = 3
"""Lines in a row that are no chance."""

_INLINE = re.compile(r"(?=\S*\w\S*)(\S[^\n]{3,38}?)\1{3,}")
_ECHO = 3
_WORD_END = re.compile(r"\w+$")


def telling(line: str) -> bool:
    """Whether a line says enough that its repetition is no chance: closing brackets, ``else`` and ``pass`` do not."""
    return len(line.strip()) >= 8 and sum(character.isalnum() for character in line) >= 5


def loops(text: str, situation: Situation) -> str:
    """A block of lines written twice in a row, or a phrase four times within a line, is left once."""
    if (found := _INLINE.search(text)) and len(set(filter(str.isalnum, found[1]))) >= 2:
        text = text[: found.end(1)]
    lines = text.split("\n")
    first = situation.line_before + lines[0]
    stripped = [first.rstrip(), *(line.rstrip() for line in lines[1:])]
    for start in range(len(lines)):
        for period in range(1, LONGEST_LOOP + 1):
            once, again = stripped[start : start + period], stripped[start + period : start + 2 * period]
            if once == again and any(telling(line) for line in once):
                return "\n".join(lines[: start + period])
    return text


def current_line(text: str, situation: Situation) -> str:
    """The text before the cursor, written again at the start of the answer, is taken away."""
    before = situation.line_before.strip()
    if not before or situation.language in SENTENCE_LANGUAGES:
        return text
    start = text.lstrip()
    if len(before) >= _ECHO and start.startswith(before):
        return start[len(before) :]
    word = _WORD_END.search(situation.line_before)
    if word and len(word[0]) >= _ECHO and text.startswith(word[0]):
        return text[len(word[0]) :]
    return text


def lines_above(text: str, situation: Situation) -> str:
    """The line above, or some in a row of those above, written again end the text."""
    above = [line.strip() for line in situation.lines_above(ABOVE)][::-1]
    if not above:
        return text
    lines = text.split("\n")
    full = [(situation.line_before + lines[0]).strip(), *(line.strip() for line in lines[1:])]
    numbers = [number for number, line in enumerate(full) if line]
    if numbers and full[numbers[0]] == above[-1] and telling(above[-1]):
        return "\n".join(lines[: numbers[0]])
    known = set(_runs(above))
    for number, run in zip(numbers, _runs([full[number] for number in numbers]), strict=False):
        if run in known and all(map(telling, run)):
            return "\n".join(lines[:number])
    return text


def _runs(lines: list[str]) -> Iterator[tuple[str, ...]]:
    """Every :data:`RUN` lines that follow one another."""
    return zip(*(lines[start:] for start in range(RUN)), strict=False)
