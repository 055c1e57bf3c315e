"""Expressions as paths (see :mod:`.facts`): made from syntax trees, and taken apart again."""

from __future__ import annotations

import ast
import re
from functools import lru_cache

_STEP = re.compile(r"\.(\w+)|(\(\))|(\[\d*\])|(<>)|(\^)|(@)|!(\d+):([\w,]*)")
_LITERALS: dict[type, str] = {
    ast.List: "#list",
    ast.ListComp: "#list",
    ast.Dict: "#dict",
    ast.DictComp: "#dict",
    ast.Set: "#set",
    ast.SetComp: "#set",
    ast.GeneratorExp: "#generator",
    ast.JoinedStr: "#str",
    ast.Lambda: "#function",
    ast.Compare: "#bool",
}
UNKNOWN = "#"


def path_of(node: ast.expr) -> str:
    """The path of an expression; :data:`UNKNOWN` if it cannot be followed."""
    kind = type(node)
    if kind is ast.Name:
        return node.id  # type: ignore[attr-defined, no-any-return]
    if isinstance(node, ast.Attribute):
        base = path_of(node.value)
        return UNKNOWN if base == UNKNOWN else f"{base}.{node.attr}"
    if isinstance(node, ast.Call):
        return _call(node)
    if isinstance(node, ast.Subscript):
        base = path_of(node.value)
        if base == UNKNOWN:
            return UNKNOWN
        index = node.slice
        whole = isinstance(index, ast.Constant) and type(index.value) is int
        return f"{base}[{index.value}]" if whole else f"{base}[]"  # type: ignore[attr-defined]
    if isinstance(node, ast.Await):
        base = path_of(node.value)
        return UNKNOWN if base == UNKNOWN else base + "^"
    if isinstance(node, ast.Constant):
        return f"#{type(node.value).__name__}" if node.value is not None else "#None"
    if isinstance(node, ast.Tuple):
        return "#tuple" if any(isinstance(e, ast.Starred) for e in node.elts) else f"#tuple:{len(node.elts)}"
    if isinstance(node, ast.NamedExpr):
        return path_of(node.value)
    return _LITERALS.get(kind, UNKNOWN)


def _call(node: ast.Call) -> str:
    base = path_of(node.func)
    if base == UNKNOWN:
        return UNKNOWN
    if base in ("functools.partial", "partial") and node.args and not isinstance(node.args[0], ast.Starred):
        inner = path_of(node.args[0])
        plain = not any(isinstance(a, ast.Starred) for a in node.args) and all(k.arg for k in node.keywords)
        if inner == UNKNOWN or not plain:
            return UNKNOWN
        return f"{inner}!{len(node.args) - 1}:{','.join(k.arg or '' for k in node.keywords)}"
    return base + "()"


def is_named_tuple(path: str) -> bool:
    """Whether a path is what ``namedtuple(...)`` makes."""
    return path.rpartition(".")[2] == "namedtuple()"


def alternatives(node: ast.expr) -> list[str]:
    """The paths of all values that an expression can have: both arms of ``a if c else b`` and of ``a or b``."""
    if isinstance(node, ast.IfExp):
        return alternatives(node.body) + alternatives(node.orelse)
    if isinstance(node, ast.BoolOp):
        found = [path for value in node.values for path in alternatives(value)]
        return [path for path in found if path != "#None"] or found if isinstance(node.op, ast.Or) else found
    return [path_of(node)]


@lru_cache(maxsize=65536)
def steps(path: str) -> tuple[str, tuple[str, ...]]:
    """The root of a path, and its steps as they are written."""
    if path.startswith("#"):
        end = min((i for i in (path.find(mark) for mark in ".([<^@!") if i > 0), default=len(path))
    else:
        end = re.match(r"\w*", path).end()  # type: ignore[union-attr]
    return path[:end], tuple(match.group() for match in _STEP.finditer(path, end))


def root(path: str) -> str:
    """The first name of a path."""
    return steps(path)[0]


def identifiers(path: str) -> list[str]:
    """All names in a path; none for a literal root."""
    return re.findall(r"[^\W\d]\w*", path[1:].partition(".")[2] if path.startswith("#") else path)
