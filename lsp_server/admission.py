"""Who may enter through a socket. The token is drawn for each port, and lies in a file that only this user can read.

A WebSocket is asked for an exact host, for no origin (unless that was allowed), and for the token, before it is one.
A plain TCP client cannot send headers: its first message must be ``initialize``, with the token among its
``initializationOptions``.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from famulus.engine.errors import Forbidden, Unauthorized
from famulus.engine.folders import folders, private
from famulus.engine.runtime import write_private

SUBPROTOCOL = "famulus.lsp"
"""Offered by clients that show their token as a second subprotocol, because they cannot set a header."""
TOKEN_SUBPROTOCOL = "famulus.token."
FIRST_BYTES = 1 << 20
"""The largest first message of a TCP client, which nobody knows yet."""
INVALID_REQUEST = -32600


@dataclass(frozen=True)
class TokenFile:
    """A token, and where its owner finds it."""

    path: Path
    token: str

    @classmethod
    def draw(cls, port: int) -> TokenFile:
        """A fresh token of 256 bits for ``port``, written to the runtime folder (0600). Raises
        :class:`StorageFailed`."""
        drawn = cls(private(folders().runtime) / f"lsp-{port}.token", secrets.token_urlsafe(32))
        write_private(drawn.path, drawn.token)
        return drawn

    def remove(self) -> None:
        """The port is closed."""
        self.path.unlink(missing_ok=True)

    def matches(self, shown: str) -> bool:
        """Compares in constant time."""
        return secrets.compare_digest(shown.encode("utf-8", "surrogatepass"), self.token.encode())


def admit_first(body: bytes, token: TokenFile) -> bytes | None:
    """The answer to a first message that does not let a TCP client in; None if it may enter."""
    id = None
    try:
        message = json.loads(body.decode())
        id = message.get("id")
        shown = message["params"]["initializationOptions"]["famulus"]["token"]
        if message["method"] == "initialize" and isinstance(shown, str) and token.matches(shown):
            return None
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        pass  # whatever it was, it was no token
    error = {
        "code": INVALID_REQUEST,
        "message": f"initializationOptions.famulus.token must be what {token.path} holds.",
    }
    return json.dumps({"jsonrpc": "2.0", "id": id if isinstance(id, int | str) else None, "error": error}).encode()


def check_upgrade(
    headers: Sequence[tuple[str, str]], token: TokenFile, port: int, origins: Collection[str] = ()
) -> None:
    """Whether a WebSocket may be opened. Raises :class:`Forbidden`, :class:`Unauthorized`."""
    named: dict[str, list[str]] = {}
    for name, value in headers:
        named.setdefault(name.lower(), []).append(value.strip())
    hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
    if len(named.get("host", [])) != 1 or named["host"][0].lower() not in hosts:
        raise Forbidden("This host name is not served.", fix=f"Ask 127.0.0.1:{port}.")
    if any(origin not in origins for origin in named.get("origin", [])):
        raise Forbidden("Web pages may not enter.", fix="Allow this origin with --allow-origin.")
    if not any(token.matches(shown) for shown in _shown(named)):
        raise Unauthorized("The bearer token is missing or wrong.", fix=f"Send the content of {token.path.name}.")


def _shown(named: dict[str, list[str]]) -> list[str]:
    shown = []
    if len(bearers := named.get("authorization", [])) == 1:
        scheme, _, token = bearers[0].partition(" ")
        shown += [token.strip()] if scheme.lower() == "bearer" else []
    for offered in named.get("sec-websocket-protocol", []):
        names = [name.strip() for name in offered.split(",")]
        shown += [name.removeprefix(TOKEN_SUBPROTOCOL) for name in names if name.startswith(TOKEN_SUBPROTOCOL)]
    return shown
