"""Which of the user's names code can reach: those that it names, and those that the functions it calls name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType

_ANY = {"globals", "locals", "vars", "exec", "eval"}
"""With these, code can reach every name."""
_WORD = re.compile(r"[^\W\d]\w*")
_LONG = 10_000


def reachable(tree: ast.Module, namespace: Mapping[str, object]) -> list[str]:
    """In the order in which the code comes to them. Names inside its strings count too: magics, queries and ``eval``
    get code as text."""
    found: dict[str, None] = {}
    waiting = list(_named(tree))
    if _ANY.intersection(waiting):
        waiting += [name for name in namespace if isinstance(name, str)]
    for name in waiting:  # grows while it is read
        if name in found or name not in namespace:
            continue
        found[name] = None
        value = namespace[name]
        if isinstance(value, FunctionType) and value.__globals__ is namespace:
            waiting += _used(value.__code__)
        elif isinstance(value, type):
            for member in vars(value).values():
                if isinstance(member, FunctionType) and member.__globals__ is namespace:
                    waiting += _used(member.__code__)
    return list(found)


def read(tree: ast.Module) -> set[str]:
    """Names whose present value the code can want: all that it reads or alters but those that it binds first."""
    wanted: set[str] = set()
    bound: set[str] = set()
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        made = {target.id for target in targets if isinstance(target, ast.Name)}
        plain = {id(target) for target in targets if isinstance(target, ast.Name)}
        names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and id(node) not in plain}
        wanted |= names - bound
        bound |= made
    return wanted


def _named(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < _LONG:
            yield from _WORD.findall(node.value)


def _used(code: CodeType) -> list[str]:
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names += _used(constant)
    return names
