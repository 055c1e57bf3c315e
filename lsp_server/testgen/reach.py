"""What a function asks for besides its arguments, as far as its code tells: files, time, chance, the command line."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from famulus.lsp_server.execution.functions import Function, functions_in

Kind = Literal["file", "folder", "new"]
_READS = frozenset(("read_text", "read_bytes", "exists", "is_file", "stat", "readlines", "getsize", "isfile"))
_WRITES = frozenset(("write_text", "write_bytes", "mkdir", "makedirs", "touch"))
_FOLDERS = frozenset(("iterdir", "glob", "rglob", "listdir", "scandir", "walk", "is_dir", "isdir"))
_NAMED = frozenset(
    ("path", "file", "filename", "fname", "filepath", "folder", "directory", "dirname", "src", "dst", "source")
) | {"target", "root"}
_NOW = frozenset(("now", "utcnow", "today"))
_DEPTH = 4


@dataclass
class Needs:
    """``paths``: parameters that are paths of files, with the kinds of file that make sense, and ``texts``: those of
    them that are given as text. ``clock``: dotted names that tell the time, as the module has them, with the methods
    that are used of a class. ``variables``: of the environment."""

    paths: dict[str, tuple[Kind, ...]] = field(default_factory=dict)
    texts: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset()
    stdin: bool = False
    argv: bool = False
    random: bool = False
    clock: dict[str, frozenset[str]] = field(default_factory=dict)
    variables: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        """Whether a call has to be placed in a setting."""
        return bool(self.paths or self.stdin or self.argv or self.random or self.clock or self.variables)


def reached(module: ast.Module, function: Function) -> list[ast.AST]:
    """The code of a function and of those of its module that it calls by their names."""
    known = functions_in(module)
    found: dict[str, ast.AST] = {function.name: function.node}
    holder = function.name.rpartition(".")[0]
    todo = [(function.node, 0)]
    while todo:
        top, depth = todo.pop()
        for node in ast.walk(top) if depth < _DEPTH else ():
            name = _called(node, holder)
            if name in known and name not in found:
                found[name] = known[name].node
                todo.append((known[name].node, depth + 1))
    return list(found.values())


def _called(node: ast.AST, holder: str) -> str:
    match node:
        case ast.Call(func=ast.Name(id=name)):
            return name
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
            return f"{holder}.{name}"
    return ""


def needs(module: ast.Module, function: Function) -> Needs:
    """What calls of a function have to be placed in."""
    nodes = [node for top in reached(module, function) for node in ast.walk(top)]
    imported = _imported(module)
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    dotted = {_dotted(node) for node in nodes if isinstance(node, ast.Attribute | ast.Name)}
    full = {_full(name, imported) for name in dotted if name}
    called = {_full(_dotted(n.func), imported) for n in nodes if isinstance(n, ast.Call)}
    found = Needs()
    kinds = _kinds(nodes, attributes, called)
    if kinds:
        for parameter in function.parameters:
            hint = ast.unparse(parameter.annotation) if parameter.annotation else ""
            named = any(part in _NAMED for part in parameter.name.lower().split("_"))
            used = _opened(nodes, parameter.name)
            if "Path" in hint or ((named or used) and ("str" in hint or not hint)):
                own = ("folder",) if {"folder", "directory", "dir"} & set(parameter.name.split("_")) else kinds
                found.paths[parameter.name] = own
                if "Path" not in hint and (hint or not ({*_READS, *_WRITES, *_FOLDERS, "open"} & attributes)):
                    found.texts |= {parameter.name}
    found.formats = frozenset({"json", "csv", "tomllib", "configparser"} & {name.partition(".")[0] for name in full})
    found.stdin = "input" in called or any(name.startswith("sys.stdin") for name in full)
    unparsed = [n for n in nodes if isinstance(n, ast.Call) and _dotted(n.func).endswith(".parse_args") and not n.args]
    found.argv = any(name.startswith("sys.argv") for name in full) or bool(unparsed)
    found.random = any(name.startswith("random.") and name[7:8].islower() for name in full)
    found.clock = _clock(dotted, imported)
    found.variables = tuple(dict.fromkeys(_variables(nodes, imported)))
    return found


def _kinds(nodes: list[ast.AST], attributes: set[str], called: set[str]) -> tuple[Kind, ...]:
    """Which kinds of files the code handles, none if it does not look into files."""
    modes = [_mode(n) for n in nodes if isinstance(n, ast.Call) and _dotted(n.func).rpartition(".")[2] == "open"]
    found: list[Kind] = []
    if attributes & _FOLDERS or called & {"os.listdir", "os.scandir", "os.walk"}:
        found.append("folder")
    if attributes & _READS or any(not set(mode) & set("wax") for mode in modes):
        found.append("file")
    if attributes & _WRITES or any(set(mode) & set("wax") for mode in modes):
        found.append("new")
    return tuple(found)


def _mode(node: ast.Call) -> str:
    given = [k.value for k in node.keywords if k.arg == "mode"]
    given += node.args[1:2] if isinstance(node.func, ast.Name) else node.args[:1]
    value = given[0].value if given and isinstance(given[0], ast.Constant) else "r"
    return value if isinstance(value, str) else "r"


def _opened(nodes: list[ast.AST], name: str) -> bool:
    """Whether a variable is opened, or made a path."""
    for node in nodes:
        if isinstance(node, ast.Call) and any(isinstance(a, ast.Name) and a.id == name for a in node.args[:1]):
            dotted = _dotted(node.func)
            if dotted.rpartition(".")[2] in ("open", "Path") or dotted.startswith("os."):
                return True
    return False


def _imported(module: ast.Module) -> dict[str, str]:
    """Names that imports bind, anywhere in a module, and what they stand for."""
    found: dict[str, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def _full(name: str, imported: dict[str, str]) -> str:
    first, dot, rest = name.partition(".")
    return imported.get(first, first) + dot + rest


def _clock(dotted: set[str], imported: dict[str, str]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for name in sorted(filter(None, dotted)):
        full = _full(name, imported)
        if full in ("time.time", "time.time_ns"):
            found[name] = frozenset()
        holder, _, method = full.rpartition(".")
        if holder in ("datetime.datetime", "datetime.date") and method in _NOW:
            own = name.rpartition(".")[0]
            found[own] = found.get(own, frozenset()) | {method}
    return found


def _variables(nodes: list[ast.AST], imported: dict[str, str]) -> Iterator[str]:
    for node in nodes:
        match node:
            case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]):
                if _full(_dotted(func), imported) in ("os.getenv", "os.environ.get", "os.environ.pop"):
                    yield name
            case ast.Subscript(value=value, slice=ast.Constant(value=str(name))):
                if _full(_dotted(value), imported) == "os.environ":
                    yield name
            case ast.Compare(left=ast.Constant(value=str(name)), comparators=[value]):
                if _full(_dotted(value), imported) == "os.environ":
                    yield name
