"""Registers error prediction with a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.lsp_server.prediction.service import PredictionService

if TYPE_CHECKING:
    from famulus.lsp_server.server import FamulusServer


def bind(server: FamulusServer) -> None:
    """Documents are looked at while the user pauses; quick fixes join the code actions."""
    session = server.session
    service = PredictionService(session)
    session.on_open.append(service.opened)
    session.on_change.append(service.changed)
    session.on_save.append(service.saved)
    session.on_close.append(service.closed)
    session.settings.on_change.append(service.again)
    session.code_actions.append(service.actions)
    session.at_end.append(session.link.listen(service.engine_changed))
