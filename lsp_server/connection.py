"""The life of one connection, whatever it runs over: messages in, messages out, and a clean end in every case."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from math import inf
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
LARGE = 16 << 10
"""Bytes of a body. Where so many have come already, the pipe was full, and a busy editor may write on later: after the
same silence it is told, and what it writes then is taken as the rest, or as the next message if it begins like one."""
BODY_SECONDS = 10.0
"""Without a byte after it was told."""
CUT_OFF = b""
"""Stands for a message that did not come to its end. No JSON is empty, so it is answered as what cannot be read."""
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
        """For :class:`Wire`; :data:`CUT_OFF` for what was cut off, if what follows can be understood."""
        loop = asyncio.get_running_loop()
        began: float | None = None
        told = False
        reading: asyncio.Future[bytes] | None = None
        try:
            while True:
                reading = reading or asyncio.ensure_future(self._read())
                if not self.frames.begun:
                    began, told = None, False
                    await reading
                elif not await _soon(reading, self._patience(began := began or loop.time(), told)):
                    if self.frames.resume():
                        began, told = None, False
                    elif told or not self._may_go_on(began):
                        raise BrokenFraming("A message was begun and not ended.")
                    else:
                        told = True
                    yield CUT_OFF
                    for body in self.frames.feed(b""):
                        yield body
                    continue
                data, reading = reading.result(), None
                if not data:
                    self._check_end()
                    return
                for body in self.frames.feed(data, doubtful=told):
                    began, told = None, False
                    yield body
        finally:
            if reading is not None:
                reading.cancel()

    def _patience(self, began: float, told: bool) -> float:
        """Seconds until the next bytes of a message must be there that began at ``began``."""
        return min(BODY_SECONDS if told else SILENT_SECONDS, self._left(began))

    def _left(self, began: float) -> float:
        """Seconds until a message must be whole."""
        return inf if self._whole is None else max(0.0, began + self._whole - asyncio.get_running_loop().time())

    def _may_go_on(self, began: float) -> bool:
        return self.frames.body_bytes >= LARGE and self._left(began) > 0

    def _check_end(self) -> None:
        if self.frames.begun:
            raise BrokenFraming("The client left in the middle of a message.")


async def _soon(reading: asyncio.Future[bytes], seconds: float) -> bool:
    """Whether there is something to read within ``seconds``."""
    if not (await asyncio.wait({reading}, timeout=seconds))[0]:
        await asyncio.wait({reading}, timeout=GRACE_SECONDS)
    return reading.done()
