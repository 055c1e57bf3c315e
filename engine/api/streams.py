"""``/v1/stream``: one WebSocket per front end, many requests at once, cancelled by their ids.

Messages are strict MessagePack of :mod:`famulus.engine.protocol`, one struct per binary frame. The handshake
carries the protocol version as subprotocol; the gate answers any other one with one sentence.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from famulus.engine.api.services import Services
from famulus.engine.connections import transport_of
from famulus.engine.errors import FamulusError, InvalidRequest
from famulus.engine.protocol import SUBPROTOCOL, Cancel, Event, encode, request_decoder
from famulus.engine.tickets import SLOW_SECONDS, Ticket, Work, failure

log = logging.getLogger("famulus.api")

GENERATION_HEADER = b"famulus-generation"
UNSUPPORTED_DATA, POLICY_VIOLATION = 1003, 1008


class _AnyId(msgspec.Struct):
    """What can still be read of a message that is wrong elsewhere."""

    id: str = ""


class Streams:
    """The WebSocket route."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[WebSocketRoute]:
        return [WebSocketRoute("/v1/stream", self.serve)]

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one front end until it goes."""
        generation = self._services.status().generation.encode()
        await websocket.accept(SUBPROTOCOL, [(GENERATION_HEADER, generation)])
        await Session(self._services, websocket).run()


class Session:
    """One connection: its open tickets by the client's ids. All end with it."""

    def __init__(self, services: Services, websocket: WebSocket, *, slow_seconds: float = SLOW_SECONDS) -> None:
        self._services = services
        self._websocket = websocket
        self._slow_seconds = slow_seconds
        self._tickets: dict[str, Ticket] = {}

    async def run(self) -> None:
        """Read messages until the client goes; its requests are cancelled then."""
        async with asyncio.TaskGroup() as pumps:
            try:
                while await self._one_message(pumps):
                    pass
            finally:
                for ticket in list(self._tickets.values()):
                    ticket.cancel()

    async def _one_message(self, pumps: asyncio.TaskGroup) -> bool:
        """Receive and act; False when the connection is over."""
        message = await self._websocket.receive()
        if message["type"] != "websocket.receive":
            return False
        data = message.get("bytes")
        if data is None:
            return await self._close(UNSUPPORTED_DATA, "binary messages only")
        try:
            request = request_decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            await self._send(failure(_id_of(data), InvalidRequest(f"{error}.")))
            return True
        if isinstance(request, Cancel):
            if request.id in self._tickets:
                self._tickets[request.id].cancel()
            return True
        if request.id in self._tickets:
            return await self._close(POLICY_VIOLATION, "request id already open")
        await self._open(request, pumps)
        return True

    async def _open(self, request: Work, pumps: asyncio.TaskGroup) -> None:
        try:
            ticket = self._services.supervisor.open(request)
        except FamulusError as error:
            await self._send(failure(request.id, error))
            return
        self._tickets[request.id] = ticket
        pumps.create_task(self._pump(request.id, ticket))

    async def _pump(self, id: str, ticket: Ticket) -> None:
        try:
            async for event in ticket:
                if ticket.ended and not ticket.unread:
                    # Before the last event goes out, because its receiver may use the id again at once.
                    self._tickets.pop(id, None)
                await self._send(event)
        finally:
            ticket.cancel()
            if self._tickets.get(id) is ticket:
                del self._tickets[id]

    async def _send(self, event: Event) -> None:
        try:
            async with asyncio.timeout(self._slow_seconds):
                await self._websocket.send_bytes(encode(event))
        except TimeoutError:
            log.warning("a client did not read its stream and was cut", extra={"seconds": self._slow_seconds})
            self._cut()
        except (WebSocketDisconnect, RuntimeError):
            # The client has gone; the reading side sees it too and ends everything.
            return

    def _cut(self) -> None:
        transport = transport_of(self._websocket.scope)
        if transport is not None:
            transport.abort()

    async def _close(self, code: int, reason: str) -> bool:
        await self._websocket.close(code, reason)
        return False


def _id_of(data: bytes) -> str:
    try:
        return msgspec.msgpack.decode(data, type=_AnyId).id[:128]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
