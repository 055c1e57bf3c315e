"""A program for the sandbox: runs cells over their data and checks what they did.

It needs only the standard library. It reads one order a line, ``{"setup", "code", "check": [[imports, expression]],
"plot"}``, and answers each with a line, true or false. A cell runs in a process of its own, in an empty folder, for at
most :data:`SECONDS`.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import json
import os
import signal
import sys
import tempfile
import warnings
from typing import Any

SECONDS = 15
HEAVY = ("numpy", "pandas", "matplotlib.pyplot")
"""Loaded once, before processes part, where they are there."""


def holds(order: dict[str, Any]) -> bool:
    """Whether the cell does what its checks say; False where anything fails."""
    space: dict[str, Any] = {"__name__": "__main__"}
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            _run(order["setup"], space)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            space["result"] = _run(order["code"], space)
        space["stdout"] = out.getvalue()
        if order["plot"]:
            space["ax"] = importlib.import_module("matplotlib.pyplot").gca()
        with contextlib.redirect_stdout(io.StringIO()):
            for imports, expression in order["check"]:
                exec(imports, space)
                if not eval(expression, space):
                    return False
    except BaseException:  # whatever a model wrote may end as it likes
        return False
    return True


def _run(code: str, space: dict[str, Any]) -> object:
    """The value of the last expression, else of what was bound last."""
    body = ast.parse(code).body
    last = body[-1] if body else None
    if isinstance(last, ast.Expr):
        exec(compile(ast.Module(body[:-1], []), "<cell>", "exec"), space)
        return eval(compile(ast.Expression(last.value), "<cell>", "eval"), space)
    exec(compile(code, "<cell>", "exec"), space)
    if isinstance(last, ast.Assign) and isinstance(last.targets[0], ast.Name):
        return space[last.targets[0].id]
    return None


def apart(order: dict[str, Any]) -> bool:
    """:func:`holds` in another process."""
    child = os.fork()
    if not child:
        good = False
        try:
            signal.alarm(SECONDS)
            with tempfile.TemporaryDirectory() as folder:
                os.chdir(folder)
                good = holds(order)
                os.chdir("/")
        finally:
            os._exit(0 if good else 1)
    return os.waitpid(child, 0)[1] == 0


def main() -> None:
    """Answers orders until there are no more."""
    warnings.simplefilter("ignore")
    os.environ["MPLBACKEND"] = "agg"
    for name in HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(apart(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
