"""Registers the making of tests with a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.lsp_server.testgen.doors.service import GENERATE, TestMaker

if TYPE_CHECKING:
    from famulus.lsp_server.server import FamulusServer


def bind(server: FamulusServer) -> None:
    """Tests join the code actions, with the command that makes them."""
    session = server.session
    maker = TestMaker(session)
    session.code_actions.append(maker.actions)
    session.at_end.append(maker.close)

    @server.command(GENERATE)
    async def generate(uri: str, *name: str) -> None:
        await maker.generate(uri, next(iter(name), ""))
