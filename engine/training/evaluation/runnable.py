"""Functions that can be run by themselves: they need nothing of their module but imports of what is everywhere.

They are tried in the sandbox; the calls that give a value, the same one every time, are what a body written by a model
is judged by. They give two values at least.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence

from famulus.engine.training.evaluation.calls import calls
from famulus.sandbox.launch import run
from famulus.sandbox.limits import Limits

_EVERYWHERE = """
abc array base64 binascii bisect calendar collections colorsys copy datetime decimal difflib enum fnmatch fractions
functools hashlib heapq html inspect io itertools json keyword math numbers numpy operator pathlib posixpath re
shlex statistics string struct textwrap types typing unicodedata urllib warnings zlib
"""
LIBRARIES = frozenset(_EVERYWHERE.split())
"""What a function may import: all but one are of the standard library, and none gives values by chance."""
CALLS, LEAST = 6, 3
"""Calls that are kept, and that must be: each value at most twice, so they have two at least."""
SECONDS = 6.0
ABOVE = 3000
"""Characters of what a function needs of its module, at most."""

_NAMES = frozenset(dir(builtins))

LONGEST = 400
"""Characters of a value that is kept."""
AT_ONCE = 12
"""Functions that one sandbox runs, each in a process of its own; as many answers as it lets through."""

PROGRAM = f"""
import contextlib, io, json, os, resource, signal, sys, warnings

warnings.simplefilter("ignore")
LONGEST, SECONDS, MOST = {LONGEST}, {SECONDS}, 9000
HERE = (" at 0x", sys.prefix, sys.base_prefix)  # what is otherwise on another machine
"""
PROGRAM += """
def values(text, calls):
    space, found = {"__name__": "module"}, []
    with contextlib.redirect_stdout(io.StringIO()):
        exec(text, space)
        for call in calls:
            try:
                value = repr(eval(call, space))
                same = len(value) <= LONGEST and value == repr(eval(call, space))
                same = same and not any(place in value for place in HERE)
            except BaseException:
                same = False
            found.append(value if same else None)
            if sum(len(value or "") for value in found) > MOST:
                break
    return found


orders = json.load(sys.stdin)
if len(orders) > 1:
    with contextlib.suppress(ImportError):
        import numpy  # once
