"""The form of a call's arguments, also of those that stand in a list or dictionary behind stars."""

from __future__ import annotations

import ast

from famulus.lsp_server.review.index.facts import Shape


def shape_of(node: ast.Call) -> Shape:
    """``f(*[1, 2], **{"a": 3})`` is ``f(1, 2, a=3)``; what a variable holds is not known."""
    count, star = 0, False
    for argument in node.args:
        number = _items(argument.value) if isinstance(argument, ast.Starred) else 1
        count, star = count + (number or 0), star or number is None
    names: list[str] = []
    doubled = False
    for keyword in node.keywords:
        known = [keyword.arg] if keyword.arg is not None else _keys(keyword.value)
        names += known or []
        doubled = doubled or known is None
    return Shape(count, tuple(names), star, doubled)


def _items(node: ast.expr) -> int | None:
    """How many values a list or tuple has that is written out."""
    if isinstance(node, ast.List | ast.Tuple) and not any(isinstance(item, ast.Starred) for item in node.elts):
        return len(node.elts)
    return None


def _keys(node: ast.expr) -> list[str] | None:
    """The names in a dictionary that is written out, as ``{"a": 1}`` or ``dict(a=1)``."""
    if isinstance(node, ast.Dict):
        found = [key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
        return found if len(found) == len(node.keys) else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        named = [keyword.arg for keyword in node.keywords if keyword.arg is not None]
        return named if len(named) == len(node.keywords) else None
    return None
