"""Starts a worker process at the other end of a socketpair."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from dataclasses import dataclass, field
from typing import Any

from famulus.engine.channel import frame
from famulus.engine.threads import worker_environment

READ_AHEAD = 1 << 20
"""Bytes from the worker that are buffered before it has to wait."""


@dataclass(frozen=True)
class WorkerCommand:
    """How a worker is started. ``settings`` travel over the channel; ``core`` is ``module:Class`` or
    ``file.py:Class``."""

    settings: dict[str, Any] = field(default_factory=dict)
    core: str = "famulus.engine.core:Core"
    python: str = sys.executable

    def argv(self, fd: int) -> list[str]:
        """The command line; nothing secret is in it, because every user can read it."""
        return [self.python, "-P", "-m", "famulus.engine.worker", "--fd", str(fd), "--core", self.core]


async def spawn(
    command: WorkerCommand,
) -> tuple[asyncio.subprocess.Process, asyncio.StreamReader, asyncio.StreamWriter]:
    """Start a worker and send it its settings. Raises OSError where the interpreter cannot be started."""
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours, limit=READ_AHEAD)
        try:
            process = await asyncio.create_subprocess_exec(
                *command.argv(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                env=worker_environment(),
            )
        except BaseException:
            writer.close()
            raise
    writer.write(frame(json.dumps(command.settings).encode()))
    return process, reader, writer
