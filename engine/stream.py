"""The asynchronous client: one WebSocket, many requests at once, each cancelled by a word that is not waited
for.

    async with connect() as stream:
        call = stream.generate(Infill(prefix, suffix), lane="key", max_tokens=32)
        async for event in call:
            ...

Requests are sent in the order in which they are made. A lost connection ends the open calls with
:class:`EngineRestarted`; the next request connects again, to an engine that is started if need be.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.asyncio.client import connect as tcp_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from famulus.engine import launch
from famulus.engine.errors import EngineRestarted, EngineUnavailable, FamulusError, InvalidRequest, TooLarge, from_wire
from famulus.engine.protocol import (
    MAX_BODY,
    SUBPROTOCOL,
    Cancel,
    Detokenize,
    Embed,
    Embedded,
    Event,
    Failed,
    Generate,
    Prompt,
    Score,
    Scored,
    Text,
    Tokenize,
    Tokenized,
    encode,
    event_decoder,
)
from famulus.engine.runtime import Address
from famulus.engine.tickets import LAST, Work

MAX_MESSAGE = 64 << 20
CONNECT_SECONDS = 10.0

E = TypeVar("E", bound=Event)


class Call(AsyncIterator[Event]):
    """The events of one request. Raises the typed error of a failure; after :meth:`cancel` it just ends."""

    def __init__(self, request: Work, on_cancel: Callable[[Call], None]) -> None:
        self.request = request
        self._on_cancel = on_cancel
        self._events: deque[Event] = deque()
        self._error: FamulusError | None = None
        self._over = False
        self._wake: asyncio.Future[None] | None = None

    def __aiter__(self) -> Call:
        return self

    async def __anext__(self) -> Event:
        while not self._events and self._error is None and not self._over:
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        if self._events:
            return self._events.popleft()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        raise StopAsyncIteration

    def cancel(self) -> None:
        """Stop the request; returns at once. What it holds in the engine is free after one step.
        Idempotent."""
        if not self._over:
            self._events.clear()
            self._end()
            self._on_cancel(self)

    async def answer(self, kind: type[E]) -> E:
        """The one event of this kind, for requests that do not stream."""
        try:
            async for event in self:
                if isinstance(event, kind):
                    return event
        finally:
            self.cancel()
        raise EngineUnavailable("The engine answered with something else than was asked for.")

    def deliver(self, event: Event) -> None:
        """Take an event from the connection."""
        if self._over:
            return
        if isinstance(event, Failed):
            self.fail(from_wire(event.code, event.message))
            return
        self._events.append(event)
        if isinstance(event, LAST):
            self._end()
        self._notify()

    def fail(self, error: FamulusError) -> None:
        """End with ``error``."""
        if not self._over:
            self._error = error
            self._end()

    def _end(self) -> None:
        self._over = True
        self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class Stream:
    """A multiplexed connection to one engine; connects when there is something to send."""

    def __init__(self, find: Callable[[], Address]) -> None:
        self._find = find
        self._ids = itertools.count()
        self._calls: dict[str, Call] = {}
        self._outbox: deque[bytes] = deque()
        self._more = asyncio.Event()
        self._session: asyncio.Task[None] | None = None
        self.generation = ""

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def generate(self, prompt: str | Prompt, **fields: Any) -> Call:
        """Write on from ``prompt``; ``fields`` as in :class:`Generate`. Never waits."""
        return self.submit(Generate(self._new_id(), Text(prompt) if isinstance(prompt, str) else prompt, **fields))

    async def score(self, prompt: str | Prompt, continuation: str, **fields: Any) -> Scored:
        """How likely is ``continuation``? Raises typed errors."""
        asked = Text(prompt) if isinstance(prompt, str) else prompt
        return await self.submit(Score(self._new_id(), asked, continuation, **fields)).answer(Scored)

    async def embed(self, texts: list[str], **fields: Any) -> Embedded:
        """One vector for each text."""
        return await self.submit(Embed(self._new_id(), texts, **fields)).answer(Embedded)

    async def tokenize(self, text: str) -> Tokenized:
        """The model's tokens of ``text``."""
        return await self.submit(Tokenize(self._new_id(), text)).answer(Tokenized)

    async def detokenize(self, tokens: list[int]) -> Tokenized:
        """The text of ``tokens``."""
        return await self.submit(Detokenize(self._new_id(), tokens)).answer(Tokenized)

    def submit(self, request: Work) -> Call:
        """Send a request whose id is unique on this stream; the answer comes through the call."""
        call = Call(request, self._cancel)
        try:
            payload = _message(request)
        except FamulusError as error:
            call.fail(error)
            return call
        self._calls[request.id] = call
        self._send(payload)
        return call

    async def close(self) -> None:
        """Cancel what is open and disconnect."""
        session, self._session = self._session, None
        if session is not None:
            session.cancel()
            await asyncio.gather(session, return_exceptions=True)
        self._fail_all(EngineUnavailable("The stream was closed."))

    def _new_id(self) -> str:
        return str(next(self._ids))

    def _cancel(self, call: Call) -> None:
        if self._calls.pop(call.request.id, None) is not None:
            self._send(encode(Cancel(call.request.id)))

    def _send(self, payload: bytes) -> None:
        self._outbox.append(payload)
        self._more.set()
        if self._session is None or self._session.done():
            self._session = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        """One connection's life. Calls that were made meanwhile and are not sent are failed with the rest."""
        try:
            connection = await self._connect()
            try:
                writer = asyncio.create_task(self._write(connection))
                try:
                    await self._read(connection)
                finally:
                    writer.cancel()
                    await asyncio.gather(writer, return_exceptions=True)
            finally:
                await connection.close()
            self._fail_all(EngineRestarted("The engine ended while this request ran.", fix="Ask again."))
        except FamulusError as error:
            self._fail_all(error)

    async def _connect(self) -> ClientConnection:
        # Looking for the engine, and perhaps starting it, blocks for a while: not on this loop.
        address = await asyncio.to_thread(self._find)
        options: dict[str, Any] = {
            "subprotocols": [SUBPROTOCOL],
            "compression": None,
            "max_size": MAX_MESSAGE,
            "open_timeout": CONNECT_SECONDS,
            "ping_interval": None,
            "user_agent_header": None,
        }
        try:
            if address.socket is not None:
                connection = await unix_connect(address.socket, "ws://localhost/v1/stream", **options)
            else:
                options["additional_headers"] = {"Authorization": f"Bearer {address.token}"}
                uri = f"ws://127.0.0.1:{address.port}/v1/stream"
                connection = await tcp_connect(uri, proxy=None, **options)
        except InvalidStatus as error:
            raise _refusal(error) from error
        except (OSError, InvalidHandshake, TimeoutError) as error:
            raise EngineUnavailable(f"The engine does not answer ({error}).", fix="Run `famulus status`.") from error
        if connection.response is not None:
            self.generation = connection.response.headers.get("famulus-generation", "")
        return connection

    async def _read(self, connection: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                event = event_decoder.decode(message if isinstance(message, bytes) else message.encode())
                call = self._calls.get(event.id)
                if call is None:
                    continue
                if isinstance(event, LAST):
                    del self._calls[event.id]
                call.deliver(event)

    async def _write(self, connection: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._more.wait()
                self._more.clear()
                while self._outbox:
                    await connection.send(self._outbox.popleft())

    def _fail_all(self, error: FamulusError) -> None:
        calls = list(self._calls.values())
        self._calls.clear()
        self._outbox.clear()
        for call in calls:
            call.fail(error)


def connect(home: Path | None = None, *, start: bool = True) -> Stream:
    """A stream to this user's engine, which is started if none runs (unless ``start`` is false)."""

    def find() -> Address:
        found = launch.find_or_start(home) if start else launch.find(home)
        if found is None:
            raise EngineUnavailable("No engine runs.", fix="Run `famulus serve`.")
        return found

    return Stream(find)


def _message(request: Work) -> bytes:
    """Raises :class:`InvalidRequest` for what no message can carry, and :class:`TooLarge`, before the server ends the
    connection for it with all other calls."""
    try:
        payload = encode(request)
    except (OverflowError, UnicodeEncodeError) as error:
        raise InvalidRequest(f"The request cannot be sent ({error}).") from error
    if len(payload) > MAX_BODY:
        raise TooLarge(f"The request is larger than {MAX_BODY >> 20} MiB.", fix="Send less text.")
    return payload


def _refusal(error: InvalidStatus) -> FamulusError:
    """The engine's own sentence out of a refused handshake."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        said = json.loads(error.response.body or b"")["error"]
        return from_wire(said["code"], said["message"])
    return EngineUnavailable(f"The engine refused the connection with status {error.response.status_code}.")
