"""Strings, comments and brackets of a piece of code, found without a grammar.

A candidate is no whole file, and not every language has a grammar here. What this finds is right for code as people
write it and cheap for a few hundred lines; whether a file parses is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from famulus.engine.languages import C_LIKE, SENTENCE_LANGUAGES, comment_sign

OPENERS: Mapping[str, str] = {"(": ")", "[": "]", "{": "}"}
CLOSERS: Mapping[str, str] = {closer: opener for opener, closer in OPENERS.items()}
LINE_COMMENT = "\n"
"""What closes a comment that ends with its line."""

INDENTED = frozenset(("python", "yaml", "dockercompose", "nim", "coffeescript", "haskell", "fsharp", "pug", "sass"))
"""Languages in which indentation alone ends a block."""

_BRACKETS = r"[()\[\]{}]"
_DOUBLE = r'"(?:\\.|[^"\\\n])*"?'
_SINGLE = r"'(?:\\.|[^'\\\n])*'?"
_TRIPLE = r'"""' + r"|'''"


def _marks(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join((*alternatives, r"\n", _BRACKETS)), re.DOTALL)


_PYTHON = _marks(r"#[^\n]*", _TRIPLE, _DOUBLE, _SINGLE)
_C = _marks(r"//[^\n]*", r"/\*", "`", _DOUBLE, _SINGLE)
_RUST = _marks(r"//[^\n]*", r"/\*", r'"(?:\\.|[^"\\])*"?', r"'(?:\\[^'\n]+|[^'\\\n])'")
_JSON = _marks(_DOUBLE)
_YAML = _marks(r"(?:(?<=\s)|^)#[^\n]*", r'(?<![\w.])"(?:\\.|[^"\\\n])*"?', r"(?<![\w.])'[^'\n]*'?")
_HASH = _marks(r"(?<!\$)#[^\n]*", _DOUBLE, _SINGLE)
_DASH = _marks(r"--[^\n]*", _DOUBLE, _SINGLE)
_WIDE: Mapping[str, str] = {'"""': '"""', "'''": "'''", "/*": "*/", "`": "`"}


def marks_of(language: str) -> re.Pattern[str] | None:
    """What strings, comments and brackets look like; None for languages of sentences."""
    if language == "python":
        return _PYTHON
    if language == "rust":
        return _RUST
    if language in C_LIKE:
        return _C
    if language == "json":
        return _JSON
    if language in SENTENCE_LANGUAGES:
        return None
    if language in ("yaml", "dockercompose"):
        return _YAML
    return _DASH if comment_sign(language) == "-- " else _HASH


@dataclass(frozen=True)
class Line:
    """How a line starts: its offset, how many brackets are open there, and whether inside a string or comment."""

    start: int
    depth: int
    quoted: bool


@dataclass
class Lexical:
    """What was found in one text. Offsets are those of the text."""

    open: list[int] = field(default_factory=list)
    """Opening brackets that nothing closes."""
    loose: list[int] = field(default_factory=list)
    """Closing brackets that nothing in the text opens."""
    pairs: dict[int, int] = field(default_factory=dict)
    """From closing brackets to the ones they close."""
    lines: list[Line] = field(default_factory=list)
    quote: str = ""
    """What closes the string or comment in which the text ends; "" if it ends in code."""
    quote_start: int = -1
    """Where that string or comment starts; -1 if it was open at the start of the text."""
    first_code: int = 0
    """Where the string or comment ends in which the text begins; the text's end if it does not end."""
    comments: list[tuple[int, int]] = field(default_factory=list)


def scan(text: str, language: str, quote: str = "") -> Lexical:
    """What ``text`` holds; ``quote`` closes the string or comment in which it begins."""
    found = Lexical(lines=[Line(0, 0, bool(quote) and quote != LINE_COMMENT)])
    marks = marks_of(language)
    position = 0
    if quote:
        found.quote, found.quote_start = quote, -1
        position = found.first_code = _close(text, 0, quote, found)
    if marks is None:
        found.lines += [Line(match.end(), 0, False) for match in re.finditer("\n", text)]
        return found
    while position < len(text) and (match := marks.search(text, position)):
        position = _take(match, text, found)
    return found


def _take(match: re.Match[str], text: str, found: Lexical) -> int:
    """Note one mark; returns where to go on."""
    mark, start = match[0], match.start()
    if mark == "\n":
        found.lines.append(Line(match.end(), len(found.open), False))
    elif mark in OPENERS:
        found.open.append(start)
    elif mark in CLOSERS:
        if found.open and text[found.open[-1]] == CLOSERS[mark]:
            found.pairs[start] = found.open.pop()
        else:
            found.loose.append(start)
    elif mark in _WIDE:
        found.quote, found.quote_start = _WIDE[mark], start
        return _close(text, match.end(), _WIDE[mark], found)
    elif mark[0] in "\"'":
        if (len(mark) < 2 or mark[-1] != mark[0] or _escaped_end(mark)) and match.end() == len(text):
            found.quote, found.quote_start = mark[0], start
        found.lines += [Line(start + m.end(), len(found.open), True) for m in re.finditer("\n", mark)]
    else:
        found.comments.append((start, match.end()))
        if match.end() == len(text):
            found.quote, found.quote_start = LINE_COMMENT, start
    return match.end()


def _close(text: str, position: int, quote: str, found: Lexical) -> int:
    """Where the string or comment ends that is open at ``position``; notes the lines in it."""
    end, start = position, position
    while True:
        end = text.find(quote, end)
        if end < 0 or quote in ("*/", LINE_COMMENT) or not _escaped(text, start, end):
            break
        end += 1
    if len(quote) == 1 and quote in "\"'":  # only a string that was open at the start gets here
        line_end = text.find("\n", position)
        if line_end >= 0 and not 0 <= end < line_end:
            found.quote = ""
            return line_end
    stop = len(text) if end < 0 else end
    inner = re.finditer("\n", text[position:stop])
    found.lines += [Line(position + match.end(), len(found.open), True) for match in inner]
    if quote == "*/":
        found.comments.append((found.quote_start if found.quote_start >= 0 else 0, stop + 2 * (end >= 0)))
    if end < 0:
        return len(text)
    found.quote = ""
    return end if quote == LINE_COMMENT else end + len(quote)


def _escaped(text: str, start: int, position: int) -> bool:
    count = 0
    while position - count > start and text[position - count - 1] == "\\":
        count += 1
    return count % 2 == 1


def _escaped_end(mark: str) -> bool:
    return _escaped(mark, 1, len(mark) - 1)
