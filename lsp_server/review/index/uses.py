"""Reads expressions: which names they use, with which arguments, and what becomes of the result."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

from famulus.lsp_server.review.index.facts import Binding, Guard, Reference, Scope, Shape, Text
from famulus.lsp_server.review.index.outcomes import Outcome
from famulus.lsp_server.review.index.paths import UNKNOWN, alternatives, path_of
from famulus.lsp_server.review.index.shapes import shape_of

_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+(:[^\W\d]\w*(\.[^\W\d]\w*)*)?\Z")
_WORD = re.compile(r"[^\W\d]\w*\Z")
_CONSUMERS = {
    "len": "len", "reversed": "len", "next": "next", "bool": "test", "isinstance": "test", "int": "op", "float": "op",
    **dict.fromkeys(
        ("list", "sorted", "tuple", "set", "frozenset", "sum", "any", "all", "enumerate", "zip", "iter", "map",
        "filter"),
        "iter",
    ),
}  # fmt: skip
_ENTERING = {"enter_context": "with", "enter_async_context": "async with"}
_HANDED_ON = {
    "partial": 0, "partialmethod": 0, "submit": 0, "to_thread": 0, "run_in_executor": 1, "call_soon": 0,
    "call_soon_threadsafe": 0, "call_later": 1, "call_at": 1, "run_sync": 0,
}  # fmt: skip
_AWAITING = {"gather", "create_task", "ensure_future", "wait_for", "shield", "run_until_complete"}
_NAMED_ATTRIBUTE = {"getattr", "setattr", "delattr", "hasattr"}


class Uses:
    """The expressions' half of the reader; statements and scopes are added by :class:`.reader.Reader`."""

    scopes: list[Scope]
    outcomes: list[Outcome]

    def __init__(self) -> None:
        self.scope = -1
        self.guard = -1
        self.references: list[Reference] = []
        self.guards: list[Guard] = []
        self.texts: list[Text] = []
        self.stored: set[str] = set()

    def bind(self, name: str, binding: Binding) -> None:
        """See :class:`.reader.Reader`."""
        raise NotImplementedError

    def assign(self, target: ast.expr, values: Sequence[str], annotation: str = "", source: str = "") -> None:
        """See :class:`.reader.Reader`."""
        raise NotImplementedError

    def _open(self, kind: Any, parent: int, name: str, definition: int) -> int:
        raise NotImplementedError

    def refer(self, node: ast.expr, path: str, use: str, call: Shape | None = None) -> None:
        """Notes a reference."""
        if path != UNKNOWN:
            self.references.append(
                Reference(
                    self.scope, path, node.lineno, node.col_offset, node.end_lineno or node.lineno,
                    node.end_col_offset or 0, use, call, self.guard,
                )
            )  # fmt: skip

    @staticmethod
    def use_of_target(target: ast.expr) -> str:
        """What assigning to ``target`` does with the value."""
        if isinstance(target, ast.Name):
            return "=" + target.id
        if isinstance(target, (ast.Tuple, ast.List)):
            starred = sum(isinstance(e, ast.Starred) for e in target.elts)
            return f"unpack:{len(target.elts) - starred}{'+' if starred else ''}"
        return "assign"

    @classmethod
    def use_of_element(cls, target: ast.expr) -> str:
        """What iterating does with each element: ``iter``, or ``iter unpack:2``."""
        use = cls.use_of_target(target)
        return f"iter {use}" if use.startswith("unpack") else "iter"

    def expression(self, node: ast.expr, use: str) -> None:
        """Reads an expression whose value goes to ``use``."""
        handler = getattr(self, "in_" + type(node).__name__, None)
        if handler is not None:
            handler(node, use)
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.expression(child, "element")

    def annotation(self, node: ast.expr) -> None:
        """Reads an annotation; a string is one name at most."""
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", node.value):
                self.refer(node, node.value, "annotation")
        elif isinstance(node, (ast.Name, ast.Attribute)):
            self.refer(node, path_of(node), "annotation")
        elif isinstance(node, ast.Subscript) and path_of(node.value).rpartition(".")[2] == "Literal":
            self.annotation(node.value)
        else:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self.annotation(child)

    def in_Name(self, node: ast.Name, use: str) -> None:
        self.refer(node, node.id, use)

    def in_Constant(self, node: ast.Constant, use: str) -> None:
        if isinstance(node.value, str):
            self._text(node, node.value)

    def _text(self, node: ast.expr, value: str, callee: str = "", owner: str = "") -> None:
        if len(value) < 200 and (_WORD if owner else _DOTTED).match(value):
            self.texts.append(
                Text(
                    self.scope, value, node.lineno, node.col_offset, node.end_lineno or node.lineno,
                    node.end_col_offset or 0, callee, owner, self.guard,
                )
            )  # fmt: skip

    def in_Attribute(self, node: ast.Attribute, use: str) -> None:
        path = path_of(node)
        inner: ast.expr = node.value
        last = node.attr
        while isinstance(inner, ast.Attribute):
            last = inner.attr
            inner = inner.value
        if path != UNKNOWN:
            self.refer(node, path, use)
        if not isinstance(inner, ast.Name):
            self.expression(inner, f"attr:{last}")

    def in_Call(self, node: ast.Call, use: str) -> None:
        callee = path_of(node.func)
        if callee != UNKNOWN:
            self.refer(node, callee, use, shape_of(node))
        inner: ast.expr = node.func
        last = ""
        while isinstance(inner, ast.Attribute):
            last = inner.attr
            inner = inner.value
        if not isinstance(inner, ast.Name):
            self.expression(inner, f"attr:{last}" if last else "call")
        self._handed_on(node, callee)
        self._arguments(node, callee)

    def _handed_on(self, node: ast.Call, callee: str) -> None:
        """A function that is given away with its arguments, as in ``pool.submit(work, 1)``."""
        last = callee.rpartition(".")[2]
        index = _HANDED_ON.get(last, -1)
        opened = last == "partial"
        if last in ("Thread", "Process", "Timer"):
            self._started(node)
        elif 0 <= index < len(node.args) and not any(isinstance(a, ast.Starred) for a in node.args):
            function = node.args[index]
            names = tuple(k.arg for k in node.keywords if k.arg is not None)
            doubled = any(k.arg is None for k in node.keywords)
            shape = Shape(len(node.args) - index - 1, names, opened, opened or doubled)
            if isinstance(function, (ast.Name, ast.Attribute)):
                self.refer(function, path_of(function), "handed on", shape)

    def _started(self, node: ast.Call) -> None:
        """``Thread(target=work, args=(1,), kwargs={"k": 2})``."""
        given = {k.arg: k.value for k in node.keywords}
        function, args, kwargs = given.get("target"), given.get("args"), given.get("kwargs")
        if not isinstance(function, (ast.Name, ast.Attribute)):
            return
        count, star, doubled = 0, False, kwargs is not None
        names: tuple[str, ...] = ()
        if isinstance(args, (ast.Tuple, ast.List)) and not any(isinstance(e, ast.Starred) for e in args.elts):
            count = len(args.elts)
        else:
            star = args is not None
        if isinstance(kwargs, ast.Dict):
            keys = [k.value for k in kwargs.keys if isinstance(k, ast.Constant) and isinstance(k.value, str)]
            if len(keys) == len(kwargs.keys):
                names, doubled = tuple(keys), False
        self.refer(function, path_of(function), "handed on", Shape(count, names, star, doubled))

    def _arguments(self, node: ast.Call, callee: str) -> None:
        last = callee.rpartition(".")[2]
        consumed = _CONSUMERS.get(callee) or _ENTERING.get(last, "arg")
        if (callee in ("min", "max") and len(node.args) == 1) or (last == "join" and len(node.args) == 1):
            consumed = "iter"
        awaited = last in _AWAITING and callee.partition(".")[0] in ("asyncio", "loop", "anyio", "trio", last)
        for index, argument in enumerate(node.args):
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                self._named(node, argument, index, callee, last)
            elif isinstance(argument, ast.Starred):
                self.expression(argument.value, "iter")
            else:
                first = index == (1 if callee in ("map", "filter") else 0) or callee == "zip"
                self.expression(argument, "await arg" if awaited else consumed if first else "arg")
        for keyword in node.keywords:
            if isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str):
                self._text(keyword.value, keyword.value.value, callee)
            else:
                self.expression(keyword.value, "arg")

    def _named(self, node: ast.Call, argument: ast.Constant, index: int, callee: str, last: str) -> None:
        """A string argument: the name of an attribute of the first argument, or a dotted name."""
        by_name = callee in _NAMED_ATTRIBUTE or last in ("object", "setattr", "delattr", "attrgetter", "methodcaller")
        value = str(argument.value)
        if by_name and index == 1 and path_of(node.args[0]) != UNKNOWN:
            owner = path_of(node.args[0])
            if not owner.startswith("#"):
                lenient = callee == "hasattr" or (callee == "getattr" and len(node.args) > 2) or callee == "setattr"
                self._text(argument, value, "hasattr" if lenient else callee, owner)
                return
        self._text(argument, value, callee)

    def in_Await(self, node: ast.Await, use: str) -> None:
        self.expression(node.value, f"await {use}")

    def in_Subscript(self, node: ast.Subscript, use: str) -> None:
        path = path_of(node)
        if path != UNKNOWN and "." in path.rpartition("]")[2]:
            self.refer(node, path, use)
        self.expression(node.value, "index")
        self.expression(node.slice, "element")

    def in_Slice(self, node: ast.Slice, use: str) -> None:
        for part in (node.lower, node.upper, node.step):
            if part is not None:
                self.expression(part, "op")

    def in_IfExp(self, node: ast.IfExp, use: str) -> None:
        self.expression(node.test, "test")
        self.expression(node.body, use)
        self.expression(node.orelse, use)

    def in_BoolOp(self, node: ast.BoolOp, use: str) -> None:
        for value in node.values[:-1]:
            self.expression(value, "test")
        self.expression(node.values[-1], use)

    def in_UnaryOp(self, node: ast.UnaryOp, use: str) -> None:
        self.expression(node.operand, "test" if isinstance(node.op, ast.Not) else "op")

    def in_BinOp(self, node: ast.BinOp, use: str) -> None:
        self.expression(node.left, "op")
        self.expression(node.right, "op")

    def in_Compare(self, node: ast.Compare, use: str) -> None:
        kinds = {type(op) for op in node.ops}
        kind = "is" if kinds & {ast.Is, ast.IsNot} else "order" if kinds & {ast.Lt, ast.LtE, ast.Gt, ast.GtE} else "=="
        self.expression(node.left, f"compare:{kind}")
        for op, value in zip(node.ops, node.comparators, strict=True):
            inside = isinstance(op, (ast.In, ast.NotIn))
            self.expression(value, "iter" if inside else f"compare:{kind}")

    def in_NamedExpr(self, node: ast.NamedExpr, use: str) -> None:
        self.expression(node.value, "=" + node.target.id)
        at = self.scope
        while self.scopes[at].kind == "comprehension":
            at = self.scopes[at].parent
        inside, self.scope = self.scope, at
        for path in alternatives(node.value):
            self.assign(node.target, [path if at == inside else ""])
        self.scope = inside
        self.refer(node.target, node.target.id, use)

    def in_Starred(self, node: ast.Starred, use: str) -> None:
        self.expression(node.value, "iter")

    def in_Yield(self, node: ast.Yield, use: str) -> None:
        self.outcomes[-1].generator = True
        if node.value is not None:
            self.outcomes[-1].yields.append(path_of(node.value))
            self.expression(node.value, "return")

    def in_YieldFrom(self, node: ast.YieldFrom, use: str) -> None:
        self.outcomes[-1].generator = True
        self.outcomes[-1].yields.append(UNKNOWN)
        self.expression(node.value, "iter")

    def in_FormattedValue(self, node: ast.FormattedValue, use: str) -> None:
        self.expression(node.value, "format")
        if node.format_spec is not None:
            self.expression(node.format_spec, "format")

    def in_Lambda(self, node: ast.Lambda, use: str) -> None:
        arguments = node.args
        for default in [*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]:
            self.expression(default, "arg")
        outer, guard = self.scope, self.guard
        self._open("lambda", outer, self.scopes[outer].name, -1)
        self.guard = -1
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        for argument in every:
            if argument is not None:
                self.bind(argument.arg, Binding("parameter"))
        self.outcomes.append(Outcome())
        self.expression(node.body, "return")
        self.outcomes.pop()
        self.scope, self.guard = outer, guard

    def _comprehension(self, node: Any, use: str) -> None:
        outer = self.scope
        first = True
        inside = -1
        for clause in node.generators:
            if not first:
                self.scope = inside
            self.expression(clause.iter, ("async " if clause.is_async else "") + self.use_of_element(clause.target))
            if first:
                inside = self._open("comprehension", outer, self.scopes[outer].name, -1)
                first = False
            self.scope = inside
            self.assign(clause.target, [p + "<>" if p != UNKNOWN else "" for p in alternatives(clause.iter)])
            for condition in clause.ifs:
                self.expression(condition, "test")
        for part in ("elt", "key", "value"):
            if hasattr(node, part):
                self.expression(getattr(node, part), "element")
        self.scope = outer

    in_ListComp = in_SetComp = in_DictComp = in_GeneratorExp = _comprehension
