"""Functions and methods of a module's source, as far as calls of them need to be known. Reads code, runs none."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from famulus.lsp_server.execution.nodes import nodes_of

How = Literal["function", "method", "static", "class", "property"]
AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Parameter:
    """One parameter. ``kind``: ``position`` (positional only), ``either``, ``keyword``, ``star``, ``stars``."""

    name: str
    kind: Literal["position", "either", "keyword", "star", "stars"]
    annotation: ast.expr | None = None
    default: ast.expr | None = None

    @property
    def required(self) -> bool:
        """Whether a call must give it."""
        return self.default is None and self.kind not in ("star", "stars")


@dataclass(frozen=True)
class Function:
    """A function of a module or a method of one of its classes. ``parameters``: without ``self`` or ``cls``."""

    name: str
    node: AnyFunction
    how: How
    parameters: tuple[Parameter, ...]
    owner: ast.ClassDef | None = None

    @property
    def docstring(self) -> str:
        """Its docstring, or nothing."""
        return ast.get_docstring(self.node) or ""

    @property
    def lines(self) -> range:
        """Its lines, from the first decorator on."""
        first = min([self.node.lineno, *(d.lineno for d in self.node.decorator_list)])
        return range(first, (self.node.end_lineno or first) + 1)

    @property
    def is_declared_only(self) -> bool:
        """Whether its body says nothing: a docstring, ``...`` or ``pass``."""
        return all(
            isinstance(part, ast.Pass) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            for part in self.node.body
        )

    @property
    def shape(self) -> str:
        """Its code without docstring and places: equal texts, equal code."""
        body = self.node.body[1:] if self.docstring and len(self.node.body) > 1 else self.node.body
        parts = [*self.node.decorator_list, self.node.args, *body]
        return type(self.node).__name__ + "".join(ast.dump(part) for part in parts)


def functions(source: str) -> dict[str, Function]:
    """All functions and methods by dotted name, those inside functions excepted; nothing for what does not parse.

    Of two with one name the later counts, as when it runs; an ``overload`` never does."""
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    return functions_in(module)


def functions_in(module: ast.Module) -> dict[str, Function]:
    """As :func:`functions`, of what is parsed already."""
    return {function.name: function for function in _inside(module.body, "", None)}


def _inside(body: Sequence[ast.stmt], prefix: str, owner: ast.ClassDef | None) -> Iterator[Function]:
    for node in body:
        if isinstance(node, AnyFunction):
            names = [_name(d) for d in node.decorator_list]
            if not any(name.endswith(("overload", ".setter", ".deleter")) for name in names):
                yield _function(node, prefix, owner, names)
        elif isinstance(node, ast.ClassDef):
            yield from _inside(node.body, f"{prefix}{node.name}.", node)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            for inner in (node.body, getattr(node, "orelse", []), getattr(node, "finalbody", [])):
                yield from _inside(inner, prefix, owner)


def _function(node: AnyFunction, prefix: str, owner: ast.ClassDef | None, decorators: list[str]) -> Function:
    how: How = "method" if owner else "function"
    if "staticmethod" in decorators:
        how = "static"
    elif "classmethod" in decorators or (owner and node.name in ("__new__", "__init_subclass__", "__class_getitem__")):
        how = "class"
    elif owner and any(name.endswith("property") for name in decorators):
        how = "property"
    found = parameters(node.args)
    return Function(
        prefix + node.name, node, how, found[1:] if how in ("method", "class", "property") else found, owner
    )


def parameters(arguments: ast.arguments) -> tuple[Parameter, ...]:
    """All parameters in order."""
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    found = []
    for number, (argument, default) in enumerate(zip(plain, defaults, strict=True)):
        only = number < len(arguments.posonlyargs)
        found.append(Parameter(argument.arg, "position" if only else "either", argument.annotation, default))
    if arguments.vararg:
        found.append(Parameter(arguments.vararg.arg, "star", arguments.vararg.annotation))
    for argument, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append(Parameter(argument.arg, "keyword", argument.annotation, value))
    if arguments.kwarg:
        found.append(Parameter(arguments.kwarg.arg, "stars", arguments.kwarg.annotation))
    return tuple(found)


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    return ast.unparse(node)


@functools.lru_cache(64)  # asked for by each call of a function
def raises(function: Function) -> frozenset[str]:
    """Names of the exceptions that its ``raise`` statements and its docstring name."""
    found = set()
    for node in nodes_of(function.node):
        if isinstance(node, ast.Raise) and node.exc is not None:
            found.add(_name(node.exc).rpartition(".")[2])
    for word in function.docstring.replace("`", " ").replace(":", " ").replace(".", " ").split():
        if word.endswith(("Error", "Exception")) and word.isidentifier():
            found.add(word)
    return frozenset(found)
