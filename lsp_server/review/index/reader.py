"""Reads one Python file into :class:`~.facts.ModuleFacts`: its scopes and statements; expressions in :mod:`.uses`."""

from __future__ import annotations

import ast
import builtins
import warnings
from collections.abc import Sequence
from typing import Any

import msgspec

from famulus.lsp_server.review.index.facts import (
    DOUBLE_STAR,
    KEYWORD_ONLY,
    POSITIONAL,
    POSITIONAL_ONLY,
    STAR,
    Binding,
    Decorator,
    Definition,
    Guard,
    Import,
    ModuleFacts,
    Parameter,
    Scope,
)
from famulus.lsp_server.review.index.outcomes import Outcome, hands_on, reaches_end
from famulus.lsp_server.review.index.paths import UNKNOWN, alternatives, identifiers, path_of, root
from famulus.lsp_server.review.index.uses import Uses

_BUILTINS = frozenset(dir(builtins)) - {"super"}
_NOTHING = Binding("unknown")


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


class Reader(Uses):
    """Walks the statements of one file."""

    def __init__(self, source: bytes) -> None:
        super().__init__()
        self.lines = source.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if self.lines[0].startswith(b"\xef\xbb\xbf"):
            self.lines[0] = self.lines[0][3:]
        self.scopes: list[Scope] = []
        self.definitions: list[Definition] = []
        self.imports: list[Import] = []
        self.exports: list[str] | None = None
        self.conditional = 0
        self.type_checking = False
        self.globals: list[dict[str, int]] = []
        self.outcomes: list[Outcome] = [Outcome()]

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

    # scopes and names

    def _open(self, kind: Any, parent: int, name: str, definition: int) -> int:
        self.scopes.append(Scope(kind, parent, name, definition, {}, {}))
        self.globals.append({})
        self.scope = len(self.scopes) - 1
        return self.scope

    def bind(self, name: str, binding: Binding) -> None:
        """Gives ``name`` a value in the current scope, or where ``global`` and ``nonlocal`` say."""
        scope = self.globals[self.scope].get(name, self.scope)
        if scope != self.scope:
            binding = Binding(binding.kind, binding.index, "", binding.annotation, True)
            if binding.kind == "value" and not binding.annotation:
                binding = _NOTHING
        known = self.scopes[scope].bindings.setdefault(name, [])
        if self.scopes[scope].kind in ("module", "class") and not binding.conditional:
            if binding.kind == "definition" and self._continues(known, binding):
                return
            known.clear()
        known.append(binding)

    def _continues(self, known: Sequence[Binding], binding: Binding) -> bool:
        """A setter or an implementation registered on what the name already means (``@price.setter``)."""
        new = self.definitions[binding.index]
        return bool(known) and any(d.path.partition(".")[0] == new.name and "." in d.path for d in new.decorators)

    def assign(self, target: ast.expr, values: Sequence[str], annotation: str = "", source: str = "") -> None:
        """Binds what an assignment's target names."""
        if isinstance(target, ast.Name):
            self._assign_name(target, values, annotation, source)
        elif isinstance(target, (ast.Tuple, ast.List)):
            starred = any(isinstance(e, ast.Starred) for e in target.elts)
            for index, element in enumerate(target.elts):
                inner = element.value if isinstance(element, ast.Starred) else element
                known = [f"{v}[{index}]" for v in values if v and not v.startswith("#")] if not starred else []
                self.assign(inner, known or [""])
        elif isinstance(target, ast.Attribute):
            self._assign_attribute(target, values, annotation)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, [""])
        else:
            self.expression(target, "store")

    def _assign_name(self, target: ast.Name, values: Sequence[str], annotation: str, source: str) -> None:
        conditional = bool(self.conditional)
        where = self.scopes[self.globals[self.scope].get(target.id, self.scope)]
        if where.kind in ("module", "class") and where is self.scopes[self.scope]:
            known = where.bindings.get(target.id)
            if not (known and all(b.kind == "definition" for b in known) and conditional and not source):
                qualname = f"{where.name}.{target.id}" if where.name else target.id
                self.definitions.append(
                    Definition(
                        "value", target.id, qualname, self.scope, target.lineno, target.col_offset,
                        target.end_lineno or target.lineno, target.end_col_offset or 0, annotation=annotation,
                        returns=tuple(v for v in values if v), source=source, conditional=conditional,
                        start=target.lineno,
                    )
                )  # fmt: skip
                self.bind(target.id, Binding("definition", len(self.definitions) - 1, "", "", conditional))
                return
        for value in values or [""]:
            known_value = "" if value == UNKNOWN else value
            if known_value or annotation:
                self.bind(target.id, Binding("value", -1, known_value, annotation, conditional))
            else:
                self.bind(target.id, _NOTHING)

    def _assign_attribute(self, target: ast.Attribute, values: Sequence[str], annotation: str) -> None:
        owner = self._class_of_self(target.value)
        if owner is None:
            self.stored.add(target.attr)
        else:
            for value in values or [""]:
                known = "" if value == UNKNOWN else value
                found = Binding("attribute", self.scope, known, annotation, bool(self.conditional))
                self.scopes[owner].attributes.setdefault(target.attr, []).append(found)
        if not isinstance(target.value, ast.Name):
            self.expression(target.value, f"attr:{target.attr}")
        else:
            self.refer(target, path_of(target), "store")

    def _class_of_self(self, node: ast.expr) -> int | None:
        """The scope of the class, if ``node`` is the first parameter of a method around this place."""
        if not isinstance(node, ast.Name):
            return None
        at = self.scope
        while at > 0:
            scope = self.scopes[at]
            if scope.kind == "function" and node.id in scope.bindings:
                parameters = self.definitions[scope.definition].parameters
                method = self.scopes[scope.parent].kind == "class"
                return scope.parent if method and parameters and parameters[0].name == node.id else None
            at = scope.parent
        return None

    # statements

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

    def on_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """A function: its decorators, defaults and annotations belong to the scope around it."""
        decorators = self._decorators(node)
        parameters = self._parameters(node.args)
        if node.returns is not None:
            self.annotation(node.returns)
        outer = self.scope
        name = self._qualname(node.name)
        body = self._open("function", outer, name + ".<locals>", len(self.definitions))
        index = len(self.definitions)
        made = Definition(
            "function", node.name, name, outer, node.lineno, node.col_offset, node.end_lineno or node.lineno,
            node.end_col_offset or 0, body, decorators, parameters, self.source(node.returns),
            isinstance(node, ast.AsyncFunctionDef), passes=hands_on(node), conditional=bool(self.conditional),
            start=min([node.lineno, *(d.lineno for d in node.decorator_list)]),
        )  # fmt: skip
        self.definitions.append(made)
        for parameter in parameters:
            annotation = parameter.annotation if parameter.kind not in (STAR, DOUBLE_STAR) else ""
            self.scopes[body].bindings[parameter.name] = [Binding("parameter", -1, "", annotation)]
        outcome = self._body(node.body)
        self.scope = outer
        returns = outcome.returns + (["#None"] if reaches_end(node.body) else [])
        self.definitions[index] = msgspec.structs.replace(
            made,
            generator=outcome.generator,
            returns=tuple(returns),
            yields=tuple(outcome.yields),
            raises=tuple(outcome.raises),
        )
        self.bind(node.name, Binding("definition", index, "", "", bool(self.conditional)))

    on_AsyncFunctionDef = on_FunctionDef

    def _body(self, body: Sequence[ast.stmt]) -> Outcome:
        saved, self.conditional, guard, self.guard = self.conditional, 0, self.guard, -1
        self.outcomes.append(Outcome())
        self._declared(body)
        self.block(body)
        self.conditional, self.guard = saved, guard
        return self.outcomes.pop()

    def _declared(self, body: Sequence[ast.stmt]) -> None:
        """``global`` and ``nonlocal`` hold for the whole function, wherever they stand."""
        for statement in body:
            if isinstance(statement, ast.Global):
                self.globals[self.scope].update(dict.fromkeys(statement.names, 0))
            elif isinstance(statement, ast.Nonlocal):
                for name in statement.names:
                    at = self.scopes[self.scope].parent
                    while at > 0 and name not in self.scopes[at].bindings:
                        at = self.scopes[at].parent
                    self.globals[self.scope][name] = at
            elif not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                for field in ("body", "orelse", "finalbody"):
                    self._declared(getattr(statement, field, []))

    def on_ClassDef(self, node: ast.ClassDef) -> None:
        """A class."""
        decorators = self._decorators(node)
        for base in node.bases:
            self.expression(base, "base")
        for keyword in node.keywords:
            self.expression(keyword.value, "arg")
        outer, index = self.scope, len(self.definitions)
        name = self._qualname(node.name)
        body = self._open("class", outer, name, index)
        self.definitions.append(
            Definition(
                "class", node.name, name, outer, node.lineno, node.col_offset, node.end_lineno or node.lineno,
                node.end_col_offset or 0, body, decorators, bases=tuple(path_of(base) for base in node.bases),
                keywords=tuple((k.arg or "**", self.source(k.value)) for k in node.keywords),
                conditional=bool(self.conditional),
                start=min([node.lineno, *(d.lineno for d in node.decorator_list)]),
            )
        )  # fmt: skip
        self._body(node.body)
        self.scope = outer
        self.bind(node.name, Binding("definition", index, "", "", bool(self.conditional)))

    def _qualname(self, name: str) -> str:
        around = self.scopes[self.scope].name
        return f"{around}.{name}" if around else name

    def _decorators(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> tuple[Decorator, ...]:
        found = []
        for decorator in node.decorator_list:
            self.expression(decorator, "decorator")
            path = path_of(decorator.func if isinstance(decorator, ast.Call) else decorator)
            found.append(Decorator(path, self.source(decorator)))
        return tuple(found)

    def _parameters(self, arguments: ast.arguments) -> tuple[Parameter, ...]:
        for value in [*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]:
            self.expression(value, "arg")
        found: list[Parameter] = []
        positional = [(a, POSITIONAL_ONLY) for a in arguments.posonlyargs] + [(a, POSITIONAL) for a in arguments.args]
        defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults)) + list(
            arguments.defaults
        )
        every: list[tuple[ast.arg, int, ast.expr | None]] = [
            (a, kind, d) for (a, kind), d in zip(positional, defaults, strict=True)
        ]
        if arguments.vararg:
            every.append((arguments.vararg, STAR, None))
        every += [(a, KEYWORD_ONLY, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
        if arguments.kwarg:
            every.append((arguments.kwarg, DOUBLE_STAR, None))
        for argument, kind, default in every:
            if argument.annotation is not None:
                self.annotation(argument.annotation)
            given = None if default is None else self.source(default)
            found.append(Parameter(argument.arg, kind, given, self.source(argument.annotation)))
        return tuple(found)

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
        from famulus.lsp_server.review.index.facts import Raise

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

    def source(self, node: ast.expr | None) -> str:
        """The source of an expression, on one line."""
        if node is None:
            return ""
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        if first == last:
            return self.lines[first][node.col_offset : node.end_col_offset].decode("utf-8", "replace")
        parts = [
            self.lines[first][node.col_offset :],
            *self.lines[first + 1 : last],
            self.lines[last][: node.end_col_offset],
        ]
        return b" ".join(part.strip() for part in parts).decode("utf-8", "replace")


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
