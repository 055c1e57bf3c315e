"""The tokens of a cell, which may be prose, code, or code with a mistake: so nothing here can fail."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Literal

from famulus.jupyter_kernel.detect_words import FUNCTION_WORDS, NOUNS, QUESTIONS, SENTENCE_MARKS, VERBS

LINES = 30
"""As many lines are looked at: more say nothing new."""

TokenKind = Literal["word", "name", "file", "keyword", "script", "number", "string", "mark", "operator"]


@dataclass(frozen=True)
class Token:
    """``joined``: no space before it. A *word* has letters only, a *name* also digits, underscores or inner capitals
    or is called, indexed or dotted, a *file* a known ending; *script* is Chinese, Japanese or Korean; a *mark* is of
    sentences alone."""

    kind: TokenKind
    text: str
    joined: bool


_SCRIPT = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af"
"""Kana, Chinese characters and Hangul."""

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\f]+)
    | (?P<comment>(?:(?<=\s)|(?<![\s\S]))\#.*)
    | (?P<string>(?<![^\W{S}])[rRbBuUfF]{0,2}
        (?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'))
    | (?P<tick>`[^`]+`)
    | (?P<number>\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?(?:[jJ]\b)?)
    | (?P<script>[{S}]+)
    | (?P<file>(?:[A-Za-z]:)?[\w~./\\*-]{0,60}[\w*]
        \.(?:csv|tsv|txt|json|jsonl|parquet|xlsx?|png|jpe?g|svg|pdf)(?![\w.(]))
    | (?P<name>[^\W\d{S}]
        (?:[^\W{S}]|['’](?:s|t|d|m|re|ll|ve)\b)*)
    | (?P<operator>\*\*=?|//=?|[-+*/%@&|^<>=!:]=|->|<<|>>|.)
    """.replace("{S}", _SCRIPT),
    re.VERBOSE,
)
KEYWORDS = frozenset(word for word in keyword.kwlist if word.islower())
INFIX = frozenset({"and", "or", "not", "in", "is", "if", "else", "for", "as", "import", "from"})
HEADS = KEYWORDS - {"and", "or", "in", "is", "as", "not"}
LEXICON = FUNCTION_WORDS | QUESTIONS | VERBS | NOUNS
WIDE_GAP = re.compile(r"[^\s,]  +[^\s#]")
BULLET = re.compile(r"^\s*(?:[-*•]\s+|\d{1,2}[.)、]\s*|[（(]\d{1,2}[)）]\s*)(?=\S)")
_TRIPLE_QUOTED = re.compile(r"(\"{3}|'{3})[\s\S]*?\1")
_TRIPLE = ('"""', "'''", "“““", "”””", "‘‘‘", "’’’")


def triple_quotes(code: str) -> int:
    """How many triple quotes stand in the code, typeset ones included."""
    return sum(code.count(quote) for quote in _TRIPLE)


def lines_of(code: str) -> list[str]:
    """The first lines that hold more than comments, without the text of whole strings in triple quotes."""
    if triple_quotes(code) % 2 == 0:
        code = _TRIPLE_QUOTED.sub('""', code)
    lines = (line[:400] for line in code.split("\n") if line.strip() and not line.lstrip().startswith("#"))
    return list(islice(lines, LINES))


def rows_of(lines: Sequence[str]) -> list[list[Token]]:
    """The tokens of each line without the sign of a list point before it."""
    return [tokens_of(BULLET.sub("", line)) for line in lines]


def tokens_of(line: str) -> list[Token]:
    """The tokens of one line without its comment."""
    tokens: list[Token] = []
    joined = False
    for found in _TOKEN.finditer(line):
        group, text = found.lastgroup, found[0]
        if group in ("space", "comment"):
            joined = False
            continue
        tokens.append(Token(_kind(group or "operator", text), text, joined))
        joined = True
    return _whole_names(tokens)


def _whole_names(tokens: Sequence[Token]) -> list[Token]:
    """The tokens with each name, its attributes, its calls and its indices as one: ``df["a"].mean()``."""
    whole: list[Token] = []
    opened: list[int] = []
    for token in tokens:
        whole.append(token)
        if token.text in ("(", "["):
            opened.append(len(whole) - 1)
        start = None
        if token.text in (")", "]") and opened:
            place = opened.pop()
            if place and whole[place].joined and whole[place - 1].kind in ("word", "name"):
                start = place - 1
        elif _is_attribute(whole):
            start = len(whole) - 3
        if start is not None:
            text = "".join(" " * (not t.joined and i > 0) + t.text for i, t in enumerate(whole[start:]))
            whole[start:] = [Token("name", text, whole[start].joined)]
    return whole


def _is_attribute(tokens: Sequence[Token]) -> bool:
    """Whether the last three are a name, a dot and a name without space between them."""
    if len(tokens) < 3:
        return False
    owner, dot, name = tokens[-3:]
    named = owner.kind in ("word", "name", "string") and name.kind in ("word", "name")
    return named and dot.text == "." and dot.joined and name.joined


def _kind(group: str, text: str) -> TokenKind:
    if group in ("script", "number", "string", "file"):
        return group  # type: ignore[return-value]
    if group == "tick":
        return "mark"
    if group == "name":
        if text in KEYWORDS:
            return "keyword"
        plain = text.replace("'", "").replace("’", "")
        return "word" if plain.isalpha() and (plain[1:].islower() or len(plain) == 1 or plain.isupper()) else "name"
    return "mark" if text in SENTENCE_MARKS or text in "?$" else "operator"


def pairs(tokens: Sequence[Token]) -> int:
    """How many times two words stand side by side, which no line of Python allows."""
    return sum(_beside(a, b, ("word", "script")) for a, b in pairwise(tokens))


def gaps(tokens: Sequence[Token]) -> int:
    """The same with a number, a string or a name on one side: *first 10*, *column "a"*."""
    kinds: tuple[TokenKind, ...] = ("word", "script", "name", "number", "string", "mark", "file")
    return sum(_beside(a, b, kinds) for a, b in pairwise(tokens))


def _beside(a: Token, b: Token, kinds: Sequence[TokenKind]) -> bool:
    if a.kind not in kinds:
        return False
    if b.joined:
        return {a.kind, b.kind} == {"script", "string"}
    return b.kind in kinds or (b.kind == "keyword" and b.text not in INFIX)
