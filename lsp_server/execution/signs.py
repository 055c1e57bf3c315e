"""What the uses of a variable say about its type."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from famulus.lsp_server.execution.nodes import nodes_of

_TEXT_METHODS = frozenset(name for name in dir(str) if not name.startswith("_")) - {"index", "count"}
_BYTE_METHODS = frozenset(("decode", "hex"))
_LIST_METHODS = frozenset(("append", "extend", "insert", "sort", "reverse", "remove"))
_DICT_METHODS = frozenset(("items", "keys", "values", "get", "setdefault", "update"))
_SET_METHODS = frozenset(("add", "union", "discard", "intersection", "difference", "issubset"))
_FILE_METHODS = frozenset(("read", "readline", "readlines", "write", "seek", "tell"))
_PLAIN = {"dict": "dict", "list": "list", "tuple": "list", "set": "set", "Mapping": "dict", "Sequence": "list"}
_TAKEN = {
    "int": "range chr bin hex divmod islice repeat",
    "number": "abs round sqrt floor ceil exp log sin cos isnan isclose pow",
    "list": "sorted sum min max enumerate reversed any all zip map filter tuple list set iter join extend",
    "str": "ord loads fullmatch match search findall finditer compile literal_eval fromstring eval open Path PurePath",
    "dict": "update",
}
"""What well-known functions take."""


def signs(top: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    """What the uses of a variable say about it: pairs of a kind and a detail."""

    def it(node: ast.AST | None) -> bool:
        return isinstance(node, ast.Name) and node.id == name

    for node in nodes_of(top):
        match node:
            case ast.Attribute(value=value, attr=attribute) if it(value):
                yield _of_attribute(attribute)
            case ast.For(target=target, iter=source) | ast.comprehension(target=target, iter=source) if it(source):
                yield ("each", target.id) if isinstance(target, ast.Name) else ("list", "")
            case ast.Subscript(value=value, slice=index) if it(value):
                if isinstance(index, ast.Constant) and isinstance(index.value, str):
                    yield "key", index.value
                else:
                    yield (
                        ("list", "")
                        if isinstance(index, ast.Slice | ast.Constant | ast.UnaryOp | ast.BinOp)
                        else ("dict", "")
                    )
            case ast.Subscript(slice=index) if it(index):
                yield "int", ""
            case ast.Call(func=called, args=arguments) if it(called):
                yield "callable", ""
            case ast.Call(func=called, args=arguments) if any(it(argument) for argument in arguments):
                yield from _of_call(called, arguments, name)
            case ast.BinOp(left=left, op=operator, right=right) if it(left) or it(right):
                yield _of_operator(operator, right if it(left) else left)
            case ast.Compare(left=left, comparators=[other, *_], ops=[operator, *_]) if it(left) or it(other):
                yield from _of_comparison(operator, other if it(left) else left, it(left))
            case ast.AugAssign(target=left, op=operator, value=right) if it(left):
                yield _of_operator(operator, right)
            case ast.UnaryOp(op=ast.USub() | ast.Invert(), operand=operand) if it(operand):
                yield "number", ""
            case ast.With(items=items) if any(it(item.context_expr) for item in items):
                yield "stream", ""


def _of_attribute(name: str) -> tuple[str, str]:
    for methods, kind in (
        (_BYTE_METHODS, "bytes"),
        (_TEXT_METHODS, "str"),
        (_LIST_METHODS, "list"),
        (_DICT_METHODS, "dict"),
        (_SET_METHODS, "set"),
        (_FILE_METHODS, "stream"),
        ({"bit_length", "to_bytes"}, "int"),
        ({"year", "month", "day", "strftime", "isoformat", "tzinfo"}, "datetime"),
        ({"parent", "exists", "read_text", "suffix", "stem", "is_file", "is_dir"}, "Path"),
    ):
        if name in methods:
            return kind, ""
    return "attribute", name


def _of_call(called: ast.expr, arguments: Sequence[ast.expr], name: str) -> Iterator[tuple[str, str]]:
    function = ast.unparse(called)
    last = function.rpartition(".")[2]
    if last == "isinstance" and len(arguments) == 2 and isinstance(arguments[0], ast.Name) and arguments[0].id == name:
        for kind in parts(arguments[1]):
            yield "class", _PLAIN.get(last_name(kind), last_name(kind))
    elif last in ("min", "max") and len(arguments) > 1:
        yield "number", ""
    elif last in ("int", "float", "Decimal"):
        yield "str", ""
        yield "number", ""
    elif function.startswith(("os.", "pathlib.")):
        yield "str", ""
    else:
        yield from ((kind, "") for kind, names in _TAKEN.items() if last in names.split())


def _of_operator(operator: ast.operator, other: ast.expr) -> tuple[str, str]:
    if isinstance(other, ast.Constant) and isinstance(other.value, str | bytes):
        return type(other.value).__name__, ""
    if isinstance(other, ast.List | ast.ListComp):
        return "list", ""
    if isinstance(operator, ast.LShift | ast.RShift | ast.BitAnd | ast.BitXor | ast.FloorDiv | ast.Mod):
        return "int", ""
    return "number", ""


def _of_comparison(operator: ast.cmpop, other: ast.expr, left: bool) -> Iterator[tuple[str, str]]:
    if isinstance(operator, ast.In | ast.NotIn):
        if not left:
            yield "list", ""
        elif (
            isinstance(other, ast.Tuple | ast.List | ast.Set) and other.elts and isinstance(other.elts[0], ast.Constant)
        ):
            yield type(other.elts[0].value).__name__, ""
        elif isinstance(other, ast.Constant) and isinstance(other.value, str):
            yield "str", ""
    elif isinstance(other, ast.Constant) and other.value is not None and not isinstance(other.value, bool):
        yield type(other.value).__name__, ""
    elif isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE):
        yield "number", ""


def last_name(node: ast.expr) -> str:
    """The last part of a dotted name; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return (
        node.id
        if isinstance(node, ast.Name)
        else "None"
        if isinstance(node, ast.Constant) and node.value is None
        else ""
    )


def parts(node: ast.expr) -> list[ast.expr]:
    """The items of a tuple that is written out; anything else is its own only one."""
    return list(node.elts) if isinstance(node, ast.Tuple) else [node]
