"""The last line of a suggestion says something whole."""

from __future__ import annotations

import re

from famulus.engine.languages import SENTENCE_LANGUAGES
from famulus.lsp_server.completion import lexical
from famulus.lsp_server.completion.situation import Situation, margin, opens_block

_GOES_ON = re.compile(
    r"(?:(?<![=!<>+*/%&|^-])=|(?<!\+)\+|(?<!-)-|&&|\|\||\\|(?<!\.)\."
    r"|\b(?:and|or|not|in|is|import|from|as|lambda|new|const|let|var|await|instanceof|typeof))$"
)
_VALUE = re.compile(r"(?:[=(\[,:?&|]|(?<!\+)\+|=>|\breturn|\byield)\s*$")
"""What stands before a brace that begins a value, or a function that is one."""
_ENDS = re.compile(r"\bend\b[\s;,)]*$")
_KEYS = frozenset(("yaml", "dockercompose"))
"""Languages in which a colon may have nothing behind it."""


def cut_short(text: str, limited: bool) -> str:
    """Of an answer that the token limit ended, the last line is cut: it is most likely not whole."""
    lines = text.rstrip().split("\n")
    if not limited or len(lines) < 2:
        return text
    return "\n".join(lines[:-1])


def unfinished(text: str, situation: Situation) -> str:
    """Of several lines, last ones that end in the middle of a statement are cut."""
    if situation.language in SENTENCE_LANGUAGES or situation.inside != "code" or situation.line_after.strip():
        return text
    while "\n" in text.strip("\n"):
        found = lexical.scan(text, situation.language)
        if found.quote or (found.comments and found.comments[-1][1] >= len(text.rstrip())):
            return text
        last = text.rstrip()
        enclosed = bool(found.open or situation.before.open)
        if not (_GOES_ON.search(last) or (last.endswith(",") and not enclosed)):
            return text
        text = last[: last.rindex("\n")] if "\n" in last else last
    return text


def bare_head(text: str, situation: Situation) -> str:
    """No text ends on the head of a block of which nothing is there.

    Such last lines of several are cut. Of a single one that the user has begun goes the brace that would have to be
    closed behind the cursor; one that is new would stand without its block.
    """
    if situation.language in SENTENCE_LANGUAGES or situation.inside != "code" or situation.line_after.strip():
        return text
    several = "\n" in text.strip()
    while (number := _head(text, situation)) is not None:
        lines = text.split("\n")
        if not any(line.strip() for line in lines[:number]):
            begun = number == 0 and (not several or situation.line_before.strip())
            return _without_block(text, situation) if begun else ""
        text = "\n".join(lines[:number])
    return text


def _head(text: str, situation: Situation) -> int | None:
    """The line at which the head begins with which the text ends, if it does and its block is not below."""
    language, found = situation.language, lexical.scan(text, situation.language)
    lines = text.split("\n")
    number = max((n for n, line in enumerate(lines) if _code(line, language)), default=-1)
    if number < 0 or language in _KEYS or found.quote not in ("", lexical.LINE_COMMENT):
        return None
    full = _full(lines, number, situation)
    if not opens_block(full, language) or _ENDS.search(full):
        return None
    if language not in lexical.INDENTED:
        return None if situation.judge.accepts(text, whole=True) else number
    if found.open or len(found.loose) != len(situation.before.open):
        return None  # a colon between brackets
    if found.loose:
        return None  # it ends a head that the user has begun, lines above
    while number and found.lines[number].depth:
        number -= 1
    return None if len(margin(situation.line_below)) > len(margin(_full(lines, number, situation))) else number


def _full(lines: list[str], number: int, situation: Situation) -> str:
    return (situation.line_before if number == 0 else "") + lines[number]


def _code(line: str, language: str) -> str:
    """A line without its comments and the white space around it."""
    for start, end in reversed(lexical.scan(line, language).comments):
        line = line[:start] + line[end:]
    return line.strip()


def _without_block(text: str, situation: Situation) -> str:
    """The first line, which is a head, as far as it can stand alone."""
    head = text.partition("\n")[0]
    if situation.language in lexical.INDENTED:
        return text if situation.line_before.strip() else ""
    before, brace, _ = (situation.line_before + head).rpartition("{")
    if not brace or _VALUE.search(before):
        return text
    return head[: head.rindex("{")].rstrip()
