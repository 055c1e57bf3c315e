"""What the facts of a file leave out, read from its text where it is needed: keys of subscripts, arguments of calls."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from famulus.lsp_server.review.index.annotations import quietly
from famulus.lsp_server.review.index.facts import Reference

Span = tuple[int, int, int | None, int | None]


@dataclass(frozen=True, slots=True)
class Nodes:
    """Calls by their place, subscripts by the place of what they are taken from."""

    calls: dict[Span, ast.Call] = field(default_factory=dict)
    subscripts: dict[Span, ast.Subscript] = field(default_factory=dict)

    def call(self, reference: Reference) -> ast.Call | None:
        """The call that a reference is."""
        return self.calls.get(_place(reference))

    def key(self, reference: Reference) -> tuple[object, bool] | None:
        """The constant with which an item is taken from a reference or its result, and whether it is only read; None
        without such a constant."""
        node = self.subscripts.get(_place(reference))
        if node is None or not isinstance(node.slice, ast.Constant):
            return None
        return node.slice.value, isinstance(node.ctx, ast.Load)


def nodes(source: bytes) -> Nodes:
    """Those of a file that could be read before."""
    found = Nodes()
    for node in ast.walk(quietly(source)):
        if isinstance(node, ast.Call):
            found.calls[_span(node)] = node
        elif isinstance(node, ast.Subscript):
            found.subscripts[_span(node.value)] = node
            if isinstance(node.value, ast.Await):
                found.subscripts[_span(node.value.value)] = node
    return found


def _span(node: ast.expr) -> Span:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def _place(reference: Reference) -> Span:
    return reference.line, reference.column, reference.end_line, reference.end_column
