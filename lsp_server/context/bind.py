"""Gives a session its context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.lsp_server.context.gather import Context

if TYPE_CHECKING:
    from famulus.lsp_server.server import FamulusServer


def bind(server: FamulusServer) -> None:
    """Sets ``session.context``."""
    server.session.context = Context(server.session)
