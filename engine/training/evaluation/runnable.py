"""Functions that can be run by themselves: they need nothing of their module but imports of what is everywhere.

They are tried in the sandbox on a few plain values; the calls that give a value, the same one every time, are what a
body written by a model is judged by. Examples in the docstring come first.
"""

from __future__ import annotations

import ast
import builtins
import doctest
import json
import random
import sys
from collections.abc import Iterator

from famulus.sandbox.launch import run
from famulus.sandbox.limits import Limits

_EVERYWHERE = """
abc array base64 binascii bisect calendar collections colorsys copy datetime decimal difflib enum fnmatch fractions
functools hashlib heapq html inspect io itertools json keyword math numbers numpy operator pathlib posixpath random re
shlex statistics string struct textwrap types typing unicodedata urllib warnings zlib
"""
LIBRARIES = frozenset(_EVERYWHERE.split())
"""What a function may import: all but one are of the standard library."""
VALUES = (
    "0", "1", "3", "-2", "7", "2.5", "'a'", "'Hello, World'", "'some_name-2.py'", "''", "b'ab\\x00'", "[3, 1, 2]",
    "['b', 'a', 'b']", "[]", "(1, 2)", "{'a': 1, 'b': 2}", "None", "True", "[[1, 2], [3, 4]]",
    "__import__('numpy').arange(6.0).reshape(2, 3)", "__import__('numpy').eye(3)",
)  # fmt: skip
TRIES, CALLS, LEAST = 60, 6, 3
"""Calls that are tried, that are kept, and that must be kept."""
SECONDS = 6.0
ABOVE = 3000
"""Characters of what a function needs of its module, at most."""

_NAMES = frozenset(dir(builtins))

PROGRAM = """
import contextlib, io, json, sys, warnings
warnings.simplefilter("ignore")
said = json.load(sys.stdin)
space, found = {"__name__": "module"}, []
with contextlib.redirect_stdout(io.StringIO()):
    try:
        exec(said["text"], space)
    except BaseException as error:
        said["calls"] = []
    for call in said["calls"]:
        try:
            value = repr(eval(call, space))
            found.append(value if value == repr(eval(call, space)) and " at 0x" not in value else None)
        except BaseException as error:
            found.append(None)
print(json.dumps(found))
"""


def values_of(text: str, calls: list[str]) -> list[str | None]:
    """The text of each call's value once ``text`` was run, in the sandbox; None for one that fails or changes.

    Raises :class:`SandboxError` where nothing protects the user.
    """
    limits = Limits(wall_seconds=4 * SECONDS, cpu_seconds=SECONDS)
    order = json.dumps({"text": text, "calls": calls}).encode()
    done = run([sys.executable, "-I", "-c", PROGRAM], stdin=order, limits=limits)
    try:
        found = json.loads(done.stdout.head + done.stdout.tail if done.ok else b"[]")
    except ValueError:
        found = []
    return [*found, *[None] * (len(calls) - len(found))]


def observed(text: str) -> tuple[tuple[str, str], ...]:
    """Calls of the function in ``text`` with the texts of their values, none where too few give one."""
    function = ast.parse(text).body[-1]
    assert isinstance(function, ast.FunctionDef)
    shown = [e.source.strip() for e in doctest.DocTestParser().get_examples(ast.get_docstring(function) or "")]
    tried = [call for call in shown if call.startswith(f"{function.name}(")] + list(_calls(function))
    tried = list(dict.fromkeys(tried))
    found = [(c, v) for c, v in zip(tried, values_of(text, tried), strict=True) if v is not None and len(v) <= 400]
    kept: list[tuple[str, str]] = []
    for call, value in found:  # what tells two bodies apart first
        if len(kept) < CALLS and value not in ("None", *(v for _, v in kept)):
            kept.append((call, value))
    return tuple(kept) if len(kept) >= LEAST else ()


def _calls(function: ast.FunctionDef) -> Iterator[str]:
    a = function.args
    needed = len(a.posonlyargs) + len(a.args) - len(a.defaults)
    if any(default is None for default in a.kw_defaults):
        return
    chance, several = random.Random(function.name), min(needed or 1, len(a.posonlyargs) + len(a.args))
    for at in range(TRIES if several else 0):
        first = [VALUES[at % len(VALUES)]] if several else []
        yield f"{function.name}({', '.join([*first, *(chance.choice(VALUES) for _ in range(several - 1))])})"


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
