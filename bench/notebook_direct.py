"""Runs code as cells without a kernel, and judges it: ``python -P notebook_direct.py`` reads orders, a line each.

An order is ``{"id": ..., "setup": ..., "cells": [{"code", "check", "changes", "writes"} or {"code"}]}``; the answer is
``{"why": [...], "violations": [...]}`` with one entry per cell (None for a cell without a check). A cell with ``words``
and no ``code`` runs the first code that the recipes propose for them after the cells before; the answer's ``code`` is
the code that ran last. Each order runs in an empty folder and an empty namespace. A cell that takes longer than
``SECONDS`` has failed.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from famulus.bench.notebook_check import Watch
from famulus.bench.notebook_tasks import Step, Task
from famulus.jupyter_kernel import provenance
from famulus.jupyter_kernel.before import Before, whole
from famulus.jupyter_kernel.candidate import Candidate
from famulus.jupyter_kernel.follow import Previous
from famulus.jupyter_kernel.look import look
from famulus.jupyter_kernel.schema import Schema
from famulus.jupyter_kernel.slots import propose

SECONDS = 10


def verdicts(orders: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The answers to orders, from one subprocess; one that dies is replaced, and its order has failed."""
    process: subprocess.Popen[str] | None = None
    try:
        for order in orders:
            process = process or subprocess.Popen(
                [sys.executable, "-P", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "MPLBACKEND": "Agg", "PYTHONWARNINGS": "ignore"},
            )
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if line:
                yield json.loads(line)
            else:
                process.wait()
                process = None
                yield {"why": ["the process died"] * len(order["cells"]), "violations": [[]] * len(order["cells"])}
    finally:
        if process is not None:
            process.communicate()


def order(task: Task, at: int | None = None, code: str = "") -> dict[str, Any]:
    """A task as an order: the references of its words, or up to the step ``at``, which is done by ``code`` or, where
    that is "", by what the recipes propose."""
    cells = [_cell(step) for step in task.steps[: None if at is None else at + 1]]
    if at is not None and code:
        cells[-1]["code"] = code
    elif at is not None:
        del cells[-1]["code"]
    return {"id": task.id, "setup": task.setup, "cells": cells}


def _cell(step: Step) -> dict[str, Any]:
    if not step.words:
        return {"code": step.python}
    judged = {"check": step.check, "changes": list(step.changes), "writes": list(step.writes)}
    return {"words": step.words, "code": step.reference, **judged}


def answer(task: dict[str, Any]) -> dict[str, Any]:
    """Runs the cells of an order one after the other in this process."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    past = _Past()
    past.add(task["setup"], _run(task["setup"], namespace))
    why: list[str | None] = []
    violations: list[list[str]] = []
    code = ""
    for cell in task["cells"]:
        schema, words = past.schema(namespace), cell.get("words", "")
        code = cell["code"] if "code" in cell else past.proposed(words, schema)
        watch = Watch(namespace)
        failure, value = "", None
        try:
            value = _run(code, namespace)
            if value is not None:
                watch.shown.append(value)
        except (Exception, SystemExit) as error:  # code under judgement may do anything
            failure = f"{type(error).__name__}: {error}"
        finally:
            watch.stop()
        past.add(code, value, words, schema)
        judged = "check" in cell
        why.append((failure or watch.judge(cell["check"])) if judged else failure or None)
        violations.append(watch.violations(cell["changes"], cell["writes"]) if judged else [])
        _close_figures()
    return {"why": why, "violations": violations, "code": code}


class _Past:
    """The cells that have run, as the kernel remembers them for the words that come next."""

    def __init__(self) -> None:
        self._cells = [""]
        self._values: dict[int, object] = {}
        self._said: dict[int, str] = {}
        self._before = Before()

    def schema(self, namespace: dict[str, Any]) -> Schema:
        """The namespace with the numbers of the cells that bound its names."""
        order = {name: number for number, code in enumerate(self._cells) for name in provenance.bound(code)}
        return look(namespace, {"__name__", "__builtins__"}, order)

    def proposed(self, words: str, schema: Schema) -> str:
        """What the recipes propose first, the names of the namespace filled in; a comment where they have nothing."""
        found = propose(words, schema, previous=self._previous())
        return found[0].code if found else "# nothing"

    def add(self, code: str, value: object, words: str = "", schema: Schema | None = None) -> None:
        """A cell has run. ``words`` are those that it stands for, "" for one of Python; ``schema`` is from before."""
        previous = self._previous()
        self._cells.append(code)
        if value is not None:
            self._values[len(self._cells) - 1] = value
        if words and schema is not None:
            self._said[len(self._cells) - 1] = whole(words, schema, previous, Candidate(code, "recording"))

    def _previous(self) -> Previous:
        return self._before.after(self._cells, self._values, self._said)


def _run(code: str, namespace: dict[str, Any]) -> object:
    """Runs a cell; the value of a last expression is its value."""
    tree = ast.parse(code)
    last = tree.body[-1] if tree.body else None
    value = last.value if isinstance(last, ast.Expr) else None
    if value is not None:
        tree.body.pop()
    with contextlib.redirect_stdout(io.StringIO()), _limit():
        exec(compile(tree, "<cell>", "exec"), namespace)
        return eval(compile(ast.Expression(value), "<cell>", "eval"), namespace) if value is not None else None


@contextlib.contextmanager
def _limit() -> Iterator[None]:
    def late(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {SECONDS} seconds")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _close_figures() -> None:
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")


def main() -> None:
    """Answers orders until the input ends."""
    home = Path.cwd()
    out = sys.stdout
    sys.stdout = io.StringIO()
    for line in sys.stdin:
        with tempfile.TemporaryDirectory(prefix="famulus-bench-") as folder:
            os.chdir(folder)
            try:
                reply = answer(json.loads(line))
            finally:
                os.chdir(home)
        out.write(json.dumps(reply) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
