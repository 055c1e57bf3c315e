"""The life of one connection, whatever it runs over: messages in, messages out, and a clean end in every case."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from famulus.lsp_server.framing import BODY_BYTES, BrokenFraming, Frames
from famulus.lsp_server.link import EngineLink
from famulus.lsp_server.outbox import Outbox
from famulus.lsp_server.server import FamulusServer, create

log = logging.getLogger("famulus.lsp")

SILENT_SECONDS = 0.8
"""Without a byte in the middle of a message: whoever begins one ends it, so a longer silence means that the place is
lost. (An editor that is stopped in the middle of a write loses its server too; the time of a suspended machine does not
count.)"""
BODY_SECONDS = 10.0
"""The same once :data:`LARGE` bytes of a body have come: the pipe was full, and the editor writes on when it can."""
LARGE = 16 << 10
GRACE_SECONDS = 0.05
"""After a deadline: where this process was held up itself, what lies ready still counts."""
FRAME_SECONDS = 10.0
"""For a whole message on a socket, where anybody may knock."""
DRAIN_SECONDS = 1.0


class Wire(Protocol):
    """A connection that is open: bodies come in, bodies go out."""

    bodies: AsyncIterator[bytes]
    """The bodies of messages until the client leaves. Raises :class:`BrokenFraming`, OSError."""

    @property
    def greeted(self) -> bool:
        """Whether the client has the answer to its ``initialize`` already, when that comes out of :attr:`bodies`."""

    async def write(self, body: bytes) -> None:
        """Write one message; returns when there is room for the next. Raises OSError."""

    async def close(self) -> None:
        """Let go of it. Idempotent."""


class _Outlet:
    """The protocol's way out; ``over`` is set when nothing more will be read."""

    def __init__(self, wire: Wire) -> None:
        self.over = asyncio.Event()
        self.outbox = Outbox(wire.write, self.over.set)

    def send(self, body: bytes) -> None:
        self.outbox.send(body)

    def end(self) -> None:
        self.over.set()


class Connection:
    """One client: its wire, its server, its end."""

    def __init__(self, link: EngineLink, wire: Wire) -> None:
        self.server: FamulusServer = create(link)
        self._wire = wire
        self._outlet = _Outlet(wire)
        self.server.protocol.outlet = self._outlet
        self.server.protocol.greeted = lambda: wire.greeted

    def end(self) -> None:
        """Leave, as when the client does. Idempotent."""
        self._outlet.end()

    async def run(self, first: bytes | None = None) -> int:
        """Serve until the client leaves, and let go of everything; the exit status of a process that served only it.

        ``first``: a message that was taken off the wire already.
        """
        reading = asyncio.create_task(self._read(first))
        over = asyncio.create_task(self._outlet.over.wait())
        try:
            await asyncio.wait({reading, over}, return_when=asyncio.FIRST_COMPLETED)
            status = reading.result() if reading.done() else self.server.protocol.exit_status
            return 1 if status is None else status
        finally:
            for task in (reading, over):
                task.cancel()
            await asyncio.gather(reading, over, return_exceptions=True)
            await self._close()

    async def _read(self, first: bytes | None) -> int | None:
        protocol = self.server.protocol
        if first is not None:
            protocol.receive(first)
        try:
            async for body in self._wire.bodies:
                protocol.receive(body)
                # A request starts to run before the next message can change what it is about.
                await asyncio.sleep(0)
        except BrokenFraming as error:
            log.error("the connection ends: %s", error)
            return 1
        except OSError as error:
            log.info("the client left: %s", error.strerror or type(error).__name__)
        return protocol.exit_status

    async def _close(self) -> None:
        await self._outlet.outbox.drain(DRAIN_SECONDS)
        self.server.protocol.lose()
        await self.server.session.close()
        await self._outlet.outbox.close()
        with contextlib.suppress(OSError):
            await self._wire.close()


class Streamed:
    """The bodies of a stream of bytes. ``read`` returns some bytes, none at the end."""

    def __init__(
        self, read: Callable[[], Awaitable[bytes]], *, limit: int = BODY_BYTES, whole_seconds: float | None = None
    ) -> None:
        self._read, self._whole = read, whole_seconds
        self.frames = Frames(limit)

    async def bodies(self) -> AsyncIterator[bytes]:
        """For :class:`Wire`."""
        loop = asyncio.get_running_loop()
        began: float | None = None
        while True:
            if self.frames.begun:
                began = loop.time() if began is None else began
                data = await self._soon(self._patience(loop.time() - began))
            else:
                data = await self._read()
            if not data:
                if self.frames.begun:
                    raise BrokenFraming("The client left in the middle of a message.")
                return
            for body in self.frames.feed(data):
                began = None
                yield body

    def _patience(self, passed: float) -> float:
        """Seconds until the next bytes of a message must be there, of which the first came ``passed`` seconds ago."""
        patience = BODY_SECONDS if self.frames.body_bytes >= LARGE else SILENT_SECONDS
        return patience if self._whole is None else max(0.0, min(patience, self._whole - passed))

    async def _soon(self, seconds: float) -> bytes:
        """The next bytes. Raises :class:`BrokenFraming` where there are none within ``seconds``."""
        reading = asyncio.ensure_future(self._read())
        try:
            if not (await asyncio.wait({reading}, timeout=seconds))[0]:
                await asyncio.wait({reading}, timeout=GRACE_SECONDS)
            if reading.done():
                return reading.result()
        finally:
            reading.cancel()
        raise BrokenFraming("A message was begun and not ended.")
