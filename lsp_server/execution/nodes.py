"""The nodes of syntax trees, which are asked for again and again: three times as fast as ``ast.walk``, and kept."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping, Sequence

_PLAIN = (
    *("arg", "asname", "attr", "conversion", "ctx", "id", "is_async", "kind", "kwd_attrs", "level", "lineno", "module"),
    *("name", "names", "op", "ops", "rest", "simple", "tag", "type_comment"),
)
"""Fields that hold texts, numbers, or what nobody looks at alone: contexts and operators."""


def _inner(kind: type[ast.AST]) -> Iterator[str]:
    if not issubclass(kind, ast.Constant):
        holders = (ast.Import, ast.ImportFrom)
        yield from (name for name in kind._fields if name not in _PLAIN or (name == "names" and kind in holders))


_INNER: Mapping[type, Sequence[str]] = {
    kind: tuple(_inner(kind)) for kind in vars(ast).values() if isinstance(kind, type) and issubclass(kind, ast.AST)
}


def nodes(*tops: ast.AST) -> list[ast.AST]:
    """All nodes below ``tops`` and themselves, contexts and operators excepted, in the order of ``ast.walk``."""
    found = list(tops)
    add = found.append
    for node in found:
        for name in _INNER[node.__class__]:
            value = getattr(node, name, None)
            if value.__class__ is list:
                for item in value:
                    if item is not None:
                        add(item)
            elif value is not None:
                add(value)
    return found


@functools.lru_cache(64)  # the few functions that are being looked at, each asked for by each of its parameters
def nodes_of(function: ast.AST) -> Sequence[ast.AST]:
    """The nodes of a function that nobody changes."""
    return tuple(nodes(function))
