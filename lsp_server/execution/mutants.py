"""Small changes to a source, each of which a good test would notice.

First order only: one change each. Every mutant keeps the lines of its source, so that line numbers stay what they are.
Left alone is what no test should have to notice: annotations, docstrings, assertions, texts of exceptions, logging,
what stands under ``TYPE_CHECKING`` or ``__name__ == "__main__"``, and changes that are known to mean the same.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Literal

from famulus.lsp_server.execution import left_alone as alone
from famulus.lsp_server.execution.sourcetext import SourceText

Kind = Literal[
    "boundary", "condition", "comparison", "operator", "logic", "raise", "call", "return", "flow", "constant", "value"
]
KINDS: tuple[Kind, ...] = (
    "boundary", "condition", "comparison", "operator", "logic", "raise", "call", "return", "flow", "constant", "value",
)  # fmt: skip
"""What is changed, the most telling first: a reader thinks more of a boundary than of a number."""

_COMPARISONS: dict[type[ast.cmpop], list[tuple[Kind, str, str]]] = {
    ast.Lt: [("boundary", "<", "<="), ("comparison", "<", ">=")],
    ast.LtE: [("boundary", "<=", "<"), ("comparison", "<=", ">")],
    ast.Gt: [("boundary", ">", ">="), ("comparison", ">", "<=")],
    ast.GtE: [("boundary", ">=", ">"), ("comparison", ">=", "<")],
    ast.Eq: [("comparison", "==", "!=")],
    ast.NotEq: [("comparison", "!=", "==")],
    ast.Is: [("comparison", "is", "is not")],
    ast.IsNot: [("comparison", "is not", "is")],
    ast.In: [("comparison", "in", "not in")],
    ast.NotIn: [("comparison", "not in", "in")],
}
_OPERATORS: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "&"),
}
_PARTNERS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_TALK = frozenset({"print", "warn", "debug", "info", "warning", "error", "exception", "critical", "log", "write_log"})
"""Last names of calls that only tell somebody something."""
_NUMBERS = frozenset({"int", "float"})
_SHOWN = 60  # characters of a piece of code in a message

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Mutant:
    """One change. ``line`` and ``column`` (from 1, in characters): where it stands; ``before`` became ``after``, as a
    person reads it. ``function``: dotted name of the outermost function around it, with its classes, and ``first`` its
    first line with decorators; empty and 0 for code that runs when the module is imported. ``text`` stands in the
    place of the characters ``start`` to ``end`` of the ``original``."""

    kind: Kind
    line: int
    column: int
    before: str
    after: str
    function: str
    first: int
    original: SourceText = field(repr=False, compare=False)
    start: int = field(repr=False)
    end: int = field(repr=False)
    text: str = field(repr=False)

    @property
    def source(self) -> str:
        """The whole source with the change; made anew each time, since there are many mutants of large sources."""
        return self.original.replaced(self.start, self.end, self.text)

    def __str__(self) -> str:
        if self.after == "pass":
            return f"removing `{self.before}`"
        return f"replacing `{self.before}` by `{self.after}`"


def mutants(source: str, lines: Collection[int] | None = None, *, values: bool = False) -> list[Mutant]:
    """The mutants of ``source`` (of these ``lines`` only, if they are given), in order of place.

    ``values``: also numbers that are passed on or stored in an object, one greater, the latter also doubled. They
    make tests choose better, and tell nobody anything.

    An empty list for a source that is no Python. Some may compile to what was there: see :func:`equivalent`."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    finder = _Finder(SourceText(source), None if lines is None else frozenset(lines), values)
    finder.block(tree.body)
    return sorted(finder.found, key=lambda mutant: (mutant.line, mutant.column, KINDS.index(mutant.kind)))


def equivalent(left: str, right: str) -> bool:
    """Whether two sources compile to the same code; a source that does not compile equals none."""
    try:
        one, other = (compile(text, "<source>", "exec", dont_inherit=True) for text in (left, right))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return _same(one, other)


