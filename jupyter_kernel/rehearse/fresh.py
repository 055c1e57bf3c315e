"""The kernel's side of :mod:`twin`: rehearsals where the kernel itself cannot be forked. Linux only."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from famulus.jupyter_kernel.candidate import Effect
from famulus.jupyter_kernel.rehearse import execute, travel, twin
from famulus.jupyter_kernel.rehearse.copy import Channels, Copy, anonymous_file

_IDLE_SECONDS = 300.0
_BOOT = """
import importlib.util, sys
package, control, parent = sys.argv[1:]
spec = importlib.util.spec_from_file_location("famulus", package + "/__init__.py", submodule_search_locations=[package])
sys.modules["famulus"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from famulus.jupyter_kernel.rehearse.twin import main
main(int(control), int(parent))
"""


class Twin:
    """A process that is started when it is first needed, and ended when it was not needed for some minutes."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._turn = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    async def copy(self, code: str, seconds: float, memory: int, allowed: Sequence[Effect]) -> Copy:
        """A child that runs ``code``. Raises :class:`travel.CannotTravel`, and :class:`OSError` if nothing can be
        started."""
        luggage = self._pack(code, seconds, memory, allowed)
        channels = Channels.open()
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            async with self._turn:
                pid = await self._ask([channels.theirs, channels.stdout, channels.stderr, writing, luggage])
        except BaseException:
            channels.close()
            os.close(reading)
            raise
        finally:
            for fd in (writing, luggage):
                os.close(fd)

        def collect() -> int:
            return int.from_bytes(os.read(reading, 4), "big")

        return Copy(pid, channels, memory, ended=reading, collect=collect)

    def close(self) -> None:
        """End the process and whatever runs in it."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._process is not None and self._socket is not None:
            self._socket.close()
            self._process.kill()
            self._process.wait()
        self._process = self._socket = None

    async def _ask(self, fds: Sequence[int]) -> int:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._start()
        if self._idle is not None:
            self._idle.cancel()
        loop = asyncio.get_running_loop()
        self._idle = loop.call_later(_IDLE_SECONDS, self.close)
        assert self._socket is not None
        try:
            socket.send_fds(self._socket, [b"run"], list(fds))
            answer = await loop.sock_recv(self._socket, 100)
        except BaseException:  # it may fork for somebody who has gone
            self.close()
            raise
        if not answer:
            self.close()
            raise OSError("the second process did not start")
        return int(answer)

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        package = str(Path(__file__).parents[2])
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _BOOT, package, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        ours.setblocking(False)
        self._socket = ours

    def _pack(self, code: str, seconds: float, memory: int, allowed: Sequence[Effect]) -> int:
        """An anonymous file with all that the child needs."""
        try:
            tree = execute.parse(self._shell, code)
        except (SyntaxError, ValueError):  # the child will say the same
            tree = execute.parse(self._shell, "")
        packed = travel.Packer(self._shell.user_ns).pack(tree)
        request = {
            "code": code,
            "memory": memory,
            "cpu_seconds": int(seconds * (os.cpu_count() or 1)) + 2,
            "allowed": [[effect.kind, effect.what] for effect in allowed],
            "path": sys.path,
            "cwd": os.getcwd(),
            "environ": dict(os.environ),
            "random": random.getstate(),
            "numpy": _numpy_state(),
        }
        header = json.dumps(request).encode()
        fd = anonymous_file("luggage")
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, fd)
            with os.fdopen(fd, "wb", closefd=False) as file:
                file.write(len(header).to_bytes(twin.HEADER, "big") + header)
                file.write(packed)
            undo.pop_all()
        return fd


def _numpy_state() -> list[Any] | None:
    numpy = sys.modules.get("numpy.random")
    if numpy is None:
        return None
    name, keys, *rest = numpy.get_state()
    return [name, keys.tolist(), *rest]
