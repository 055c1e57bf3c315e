"""How soon the kernel answers an interrupt, at any stage and with a frozen engine; and what a rehearsal costs."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

from famulus.bench.notebook_kernel import KernelLost, Notebook
from famulus.bench.notebook_tasks import load
from famulus.bench.report import median, percentile, table
from famulus.engine.client import connect
from famulus.engine.errors import FamulusError
from famulus.engine.folders import folders
from famulus.engine.runtime import runtime_files

REHEARSALS = 20
# (what the kernel holds, the code that makes it, the goal)
HOLDINGS = (
    ("nothing", "", "-"),
    ("1 GB of numpy", "import numpy\nheld = numpy.ones(2**27)", "≤ 50 ms"),
    ("8 M Python objects", "held = [[] for _ in range(8_000_000)]", "≤ 150 ms"),
)
REHEARSE = """
import time as _time
from famulus.jupyter_kernel.rehearse import Rehearser as _Rehearser
_rehearser, _took = _Rehearser(get_ipython()), []
for _ in range({count}):
    _start = _time.perf_counter()
    _seen = await _rehearser.rehearse("1 + 1", seconds=30.0)
    _took.append(_time.perf_counter() - _start)
    assert _seen.status == "ok", _seen
"""


def rehearsals() -> str:
    """The table of what it costs to rehearse ``1 + 1``."""
    rows = []
    with Notebook() as notebook:
        for holding, code, goal in HOLDINGS:
            notebook.restart()
            notebook.prepare(code)
            notebook.python(REHEARSE.format(count=REHEARSALS))
            took = notebook.hidden("result = shell.user_ns['_took']")
            rows.append([holding, f"{1e3 * median(took):.0f} ms", f"{1e3 * max(took):.0f} ms", goal])
    return table(["a rehearsal while the kernel holds", "median", "longest", "goal for the median"], rows)


def interrupts(trials: int, seed: int = 1) -> str:
    """The table of interrupts: cells of words, stopped at a random moment; a share of them with a frozen engine."""
    rng = random.Random(seed)
    tasks = [task for task in load() if task.half == "seen" and task.group in ("values", "tables", "plots")]
    waits: dict[str, list[float]] = {}
    lost: list[str] = []
    with _home() as home, Notebook(home) as notebook:
        usual = _usual_seconds(notebook, tasks[0].steps[0].words, tasks[0].setup)
        while sum(map(len, waits.values())) < trials:
            task = rng.choice(tasks)
            frozen = sum(map(len, waits.values())) % 4 == 3
            try:
                notebook.prepare(task.setup)
                with _frozen_engine(home if frozen else None) as has_frozen:
                    wait, stage = notebook.interrupted(task.steps[0].words, rng.uniform(0.0, usual))
                notebook.python("1 + 1")
            except (KernelLost, RuntimeError) as error:
                lost.append(str(error))
                waits.setdefault("kernel lost", []).append(float("inf"))
                notebook.restart()
                continue
            if wait is None:
                usual *= 0.98  # it was done before; the next is stopped a little earlier
            else:
                waits.setdefault(stage + (", engine frozen" if has_frozen else ""), []).append(wait)
                usual *= 1.005
    every = [wait for some in waits.values() for wait in some]
    rows = [_stage(stage, some) for stage, some in sorted(waits.items())] + [_stage("**all**", every)]
    below = f"\nGoal: p99 ≤ 250 ms. Kernels that were lost, or whose next cell failed: {len(lost)}."
    below += "".join(f"\n- {reason}" for reason in sorted(set(lost)))
    return table(["interrupted while", "n", "median", "p99", "longest"], rows) + below


def _stage(stage: str, waits: list[float]) -> list[object]:
    return [stage, len(waits), *(f"{1e3 * t:.0f} ms" for t in (median(waits), percentile(waits, 0.99), max(waits)))]


def _usual_seconds(notebook: Notebook, words: str, setup: str) -> float:
    """How long a cell of words takes once everything is loaded."""
    notebook.prepare(setup)
    notebook.cell(words)
    return notebook.cell(words).seconds


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    """A home of the bench's own: an engine that serves somebody else must not be frozen. Its engine is ended."""
    home = Path(tempfile.mkdtemp(prefix="fam"))
    try:
        yield home
    finally:
        with contextlib.suppress(FamulusError), connect(home, start=False) as client:
            client.shutdown()
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def _frozen_engine(home: Path | None) -> Iterator[bool]:
    """The engine of ``home`` and its worker stand still; tells whether there is one."""
    pids = _engine(home) if home is not None else []
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield bool(pids)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _engine(home: Path) -> list[int]:
    try:
        notice = json.loads(runtime_files(folders(home)).notice.read_text(encoding="utf-8"))
        server = int(notice["pid"])
        children = (Path(f"/proc/{server}/task") / str(server) / "children").read_text().split()
    except (OSError, ValueError, KeyError):
        return []
    return [server, *map(int, children)]
