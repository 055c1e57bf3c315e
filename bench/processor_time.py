"""Processor seconds of a program with everything that it starts, also of what is killed and of what a sandbox hides."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]

_EVERY = 0.03  # seconds between two looks; what a process uses between the last look and its end may be missed


@dataclass(frozen=True)
class Run:
    """A program that has ended. ``wall`` and ``processor`` in seconds."""

    output: bytes
    wall: float
    processor: float


@dataclass
class _Watch:
    """Adds up what the processes below one have used: the kernel tells a parent nothing of children that it did not
    wait for, as of those that end with their sandbox."""

    top: psutil.Process
    lost: float = 0.0
    _seen: dict[int, tuple[int, float]] = field(default_factory=dict)  # process: its parent and what it has used

    def look(self) -> None:
        """Take note of all that run now, and of what is gone."""
        now: dict[int, tuple[int, float]] = {}
        for process in self.top.children(recursive=True):
            try:
                used = process.cpu_times()
                children = used.children_user + used.children_system
                now[process.pid] = (process.ppid(), used.user + used.system + children)
            except (psutil.Error, OSError):
                continue
        for number, (parent, used_up) in self._seen.items():
            # What a living parent waited for is in the parent's own figure, and in that of whoever waits for it.
            if number not in now and parent not in now and parent != self.top.pid:
                self.lost += used_up
        self._seen = now


@dataclass
class Used:
    """What a part of this process used, known when it is over. ``wall`` and ``processor`` in seconds."""

    wall: float = 0.0
    processor: float = 0.0


@contextlib.contextmanager
def used() -> Iterator[Used]:
    """Measure what is done inside, by this process and by all that it starts meanwhile."""
    found = Used()
    with _watching(psutil.Process()) as watch:
        started, before = time.perf_counter(), os.times()
        yield found
        found.wall, after = time.perf_counter() - started, os.times()
    found.processor = sum(after[:4]) - sum(before[:4]) + watch.lost


@contextlib.contextmanager
def _watching(top: psutil.Process) -> Iterator[_Watch]:
    """Look at the processes below one again and again."""
    watch, done = _Watch(top), threading.Event()

    def watching() -> None:
        while not done.wait(_EVERY):
            try:
                watch.look()
            except psutil.Error:
                return

    thread = threading.Thread(target=watching)
    thread.start()
    try:
        yield watch
    finally:
        done.set()
        thread.join()


def run(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Run:
    """Run a program to its end. Raises :class:`subprocess.CalledProcessError` if it fails."""
    started = time.perf_counter()
    before = os.times()
    with (
        subprocess.Popen(
            command, cwd=folder, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
        _watching(psutil.Process(process.pid)) as watch,
    ):
        output, errors = process.communicate()
    wall, after = time.perf_counter() - started, os.times()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command), output, errors)
    waited = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    return Run(output, wall, waited + watch.lost)
