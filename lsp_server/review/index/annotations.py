"""What annotations say about values."""

from __future__ import annotations

import ast
import warnings
from typing import TYPE_CHECKING, Any

from famulus.lsp_server.review.index.paths import UNKNOWN as UNFOLLOWED
from famulus.lsp_server.review.index.paths import path_of
from famulus.lsp_server.review.index.values import UNKNOWN, Awaitable, Instance, Made, Module, Outside, Symbol, Value

if TYPE_CHECKING:
    from famulus.lsp_server.review.index.resolution import Resolver

_THROUGH = {"Annotated", "Final", "ClassVar", "InitVar", "Required", "NotRequired", "ReadOnly"}
_NO_INSTANCE = {"Any", "object", "Callable", "TypeVar", "Self", "Literal", "LiteralString", "Never", "NoReturn"}


class Annotations:
    """Reads annotations of one project."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        self._known: dict[tuple[Module, int, str], tuple[Value, ...]] = {}

    def values(self, module: Module, scope: int, annotation: str) -> tuple[Value, ...]:
        """What an object of this annotation can be; None as ``Made("builtins.None")``."""
        key = (module, scope, annotation)
        if key not in self._known:
            self._known[key] = (UNKNOWN,)
            tree = parsed(annotation)
            found = self._of(module, scope, tree) if tree is not None else (UNKNOWN,)
            self._known[key] = tuple(dict.fromkeys(found))
        return self._known[key]

    def _of(self, module: Module, scope: int, node: ast.expr) -> tuple[Value, ...]:
        if isinstance(node, ast.Constant):
            if node.value is None:
                return (Made("builtins.None"),)
            inner = parsed(node.value) if isinstance(node.value, str) else None
            return self._of(module, scope, inner) if inner is not None else (UNKNOWN,)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._of(module, scope, node.left) + self._of(module, scope, node.right)
        if isinstance(node, ast.Subscript):
            return self._generic(module, scope, node)
        path = path_of(node)
        if path == UNFOLLOWED:
            return (UNKNOWN,)
        found = tuple(v for value in self.resolver.resolve(module, scope, path) for v in self._instance(value))
        return found or (UNKNOWN,)

    def _instance(self, value: Value) -> tuple[Value, ...]:
        if isinstance(value, Symbol):
            if value.definition.kind == "class":
                return (Instance(value),)
            return (Made(value.dotted) if value.is_named_tuple else UNKNOWN,)
        if isinstance(value, Outside) and value.name.rpartition(".")[2] not in _NO_INSTANCE:
            return (Made(value.name),)
        return (UNKNOWN,)

    def _generic(self, module: Module, scope: int, node: ast.Subscript) -> tuple[Value, ...]:
        name = path_of(node.value).rpartition(".")[2]
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name == "Optional":
            return (*self._of(module, scope, inner[0]), Made("builtins.None"))
        if name == "Union":
            return tuple(v for part in inner for v in self._of(module, scope, part))
        if name in _THROUGH and inner:
            return self._of(module, scope, inner[0])
        if name in ("type", "Type") and inner:
            return tuple(v.of if isinstance(v, Instance) else UNKNOWN for v in self._of(module, scope, inner[0]))
        if name in _NO_INSTANCE:
            return (UNKNOWN,)
        if name in ("Awaitable", "Coroutine") and inner:
            return (Awaitable(self._of(module, scope, inner[-1])),)
        outer = self._of(module, scope, node.value)
        arguments = tuple(
            self._of(module, scope, part)
            for part in inner
            if not isinstance(part, ast.Constant) or part.value is not ...
        )
        return tuple(Made(v.name, arguments) if isinstance(v, Made) else v for v in outer)


def parsed(source: str) -> ast.expr | None:
    """The expression; None if it is none."""
    try:
        body: ast.expr = quietly(source.strip(), "eval").body
        return body
    except (SyntaxError, ValueError, RecursionError):
        return None


def quietly(source: str | bytes, mode: str = "exec") -> Any:
    """The syntax tree, without the parser's warnings about somebody else's code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source, mode=mode)


def same_source(left: str | None, right: str | None) -> bool:
    """Whether two pieces of source are one expression, however they are laid out."""
    if left == right:
        return True
    if left is None or right is None:
        return False
    one, two = parsed(left), parsed(right)
    return one is not None and two is not None and ast.dump(one) == ast.dump(two)
