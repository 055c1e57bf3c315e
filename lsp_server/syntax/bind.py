"""Gives a session its trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.lsp_server.syntax.trees import Trees

if TYPE_CHECKING:
    from famulus.lsp_server.server import FamulusServer


def bind(server: FamulusServer) -> None:
    """Sets ``session.trees``."""
    server.session.trees = Trees(server.session)
