"""The outermost layer of the server: who may ask at all. Everything behind it is for friends.

Whoever came through the Unix socket as the same user is known. Everybody else (the loopback port) must name
an allowed host, must not come from a web page, and must show the token: on every route, on the WebSocket
upgrade, and on routes that somebody adds one day. Only ``GET /livez`` answers without a token."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from famulus.engine.errors import (
    FamulusError,
    Forbidden,
    InvalidRequest,
    TooLarge,
    Unauthorized,
    UnsupportedMedia,
    VersionMismatch,
)
from famulus.engine.protocol import MAX_BODY, SUBPROTOCOL, VERSION, encode_json

OPEN_PATHS = frozenset({"/livez"})
ANY_VERSION_PATHS = frozenset({"/livez", "/v1/status", "/v1/shutdown"})
"""What also a client of another version may ask: how else could it show and stop the old engine?"""
VERSION_HEADER = b"famulus-protocol"
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Access:
    """What the loopback port asks for: ``port`` for the host list, ``token``. Both None without a port:
    nobody enters."""

    port: int | None = None
    token: str | None = None

    def hosts(self) -> frozenset[bytes]:
        names = ("127.0.0.1", "localhost", "[::1]")
        return frozenset(f"{name}:{self.port}".encode() for name in names) if self.port is not None else frozenset()


class Gate:
    """ASGI middleware; refuses with the OpenAI error shape, on HTTP and on the WebSocket handshake alike."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._hosts = access.hosts()
        self._token = access.token.encode() if access.token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except FamulusError as error:
            await refuse(scope, receive, send, error)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers: Headers = scope["headers"]
        if any(name == b"origin" for name, _ in headers):
            raise Forbidden("Web pages may not ask this engine.", fix="Send no Origin header.")
        if not known_peer(scope):
            self._check_stranger(scope, headers)
        _check_version(scope, headers)
        if scope["type"] == "http" and scope["method"] in WITH_BODY:
            _check_body(headers)

    def _check_stranger(self, scope: Scope, headers: Headers) -> None:
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            raise Forbidden("This host name is not served.", fix="Ask 127.0.0.1 with the engine's own port.")
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in OPEN_PATHS:
            return
        shown = [value for name, value in headers if name == b"authorization"]
        scheme, _, token = shown[0].partition(b" ") if len(shown) == 1 else (b"", b"", b"")
        right = self._token is not None and secrets.compare_digest(token, self._token)
        if scheme.lower() != b"bearer" or not right:
            raise Unauthorized(
                "The bearer token is missing or wrong.",
                fix="Send the content of engine.token; it changes at every start.",
            )


def known_peer(scope: Scope) -> bool:
    """Did this connection come through the Unix socket from our own user? Set by the connection, never by
    headers."""
    return bool(scope.get("state", {}).get("known_peer", False))


def _check_version(scope: Scope, headers: Headers) -> None:
    said = [value for name, value in headers if name == VERSION_HEADER]
    if said and said != [str(VERSION).encode()] and scope["path"] not in ANY_VERSION_PATHS:
        raise version_mismatch(said[0].decode("latin-1"))
    if scope["type"] == "websocket" and SUBPROTOCOL not in scope["subprotocols"]:
        raise version_mismatch(", ".join(scope["subprotocols"]).removeprefix("famulus."))


def version_mismatch(theirs: str) -> VersionMismatch:
    """The one sentence for a client of another version."""
    said = f"protocol {theirs[:40]!r}" if theirs else "no Famulus protocol"
    return VersionMismatch(
        f"The engine speaks protocol {VERSION}, the client {said}.",
        fix="Update both to the same version of Famulus, then run `famulus stop`.",
    )


def _check_body(headers: Headers) -> None:
    values = {name: value.strip().lower() for name, value in headers}
    kind = values.get(b"content-type", b"").partition(b";")[0].strip()
    if kind != b"application/json":
        raise UnsupportedMedia("The body must be JSON.", fix="Send Content-Type: application/json.")
    if values.get(b"content-encoding", b"identity") != b"identity":
        raise UnsupportedMedia("Compressed bodies are not read.", fix="Send the body as it is.")
    length = values.get(b"content-length", b"0")
    if not length.isdigit():
        raise InvalidRequest("The Content-Length is not a number.")
    if int(length[:20]) > MAX_BODY:
        raise too_large()


def too_large() -> TooLarge:
    """The error for a body beyond :data:`MAX_BODY`."""
    return TooLarge(f"The body is larger than {MAX_BODY >> 20} MiB.", fix="Send less text.")


def error_body(error: FamulusError) -> bytes:
    """An error in OpenAI's shape."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    kind = "authentication_error" if isinstance(error, Unauthorized) else kind
    return encode_json({"error": {"message": str(error), "type": kind, "param": None, "code": error.code}})


async def refuse(scope: Scope, receive: Receive, send: Send, error: FamulusError) -> None:
    """Answer ``scope`` with ``error``. The connection closes: an unread body may still be on its way."""
    prefix = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    body = error_body(error)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"connection", b"close"))
    if isinstance(error, Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    start: dict[str, Any] = {"type": f"{prefix}.start", "status": error.status, "headers": headers}
    messages: list[Message] = [start, {"type": f"{prefix}.body", "body": body, "more_body": False}]
    for message in messages:
        await send(message)
