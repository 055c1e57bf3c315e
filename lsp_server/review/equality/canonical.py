"""One side of a Python file, written in one way: layout, quotes, brackets and comments are gone.

What is taken away has no effect in any program: ``pass``, bare constants, and a ``not`` before a condition with both
branches (they are swapped). Docstrings are taken away as well but kept apart, since programs read them.
"""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Function = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = ("body", "orelse", "finalbody")
_UNSEEN = frozenset({
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
})  # fmt: skip
_TOO_DEEP = 400
"""Nesting at which a file is left alone instead of risking the interpreter's stack."""


@dataclass(frozen=True, slots=True)
class Documentation:
    """A string that only documents: the docstring of ``scope`` or a bare string in it."""

    scope: str
    value: str
    line: int
    end_line: int


@dataclass(eq=False)
class Source:
    """One side of a file. ``tree`` is canonical but keeps the places of the text it came from."""

    text: str
    tree: ast.Module
    documentation: list[Documentation] = field(default_factory=list)

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text, without ends."""
        return self.text.split("\n")

    @cached_property
    def code_lines(self) -> frozenset[int]:
        """Lines on which some code stands; the others are empty or hold a comment, and have no effect."""
        found: set[int] = set()
        try:
            for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
                if token.type not in _UNSEEN:
                    found.update(range(token.start[0], token.end[0] + 1))
        except (SyntaxError, tokenize.TokenError):
            return frozenset(range(1, len(self.lines) + 1))
        return frozenset(found)

    def around(self, node: Definition) -> list[Definition]:
        """The definitions around a definition, outermost first."""
        found: list[Definition] = []
        above = self._above.get(node)
        while above is not None:
            found.append(above)
            above = self._above.get(above)
        return found[::-1]

    @cached_property
    def _above(self) -> dict[Definition, Definition]:
        return {node: above for node, above in _definitions(self.tree.body, None) if above is not None}


def _definitions(body: list[ast.stmt], above: Definition | None) -> Iterator[tuple[Definition, Definition | None]]:
    for statement in body:
        if isinstance(statement, Definition):
            yield statement, above
        for _, block in blocks(statement):
            yield from _definitions(block, statement if isinstance(statement, Definition) else above)


def source(text: str) -> Source | None:
    """A file's text in canonical form; None if this Python cannot read it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
        made = Source(text, tree)
        if tree.body:
            _scope(made, tree.body, "", 0)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return made


def start_of(node: ast.stmt) -> int:
    """The first line of a statement, decorators included."""
    decorators = node.decorator_list if isinstance(node, Definition) else []
    return min([node.lineno, *(d.lineno for d in decorators)])


def end_of(node: ast.stmt) -> int:
    """The last line of a statement."""
    return node.end_lineno or node.lineno


def blocks(node: Any) -> list[tuple[str, list[ast.stmt]]]:
    """The lists of statements inside a statement, each with the name of its part, in the order of the text."""
    found = [("body", node.body)] if isinstance(getattr(node, "body", None), list) else []
    for i, part in enumerate([*getattr(node, "handlers", []), *getattr(node, "cases", [])]):
        found.append((f"part{i}", part.body))
    found += [(name, getattr(node, name)) for name in BLOCKS[1:] if isinstance(getattr(node, name, None), list)]
    return [(name, block) for name, block in found if block]


def _scope(made: Source, body: list[ast.stmt], scope: str, depth: int) -> None:
    """Takes documentation and statements without effect out of ``body`` and of all that is inside."""
    if depth > _TOO_DEEP:
        raise RecursionError
    kept: list[ast.stmt] = []
    for statement in body:
        if isinstance(statement, ast.Pass):
            continue
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            if isinstance(statement.value.value, str):
                made.documentation.append(
                    Documentation(scope, statement.value.value, statement.lineno, end_of(statement))
                )
            continue
        kept.append(statement)
    body[:] = kept or [ast.copy_location(ast.Pass(), body[0])]
    for statement in body:
        if isinstance(statement, ast.If):
            unnegated(statement)
        inner = f"{scope}.{statement.name}".lstrip(".") if isinstance(statement, Definition) else scope
        for _, block in blocks(statement):
            _scope(made, block, inner, depth + 1)


def unnegated(node: ast.If | ast.IfExp) -> None:
    """Takes ``not`` from a condition with two branches by swapping them."""
    while isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not) and node.orelse:
        node.test, node.body, node.orelse = node.test.operand, node.orelse, node.body


class Keys:
    """Numbers for pieces of code; two have the same exactly if their canonical forms are the same."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._known: dict[ast.AST, int] = {}

    def of(self, node: ast.AST) -> int:
        """The number of a node with all that is inside."""
        known = self._known.get(node)
        if known is None:
            known = self._known[node] = self._number(self._form(node, ()))
        return known

    def header(self, node: ast.AST) -> int:
        """The number of a statement without the statements inside; which blocks it has does count."""
        parts = [*getattr(node, "handlers", []), *getattr(node, "cases", [])]
        inner = tuple(self._number(self._form(part, ("body",))) for part in parts)
        shape = tuple(name for name, _ in blocks(node))
        return self._number((self._form(node, (*BLOCKS, "handlers", "cases")), inner, shape))

    def _form(self, node: ast.AST, without: tuple[str, ...]) -> object:
        if isinstance(node, ast.Constant):
            return constant(node.value)
        if isinstance(node, ast.IfExp):
            unnegated(node)
        values: list[object] = [type(node)]
        values += [self._value(getattr(node, name, None)) for name in node._fields if name not in without]
        return tuple(values)

    def _value(self, value: object) -> object:
        if isinstance(value, ast.AST):
            return self.of(value)
        if isinstance(value, list):
            return tuple(self._value(item) for item in value)
        return constant(value)

    def _number(self, form: object) -> int:
        return self._numbers.setdefault(form, len(self._numbers))


def form(node: ast.AST) -> str:
    """A digest of the canonical form of a node: as :class:`Keys` tells pieces of code apart, but in any process."""
    found = hashlib.blake2b(digest_size=16)
    found.update(repr(_written(node)).encode("utf-8", "surrogatepass"))
    return found.hexdigest()


def _written(value: object) -> object:
    if isinstance(value, ast.Constant):
        return constant(value.value)
    if isinstance(value, ast.AST):
        if isinstance(value, ast.IfExp):
            unnegated(value)
        return type(value).__name__, *(_written(getattr(value, name, None)) for name in value._fields)
    return [_written(item) for item in value] if isinstance(value, list) else constant(value)


def constant(value: object) -> object:
    """A constant with its type, so that ``1``, ``1.0`` and ``True``, or ``0.0`` and ``-0.0``, are not the same."""
    if isinstance(value, tuple):
        return ("tuple", *(constant(item) for item in value))
    if isinstance(value, frozenset):
        return ("frozenset", *(constant(item) for item in value))
    if isinstance(value, str | bytes | bool | int) or value is None or value is ...:
        return (type(value).__name__, value)
    return (type(value).__name__, repr(value))
