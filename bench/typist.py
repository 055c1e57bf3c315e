"""The typist of the replay benchmarks: real functions of the standard library, key by key, at a seeded pace."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MODULES = (
    "argparse",
    "calendar",
    "configparser",
    "csv",
    "fractions",
    "heapq",
    "shlex",
    "statistics",
    "string",
    "textwrap",
)
PAUSE = 0.18
"""Median seconds between two keys of a person."""


@dataclass(frozen=True)
class Function:
    """A function of a file: everything before its body, the body that is typed, everything after.

    The body is typed on a line of its own: ``after`` begins with a line break.
    """

    name: str
    path: str
    before: str
    body: str
    after: str


def functions(count: int, seed: int, modules: Sequence[str] = MODULES) -> list[Function]:
    """Functions of 120 to 500 characters of body from the standard library, the same for a seed and Python version."""
    found = []
    for module in modules:
        path = Path(ast.__file__).parent / f"{module.replace('.', '/')}.py"
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines(keepends=True)
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef):
                continue
            body = [n for n in node.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
            if not body or body[0].end_lineno is None or node.end_lineno is None:
                continue
            first, end = body[0].lineno - 1, node.end_lineno
            typed = "".join(lines[first:end])
            if 120 <= len(typed) <= 500:
                name = f"{module}.{node.name}"
                after = "\n" + "".join(lines[end:])
                found.append(Function(name, path.name, "".join(lines[:first]), typed.rstrip("\n"), after))
    return random.Random(seed).sample(found, count)


def keys(body: str) -> list[str]:
    """One entry per key: a character, or a newline with the indentation that the editor adds."""
    found: list[str] = []
    for line in body.splitlines(keepends=True):
        text = line.lstrip(" ")
        indent = line[: len(line) - len(text)]
        if found:
            found[-1] += indent
        else:
            found.append(indent)
        found += list(text)
    return [k for k in found if k]


def pauses(seed: int, median: float = PAUSE) -> Iterator[float]:
    """Seconds to wait after each key: log-normal around ``median``, without end."""
    dice = random.Random(seed)
    while True:
        yield dice.lognormvariate(0, 0.5) * median
