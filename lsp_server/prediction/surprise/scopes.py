"""Which local names can be read at a place of a function: bound in it, and textually before."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from famulus.lsp_server.prediction.surprise.source import Function, Source

_Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(frozen=True)
class Binding:
    """``name`` can be read from ``since`` to ``until``."""

    name: str
    since: int
    until: int


@dataclass
class _Walk:
    source: Source
    until: int
    bindings: list[Binding] = field(default_factory=list)

    def bind(self, target: ast.AST, since: int, until: int) -> None:
        """Every name that ``target`` stores."""
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.bindings.append(Binding(node.id, since, until))

    def scope(self, node: _Scope) -> None:
        """A function's parameters and all that is bound in its body."""
        until = self.source.end(node)
        arguments = node.args
        body = node.body[0] if isinstance(node.body, list) else node.body
        since = self.source.start(body)
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        self.bindings += [Binding(a.arg, since, until) for a in named if a is not None]
        for inner in node.body if isinstance(node.body, list) else [node.body]:
            self.visit(inner, until)

    def visit(self, node: ast.AST, until: int) -> None:
        """Bindings of one node and what is in it; they hold until ``until``, the end of the scope."""
        if isinstance(node, _Scope):
            self.scope(node)
            return
        if isinstance(node, ast.ClassDef):
            return  # its names are no locals of the functions in it
        if isinstance(node, _Comprehension):
            for generator in node.generators:
                self.bind(generator.target, self.source.start(node), self.source.end(node))
        elif isinstance(node, ast.For | ast.AsyncFor):
            self.bind(node.target, self.source.end(node.iter), until)
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                if item.optional_vars is not None:
                    self.bind(item.optional_vars, self.source.end(item.optional_vars), until)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            self.bindings.append(Binding(node.name, self.source.start(node.body[0]), self.source.end(node.body[-1])))
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self.bind(target, self.source.end(node), until)
        elif isinstance(node, ast.NamedExpr | ast.AnnAssign) and node.value is not None:
            self.bind(node.target, self.source.end(node), until)
        for child in ast.iter_child_nodes(node):
            self.visit(child, until)


def bindings(source: Source, function: Function) -> list[Binding]:
    """All local names of ``function`` and of what is nested in it."""
    walk = _Walk(source, function.end)
    walk.scope(function.node)
    return walk.bindings


def readable(found: list[Binding], offset: int) -> list[str]:
    """The names that can be read at ``offset``, the one bound last first."""
    here = sorted((b for b in found if b.since <= offset < b.until), key=lambda b: b.since, reverse=True)
    return list(dict.fromkeys(b.name for b in here))
