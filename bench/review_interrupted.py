"""Ctrl-C while a review calls functions: how soon the terminal is back, and which processes are left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from famulus.bench.engine import children
from famulus.bench.report import median
from famulus.bench.review_packages import Package, packages
from famulus.lsp_server.execution.mutants import mutants

_TIMES = 5
_WORKERS = 6
"""Processes below the command from which on functions are being called."""
_START, _BETWEEN, _END = 120.0, 0.7, 60.0
_LATER = 0.2
"""Seconds after the end of the command when its processes are looked for."""


@dataclass(frozen=True)
class _Ended:
    """Seconds from the signal to the end of the command; its processes before, and those of them that were left."""

    seconds: float
    processes: int
    left: int


def report(seed: int) -> str:
    """One sentence."""
    if not Path("/proc").is_dir():
        return "Ctrl-C was not measured: this system does not list processes in /proc."
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        package = packages(1)[0]
        _written(top, package, random.Random(seed))
        done = [_interrupted(top, _BETWEEN * number) for number in range(1, _TIMES + 1)]
    seconds = [each.seconds * 1000 for each in done]
    return (
        f"Ctrl-C while functions of {package} were called, {_TIMES} times: the terminal was back after "
        f"{median(seconds):.0f} ms, {max(seconds):.0f} ms at most (load {os.getloadavg()[0]:.1f}); of "
        f"{sum(each.processes for each in done)} processes {sum(each.left for each in done)} were left "
        f"{_LATER * 1000:.0f} ms later."
    )


def _written(top: Path, package: Package, dice: random.Random) -> None:
    """Two versions of the package: as it is, and with a mutant in each file."""
    for side in ("old", "new"):
        for path, content in package.files.items():
            file = top / side / path
            file.parent.mkdir(parents=True, exist_ok=True)
            some = [mutant for mutant in mutants(content.decode()) if mutant.function] if side == "new" else []
            file.write_bytes(dice.choice(some).source.encode() if some else content)


def _interrupted(top: Path, after: float) -> _Ended:
    """Starts the review and interrupts it ``after`` seconds of calling functions."""
    command = [sys.executable, "-P", "-m", "famulus", "review", "old", "new", "--rules", "witness"]
    home = {"FAMULUS_HOME": str(top / "home"), "XDG_CACHE_HOME": str(top / "home")}
    process = subprocess.Popen(
        [*command, "--python", sys.executable], cwd=top, env={**os.environ, **home}, stdout=subprocess.DEVNULL
    )
    until = time.monotonic() + _START
    while len(_below(process.pid)) < _WORKERS and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(after)
    before = {number: _born(number) for number in _below(process.pid)}
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.wait(_END)
    seconds = time.monotonic() - started
    time.sleep(_LATER)
    return _Ended(seconds, len(before), sum(born is not None and _born(n) == born for n, born in before.items()))


def _below(process: int) -> set[int]:
    """The processes that a process started, and those that they did."""
    own = children(process)
    return set(own).union(*map(_below, own))


def _born(process: int) -> str | None:
    """When a process started, which tells it from a later one of its number; None if it has ended."""
    fields = _fields(process)
    return fields[19] if fields and fields[0] != "Z" else None


def _fields(process: int) -> list[str]:
    """What the kernel tells of a process, from its state on; nothing if there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
