"""Brackets and quotes agree with what stands before the cursor."""

from __future__ import annotations

from famulus.lsp_server.completion import lexical
from famulus.lsp_server.completion.situation import Situation, margin

_UNPAIRED = frozenset(("shellscript", "makefile", "plaintext", "tex", "latex", ""))
"""Languages in which a closing bracket may stand alone."""


def loose_closers(text: str, situation: Situation) -> str:
    """The text ends before a bracket that closes what nobody opened."""
    if situation.inside != "code" or situation.language in _UNPAIRED:
        return text
    start = situation.before_start
    stack = [situation.text[start + position] for position in situation.before.open]
    for position in lexical.scan(text, situation.language).loose:
        opener = lexical.CLOSERS[text[position]]
        if stack and stack[-1] == opener:
            stack.pop()
        elif stack or text[position] != "}" or start == 0:
            return text[:position]
    return text


def is_open(text: str, situation: Situation) -> bool:
    """Whether the text opens a bracket or a quote that it does not close."""
    found = lexical.scan(text, situation.language, situation.quote)
    return bool(found.open) or found.quote not in ("", lexical.LINE_COMMENT)


def closed(text: str, situation: Situation) -> list[str]:
    """The text with what it lacks: its own brackets and quotes closed, then those open before the cursor too."""
    found = lexical.scan(text, situation.language, situation.quote)
    ending = found.quote if found.quote not in ("", lexical.LINE_COMMENT) and len(found.quote) <= 3 else ""
    own = text + ending
    if found.quote == lexical.LINE_COMMENT and found.open:
        return []
    for position in reversed(found.open):
        own = _close(own, text, position, situation)
    versions = [own]
    if not situation.line_after.strip():
        rest = own
        still = situation.before.open[: len(situation.before.open) - len(found.loose)]
        for position in reversed(still):
            rest += lexical.OPENERS[situation.text[situation.before_start + position]]
        versions.append(rest)
    return [version for version in versions if version != text]


def _close(own: str, text: str, position: int, situation: Situation) -> str:
    """``own`` with the counterpart of the bracket at ``position``: on a line of its own where the bracket ends one."""
    closer = lexical.OPENERS[text[position]]
    line_start = text.rfind("\n", 0, position) + 1
    if "\n" in text[position:] and not text[position + 1 :].partition("\n")[0].strip():
        head = text[line_start:] if line_start else situation.line_before + text
        return own.rstrip() + "\n" + margin(head) + closer
    return own.rstrip(" ") + closer
