"""Which mutants a caller could see, told by other means than the review's own.

Each mutant alone in a copy of its package, in the sandbox: a small program that uses the package as its manual shows
it, and the function itself with arguments that plain Hypothesis makes of its annotations.
"""

from __future__ import annotations

import importlib.util
import json
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from famulus import sandbox
from famulus.bench import review_visible_worker
from famulus.bench.review_packages import Package, dotted
from famulus.bench.review_usage import USAGE
from famulus.lsp_server.execution.mutants import Mutant

_AT_ONCE = 2
_STORAGE = "HYPOTHESIS_STORAGE_DIRECTORY"
Key = tuple[str, str]
"""Path, and dotted name of the function."""


def tables(folder: Path) -> Path:
    """``folder`` with the tables of characters that Hypothesis makes once, and would make anew in each sandbox."""
    code = "from hypothesis import given, strategies as st; given(st.text())(lambda text: None)()"
    variables = {**os.environ, _STORAGE: str(folder)}
    subprocess.run([sys.executable, "-P", "-c", code], env=variables, check=True, cwd=folder)
    return folder


def visible(package: Package, mutants: Mapping[Key, Mutant], storage: Path) -> dict[Key, str]:
    """By what each mutant was seen, in a few words; those that were not are absent. ``storage``: :func:`tables`."""
    if not mutants:
        return {}
    with tempfile.TemporaryDirectory(prefix="famulus-bench-") as name:
        top = Path(name).resolve()
        old = _written(package, top / "old")
        jobs = []
        for number, (key, mutant) in enumerate(mutants.items()):
            root = top / str(number)
            shutil.copytree(old, root)
            (root / key[0]).write_text(mutant.source)
            jobs.append({"module": dotted(key[0]), "name": key[1], "root": str(root)})
        seen = _answers({"program": USAGE.get(package.name, ""), "old": str(old)}, jobs, top, storage)
    return {key: words for key, words in zip(mutants, seen, strict=True) if words}


def _written(package: Package, root: Path) -> Path:
    """The package as it is installed, with its data."""
    spec = importlib.util.find_spec(package.name)
    installed = Path((spec.submodule_search_locations or [""])[0] if spec else "")
    shutil.copytree(installed, root / installed.name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    for file in root.rglob("*.py"):
        py_compile.compile(str(file), doraise=False, quiet=2)
    return root


def _answers(task: Mapping[str, Any], jobs: Sequence[Mapping[str, Any]], top: Path, storage: Path) -> list[str]:
    """What came out of each job; nothing for those that were lost."""
    worker = Path(review_visible_worker.__file__)
    limits = sandbox.Limits(wall_seconds=600, cpu_seconds=None, output_bytes=1 << 28, processes=48)

    def run(some: Sequence[Mapping[str, Any]]) -> list[str]:
        done = sandbox.run(
            [sys.executable, "-s", "-B", str(worker)],
            project=top,
            readable=[worker.parent, storage],
            stdin=json.dumps({**task, "jobs": list(some)}).encode(),
            env={"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1", "TZ": "UTC", _STORAGE: str(storage)},
            limits=limits,
        )
        lines = [str(json.loads(line)["seen"]) for line in done.stdout.text.splitlines() if line.startswith("{")]
        return [*lines, *[""] * (len(some) - len(lines))]

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        parts = list(pool.map(run, [jobs[n::_AT_ONCE] for n in range(_AT_ONCE)]))
    return [parts[n % _AT_ONCE][n // _AT_ONCE] for n in range(len(jobs))]