def _same(left: types.CodeType, right: types.CodeType) -> bool:
    if left.co_code != right.co_code or len(left.co_consts) != len(right.co_consts):
        return False
    names = ("co_names", "co_varnames", "co_freevars", "co_cellvars", "co_flags", "co_argcount", "co_name")
    if any(getattr(left, name) != getattr(right, name) for name in names):
        return False
    for one, other in zip(left.co_consts, right.co_consts, strict=True):
        if isinstance(one, types.CodeType) and isinstance(other, types.CodeType):
            if not _same(one, other):
                return False
        elif type(one) is not type(other) or repr(one) != repr(other):
            return False
    return True


class _Finder:
    """Walks a module and collects its mutants."""

    def __init__(self, text: SourceText, lines: frozenset[int] | None, values: bool) -> None:
        self.text, self.lines, self.values = text, lines, values
        self.numbers: frozenset[str] = frozenset()
        """Parameters of the function that are said to be numbers, if ``values`` are changed."""
        self.found: list[Mutant] = []
        self.function: tuple[str, int] = ("", 0)
        self.classes: list[str] = []

    # -- statements

    def block(self, body: Iterable[ast.stmt]) -> None:
        """The mutants of statements."""
        for statement in body:
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        """The mutants of one statement and what it contains."""
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.definition(node)
            case ast.ClassDef():
                self.classes.append(node.name)
                self.block(node.body)
                self.classes.pop()
            case ast.If() if alone.for_others(node.test):
                self.block(node.orelse)
            case ast.If() | ast.While():
                if isinstance(node, ast.If):
                    self.condition(node.test)
                self.expression(node.test, alone.settled(node.test, node.body) if isinstance(node, ast.If) else ())
                self.block([*node.body, *node.orelse])
            case ast.Expr():
                self.called(node)
            case ast.Raise():
                self.add("raise", node, "pass")
            case ast.Return() if node.value is not None:
                if not alone.says_nothing(node.value):
                    self.add("return", node, "return None", shown=(self.text.of(node), "return None"))
                self.expression(node.value)
            case ast.Break():
                self.add("flow", node, "continue")
            case ast.Continue():
                self.add("flow", node, "break")
            case ast.AugAssign():
                self.operator(node, node.target, node.value, "=")
                self.expression(node.value)
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()], value=ast.Name(id=name)):
                if name in self.numbers:
                    self.add("value", node.value, f"{name} + 1")
                    self.add("value", node.value, f"{name} * 2")
            case ast.AnnAssign():
                if node.value is not None:
                    self.expression(node.value)
            case ast.Assert() | ast.Import() | ast.ImportFrom() | ast.Global() | ast.Nonlocal() | ast.Delete():
                pass
            case _:
                self.parts(node)

    def parts(self, node: ast.AST) -> None:
        """Everything below a node, statements as such."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                self.statement(child)
            elif isinstance(child, ast.expr):
                self.expression(child)
            elif isinstance(child, (ast.excepthandler, ast.match_case, ast.withitem)):
                self.parts(child)

    def definition(self, node: _Function) -> None:
        """A function: its defaults where it stands, its body in its own name."""
        for default in (*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)):
            self.expression(default)
        if node.name in ("__repr__", "__str__"):
            return
        outer, numbers = self.function, self.numbers
        if self.values:
            every = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            self.numbers = frozenset(a.arg for a in every if a.annotation and self.text.of(a.annotation) in _NUMBERS)
        if not outer[1]:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            self.function = (".".join([*self.classes, node.name]), first)
        self.block(node.body)
        self.function, self.numbers = outer, numbers

    def called(self, node: ast.Expr) -> None:
        """A call whose result is not used; texts are docstrings."""
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(value, ast.Call):
            if alone.last_name(value.func) in _TALK:
                return
            self.add("call", node, "pass")
        if not isinstance(value, ast.Constant):
            self.expression(value)

    def condition(self, node: ast.expr) -> None:
        """A condition turned round; where a comparison or ``not`` is all of it, that is done by its own change."""
        if (isinstance(node, ast.Compare) and len(node.ops) == 1) or isinstance(node, (ast.UnaryOp, ast.Constant)):
            return
        text = self.text.of(node)
        self.add("condition", node, f"not ({text})")

    # -- expressions

    def expression(self, node: ast.expr, settled: Collection[ast.expr] = ()) -> None:
        """The mutants of an expression. ``settled``: comparisons whose boundary cannot matter."""
        if isinstance(node, (ast.JoinedStr, ast.Lambda)):
            if isinstance(node, ast.Lambda):
                self.expression(node.body)
            return
        match node:
            case ast.Compare():
                self.comparison(node, node not in settled)
            case ast.BinOp() if not alone.joins_texts(node):
                self.operator(node, node.left, node.right)
            case ast.BoolOp():
                before, after = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
                for left, right in zip(node.values, node.values[1:], strict=False):
                    self.between("logic", left, right, before, after)
            case ast.UnaryOp(op=ast.Not()):
                self.add("condition", node, self.text.of(node.operand))
            case ast.UnaryOp(op=ast.USub()) if not isinstance(node.operand, ast.Constant):
                self.add("operator", node, f"+{self.text.of(node.operand)}")
            case ast.IfExp():
                self.condition(node.test)
                settled = alone.settled_expression(node)
            case ast.Call(func=ast.Name(id=name)) if name in _PARTNERS:
                self.add("call", node.func, _PARTNERS[name])
            case ast.Constant():
                self.constant(node)
        for child in ast.iter_child_nodes(node):
            if isinstance(node, ast.Call) and isinstance(child, ast.Name) and child.id in self.numbers:
                self.add("value", child, f"{child.id} + 1")
            if isinstance(child, ast.expr):
                self.expression(child, settled)
            elif isinstance(child, ast.comprehension):
                self.expression(child.iter)
                for test in child.ifs:
                    self.condition(test)
                    self.expression(test)
            elif isinstance(child, ast.keyword):
                self.expression(child.value)

    def comparison(self, node: ast.Compare, boundary: bool) -> None:
        """Each operator of a comparison."""
        for left, operator, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            for kind, before, after in _COMPARISONS[type(operator)]:
                if boundary or kind != "boundary":
                    self.between(kind, left, right, before, after)

    def operator(self, node: ast.BinOp | ast.AugAssign, left: ast.expr, right: ast.expr, tail: str = "") -> None:
        """The operator between two values."""
        if type(node.op) in _OPERATORS and not alone.texts(left, right) and not alone.idle(node.op, right):
            before, after = _OPERATORS[type(node.op)]
            self.between("operator", left, right, before + tail, after + tail)

    def constant(self, node: ast.Constant) -> None:
        """A number or a truth value."""
        value = node.value
        if isinstance(value, bool):
            self.add("constant", node, str(not value))
        elif isinstance(value, int):
            self.add("constant", node, str(value + 1))
        elif isinstance(value, float):
            self.add("constant", node, repr(value + 1.0))

    # -- the change

    def between(self, kind: Kind, left: ast.expr, right: ast.expr, before: str, after: str) -> None:
        """Replace the operator ``before`` that stands between two expressions."""
        span = self.text.between(left, right, before)
        if span is not None:
            self.replace(kind, *span, after, (before, after))

    def add(self, kind: Kind, node: ast.expr | ast.stmt, text: str, shown: tuple[str, str] | None = None) -> None:
        """Replace a node."""
        start, end = self.text.span(node)
        self.replace(kind, start, end, text, shown or (self.text.of(node), text))

    def replace(self, kind: Kind, start: int, end: int, text: str, shown: tuple[str, str]) -> None:
        """Keep the mutant, if its line is wanted."""
        line, column = self.text.place(start)
        if self.lines is not None and line not in self.lines:
            return
        before, after = (" ".join(part.split()) for part in shown)
        before, after = (part if len(part) <= _SHOWN else part[: _SHOWN - 1] + "…" for part in (before, after))
        self.found.append(Mutant(kind, line, column, before, after, *self.function, self.text, start, end, text))
