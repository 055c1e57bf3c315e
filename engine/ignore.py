"""Patterns of ``.gitignore`` and ``.famulusignore``, matched as git matches them. Standard library only.

Source: gitignore(5), and git's ``dir.c`` and ``wildmatch.c``, which define what the manual leaves open. All is bytes,
because git's ``?`` is one byte. The wildcard patterns of a file become one regular expression, whose stars sit in
atomic groups: the leftmost match of a piece between two stars is always good enough, so nothing is tried twice and no
pattern can take exponential time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

MAX_BYTES = 512 << 10
"""A longer file is not followed."""
MAX_WILD_BYTES = 32 << 10
"""A file with more than this in patterns with wildcards is not followed: compiling them takes time."""

_WILD = re.compile(rb"[*?\[\\]")
_CLASSES = {
    b"alnum": rb"a-zA-Z0-9", b"alpha": rb"a-zA-Z", b"blank": rb" \t", b"cntrl": rb"\x00-\x1f\x7f", b"digit": rb"0-9",
    b"graph": rb"\x21-\x7e", b"lower": rb"a-z", b"print": rb"\x20-\x7e", b"punct": rb"!-/:-@\[-`{-~",
    b"space": rb" \t-\r", b"upper": rb"A-Z", b"xdigit": rb"0-9a-fA-F",
}  # fmt: skip


class UnmatchablePattern(ValueError):
    """A pattern that matches nothing, such as an open bracket or a backslash at the end."""


@dataclass(frozen=True)
class Pattern:
    """One line of an ignore file. ``text`` is without ``!`` and without the slashes at both ends."""

    line: int
    text: bytes
    negative: bool
    directories: bool
    """Ended with a slash: matches directories alone."""
    anchored: bool
    """Had a slash in it: matches the path below the ignore file's folder; else any name below it."""

    @property
    def literal(self) -> bool:
        """Has no wildcard."""
        return _WILD.search(self.text) is None

    def expression(self) -> bytes:
        """A regular expression for the path below the ignore file's folder. Raises :class:`UnmatchablePattern`."""
        if not self.anchored:
            # Of a pattern "*x", git compares the end alone, so nothing in "x" can be special; there the two agree.
            return rb"(?s:.*/)?+" + _translated(self.text, b"")
        # git compares what stands before the first wildcard by itself, so a "**" behind it counts as at a start.
        wild = _WILD.search(self.text)
        start = wild.start() if wild else len(self.text)
        return _translated(self.text[start:], re.escape(self.text[:start]))


class _Prepared(NamedTuple):
    """Literal patterns by name or path, wildcards as one expression, and the pattern of each of its alternatives."""

    literals: dict[bytes, int]
    expression: re.Pattern[bytes] | None
    order: list[int]


@dataclass(frozen=True)
class Rules:
    """The patterns of one ignore file, the last of which that matches decides."""

    patterns: tuple[Pattern, ...] = ()
    fold_case: bool = False

    def match(self, path: bytes, directory: bool) -> Pattern | None:
        """The pattern that decides about ``path`` (below the ignore file's folder, parts joined by slashes)."""
        literals, expression, order = self._for_directories if directory else self._for_files
        asked = path.lower() if self.fold_case else path
        # A literal with a slash in front is a path; one without is a name.
        best = max(literals.get(asked.rpartition(b"/")[2], -1), literals.get(b"/" + asked, -1))
        if expression is not None and (found := expression.fullmatch(path)) is not None:
            # Alternatives stand in reverse order, so the first that matches is the last of the file.
            best = max(best, order[(found.lastindex or 1) - 1])
        return self.patterns[best] if best >= 0 else None

    @cached_property
    def _for_files(self) -> _Prepared:
        return self._prepared([index for index, pattern in enumerate(self.patterns) if not pattern.directories])

    @cached_property
    def _for_directories(self) -> _Prepared:
        return self._prepared(list(range(len(self.patterns))))

    def _prepared(self, indexes: list[int]) -> _Prepared:
        literals: dict[bytes, int] = {}
        alternatives: list[bytes] = []
        order: list[int] = []
        for index in indexes:
            pattern = self.patterns[index]
            if pattern.literal:
                key = (b"/" if pattern.anchored else b"") + pattern.text
                literals[key.lower() if self.fold_case else key] = index
        for index in reversed(indexes):
            pattern = self.patterns[index]
            if pattern.literal:
                continue
            try:
                alternatives.append(b"(" + pattern.expression() + b")")
            except UnmatchablePattern:
                continue
            order.append(index)
        flags = re.DOTALL | (re.IGNORECASE if self.fold_case else 0)
        return _Prepared(literals, re.compile(b"|".join(alternatives), flags) if alternatives else None, order)


