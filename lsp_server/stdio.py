"""Standard input and output as a wire."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading

from famulus.lsp_server.connection import Streamed
from famulus.lsp_server.framing import frame
from famulus.lsp_server.pipes import Pipes


class Stdio:
    """The wire of ``famulus lsp`` without options (:class:`famulus.lsp_server.connection.Wire`)."""

    def __init__(self, pipes: Pipes) -> None:
        self._loop = asyncio.get_running_loop()
        self._pipes = pipes
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._jobs: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]]] = queue.SimpleQueue()
        self.bodies = Streamed(self._read).bodies()
        pipes.attach(lambda chunk: self._tell(self._chunks.put_nowait, chunk))
        threading.Thread(target=self._pump_out, name="stdio", daemon=True).start()

    @property
    def greeted(self) -> bool:
        """Whether ``initialize`` was answered before it was read from here."""
        return self._pipes.greeted

    async def write(self, body: bytes) -> None:
        """Write one message. Raises OSError."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._jobs.put((frame(body), done))
        await done

    async def close(self) -> None:
        """Nothing to do: the process ends with its one client, and the threads with it."""

    async def _read(self) -> bytes:
        chunk = await self._chunks.get()
        self._pipes.taken()
        return chunk

    def _pump_out(self) -> None:
        while True:
            data, done = self._jobs.get()
            error: OSError | None = None
            try:
                self._pipes.write(data)
            except OSError as failed:
                error = failed
            self._tell(_finish, done, error)

    def _tell(self, act: object, *arguments: object) -> None:
        """Call ``act`` on the loop, unless that has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(act, *arguments)  # type: ignore[arg-type]


def _finish(done: asyncio.Future[None], error: OSError | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
