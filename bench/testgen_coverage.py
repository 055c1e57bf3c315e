"""Lines and branches of functions that a test file reaches, as coverage.py counts them, in the sandbox."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from famulus import sandbox

Parts = tuple[tuple[int, int], tuple[int, int]]
"""Lines reached and in all, branches reached and in all."""

_RUN = """
import os, subprocess, sys, tempfile
out = tempfile.mkdtemp()
data, found = os.path.join(out, "data"), os.path.join(out, "found")
measured, tests = sys.argv[1:]
options = ["run", "--branch", "--data-file=" + data, "--include=" + measured, "-m", "pytest", "-q"]
off = ["-p", "no:cacheprovider", "-p", "no:rerunfailures"]  # the last one would open a socket
for command in ([*options, *off, tests], ["json", "-q", "--data-file=" + data, "-o", found]):
    subprocess.run([sys.executable, "-m", "coverage", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(open(found).read())
"""
_WALL = 60.0


def reached(package: Path, folder: Path, place: str, path: str) -> dict[str, Parts]:
    """By dotted name of each function of ``path``; empty if the tests could not be run so. ``package``: where coverage
    is installed, ``folder``: the project with its tests at ``place``."""
    told = output(
        [sys.executable, "-c", _RUN, str(folder / path), place],
        folder,
        [package],
        {"PYTHONPATH": f"{package}:{folder}", "PYTHONDONTWRITEBYTECODE": "1"},
        sandbox.Limits(wall_seconds=_WALL, output_bytes=1 << 26, processes=128),
    )
    try:
        files = json.loads(told)["files"]
    except (ValueError, KeyError):
        return {}
    found = {}
    for file in files.values():
        for name, region in file.get("functions", {}).items():
            summary = region["summary"]
            lines = (int(summary["covered_lines"]), int(summary["num_statements"]))
            found[name] = (lines, (int(summary.get("covered_branches", 0)), int(summary.get("num_branches", 0))))
    return found


def output(
    command: Sequence[str], folder: Path, readable: Sequence[Path], variables: Mapping[str, str], limits: sandbox.Limits
) -> str:
    """All that a program prints in the sandbox."""
    with sandbox.spawn(
        command, project=folder, readable=readable, env=variables, limits=limits, stdin=False
    ) as process:  # fmt: skip
        assert process.stdout is not None
        return process.stdout.read().decode("utf-8", "replace")
