"""Forms of text as people speak of them (*two letters, a dash and digits*) as regular expressions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from famulus.jupyter_kernel.lexeme import Token

# Characters by their names: *split it at the comma*.
CHARACTERS = {
    "comma": ",", "commas": ",", "semicolon": ";", "semicolons": ";", "colon": ":", "colons": ":", "dash": "-",
    "dashes": "-", "hyphen": "-", "hyphens": "-", "slash": "/", "slashes": "/", "underscore": "_", "underscores": "_",
    "pipe": "|", "pipes": "|", "dot": ".", "dots": ".", "space": " ", "spaces": " ", "tab": "\t", "tabs": "\t",
    "newline": "\n", "newlines": "\n", "hash": "#", "逗号": ",", "分号": ";", "冒号": ":", "横线": "-",
    "连字符": "-", "斜杠": "/", "下划线": "_", "空格": " ", "制表符": "\t", "换行符": "\n",
}  # fmt: skip
_CLASSES = {"letter": "[A-Za-z]", "digit": r"\d", "number": r"\d", "uppercase": "[A-Z]", "lowercase": "[a-z]"}
_BETWEEN = frozenset(("and", ",", "，", "、", "the", "a", "an", "then", "some", "by", "follow", "with", "+"))


@dataclass(frozen=True)
class Pattern:
    """A regular expression and the tokens, ``start`` to ``end`` (exclusive), that say it."""

    regex: str
    start: int
    end: int


def patterns(tokens: Sequence[Token]) -> list[Pattern]:
    """Every run of at least two kinds of characters, or of one that is counted."""
    found: list[Pattern] = []
    pieces: list[str] = []
    start = end = 0
    counted = False
    for index in range(len(tokens) + 1):
        piece = _piece(tokens, index) if index < len(tokens) else ""
        if piece:
            if not pieces:
                counted = index > 0 and tokens[index - 1].kind == "number"
                start = index - 1 if counted else index
            pieces.append(piece)
            end = index + 1
        elif pieces and (index == len(tokens) or not _joins(tokens, index)):
            if len(pieces) > 1 or counted:
                found.append(Pattern("".join(pieces), start, end))
            pieces = []
    return found


def _joins(tokens: Sequence[Token], index: int) -> bool:
    """Whether a token only stands between two pieces: *, a*, *followed by*, or the number that counts the next."""
    token = tokens[index]
    if token.kind == "number":
        return index + 1 < len(tokens) and bool(_class(tokens[index + 1]))
    return token.text.lower() in _BETWEEN or token.key in _BETWEEN


def _piece(tokens: Sequence[Token], index: int) -> str:
    token = tokens[index]
    if token.kind == "quoted" and 0 < len(token.value) <= 3:
        return re.escape(token.value)
    if its_class := _class(token):
        before = tokens[index - 1] if index else token
        if before.kind == "number" and before.value.isdigit():
            return its_class if before.value == "1" else f"{its_class}{{{before.value}}}"
        single = before.text.lower() in ("a", "an", "one") and not token.text.lower().endswith("s")
        return its_class if single else f"{its_class}+"
    if token.kind == "word" and token.text.lower() in CHARACTERS:
        return re.escape(CHARACTERS[token.text.lower()])
    return ""


def _class(token: Token) -> str:
    return _CLASSES.get(token.key, "") if token.kind == "word" else ""
