"""From tickets to HTTP: whole answers and server-sent events that end when the client goes, and clients that
do not read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from famulus.engine.connections import transport_of
from famulus.engine.errors import FamulusError
from famulus.engine.gate import error_body
from famulus.engine.protocol import encode_json
from famulus.engine.tickets import SLOW_SECONDS, Ticket

log = logging.getLogger("famulus.api")

T = TypeVar("T")


class Json(Response):
    """Any value that msgspec can write, as JSON."""

    media_type = "application/json"

    def __init__(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__(encode_json(value), status, headers)


def error_response(error: FamulusError) -> Response:
    """``error`` in OpenAI's shape."""
    headers = {"retry-after": "1"} if error.status == 503 else None
    return Response(error_body(error), error.status, headers, "application/json")


async def _gone(receive: Receive) -> None:
    """Returns when the client has gone. The body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Watched(Response):
    """Answers with what ``produce`` returns; a client that goes first cancels the tickets at once."""

    def __init__(self, tickets: Iterable[Ticket], produce: Callable[[], Awaitable[Response]]) -> None:
        super().__init__()
        self._tickets = list(tickets)
        self._produce = produce

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = asyncio.ensure_future(self._produce())
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await (await _answer(work))(scope, receive, send)
        finally:
            for ticket in self._tickets:
                ticket.cancel()
            await _end(work, gone)


async def _answer(work: asyncio.Future[Response]) -> Response:
    try:
        return await work
    except FamulusError as error:
        return error_response(error)


class EventStream(Response):
    """Server-sent events from ``produce``, one ``data:`` block for each payload it yields.

    The tickets are cancelled when the client goes, in the middle or before the first byte; a client that does
    not read for 30 s is cut. An error becomes a status while nothing is sent, afterwards a last ``data:
    {"error": …}`` block. ``eager``: the headers go out at once, so that the client holds something to close.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        tickets: Iterable[Ticket],
        produce: Callable[[], AsyncIterator[bytes]],
        *,
        eager: bool = False,
        slow_seconds: float = SLOW_SECONDS,
    ) -> None:
        super().__init__()
        self._tickets = list(tickets)
        self._produce = produce
        self._eager = eager
        self._slow_seconds = slow_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pump = asyncio.ensure_future(self._pump(scope, send))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait((pump, gone), return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                await pump
        except TimeoutError:
            log.warning("a client did not read its stream and was cut", extra={"seconds": self._slow_seconds})
            if (transport := transport_of(scope)) is not None:
                transport.abort()
        finally:
            for ticket in self._tickets:
                ticket.cancel()
            await _end(pump, gone)

    async def _pump(self, scope: Scope, send: Send) -> None:
        started = self._eager
        if started:
            await self._start(send)
        try:
            async for payload in self._produce():
                if not started:
                    started = True
                    await self._start(send)
                await self._write(send, b"data: " + payload + b"\n\n")
        except FamulusError as error:
            if not started:
                await error_response(error)(scope, _nothing, send)
                return
            await self._write(send, b"data: " + error_body(error) + b"\n\n")
        await self._write(send, b"", more=False)

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _SSE_HEADERS})

    async def _write(self, send: Send, body: bytes, more: bool = True) -> None:
        async with asyncio.timeout(self._slow_seconds):
            await send({"type": "http.response.body", "body": body, "more_body": more})


_SSE_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


async def _nothing() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def _end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what still runs and wait for it, so that no task outlives its request."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
