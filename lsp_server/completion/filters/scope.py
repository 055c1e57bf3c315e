"""A suggestion stays in the block in which the cursor stands."""

from __future__ import annotations

import re

from famulus.engine.languages import SENTENCE_LANGUAGES
from famulus.lsp_server.completion import lexical
from famulus.lsp_server.completion.situation import Situation, margin, opens_block

_GAP = re.compile(r"\n[ \t]*\n[ \t]*\n")
_GOES_ON = re.compile(r"(else|elif|except|finally|case)\b|#")
_STARTS_BLOCK = re.compile(r"\s*(async\s+def|def|class|@)\b")


def gap(text: str, situation: Situation) -> str:
    """Two blank lines end the text: something else begins there."""
    if situation.inside != "code":
        return text
    start = len(text) - len(text.lstrip())
    found = _GAP.search(text, start)
    return text[: found.start()] if found else text


def scope(text: str, situation: Situation) -> str:
    """What leaves the cursor's block is cut."""
    if situation.inside != "code" or situation.language in SENTENCE_LANGUAGES or "\n" not in text + "\n":
        return text
    if situation.language in lexical.INDENTED:
        return _by_indentation(text, situation)
    return _by_bracket(text, situation)


def _by_indentation(text: str, situation: Situation) -> str:
    found = lexical.scan(text, situation.language)
    head = situation.line_before + text.partition("\n")[0]
    if situation.line_before.strip() or margin(head) == head:
        base = len(margin(situation.line_before))
    else:
        base = len(margin(head))
    statement = situation.line_before if situation.line_before.strip() else text
    one_block = opens_block(head, situation.language) and bool(
        situation.line_before.strip() or _STARTS_BLOCK.match(statement)
    )
    open_before = bool(situation.before.open)
    for line in found.lines[1:]:
        content = text[line.start :].partition("\n")[0]
        if not content.strip() or line.quoted or line.depth or content.lstrip()[0] in lexical.CLOSERS:
            continue
        width = len(margin(content))
        leaves = width < base and not open_before
        back = (
            one_block
            and width <= base
            and not _GOES_ON.match(content.lstrip())
            and not content.lstrip().startswith("#")
        )
        if leaves or (back and not _decorated(text[: line.start])):
            return text[: line.start]
    return text


def _decorated(above: str) -> bool:
    """Whether only decorators stand above a line."""
    return all(line.lstrip().startswith("@") for line in above.split("\n") if line.strip())


def _by_bracket(text: str, situation: Situation) -> str:
    """In front of the bracket that would end the block; behind it where the block has no end yet."""
    braces = [position for position in lexical.scan(text, situation.language).loose if text[position] == "}"]
    if not braces or situation.line_after.lstrip().startswith("}") or "{" in situation.line_after:
        return text
    end = braces[0]
    if _closed(situation):
        return text[:end]
    tail = re.match(r"[)\];,]*(?=\s*(\n|$))", text[end + 1 :])
    after = text[end + 1 :].lstrip()
    if re.match(r"(else|catch|finally|while)\b", after):
        return text
    return text[: end + 1 + (tail.end() if tail else 0)]


def _closed(situation: Situation) -> bool:
    """Whether the cursor's block ends below: the tree knows, else the indentation of what follows tells."""
    below = situation.line_below
    if situation.tree is not None and not situation.tree.root.has_error:
        return True
    base = (
        margin(situation.line_before)
        if situation.line_before.strip() or not situation.line_above
        else max(margin(situation.line_before), margin(situation.line_above), key=len)
    )
    if not below.lstrip().startswith("}"):
        return False
    opener = _opener(situation)
    return margin(below) == opener if opener is not None else len(margin(below)) < len(base)


def _opener(situation: Situation) -> str | None:
    """The indentation of the line whose brace is open at the cursor."""
    before, start = situation.before, situation.before_start
    for position in reversed(before.open):
        if situation.text[start + position] == "{":
            line = situation.snapshot.text.place(start + position)[0]
            return margin(situation.snapshot.text.line(line))
    return None
