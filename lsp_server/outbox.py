"""What waits to be written to one client: bounded, so that a client that never reads costs a connection, not memory."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

log = logging.getLogger("famulus.lsp")

LIMIT_BYTES = 16 << 20
"""More than any answer has; a client that is so far behind does not read."""


class Outbox:
    """A queue in front of ``write``, which takes one message and returns when there is room for the next.

    ``broken`` is called once, when writing fails or the client is too far behind.
    """

    def __init__(
        self, write: Callable[[bytes], Awaitable[None]], broken: Callable[[], None], limit: int = LIMIT_BYTES
    ) -> None:
        self._write, self._broken, self._limit = write, broken, limit
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._more = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._lost = False
        self._task = asyncio.get_running_loop().create_task(self._run())

    def send(self, body: bytes) -> None:
        """Queue a message; after a failure it is dropped."""
        if self._lost:
            return
        if self._bytes + len(body) > self._limit and self._waiting:
            log.warning("the client does not read what it is sent; its connection is closed")
            self._lose()
            return
        self._waiting.append(body)
        self._bytes += len(body)
        self._empty.clear()
        self._more.set()

    async def drain(self, seconds: float) -> None:
        """Wait until all is written, but no longer than ``seconds``."""
        if not self._lost:
            await asyncio.wait([asyncio.ensure_future(self._empty.wait())], timeout=seconds)

    async def close(self) -> None:
        """Drop what waits."""
        self._lost = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while True:
                await self._more.wait()
                self._more.clear()
                while self._waiting:
                    await self._write(self._waiting[0])
                    self._bytes -= len(self._waiting.popleft())
                self._empty.set()
        except OSError as error:
            log.info("the client left: %s", error.strerror or type(error).__name__)
            self._lose()

    def _lose(self) -> None:
        self._lost = True
        self._waiting.clear()
        self._empty.set()
        self._broken()
