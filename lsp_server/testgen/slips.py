"""Slips: changes of a function that people make, where :mod:`..execution.mutants` has those that operators make.

A step that is left out (``x.strip()`` as ``x``, ``a and b`` as ``a``, ``total += x`` as ``total = x``), a neighbour in
its place (``[0]`` as ``[-1]``, ``partition`` as ``rpartition``), a loop that misses its first or last item. Only tests
are chosen by them: many change nothing that matters, so nobody is told of one that no test notices.

What tests are measured on is apart (``bench/testgen_holdout.py``: a statement deleted, a slice off by one, arguments
swapped, another variable). So no slip is made that comes to one of those: ``if False`` without ``else``, ``x = x``, a
loop over a slice that misses an item, one of two plain variables for both.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import TypeGuard

from famulus.lsp_server.execution.functions import Function
from famulus.lsp_server.execution.mutants import Kind, Mutant
from famulus.lsp_server.execution.sourcetext import SourceText

_Change = tuple[Kind, ast.expr | ast.stmt, str]

_STEPS = frozenset(
    (
        "capitalize", "casefold", "copy", "lower", "lstrip", "removeprefix", "removesuffix", "replace", "rstrip",
        "strip", "swapcase", "title", "upper", "zfill",
    )
)  # fmt: skip
"""Methods whose object may stand in the place of what they make of it."""
_MADE = frozenset(["abs", "dict", "frozenset", "int", "list", "reversed", "round", "set", "sorted", "tuple"])
"""Functions whose argument may stand in the place of what they make of it."""
_NEIGHBOURS = {
    "endswith": "startswith", "startswith": "endswith", "find": "rfind", "rfind": "find", "index": "rindex",
    "lstrip": "rstrip", "rstrip": "lstrip", "strip": "rstrip", "partition": "rpartition", "rpartition": "partition",
    "split": "rsplit", "rsplit": "split", "ljust": "rjust", "rjust": "ljust", "floor": "ceil", "ceil": "floor",
    "bisect_left": "bisect_right", "bisect_right": "bisect_left", "match": "search", "search": "match",
    "lower": "upper", "upper": "lower", "append": "extend", "isdigit": "isalnum", "isalpha": "isalnum",
}  # fmt: skip
_WIDER: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Eq: ("<=", ">="), ast.Lt: ("!=",), ast.Gt: ("!=",), ast.LtE: ("==",), ast.GtE: ("==",),
}  # fmt: skip
_QUIET = (ast.Raise, ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Slice)


def slips(source: str, function: Function) -> list[Mutant]:
    """The function with one slip each, in the order of their places; what cannot be compiled is not among them."""
    text = SourceText(source)
    first = min([function.node.lineno, *(decorator.lineno for decorator in function.node.decorator_list)])
    found: list[Mutant] = []
    idle = {(id(node.value), ast.unparse(node.targets[0])) for node in ast.walk(function.node) if _stores_once(node)}
    for kind, node, new in _changes(function.node, text.of):
        if (id(node), new.strip("()")) in idle:
            continue  # the statement might as well be deleted
        start, end = text.span(node)
        line, column = text.place(start)
        old = text.source[start:end]
        if old != new and "\n" not in new:
            found.append(Mutant(kind, line, column, old, new, function.name, first, text, start, end, new))
    return sorted(found, key=lambda one: (one.line, one.column))


def _changes(function: ast.FunctionDef | ast.AsyncFunctionDef, of: Callable[[ast.expr], str]) -> Iterator[_Change]:
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, _QUIET) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            continue
        match node:
            case ast.Call():
                yield from _of_call(node, of)
            case ast.BoolOp(values=values) if not _variables(values):
                for value in values:
                    rest = [of(other) for other in values if other is not value]
                    yield "logic", node, f"({(' and ' if isinstance(node.op, ast.And) else ' or ').join(rest)})"
            case ast.BinOp(left=left, right=right):
                yield "operator", node, f"({of(left)})"
                yield "operator", node, f"({of(right)})"
            case ast.AugAssign(target=target, value=value):
                yield "operator", node, f"{of(target)} = {of(value)}"
            case ast.Compare():
                yield from _of_comparison(node, of)
            case ast.If(test=test, orelse=[]):
                yield "condition", test, "True"
            case ast.If(test=test) | ast.IfExp(test=test):
                yield from (("condition", test, said) for said in ("True", "False"))
            case ast.comprehension(ifs=ifs):
                yield from (("condition", test, "True") for test in ifs)
            case ast.Subscript(slice=ast.Constant(value=0)):
                yield "constant", node.slice, "-1"
            case ast.Subscript(slice=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1))):
                yield "constant", node.slice, "0"
            case ast.Constant(value=bool()):
                pass
            case ast.Constant(value=int() as number) if number > 0:
                yield "constant", node, str(number - 1)
            case ast.Constant(value=str() as said) if len(said) > 1:
                yield "constant", node, repr(said[:-1])
        if isinstance(node, ast.For | ast.comprehension) and not _is_slice(node.iter):
            yield from (("flow", node.iter, f"list({of(node.iter)}){part}") for part in ("[1:]", "[:-1]"))
        todo += _below(node)


def _stores_once(node: ast.AST) -> TypeGuard[ast.Assign]:
    return isinstance(node, ast.Assign) and len(node.targets) == 1


def _is_slice(node: ast.expr) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)


def _variables(nodes: Sequence[ast.expr]) -> bool:
    """Whether they are two plain variables: one for both is a wrong variable as well."""
    return len(nodes) == 2 and all(isinstance(node, ast.Name) for node in nodes)


def _below(node: ast.AST) -> list[ast.AST]:
    """The parts of a node that are run; of calls not the name that is called."""
    apart = {id(part) for name in ("annotation", "returns", "decorator_list") for part in _parts(node, name)}
    return [child for child in ast.iter_child_nodes(node) if id(child) not in apart]


def _parts(node: ast.AST, name: str) -> list[object]:
    part = getattr(node, name, None)
    return part if isinstance(part, list) else [part]


def _of_call(node: ast.Call, of: Callable[[ast.expr], str]) -> Iterator[_Change]:
    called, given = node.func, node.args
    if isinstance(called, ast.Attribute):
        name, before = called.attr, of(called.value)
        end = of(node)[len(of(called)) :]
        if name in _STEPS:
            yield "call", node, before
        if name in _NEIGHBOURS:
            yield "call", node, f"{before}.{_NEIGHBOURS[name]}{end}"
        if name == "pop":
            yield "call", node, f"{before}.pop({'' if given else '0'})"
        if name in ("get", "setdefault") and len(given) == 2:
            yield "call", node, of(given[1])
    elif isinstance(called, ast.Name) and given:
        if called.id in _MADE and len(given) == 1:
            yield "call", node, f"list({of(given[0])})" if called.id in ("sorted", "set") else of(given[0])
        if called.id in ("min", "max") and len(given) > 1 and not _variables(given):
            yield from (("call", node, f"({of(one)})") for one in given)
    for keyword in node.keywords:
        kept = [*map(of, given), *(_keyword(k, of) for k in node.keywords if k is not keyword)]
        yield "call", node, f"{of(called)}({', '.join(kept)})"


def _keyword(keyword: ast.keyword, of: Callable[[ast.expr], str]) -> str:
    return f"{keyword.arg}={of(keyword.value)}" if keyword.arg else f"**{of(keyword.value)}"


def _of_comparison(node: ast.Compare, of: Callable[[ast.expr], str]) -> Iterator[_Change]:
    if len(node.ops) == 1:
        left, right = of(node.left), of(node.comparators[0])
        for sign in _WIDER.get(type(node.ops[0]), ()):
            yield "comparison", node, f"{left} {sign} {right}"
    elif len(node.ops) == 2:
        text, middle = of(node), of(node.comparators[0])
        head = text[: len(text) - len(of(node.comparators[1]))].rstrip()
        yield "comparison", node, f"({head.rpartition(middle)[0]}{middle})"
        yield "comparison", node, f"({middle} {text[len(head.rpartition(middle)[0]) + len(middle) :].lstrip()})"