for text, calls in orders:
    read, write = os.pipe()
    if not os.fork():
        try:
            signal.alarm(int(2 * SECONDS))
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS), int(SECONDS)))
            os.write(write, json.dumps(values(text, calls)).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as answer:
        print(answer.read().decode() or "[]", flush=True)
    os.wait()
"""


def values_of(orders: Sequence[tuple[str, Sequence[str]]]) -> list[list[str | None]]:
    """Of each text and its calls: the text of each call's value once the text was run, in the sandbox; None for one
    that fails, changes or is long.

    Raises :class:`SandboxError` where nothing protects the user.
    """
    limits = Limits(wall_seconds=4 * SECONDS * len(orders), cpu_seconds=SECONDS * (len(orders) + 1))
    done = run([sys.executable, "-I", "-c", PROGRAM], stdin=json.dumps(orders).encode(), limits=limits)
    lines = iter(done.stdout.data.splitlines())
    answers = []
    for _, asked in orders:
        try:
            found = json.loads(next(lines, b"[]"))
        except ValueError:
            found = []
        answers.append([*found, *[None] * (len(asked) - len(found))])
    return answers


def observed(texts: Iterable[str]) -> Iterator[tuple[tuple[str, str], ...]]:
    """Of each text, a function with what it needs above it, calls with the texts of their values; none where too few
    give one."""
    left = iter(texts)
    while some := list(itertools.islice(left, AT_ONCE)):
        tried = [calls(_function(text)) for text in some]
        told = [
            [(call, value) for call, value in zip(*one, strict=True) if value is not None and value != "None"]
            for one in zip(tried, values_of(list(zip(some, tried, strict=True))), strict=True)
        ]
        again = [(text, [call for call, _ in one]) for text, one in zip(some, told, strict=True)]
        for one, sure in zip(told, values_of(again), strict=True):  # in other processes: there sets have another order
            yield _telling([pair for pair, value in zip(one, sure, strict=True) if pair[1] == value])


def _function(text: str) -> ast.FunctionDef:
    function = ast.parse(text).body[-1]
    assert isinstance(function, ast.FunctionDef)
    return function


def _telling(found: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Those that tell two bodies apart, none where they are too few: every value once, then again."""
    first: dict[str, str] = {}
    again: dict[str, str] = {}
    for call, value in found:
        if first.setdefault(value, call) != call:
            again.setdefault(value, call)
    kept = [(call, value) for value, call in [*first.items(), *again.items()]][:CALLS]
    return tuple(kept) if len(kept) >= LEAST else ()


def alone(tree: ast.Module, text: str) -> Iterator[tuple[int, str, int]]:
    """(line, source with what it needs above it, where its body begins) of functions with a docstring that need little
    else of their module."""
    imports, defined = _imports(tree), _defined(tree)
    lines = text.splitlines(keepends=True)
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or node.decorator_list or len(node.body) < 2:
            continue
        closed = _closed(node, imports, defined) if ast.get_docstring(node) else None
        if closed is None:
            continue
        wanted, helpers = closed
        pieces = ["".join(lines[h.lineno - 1 : h.end_lineno]).rstrip() for h in sorted(helpers, key=lambda h: h.lineno)]
        above = "\n\n\n".join(["\n".join(["from __future__ import annotations", *sorted(wanted)]), *pieces, ""])
        if len(above) > ABOVE:
            continue
        source = "".join(lines[node.lineno - 1 : node.end_lineno])
        head = len("".join(lines[node.lineno - 1 : node.body[0].end_lineno]))
        indent = len(source[head:]) - len(source[head:].lstrip())
        yield node.lineno, above + source.rstrip() + "\n", len(above) + head + indent


_Definition = ast.FunctionDef | ast.Assign | ast.AnnAssign


def _defined(tree: ast.Module) -> dict[str, _Definition]:
    """What a module defines once, by plain functions and assignments."""
    found: dict[str, _Definition] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            found[node.name] = node
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            found[node.target.id] = node
    return found


def _closed(
    function: ast.FunctionDef, imports: dict[str, str], defined: dict[str, _Definition]
) -> tuple[set[str], list[_Definition]] | None:
    """The imports and the other definitions that a function needs, and that these need; None where there are more."""
    wanted: set[str] = set()
    helpers: list[_Definition] = []
    ahead: list[_Definition] = [function]
    while ahead:
        for name in _needed(ahead.pop()):
            if name in imports:
                wanted.add(imports[name])
            elif name in defined:
                if defined[name] is not function and defined[name] not in helpers:
                    helpers.append(defined[name])
                    ahead.append(defined[name])
            elif name not in _NAMES:
                return None
    return wanted, helpers


def _imports(tree: ast.Module) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in LIBRARIES:
                    found[alias.asname or alias.name.split(".")[0]] = "import " + ast.unparse(alias)
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] in LIBRARIES:
            for alias in node.names:
                found[alias.asname or alias.name] = f"from {node.module} import {ast.unparse(alias)}"
    return found


def _needed(definition: _Definition) -> set[str]:
    """Names that a definition reads and does not bind; annotations need nothing."""
    if not isinstance(definition, ast.FunctionDef):
        assert definition.value is not None
        return {n.id for n in ast.walk(definition.value) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    a = definition.args
    read: set[str] = set()
    bound = {definition.name, *(x.arg for x in [*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg] if x)}
    for statement in [*definition.body, *a.defaults, *(d for d in a.kw_defaults if d)]:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                bound |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
                read |= (
                    set() if all(_library(node, x.name) for x in node.names) else {"a library that is not everywhere"}
                )
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                bound.add(node.name)
            elif isinstance(node, ast.arg):
                bound.add(node.arg)
            elif isinstance(node, ast.ExceptHandler) and node.name:
                bound.add(node.name)
    return read - bound


def _library(node: ast.Import | ast.ImportFrom, name: str) -> bool:
    if isinstance(node, ast.ImportFrom):
        return not node.level and (node.module or "").split(".")[0] in LIBRARIES
    return name.split(".")[0] in LIBRARIES
