"""Would this Python file still parse? Asked of the part around the cursor, for a whole file takes too long."""

from __future__ import annotations

import ast
import re
import warnings
from functools import cached_property

from famulus.lsp_server.completion.situation import Situation, margin, opens_block

ENOUGH = 60
"""Lines; a larger part than this is looked at only where no smaller one stands for itself."""
WHOLE = 300
"""Lines; a file up to this length is parsed as a whole where its parts do not stand for themselves."""

_BELONGS = re.compile(r"(else|elif|except|finally|case)\b|[)\]}#]")
_DECORATOR = re.compile(r"\s*@")
_MAGIC = re.compile(r"^([ \t]*)[%!].*$", re.MULTILINE)
_TRIPLE = re.compile(r"\"\"\"|'''")
_STAND_INS = ("pass", "if True:", "if True:\n{margin} pass")


def parses(code: str) -> bool:
    """Whether ``code`` is a module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


class Part:
    """Some whole statements around the cursor: lines ``first`` up to ``last`` (not included)."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._lines = situation.snapshot.text
        self._level = 0
        self._first, self._last = 0, self._lines.lines
        self.stood = self._choose()

    def _choose(self) -> bool:
        """Find the lines; returns whether they parse as they are."""
        levels = self._levels()
        for level in levels:
            self._level, (self._first, self._last) = level, self._bounds(level)
            if self._last - self._first <= ENOUGH or level == levels[-1]:
                break
        if self._stands():
            return True
        self._first, self._last = self._wider()
        if self._stands():
            return True
        if self._lines.lines > WHOLE or (self._first == 0 and self._last == self._lines.lines and not self._level):
            return False
        narrow = (self._level, self._first, self._last)
        self._level, self._first, self._last = 0, 0, self._lines.lines
        if self._stands():
            return True
        self._level, self._first, self._last = narrow
        return False

    def _levels(self) -> list[int]:
        """Indentations of the blocks around the cursor, outermost first; never deeper than the cursor itself."""
        here = self._situation.indentation
        width = len(here) if here or self._situation.line_before.strip() else 0
        levels = {0}
        for number in range(self._situation.place[0] - 1, -1, -1):
            line = self._lines.line(number)
            if not line.strip() or _BELONGS.match(line.lstrip()):
                continue
            if len(margin(line)) < width:
                width = len(margin(line))
                levels.add(width)
            if not width:
                break
        return sorted(levels)

    def _bounds(self, level: int, line: int | None = None) -> tuple[int, int]:
        """The statement at ``level`` in which a line lies."""
        cursor = self._situation.place[0] if line is None else line
        first = cursor
        while first > 0 and not self._begins(first, level):
            first -= 1
        while first > 0 and _DECORATOR.match(self._lines.line(first - 1)):
            first -= 1
        last = cursor + 1
        while last < self._lines.lines and not self._begins(last, level):
            last += 1
        return first, last

    def _begins(self, number: int, level: int) -> bool:
        line = self._lines.line(number)
        return bool(line.strip()) and len(margin(line)) <= level and not _BELONGS.match(line.lstrip())

    def _wider(self) -> tuple[int, int]:
        """One statement more on either side."""
        first = self._bounds(self._level, self._first - 1)[0] if self._first else 0
        last = self._bounds(self._level, self._last)[1] if self._last < self._lines.lines else self._last
        return first, last

    def _stands(self) -> bool:
        return self._code(self._source(self._first, self._last))

    def _source(self, first: int, last: int) -> str:
        starts = self._lines.starts
        end = starts[last] if last < self._lines.lines else len(self._lines)
        return self._lines.value[starts[first] : end]

    def _code(self, source: str) -> bool:
        if self._situation.snapshot.kind == "code":
            source = _MAGIC.sub(r"\1pass", source)
        if self._level and any(len(margin(line)) < self._level for line in source.split("\n")[:1] if line.strip()):
            return False
        return parses("if True:\n" + source if self._level else source)

    @cached_property
    def _head(self) -> str:
        return self._lines.value[self._lines.starts[self._first] : self._situation.offset]

    @cached_property
    def _tail(self) -> str:
        end = self._lines.starts[self._last] if self._last < self._lines.lines else len(self._lines)
        return self._lines.value[self._situation.offset : end]

    def with_text(self, text: str, replaced: int, lenient: bool = False) -> bool:
        """Whether the part parses with ``text`` in place of the next ``replaced`` characters.

        ``lenient``: a block that the text opens and that is empty counts as filled.
        """
        if self._level and _leaves(text, self._level):
            return False
        if self.stood and _TRIPLE.search(text) and self._lines.lines <= WHOLE:
            whole = self._situation.prefix + text + self._situation.suffix[replaced:]
            return parses(whole) or not parses(self._situation.text)
        tail = self._tail[replaced:]
        return self._code(self._head + text + (self._filled(text, tail) if lenient else tail))

    def _filled(self, text: str, tail: str) -> str:
        rest, newline, below = tail.partition("\n")
        last = (self._situation.line_before + text).rpartition("\n")[2] + rest.rstrip("\r")
        head = margin(last if last.strip() else "")
        following = next((line for line in below.split("\n") if line.strip()), "")
        if not opens_block(last, "python") or len(margin(following)) > len(head):
            return tail
        return f"{rest}\n{head} pass{newline}{below}"

    @cached_property
    def only_here(self) -> bool:
        """Whether nothing but the statement at the cursor keeps the part from parsing."""
        start = self._situation.offset - len(self._situation.line_before)
        if self._situation.before.open:
            opening = self._situation.before_start + self._situation.before.open[0]
            start = self._lines.starts[self._lines.place(opening)[0]]
        low = self._lines.starts[self._first]
        if start < low:
            return False
        white = margin(self._lines.value[start : self._situation.offset])
        below = self._tail[len(self._situation.line_after) :]
        for stand_in in _STAND_INS:
            code = self._lines.value[low:start] + white + stand_in.format(margin=white) + below
            if self._code(code):
                return True
        return False


def _leaves(text: str, level: int) -> bool:
    """Whether a line of the text is indented less than the part in which it is to stand."""
    return any(line.strip() and len(margin(line)) < level and line[0] not in ")]}" for line in text.split("\n")[1:])
