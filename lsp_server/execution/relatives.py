"""What else in a project has to do with a class: those that derive from it, functions and constants that give its
objects, and what its objects have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence

from famulus.lsp_server.execution.functions import AnyFunction, Function
from famulus.lsp_server.execution.nodes import nodes

Classes = Mapping[str, ast.ClassDef]
_VERBS = "(load|make|create|get|new|build|open|parse|read|default)"


def derives(node: ast.ClassDef, name: str, classes: Classes) -> bool:
    """Whether a class derives from the class ``name``, as far as the ``classes`` of its module tell."""
    return any(last(base) == name for cls in line(node, classes) for base in cls.bases)


def line(node: ast.ClassDef, classes: Classes) -> list[ast.ClassDef]:
    """The class and those of its module that it inherits from, nearest first."""
    found = [node]
    for cls in found:
        bases = [classes[base] for base in map(last, cls.bases) if base in classes]
        found += [base for base in bases if base not in found]
    return found


def makers(name: str, functions: Mapping[str, Function]) -> list[Function]:
    """Functions of a module, no methods, that give an object of a class: by annotation, by their last statement, or by
    a name like ``load_grammar``."""
    found = []
    for function in functions.values():
        if function.owner is None and isinstance(function.node, ast.FunctionDef) and _gives(function.node, name):
            takes = {last(parameter.annotation) for parameter in function.parameters if parameter.annotation}
            if name not in takes:
                found.append(function)
    return found


def _gives(node: ast.FunctionDef, name: str) -> bool:
    if node.returns is not None:
        return last(node.returns) == name and not isinstance(node.returns, ast.Subscript)
    if re.fullmatch(_VERBS + "_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower(), node.name):
        return True
    end = node.body[-1]
    return isinstance(end, ast.Return) and isinstance(end.value, ast.Call) and last(end.value) == name


def constants(name: str, body: Sequence[ast.stmt]) -> list[str]:
    """Names that a module gives to objects of a class which it makes."""
    found = []
    for statement in body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Call):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if last(statement.value) == name:
                found += [target.id for target in targets if isinstance(target, ast.Name)]
    return found[:3]


def attributes(node: ast.ClassDef, classes: Classes) -> frozenset[str]:
    """Names of what the objects of a class have, with what it inherits from others of its module."""
    return frozenset(name for cls in line(node, classes) for name in _own(cls))


def _own(node: ast.ClassDef) -> Iterator[str]:
    for inner in nodes(node):
        match inner:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name
    for statement in node.body:
        if isinstance(statement, AnyFunction):
            yield statement.name
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id


def last(node: ast.expr) -> str:
    """The last part of the dotted name of what is called, subscripted, named or quoted; empty for anything else."""
    while isinstance(node, ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    if isinstance(node, ast.Constant):
        return node.value.rpartition(".")[2] if isinstance(node.value, str) else ""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