def parse(content: bytes, fold_case: bool = False) -> Rules:
    """The rules of an ignore file. Raises :class:`ValueError` where it has too many or too much."""
    if len(content) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES >> 10} KiB")
    patterns = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if (pattern := _parsed(line, number)) is not None:
            patterns.append(pattern)
    if sum(len(pattern.text) + 1 for pattern in patterns if not pattern.literal) > MAX_WILD_BYTES:
        raise ValueError(f"has more than {MAX_WILD_BYTES >> 10} KiB of wildcards")
    return Rules(tuple(patterns), fold_case)


def _parsed(line: bytes, number: int) -> Pattern | None:
    # git works on C strings: a NUL ends the line.
    text = _without_trailing_spaces(line.removesuffix(b"\r").partition(b"\0")[0])
    if not text or text.startswith(b"#"):
        return None
    negative = text.startswith(b"!")
    text = text[1:] if negative else text
    directories = text.endswith(b"/")
    text = text[:-1] if directories else text
    anchored = b"/" in text
    return Pattern(number, text.removeprefix(b"/"), negative, directories, anchored)


def _without_trailing_spaces(text: bytes) -> bytes:
    end = len(text.rstrip(b" "))
    backslashes = end - len(text[:end].rstrip(b"\\"))
    # An odd number of backslashes escapes the first space behind them.
    return text[: end + 1] if backslashes % 2 and end < len(text) else text[:end]


def _translated(text: bytes, before: bytes) -> bytes:
    """The expression for wildcards, after ``before``, which is one already."""
    deep_pieces = [[before]]
    at = 0
    while at < len(text):
        if text[at : at + 1] != b"*":
            element, at = _element(text, at)
            deep_pieces[-1][-1] += element
            continue
        start = at
        while text[at : at + 1] == b"*":
            at += 1
        deep = at - start > 1 and (start == 0 or text[start - 1 : start] == b"/")
        if deep and text[at : at + 1] == b"/":
            deep_pieces.append([rb"(?:.*?/)??"])
            at += 1
        elif deep and (at == len(text) or text[at : at + 2] == b"\\/"):
            deep_pieces.append([rb".*?"])
        else:
            deep_pieces[-1].append(rb"[^/]*?")
    deep_pieces[-1][-1] += rb"\Z"
    # A star of one folder may be tried again only within its piece, and what crosses folders only as a whole.
    return b"".join(
        b"(?>" + head + b"".join(b"(?>" + piece + b")" for piece in rest) + b")" for head, *rest in deep_pieces
    )


def _element(text: bytes, at: int) -> tuple[bytes, int]:
    """The expression for one character of the path, and where the pattern goes on."""
    character = text[at : at + 1]
    if character == b"?":
        return rb"[^/]", at + 1
    if character == b"[":
        return _set(text, at + 1)
    if character == b"\\":
        if at + 1 == len(text):
            raise UnmatchablePattern
        return re.escape(text[at + 1 : at + 2]), at + 2
    return re.escape(character), at + 1


def _set(text: bytes, at: int) -> tuple[bytes, int]:
    """A bracket expression; ``at`` is behind its bracket."""
    negated = text[at : at + 1] in (b"!", b"^") and at < len(text)
    at += negated
    members: list[bytes] = []
    previous = b""
    first = True
    while first or text[at : at + 1] != b"]":
        first = False
        member, low, at = _member(text, at, previous)
        if member:
            members.append(member)
        previous = low
    inside = b"".join(members)
    if not inside:
        return (rb"[^/]" if negated else rb"(?!)"), at + 1
    return rb"(?!/)[" + (b"^" if negated else b"") + inside + b"]", at + 1


def _member(text: bytes, at: int, previous: bytes) -> tuple[bytes, bytes, int]:
    """One member of a set: its expression, what a range may start with, and where the set goes on."""
    character = text[at : at + 1]
    if not character:
        raise UnmatchablePattern
    if character == b"\\":
        escaped = text[at + 1 : at + 2]
        if not escaped:
            raise UnmatchablePattern
        return _byte(escaped), escaped, at + 2
    if character == b"-" and previous and text[at + 1 : at + 2] not in (b"", b"]"):
        end = at + 1 + (text[at + 1 : at + 2] == b"\\")
        high = text[end : end + 1]
        if not high:
            raise UnmatchablePattern
        return (_byte(previous) + b"-" + _byte(high) if previous <= high else b""), b"", end + 1
    if text[at : at + 2] == b"[:":
        close = text.find(b"]", at + 2)
        if close < 0:
            raise UnmatchablePattern
        if close > at + 2 and text[close - 1 : close] == b":":
            name = text[at + 2 : close - 1]
            if name not in _CLASSES:
                raise UnmatchablePattern
            return _CLASSES[name], b"", close + 1
    return _byte(character), character, at + 1


def _byte(character: bytes) -> bytes:
    return b"\\x%02x" % character[0]
