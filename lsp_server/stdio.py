"""Standard input and output of this process as a wire.

Threads read and write, because nothing else works with pipes, files and consoles on every system; setting the pipes
non-blocking would change them for the editor as well.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading

from famulus.lsp_server.connection import Streamed
from famulus.lsp_server.framing import frame

CHUNK = 1 << 16
AHEAD = 16
"""Chunks that may be read before they are looked at."""


class Stdio:
    """The wire of ``famulus lsp`` without options (:class:`famulus.lsp_server.connection.Wire`)."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # What anybody prints by mistake must not land between the messages.
        self._in = os.dup(sys.stdin.fileno())
        self._out = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = threading.Semaphore(AHEAD)
        self._jobs: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]]] = queue.SimpleQueue()
        self.bodies = Streamed(self._read).bodies()
        for work in (self._pump_in, self._pump_out):
            threading.Thread(target=work, name=f"stdio{work.__name__}", daemon=True).start()

    async def write(self, body: bytes) -> None:
        """Write one message. Raises OSError."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._jobs.put((frame(body), done))
        await done

    async def close(self) -> None:
        """Nothing to do: the process ends with its one client, and the threads with it."""

    async def _read(self) -> bytes:
        chunk = await self._chunks.get()
        self._room.release()
        return chunk

    def _pump_in(self) -> None:
        while True:
            self._room.acquire()
            try:
                chunk = os.read(self._in, CHUNK)
            except OSError:
                chunk = b""
            if not self._tell(self._chunks.put_nowait, chunk) or not chunk:
                return

    def _pump_out(self) -> None:
        while True:
            data, done = self._jobs.get()
            error: OSError | None = None
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(self._out, rest) :]
            except OSError as failed:
                error = failed
            if not self._tell(_finish, done, error):
                return

    def _tell(self, act: object, *arguments: object) -> bool:
        """Call ``act`` on the loop; false when that has ended."""
        try:
            self._loop.call_soon_threadsafe(act, *arguments)  # type: ignore[arg-type]
        except RuntimeError:
            return False
        return True


def _finish(done: asyncio.Future[None], error: OSError | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
