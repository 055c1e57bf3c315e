"""Registers the making of tests with a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from famulus.lsp_server.commands.pages import Page
from famulus.lsp_server.testgen.doors.service import GENERATE, STRENGTHEN, WHY, TestMaker

if TYPE_CHECKING:
    from famulus.lsp_server.server import FamulusServer


def bind(server: FamulusServer) -> None:
    """Tests join the code actions and the lenses, with the commands that make them."""
    session = server.session
    maker = TestMaker(session)
    session.code_actions.append(maker.actions)
    session.code_lenses.append(maker.scores.lenses)
    session.at_end.append(maker.close)

    @server.command(GENERATE)
    async def generate(uri: str, *name: str) -> None:
        await maker.generate(uri, next(iter(name), ""))

    @server.command("famulus.testgen.here")
    async def here(uri: str, position: types.Position) -> None:
        await maker.here(uri, position)

    @server.command(STRENGTHEN)
    async def strengthen(uri: str, position: types.Position, *test: str) -> None:
        await maker.strengthen(uri, position, next(iter(test), ""))

    @server.command(WHY)
    async def why(uri: str, position: types.Position, *test: str) -> Page | None:
        return await maker.why(uri, position, next(iter(test), ""))
