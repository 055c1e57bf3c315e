"""What names stand for that a function reads: constants of its module and of its class, and of modules of the project
that it imports them from. Nothing is run."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Callable, Iterator, Sequence

from famulus.lsp_server.execution import regexes
from famulus.lsp_server.execution.functions import Function, Parameter
from famulus.lsp_server.execution.inputs import names_used
from famulus.lsp_server.testgen.reach import reached

Find = Callable[[str, str], tuple[str, str, str] | None]
"""As :data:`.constructors.Find`."""
_LARGEST = 60
"""Items of a container; larger ones are tables of data."""
_CONTAINERS = {"frozenset": frozenset, "set": set, "tuple": tuple, "list": list, "dict": dict}


def expressions(source: str, path: str, function: Function, find: Find) -> dict[str, ast.expr]:
    """The expressions that such names were given, by the name without its class."""
    module = ast.parse(source)
    wanted = set(names_used(function))
    for node in reached(module, function)[1:]:
        wanted |= {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    found = {name: value for name, value in _assigned(module.body) if name in wanted}
    if function.owner is not None:
        own = {name.rpartition(".")[2] for name in wanted}
        found |= {name: value for name, value in _assigned(function.owner.body) if name in own}
    for node in module.body:
        if isinstance(node, ast.ImportFrom):
            asked = {alias.name: alias.asname or alias.name for alias in node.names}
            asked = {name: known for name, known in asked.items() if known in wanted and not known.islower()}
            other = find("." * node.level + (node.module or ""), path) if asked else None
            with contextlib.suppress(SyntaxError):
                given = dict(_assigned(ast.parse(other[1]).body)) if other else {}
                found |= {known: given[name] for name, known in asked.items() if name in given}
    return found


def values(found: dict[str, ast.expr]) -> dict[str, object]:
    """What can be told of the expressions: literals, containers of them, patterns as :class:`.regexes.Pattern`."""
    known: dict[str, object] = {}
    for name, node in found.items():
        with contextlib.suppress(ValueError, TypeError, SyntaxError, RecursionError):
            known[name] = _value(node)
    return known


def _value(node: ast.expr) -> object:
    match node:
        case ast.Call(func=ast.Name(id=name), args=[inner]) if name in _CONTAINERS:
            return _CONTAINERS[name](ast.literal_eval(inner))
        case ast.Call(func=called, args=[ast.Constant(value=str(pattern)), *flags]) if (
            ast.unparse(called).rpartition(".")[2] == "compile"
        ):
            return regexes.Pattern(pattern, _flags(flags))
    return ast.literal_eval(node)


def _flags(nodes: list[ast.expr]) -> int:
    """Those that change what a pattern says: only the verbose form does."""
    said = " ".join(ast.unparse(node) for node in nodes)
    return 64 if "re.X" in said or "VERBOSE" in said else 0


def _assigned(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                continue
        if sum(1 for _ in ast.walk(value)) <= 3 * _LARGEST:
            yield name, value


def kept(constructor: Function, parameters: Sequence[Parameter]) -> dict[str, str]:
    """Parameters of a class's constructor by the attribute that keeps them as they are."""
    names = {parameter.name for parameter in parameters}
    if constructor.node.name not in ("__init__", "__new__"):
        return {name: name for name in names}  # a record
    found: dict[str, str] = {}
    for node in ast.walk(constructor.node):
        match node:
            case (
                ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=attribute)], value=value)
                | ast.AnnAssign(
                    target=ast.Attribute(value=ast.Name(id="self"), attr=attribute), value=ast.expr() as value
                )
            ):
                given = [part.id for part in ast.walk(value) if isinstance(part, ast.Name) and part.id in names]
                if given and isinstance(value, ast.Name | ast.BoolOp | ast.IfExp):
                    found.setdefault(attribute, given[0])
    return found
