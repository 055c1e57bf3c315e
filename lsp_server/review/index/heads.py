"""Functions and classes: the heads' part of the reader."""

from __future__ import annotations

import ast
from collections.abc import Sequence

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
    Parameter,
)
from famulus.lsp_server.review.index.names import Names
from famulus.lsp_server.review.index.outcomes import Outcome, hands_on, reaches_end
from famulus.lsp_server.review.index.paths import is_named_tuple, path_of


class Heads(Names):
    """What :class:`.reader.Reader` knows of definitions."""

    def block(self, body: Sequence[ast.stmt]) -> None:
        """See :class:`.reader.Reader`."""
        raise NotImplementedError

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
                source=next((self.source(b) for b in node.bases if is_named_tuple(path_of(b))), ""),
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
