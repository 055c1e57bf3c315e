"""Would this Python file still parse? Asked of the part around the cursor, for a whole file takes too long."""

from __future__ import annotations

import re
from collections.abc import Iterator

from famulus.lsp_server.completion.situation import Situation, margin, opens_block
from famulus.lsp_server.syntax.python import parses

ENOUGH = 50
"""Lines; a larger part is looked at only where there is no smaller one."""
WHOLE = 200
"""Lines; a file up to this length is parsed as a whole where its parts do not stand for themselves."""

_DECORATOR = re.compile(r"[ \t]*@")
_MAGIC = re.compile(r"^([ \t]*)[%!].*$", re.MULTILINE)
_TRIPLE = re.compile(r"\"\"\"|'''")
_STEP = 2_000


class Part:
    """Some whole statements around the cursor: lines ``first`` up to ``last`` (not included)."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._lines = situation.snapshot.text
        self._level, self._first, self._last = 0, 0, self._lines.lines
        self.stood = False
        """Whether it parses as it is."""
        self.only_here = False
        """Whether nothing but the statement at the cursor keeps it from parsing."""
        small = list(self._parts())
        for part in small:
            if self._judged(part) or (self.only_here and self._open_at_cursor):
                return
        if self._lines.lines <= WHOLE and self._judged((0, 0, self._lines.lines)):
            return
        for part in small:
            self._judged(part)
            if self.only_here:
                break
        self.only_here = self.only_here and self._open_at_cursor is not False

    @property
    def judges(self) -> bool:
        """Whether anything can be said here; if not, the file is broken in other places too."""
        return self.stood or self.only_here

    def accepts(self, text: str, replaced: int) -> bool:
        """Whether the file parses with ``text`` in place of the next ``replaced`` characters.

        Where the file did not parse because of the statement at the cursor, a block that the text opens may be empty.
        """
        return self._with_text(text, replaced, lenient=not self.stood)

    @property
    def _open_at_cursor(self) -> bool | None:
        """Whether the tree too finds something to be missing; None without a tree.

        Without an error the cursor stands at a string of several lines, whose text only looks like code.
        """
        tree = self._situation.tree
        return None if tree is None else tree.root.has_error or self._situation.opens_block

    def _judged(self, part: tuple[int, int, int]) -> bool:
        """Take a part; returns whether it parses."""
        self._level, self._first, self._last = part
        self.stood = self._stands()
        self.only_here = not self.stood and self._stands_but_for_cursor()
        return self.stood

    def _parts(self) -> Iterator[tuple[int, int, int]]:
        """Level and lines: a small part, and a wider one."""
        levels = self._levels()
        for level in levels:
            found = self._bounds(level, ENOUGH)
            if found is not None:
                yield level, *found
                first = self._up(level, found[0] - 1, ENOUGH) if found[0] else 0
                last = self._down(level, found[1], ENOUGH)
                if first is not None and last is not None and (first, last) != found:
                    yield level, first, last
                return
        found = self._bounds(levels[-1], 3 * ENOUGH)
        if found is not None:
            yield levels[-1], *found

    def _levels(self) -> list[int]:
        """Indentations of the blocks around the cursor, outermost first, the last that of its own line."""
        width = len(self._situation.indentation)
        levels = {0, width}
        at = self._lines.starts[self._situation.place[0]]
        while width and at > 0:
            # A line that is indented less, and neither goes on with a block nor only closes brackets.
            low = max(0, at - _STEP)
            found = list(_shallower(width - 1).finditer(self._lines.value, low, at))
            if not found:
                at = low
                continue
            at = found[-1].start()
            width = found[-1].end() - at
            levels.add(width)
        return sorted(levels)

    def _bounds(self, level: int, most: int) -> tuple[int, int] | None:
        """The statement at ``level`` in which the cursor lies; None if it is longer than ``most`` lines either way."""
        line = self._situation.place[0]
        first, last = self._up(level, line, most), self._down(level, line + 1, most)
        return None if first is None or last is None or last - first > most else (first, last)

    def _up(self, level: int, line: int, most: int) -> int | None:
        """The line at which the statement of ``line`` begins, with its decorators."""
        low = max(0, line - most)
        starts = self._lines.starts
        end = starts[line + 1] if line + 1 < self._lines.lines else len(self._lines)
        found = [m.start() for m in _shallower(level).finditer(self._lines.value, starts[low], end)]
        if not found:
            return None if low else 0
        first = self._lines.place(found[-1])[0]
        while first > 0 and _DECORATOR.match(self._lines.value, starts[first - 1]):
            first -= 1
        return first

    def _down(self, level: int, line: int, most: int) -> int | None:
        """The line before which the statement that goes on at ``line`` ends."""
        if line >= self._lines.lines:
            return self._lines.lines
        high = line + most
        end = self._lines.starts[high] if high < self._lines.lines else len(self._lines)
        found = _shallower(level).search(self._lines.value, self._lines.starts[line], end)
        if found is None:
            return None if high < self._lines.lines else self._lines.lines
        return self._lines.place(found.start())[0]

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
        if source.endswith("\n"):
            source += " " * self._level + "pass"  # a backslash at the end would take the next line in
        return parses("if True:\n" + source if self._level else source)

    @property
    def _head(self) -> str:
        return self._lines.value[self._lines.starts[self._first] : self._situation.offset]

    @property
    def _tail(self) -> str:
        end = self._lines.starts[self._last] if self._last < self._lines.lines else len(self._lines)
        return self._lines.value[self._situation.offset : end]

    def _with_text(self, text: str, replaced: int, lenient: bool) -> bool:
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

    def _stands_but_for_cursor(self) -> bool:
        """Whether it parses with something harmless in place of the cursor's statement."""
        start = self._situation.offset - len(self._situation.line_before)
        if self._situation.before.open:
            opening = self._situation.before_start + self._situation.before.open[0]
            start = self._lines.starts[self._lines.place(opening)[0]]
        low = self._lines.starts[self._first]
        if start < low:
            return False
        white = margin(self._lines.value[start : self._situation.offset])
        below = self._tail[len(self._situation.line_after) :]
        following = next((line for line in below.split("\n") if line.strip()), "")
        stand_in = "if True:" if len(margin(following)) > len(white) else "pass"
        return self._code(self._lines.value[low:start] + white + stand_in + below)


def _shallower(level: int) -> re.Pattern[str]:
    """Lines at which a statement begins that is indented by ``level`` characters at the most."""
    return re.compile(rf"^[ \t]{{0,{level}}}(?!(?:else|elif|except|finally|case)\b)(?=[^\s)\]}}#])", re.MULTILINE)


def _leaves(text: str, level: int) -> bool:
    """Whether a line of the text is indented less than the part in which it is to stand."""
    return any(line.strip() and len(margin(line)) < level and line[0] not in ")]}" for line in text.split("\n")[1:])
