"""Reads one Python file into :class:`~.facts.ModuleFacts`: its statements here, the rest in :mod:`.heads`,
:mod:`.names` and :mod:`.uses`.
"""

from __future__ import annotations

import ast
import builtins
import warnings
from collections.abc import Sequence
from typing import Any

from famulus.lsp_server.review.index.facts import (
    ANY,
    Binding,
    Guard,
    Import,
    ModuleFacts,
    Raise,
)
from famulus.lsp_server.review.index.heads import Heads
from famulus.lsp_server.review.index.paths import UNKNOWN, alternatives, identifiers, path_of, root

_BUILTINS = frozenset(dir(builtins)) - {"super"}


class Unreadable(ValueError):
    """The file is no Python that this interpreter can parse."""


def read(source: bytes) -> ModuleFacts:
    """The facts of a file. Raises :class:`Unreadable`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
        reader = Reader(source)
        reader.module(tree)
        return reader.facts()
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
        raise Unreadable(f"{reason}{line}") from error


class Reader(Heads):
    """Walks the statements of one file."""

    def module(self, tree: ast.Module) -> None:
        """Reads the whole file."""
        self._open("module", -1, "", -1)
        self.block(tree.body)

    def facts(self) -> ModuleFacts:
        """What was read."""
        star = any(i.attribute == "*" for i in self.imports)
        bound = set(self.scopes[0].bindings)
        kept = [r for r in self.references if self._tells(r.scope, r.path, r.call is not None, star, bound)]
        names = {name for r in kept for name in identifiers(r.path)}
        for found in self.imports:
            names.update(found.module.split("."), [found.name])
            if found.attribute:
                names.add(found.attribute)
        for scope in self.scopes:
            for binding in (b for group in (scope.bindings, scope.attributes) for many in group.values() for b in many):
                if binding.value or binding.annotation:
                    names.update(identifiers(binding.value))
                    names.update(identifiers(binding.annotation))
        for text in self.texts:
            names.update(text.value.split("."))
        return ModuleFacts(
            self.scopes, self.definitions, self.imports, kept, self.guards, self.texts, self.exports,
            frozenset(self.stored), frozenset(names), len(self.lines),
        )  # fmt: skip

    def _tells(self, scope: int, path: str, called: bool, star: bool, bound: set[str]) -> bool:
        """Whether a reference can lead anywhere: plain uses of built-in names and of locals of unknown value cannot."""
        name = root(path)
        if name.startswith("#"):
            return "." in path
        at = scope
        while at > 0:
            bindings = self.scopes[at].bindings.get(name)
            if bindings is not None and (self.scopes[at].kind != "class" or at == scope):
                informative = any(b.kind in ("import", "definition") or b.value or b.annotation for b in bindings)
                return informative or "." in path
            at = self.scopes[at].parent
        return name in bound or star or name not in _BUILTINS

    def block(self, body: Sequence[ast.stmt]) -> None:
        """Reads statements in order."""
        for statement in body:
            handler = getattr(self, "on_" + type(statement).__name__, None)
            if handler is not None:
                handler(statement)

    def _maybe(self, *blocks: Sequence[ast.stmt]) -> None:
        self.conditional += 1
        for block in blocks:
            self.block(block)
        self.conditional -= 1

    def on_Return(self, node: ast.Return) -> None:
        """``return``."""
        outcome = self.outcomes[-1]
        if node.value is None:
            outcome.returns.append("#None")
        else:
            outcome.returns.extend(_results(node.value))
            self.expression(node.value, "return")

    def on_Raise(self, node: ast.Raise) -> None:
        """``raise``."""
        if node.exc is not None:
            target = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            self.outcomes[-1].raises.append(Raise(path_of(target), node.lineno, self.guard))
            self.expression(node.exc, "raise")
        if node.cause is not None:
            self.expression(node.cause, "arg")

    def on_Assign(self, node: ast.Assign) -> None:
        """``a = b = value``."""
        use = self.use_of_target(node.targets[0]) if len(node.targets) == 1 else "assign"
        self.expression(node.value, use)
        names = [t.id for t in node.targets if isinstance(t, ast.Name)]
        if self.scope == 0 and names == ["__all__"]:
            self.exports = _strings(node.value)
        values = alternatives(node.value)
        source = self.source(node.value)[:400] if self.scopes[self.scope].kind in ("module", "class") else ""
        for target in node.targets:
            self.assign(target, values, source=source)

    def on_AnnAssign(self, node: ast.AnnAssign) -> None:
        """``a: T = value``."""
        self.annotation(node.annotation)
        source = ""
        if node.value is not None:
            self.expression(node.value, self.use_of_target(node.target))
            source = self.source(node.value)[:400]
        values = alternatives(node.value) if node.value is not None else [""]
        self.assign(node.target, values, self.source(node.annotation), source)

    def on_AugAssign(self, node: ast.AugAssign) -> None:
        """``a += value``; ``__all__ += [...]``."""
        self.expression(node.value, "op")
        if isinstance(node.target, ast.Name):
            if self.scope == 0 and node.target.id == "__all__":
                more = _strings(node.value)
                self.exports = None if self.exports is None or more is None else self.exports + more
                return
            self.refer(node.target, node.target.id, "op")
            self.conditional += 1
            self.bind(node.target.id, Binding("unknown", conditional=True))
            self.conditional -= 1
        else:
            self.expression(node.target, "op")
            if isinstance(node.target, ast.Attribute):
                self.refer(node.target, path_of(node.target), "store")

    def on_TypeAlias(self, node: Any) -> None:
        """``type A = B`` (Python 3.12)."""
        self.assign(node.name, [path_of(node.value)], source=self.source(node.value)[:400])

    def on_Expr(self, node: ast.Expr) -> None:
        """An expression of its own; ``__all__.extend`` among them."""
        value = node.value
        if isinstance(value, ast.Constant):
            return
        if self.scope == 0 and isinstance(value, ast.Call) and path_of(value.func).startswith("__all__."):
            self.exports = None
        called = path_of(value.func) if isinstance(value, ast.Call) else ""
        if called.endswith(".update") and self.holds_names(called.removesuffix(".update")):
            self.stored.add(ANY)
        self.expression(value, "discard")

    def on_If(self, node: ast.If) -> None:
        """``if``; ``TYPE_CHECKING`` is known."""
        self.expression(node.test, "test")
        saved = self.type_checking
        self.type_checking = saved or path_of(node.test).rpartition(".")[2] == "TYPE_CHECKING"
        self._maybe(node.body)
        self.type_checking = saved
        self._maybe(node.orelse)

    def on_While(self, node: ast.While) -> None:
        """``while``."""
        self.expression(node.test, "test")
        self._maybe(node.body, node.orelse)

    def on_For(self, node: ast.For | ast.AsyncFor) -> None:
        """``for`` and ``async for``."""
        use = self.use_of_element(node.target)
        self.expression(node.iter, use if isinstance(node, ast.For) else f"async {use}")
        self.conditional += 1
        self.assign(node.target, [path + "<>" if path != UNKNOWN else "" for path in alternatives(node.iter)])
        self.conditional -= 1
        self._maybe(node.body, node.orelse)

    on_AsyncFor = on_For

    def on_With(self, node: ast.With | ast.AsyncWith) -> None:
        """``with``; ``suppress`` and ``pytest.raises`` guard what stands in them."""
        guard = self.guard
        for item in node.items:
            self.expression(item.context_expr, "with" if isinstance(node, ast.With) else "async with")
            if item.optional_vars is not None:
                path = path_of(item.context_expr)
                self.assign(item.optional_vars, [path + "@" if path != UNKNOWN else ""])
            self._guarding(item.context_expr)
        self.block(node.body)
        self.guard = guard

    on_AsyncWith = on_With

    def _guarding(self, context: ast.expr) -> None:
        if not isinstance(context, ast.Call):
            return
        name = path_of(context.func).rpartition(".")[2]
        if name in ("suppress", "raises", "assertRaises", "assertRaisesRegex"):
            catches = tuple(path for argument in context.args for path in _caught(argument)) or ("",)
            self.guards.append(Guard(self.scope, catches, self.guard, context.lineno, name != "suppress"))
            self.guard = len(self.guards) - 1

    def on_Try(self, node: Any) -> None:
        """``try``: its body is guarded by the handlers, these and ``else`` are not."""
        outer = self.guard
        if node.handlers:
            catches = tuple(path for handler in node.handlers for path in _caught(handler.type))
            self.guards.append(Guard(self.scope, catches, outer, node.lineno))
            self.guard = len(self.guards) - 1
        self._maybe(node.body)
        self.guard = outer
        for handler in node.handlers:
            if handler.type is not None:
                self.expression(handler.type, "except")
            if handler.name:
                self.bind(handler.name, Binding("unknown", conditional=True))
            self._maybe(handler.body)
        self._maybe(node.orelse)
        self.block(node.finalbody)

    on_TryStar = on_Try

    def on_Match(self, node: ast.Match) -> None:
        """``match``: the names of its patterns are bound to something."""
        self.expression(node.subject, "test")
        for case in node.cases:
            for part in ast.walk(case.pattern):
                if isinstance(part, (ast.MatchAs, ast.MatchStar)) and part.name:
                    self.bind(part.name, Binding("unknown", conditional=True))
                elif isinstance(part, ast.MatchMapping) and part.rest:
                    self.bind(part.rest, Binding("unknown", conditional=True))
                elif isinstance(part, ast.MatchClass):
                    self.refer(part.cls, path_of(part.cls), "match")
                elif isinstance(part, ast.MatchValue):
                    self.expression(part.value, "compare")
            if case.guard is not None:
                self.expression(case.guard, "test")
            self._maybe(case.body)

    def on_Assert(self, node: ast.Assert) -> None:
        """``assert``."""
        self.expression(node.test, "test")
        if node.msg is not None:
            self.expression(node.msg, "arg")

    def on_Delete(self, node: ast.Delete) -> None:
        """``del``: whether the name is still bound afterwards is not known."""
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.bind(target.id, Binding("unknown", conditional=True))
            else:
                self.expression(target, "store")

    def on_Import(self, node: ast.Import) -> None:
        """``import a.b`` binds ``a``; ``import a.b as c`` binds ``c`` to ``a.b``."""
        for alias in node.names:
            self._imported(alias, alias.name, None, 0, alias.asname or alias.name)

    def on_ImportFrom(self, node: ast.ImportFrom) -> None:
        """``from a import b``."""
        for alias in node.names:
            self._imported(alias, node.module or "", alias.name, node.level, alias.asname or alias.name)

    def _imported(self, alias: ast.alias, module: str, attribute: str | None, level: int, name: str) -> None:
        self.imports.append(
            Import(
                self.scope, module, attribute, level, name, alias.lineno, alias.col_offset,
                alias.end_lineno or alias.lineno, alias.end_col_offset or 0, self.guard, self.type_checking,
            )
        )  # fmt: skip
        if attribute != "*":
            bound = name if attribute is not None or alias.asname else name.partition(".")[0]
            known = self.scopes[self.scope].bindings.get(bound, [])
            first = self.imports[known[0].index] if known and known[0].kind == "import" else None
            if attribute is None and first is not None and first.attribute is None and not alias.asname:
                return
            binding = Binding("import", len(self.imports) - 1, conditional=bool(self.conditional))
            self.bind(bound, binding)


def _results(node: ast.expr) -> list[str]:
    """The paths of what ``return`` gives, with both arms of a condition; None counts."""
    if isinstance(node, ast.IfExp):
        return _results(node.body) + _results(node.orelse)
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        return [*(p for v in node.values[:-1] for p in _results(v) if p != "#None"), *_results(node.values[-1])]
    return [path_of(node)]


def _caught(node: ast.expr | None) -> list[str]:
    if node is None:
        return [""]
    if isinstance(node, ast.Tuple):
        return [path for element in node.elts for path in _caught(element)]
    return [path_of(node)]


def _strings(node: ast.expr) -> list[str] | None:
    """The strings of a literal list or tuple, and of sums of such; None for anything else."""
    if isinstance(node, (ast.List, ast.Tuple)):
        found = [e.value for e in node.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)]
        return found if len(found) == len(node.elts) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _strings(node.left), _strings(node.right)
        return None if left is None or right is None else left + right
    return None
