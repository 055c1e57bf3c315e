"""Where the nodes of a syntax tree stand in their source, in characters."""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from itertools import accumulate

_COMMENT = re.compile(r"#[^\n]*")


class SourceText:
    """A source text with the places of nodes that were parsed from it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", source)
        self._starts = [0, *accumulate(map(len, self._lines))]
        self._plain = source.isascii()

    def offset(self, line: int, column: int) -> int:
        """The index of a place as the parser counts: lines from 1, columns from 0 in bytes of UTF-8."""
        if not self._plain:
            column = len(self._lines[line - 1].encode()[:column].decode("utf-8", "ignore"))
        return self._starts[line - 1] + column

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Start and end of a node."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.offset(node.lineno, node.col_offset), self.offset(node.end_lineno, node.end_col_offset)

    def of(self, node: ast.expr | ast.stmt) -> str:
        """The text of a node."""
        start, end = self.span(node)
        return self.source[start:end]

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of an index, both from 1, in characters."""
        line = bisect_right(self._starts, offset, hi=len(self._lines))
        return line, offset - self._starts[line - 1] + 1

    def between(self, left: ast.expr, right: ast.expr, operator: str) -> tuple[int, int] | None:
        """Where an operator stands between two neighbours; None if it cannot be told (it is written in two lines)."""
        start, end = self.span(left)[1], self.span(right)[0]
        gap = _COMMENT.sub(lambda comment: " " * len(comment[0]), self.source[start:end])
        pattern = r"\s+".join(map(re.escape, operator.split()))
        if operator.isidentifier() or " " in operator:
            pattern = rf"\b{pattern}\b"
        found = re.search(pattern, gap)
        if found is None or "\n" in found[0]:
            return None
        return start + found.start(), start + found.end()

    def replaced(self, start: int, end: int, text: str) -> str:
        """The source with another text at a span, and with as many lines as before."""
        missing = self.source.count("\n", start, end) - text.count("\n")
        rest = self.source[end:]
        if missing > 0:
            head, found, tail = rest.partition("\n")
            rest = head + "\n" * missing + found + tail
        return self.source[:start] + text + rest
