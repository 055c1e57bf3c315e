"""The last line of a suggestion says something whole."""

from __future__ import annotations

import re

from famulus.engine.languages import SENTENCE_LANGUAGES
from famulus.lsp_server.completion import lexical
from famulus.lsp_server.completion.situation import Situation

_GOES_ON = re.compile(
    r"(?:(?<![=!<>+*/%&|^-])=|(?<!\+)\+|(?<!-)-|&&|\|\||\\|(?<!\.)\."
    r"|\b(?:and|or|not|in|is|import|from|as|lambda|new|const|let|var|await|instanceof|typeof))$"
)


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
