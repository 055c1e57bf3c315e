"""Starts a worker process at the other end of a socketpair. Standard library only."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from famulus.engine.threads import worker_environment

CORE = "famulus.engine.core:Core"


@dataclass(frozen=True)
class WorkerCommand:
    """How a worker is started. ``settings`` travel over the channel; ``core`` is ``module:Class`` or
    ``file.py:Class``."""

    settings: dict[str, Any] = field(default_factory=dict)
    core: str = CORE
    python: str = sys.executable


class WorkerProcess:
    """A started worker and our end of its channel."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self.pid, self.channel, self._process = process.pid, channel, process

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def end(self) -> None:
        """Kill it, wait until it is gone, and close the channel."""
        self._process.kill()
        self._process.wait()
        self.channel.close()

    async def wait(self) -> None:
        """Wait until it has ended (in a thread: any event loop on any platform)."""
        await asyncio.to_thread(self._process.wait)


def start_worker(python: str, core: str) -> WorkerProcess:
    """Start a worker, which imports ``core`` and then waits for its settings, the first frame on the channel. Raises
    OSError where the interpreter cannot be started.

    Nothing secret is on the command line, because every user can read it.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        fd = theirs.fileno()
        try:
            process = subprocess.Popen(
                [python, "-P", "-m", "famulus.engine.worker", "--fd", str(fd), "--core", core],
                pass_fds=(fd,),
                stdin=subprocess.DEVNULL,
                env=worker_environment(),
            )
        except BaseException:
            ours.close()
            raise
    return WorkerProcess(process, ours)


@contextlib.contextmanager
def early_worker(core: str = CORE) -> Iterator[WorkerProcess | None]:
    """A worker that gets ready beside the server, for :class:`famulus.engine.supervisor.Supervisor`; ended at the exit,
    whoever took it. None where it cannot be started: the supervisor meets the same error, and reports it."""
    try:
        worker = start_worker(sys.executable, core)
    except OSError:
        yield None
        return
    try:
        yield worker
    finally:
        worker.end()
