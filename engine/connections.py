"""uvicorn with what it leaves open: who is at the other end of a Unix socket, silent connections, and how
many there are."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from famulus.engine.listen import peer_uid
from famulus.engine.protocol import MAX_BODY

log = logging.getLogger("famulus.connections")

MAX_CONNECTIONS = 512
MAX_STRANGERS = 128
"""Connections through the loopback port, which every local user can open; the socket's own stay free."""
FIRST_REQUEST_SECONDS = 10.0


class Connection(H11Protocol):
    """Marks requests from our own user on the Unix socket with ``state["known_peer"]``, cuts everybody else
    there.

    ``state["transport"]`` lets a handler cut a client that does not read.
    """

    stranger = False
    _silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        sock: socket.socket = transport.get_extra_info("socket")
        local = hasattr(socket, "AF_UNIX") and sock.family == socket.AF_UNIX
        self.stranger = not local
        strangers = sum(getattr(other, "stranger", False) for other in self.connections)
        crowded = len(self.connections) > MAX_CONNECTIONS or (self.stranger and strangers > MAX_STRANGERS)
        if crowded or (local and not _ours(sock)):
            log.warning("connection refused", extra={"local": local, "connections": len(self.connections)})
            transport.abort()
            return
        self.app_state = {**self.app_state, "known_peer": local, "transport": transport}
        self._silence = self.loop.call_later(FIRST_REQUEST_SECONDS, self._cut_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._silence is not None:
            self._silence.cancel()
        super().connection_lost(exc)

    def _cut_if_silent(self) -> None:
        if self.scope is None:
            self.transport.abort()


def _ours(sock: socket.socket) -> bool:
    uid = peer_uid(sock)
    return uid is None or uid == os.getuid()


class Listener(uvicorn.Server):
    """A uvicorn server on sockets that are already bound; signals are the business of our own main."""

    def __init__(self, app: ASGIApp, *, grace_seconds: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="none",
                http=Connection,
                ws=WebSocketsSansIOProtocol,
                ws_max_size=MAX_BODY,
                ws_per_message_deflate=False,
                ws_ping_interval=30.0,
                ws_ping_timeout=60.0,
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=grace_seconds,
                h11_max_incomplete_event_size=32 << 10,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @property
    def connection_count(self) -> int:
        """Open connections of any kind."""
        return len(self.server_state.connections)


def transport_of(scope: Any) -> asyncio.Transport | None:
    """The connection of a request, to cut it; None under a test client."""
    transport: asyncio.Transport | None = scope.get("state", {}).get("transport")
    return transport
