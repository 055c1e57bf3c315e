"""Small changes of a Python function that parse and resolve: what the programmer may have meant instead.

The same generator makes the mutants of ``famulus bench surprise``: each change has its inverse among the changes of
what it leads to.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from famulus.lsp_server.prediction.surprise.scopes import bindings, readable
from famulus.lsp_server.prediction.surprise.source import Function, Source

Kind = Literal["name", "attribute", "arguments", "comparison", "boolean", "number"]
KINDS: tuple[Kind, ...] = ("name", "attribute", "arguments", "comparison", "boolean", "number")

_COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">", ">=")),
    ast.LtE: ("<=", ("<", ">=", ">")),
    ast.Gt: (">", (">=", "<", "<=")),
    ast.GtE: (">=", (">", "<=", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
}
_LARGEST = 64
"""Integers beyond it are data, not counts."""


@dataclass(frozen=True)
class Alternative:
    """``original``, which stands at ``start`` to ``end`` (offsets in the file), could be ``replacement``."""

    kind: Kind
    start: int
    end: int
    original: str
    replacement: str

    def applied(self, text: str) -> str:
        """``text`` with the replacement."""
        return text[: self.start] + self.replacement + text[self.end :]


def alternatives(source: Source, function: Function) -> list[Alternative]:
    """All changes of ``function``, in the order of their places."""
    finder = _Finder(source, function)
    for statement in function.node.body:
        finder.visit(statement)
    return sorted(finder.found, key=lambda a: (a.start, a.end))


class _Finder(ast.NodeVisitor):
    def __init__(self, source: Source, function: Function) -> None:
        self.found: list[Alternative] = []
        self._source = source
        self._bindings = bindings(source, function)
        self._locals = {b.name for b in self._bindings}
        self._owner = function.owner
        parameters = [*function.node.args.posonlyargs, *function.node.args.args]
        self._self = parameters[0].arg if function.owner is not None and parameters else ""
        self._fields, self._methods = _members(function.owner)

    # What is no code of the function's own, or has no reliable places.

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Before Python 3.12 the places inside f-strings are wrong."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Only the body: annotations and defaults belong to whoever calls."""
        for statement in node.body:
            self.visit(statement)

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """A class in a function has names of its own."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """The value, not the annotation."""
        if node.value is not None:
            self.visit(node.value)

    # The kinds.

    def visit_Name(self, node: ast.Name) -> None:
        """Another variable of the scope."""
        if isinstance(node.ctx, ast.Load) and node.id in self._locals and node.id != self._self:
            others = readable(self._bindings, self._source.start(node))
            self._add("name", node, *(o for o in others if o not in (node.id, self._self)))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Another attribute of the same object, among those that the class uses itself."""
        own = isinstance(node.value, ast.Name) and node.value.id == self._self and self._self
        if own and isinstance(node.ctx, ast.Load):
            siblings = self._methods if node.attr in self._methods else self._fields
            if node.attr in siblings:
                end = self._source.end(node)
                start = end - len(node.attr)
                self._replace("attribute", start, end, *(s for s in siblings if s != node.attr))
        else:
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        """Two neighbouring arguments the other way round."""
        plain = [a for a in node.args if not isinstance(a, ast.Starred)]
        if len(plain) == len(node.args):
            for first, second in itertools.pairwise(plain):
                a, b = self._source.of(first), self._source.of(second)
                constant = isinstance(first, ast.Constant) and isinstance(second, ast.Constant)
                unsafe = any(isinstance(x, ast.GeneratorExp | ast.NamedExpr) for x in (first, second))
                if a != b and not constant and not unsafe and "\n" not in a + b and "\r" not in a + b:
                    start, end = self._source.start(first), self._source.end(second)
                    between = self._source.text.value[self._source.end(first) : self._source.start(second)]
                    if "(" not in between and ")" not in between and "#" not in between:
                        self._replace("arguments", start, end, b + between + a)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """Inverted, or wrong by one."""
        left: ast.expr = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            sign, others = _COMPARISONS[type(operator)]
            if len(node.ops) == 1 or sign in "<=>=":
                self._between("comparison", left, right, sign, *others)
            left = right
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """``and`` for ``or``, where there are two operands."""
        if len(node.values) == 2:
            sign, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
            self._between("boolean", node.values[0], node.values[1], sign, other)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        """A condition the other way round."""
        self._condition(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        """A condition the other way round."""
        self._condition(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """A condition the other way round."""
        self._condition(node.test)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """``+ 1`` for ``- 1``."""
        one = isinstance(node.right, ast.Constant) and type(node.right.value) is int and node.right.value == 1
        if one and isinstance(node.op, ast.Add | ast.Sub):
            sign, other = ("+", "-") if isinstance(node.op, ast.Add) else ("-", "+")
            self._between("number", node.left, node.right, sign, other)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Off by one, and the other truth value."""
        if isinstance(node.value, bool):
            self._add("boolean", node, str(not node.value))
        elif type(node.value) is int and 0 <= node.value <= _LARGEST and self._source.of(node).isdigit():
            self._add("number", node, *(str(v) for v in (node.value - 1, node.value + 1) if v >= 0))

    def _condition(self, test: ast.expr) -> None:
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            if isinstance(test.operand, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
                self._replace("boolean", self._source.start(test), self._source.start(test.operand), "")
        elif isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            self._replace("boolean", self._source.start(test), self._source.start(test), "not ")

    def _between(self, kind: Kind, left: ast.expr, right: ast.expr, sign: str, *others: str) -> None:
        """An operator between two operands; nothing where a bracket or a comment makes its place unclear."""
        start, end = self._source.end(left), self._source.start(right)
        match = re.fullmatch(
            r"[ \t)]*(" + r"\s+".join(map(re.escape, sign.split())) + r")[ \t(]*", self._text(start, end)
        )
        if match:
            self._replace(kind, start + match.start(1), start + match.end(1), *others)

    def _add(self, kind: Kind, node: ast.expr, *others: str) -> None:
        self._replace(kind, self._source.start(node), self._source.end(node), *others)

    def _replace(self, kind: Kind, start: int, end: int, *others: str) -> None:
        original = self._text(start, end)
        self.found += [Alternative(kind, start, end, original, other) for other in others]

    def _text(self, start: int, end: int) -> str:
        return self._source.text.value[start:end]


def _members(owner: ast.ClassDef | None) -> tuple[list[str], list[str]]:
    """The attributes that the methods of a class store, and its methods."""
    if owner is None:
        return [], []
    methods = [n for n in owner.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    properties = {n.name for n in methods if n.decorator_list}
    fields = dict.fromkeys(n.name for n in methods if n.name in properties and not n.name.startswith("__"))
    for node in _own_stores(methods):
        fields[node] = None
    for statement in owner.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            fields[statement.target.id] = None
    called = [n.name for n in methods if n.name not in properties and not n.name.startswith("__")]
    return list(fields), list(dict.fromkeys(called))


def _own_stores(methods: list[ast.FunctionDef | ast.AsyncFunctionDef]) -> Iterator[str]:
    for method in methods:
        if not method.args.args:
            continue
        me = method.args.args[0].arg
        for node in ast.walk(method):
            match node:
                case ast.Attribute(value=ast.Name(id=owner), ctx=ast.Store()) if owner == me:
                    yield node.attr
