"""Python source with its syntax tree in code points, and the functions in it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property

from famulus.lsp_server.documents import Text
from famulus.lsp_server.syntax.python import module_of

Node = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Function:
    """An outermost function or method. ``start`` is that of its first line, decorators included; ``end`` is behind its
    last character. ``owner`` is the class it belongs to."""

    name: str
    start: int
    end: int
    node: Node
    owner: ast.ClassDef | None


class Source:
    """A text and its syntax tree. Raises SyntaxError."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.module = module_of(_plain_ends(text.value))
        self._ascii = text.value.isascii()

    def offset(self, line: int, column: int) -> int:
        """The offset of a place of the syntax tree, whose lines count from 1 and whose columns are UTF-8 bytes."""
        start = self.text.starts[line - 1]
        if self._ascii:
            return start + column
        raw = self.text.line(line - 1).encode("utf-8", "surrogatepass")
        return start + len(raw[:column].decode("utf-8", "replace"))

    def start(self, node: ast.expr | ast.stmt) -> int:
        """Where a node starts."""
        return self.offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt) -> int:
        """Where a node ends."""
        assert node.end_lineno is not None and node.end_col_offset is not None, "the parser gives every node an end"
        return self.offset(node.end_lineno, node.end_col_offset)

    def of(self, node: ast.expr | ast.stmt) -> str:
        """The text of a node."""
        return self.text.value[self.start(node) : self.end(node)]

    @cached_property
    def functions(self) -> list[Function]:
        """All outermost functions, in order."""
        found: list[Function] = []
        self._collect(self.module.body, None, found)
        return found

    def _collect(self, body: list[ast.stmt], owner: ast.ClassDef | None, found: list[Function]) -> None:
        for node in body:
            if isinstance(node, Node):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                found.append(Function(node.name, self.text.starts[first - 1], self.end(node), node, owner))
            elif isinstance(node, ast.ClassDef):
                self._collect(node.body, node, found)
            elif isinstance(node, ast.If | ast.Try):
                for part in (node.body, node.orelse):
                    self._collect(part, owner, found)


def _plain_ends(text: str) -> str:
    """The same number of lines, in a form where the parser counts them as the protocol does."""
    # A form feed resets the parser's column, and is white space all the same.
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", " ")
