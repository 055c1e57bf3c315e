"""The doors of the language server: standard input and output, and loopback sockets on request.

Each connection has a server and a session of its own; all of them share one way to the engine. What one client does,
or how it leaves, never touches the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from famulus.engine.errors import AddressInUse, FamulusError
from famulus.lsp_server import parent
from famulus.lsp_server.admission import FIRST_BYTES, SUBPROTOCOL, TokenFile, admit_first, check_upgrade
from famulus.lsp_server.connection import FRAME_SECONDS, Connection, Streamed, Wire
from famulus.lsp_server.framing import BODY_BYTES, WEBSOCKET_BYTES, BrokenFraming, frame
from famulus.lsp_server.link import EngineLink
from famulus.lsp_server.pipes import Pipes
from famulus.lsp_server.stdio import Stdio

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response
    from websockets.typing import Subprotocol

log = logging.getLogger("famulus.lsp")

MAX_CLIENTS = 64
"""Open connections of one process."""
MAX_STRANGERS = 64
"""Connections that have not shown the token yet; the others wait."""
BACKLOG = 128
READ_BYTES = 1 << 16
PING_SECONDS = 10.0
"""A WebSocket client that answers no ping for so long, because it is dead or in the middle of a message, is let go."""

Announce = Callable[[str, int, TokenFile], None]
"""Told the kind of door, its port and its token when it is open."""


async def serve_stdio(pipes: Pipes) -> int:
    """Serve one client over this process's standard input and output, until it leaves; the exit status."""
    link = EngineLink()
    connection = Connection(link, Stdio(pipes))
    session = connection.server.session

    def watch(params: types.InitializeParams) -> None:
        session.at_end.append(parent.watch(params.process_id, connection.end))

    session.on_initialize.append(watch)
    try:
        return await connection.run()
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(link.close(), 0.5)


async def serve_sockets(
    *, tcp: int | None = None, ws: int | None = None, origins: Collection[str] = (), announce: Announce
) -> int:
    """Listen on ports of 127.0.0.1 (0: a free one) until SIGTERM or SIGINT; the exit status.

    Raises :class:`AddressInUse`, :class:`StorageFailed`.
    """
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError, RuntimeError):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    link = EngineLink()
    house = _House(link)
    try:
        async with contextlib.AsyncExitStack() as stack:
            for kind, port, opening in (("TCP", tcp, _tcp), ("WebSocket", ws, _websocket)):
                if port is not None:
                    await stack.enter_async_context(opening(house, port, origins, lambda *a, k=kind: announce(k, *a)))
            await stopped.wait()
        return 0
    finally:
        await house.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(link.close(), 0.5)


class _House:
    """All connections of this process."""

    def __init__(self, link: EngineLink) -> None:
        self._link = link
        self._guests: set[Connection] = set()
        self._running: set[asyncio.Task[Any]] = set()

    async def welcome(self, wire: Wire, first: bytes | None = None) -> None:
        """Serve one client to its end. Nothing that goes wrong for one reaches another."""
        if len(self._guests) >= MAX_CLIENTS:
            log.warning("there are %d clients already; another one is turned away", MAX_CLIENTS)
            await wire.close()
            return
        connection = Connection(self._link, wire)
        self._guests.add(connection)
        try:
            await connection.run(first)
        except Exception:
            log.exception("a connection ended badly")
        finally:
            self._guests.discard(connection)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that belongs to a client."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Ask all to leave, and wait a moment."""
        for connection in list(self._guests):
            connection.end()
        if self._running:
            await asyncio.wait(list(self._running), timeout=2.0)


class TcpWire:
    """A TCP client."""

    greeted = False

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._stream = Streamed(self._read, limit=BODY_BYTES, whole_seconds=FRAME_SECONDS)
        self.bodies = self._stream.bodies()

    async def admitted(self, token: TokenFile) -> bytes | None:
        """The first message of a client that showed the token; others are answered, and None comes back."""
        self._stream.frames.limit = FIRST_BYTES
        try:
            async with asyncio.timeout(FRAME_SECONDS):
                first = await anext(self.bodies)
                refusal = admit_first(first, token)
                if refusal is None:
                    self._stream.frames.limit = BODY_BYTES
                    return first
                log.warning("a client without the token was turned away")
                await self.write(refusal)
        except BrokenFraming as error:
            log.warning("a client was turned away: %s", error)
        except (OSError, TimeoutError, StopAsyncIteration):
            log.info("a client left before it had said who it was")
        return None

    async def write(self, body: bytes) -> None:
        self._writer.write(frame(body))
        await self._writer.drain()

    async def close(self) -> None:
        transport = self._writer.transport
        if transport.get_write_buffer_size():
            transport.abort()  # whoever does not read is not waited for
        self._writer.close()

    async def _read(self) -> bytes:
        return await self._reader.read(READ_BYTES)


class WebSocketWire:
    """A WebSocket client: one message is one body."""

    greeted = False

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        self.bodies = self._read()

    async def _read(self) -> AsyncIterator[bytes]:
        async for message in self._socket:
            yield message.encode("utf-8", "surrogatepass") if isinstance(message, str) else message

    async def write(self, body: bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._socket.send(body.decode())
        except ConnectionClosed as error:
            raise ConnectionResetError("The WebSocket is closed.") from error

    async def close(self) -> None:
        if self._socket.transport.get_write_buffer_size():
            self._socket.transport.abort()
        await self._socket.close()


@contextlib.asynccontextmanager
async def _tcp(house: _House, port: int, origins: Collection[str], opened: Callable[..., None]) -> AsyncIterator[None]:
    sock = _bind(port)
    token = TokenFile.draw(sock.getsockname()[1])
    knocking = asyncio.Semaphore(MAX_STRANGERS)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = TcpWire(reader, writer)
        async with knocking:
            first = await wire.admitted(token)
        if first is None:
            await wire.close()
        else:
            await house.welcome(wire, first)

    def arrived(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        house.start(client(reader, writer))

    try:
        async with await asyncio.start_server(arrived, sock=sock):
            opened(sock.getsockname()[1], token)
            yield
    finally:
        token.remove()


@contextlib.asynccontextmanager
async def _websocket(
    house: _House, port: int, origins: Collection[str], opened: Callable[..., None]
) -> AsyncIterator[None]:
    from websockets.asyncio.server import serve

    sock = _bind(port)
    taken: int = sock.getsockname()[1]
    token = TokenFile.draw(taken)

    def gate(connection: ServerConnection, request: Request) -> Response | None:
        try:
            check_upgrade(list(request.headers.raw_items()), token, taken, origins)
        except FamulusError as error:
            return connection.respond(HTTPStatus(error.status), f"{error}\n")
        return None

    async def client(connection: ServerConnection) -> None:
        await house.welcome(WebSocketWire(connection))

    try:
        async with serve(
            client,
            sock=sock,
            process_request=gate,
            select_subprotocol=_ours,
            compression=None,
            max_size=WEBSOCKET_BYTES,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            open_timeout=FRAME_SECONDS,
            close_timeout=1.0,
            server_header=None,
        ):
            opened(taken, token)
            yield
    finally:
        token.remove()


def _ours(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Which of the offered subprotocols is spoken; the one that holds the token is never repeated."""
    return next((name for name in offered if name == SUBPROTOCOL), None)


def _bind(port: int) -> socket.socket:
    """Listen on 127.0.0.1. Raises :class:`AddressInUse`."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        why = "is already in use" if error.errno == errno.EADDRINUSE else f"cannot be opened ({error.strerror})"
        raise AddressInUse(f"Port {port} {why}.", fix="Choose another, or 0 for a free one.") from error
    return sock
