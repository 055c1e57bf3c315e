"""Registers the making of tests with a server. What it needs is imported when a client first asks."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from lsprotocol import types

from famulus.lsp_server.commands.pages import Page
from famulus.lsp_server.testgen.doors import GENERATE, STRENGTHEN, WHY

if TYPE_CHECKING:
    from famulus.lsp_server.server import FamulusServer
    from famulus.lsp_server.testgen.doors.service import TestMaker


def bind(server: FamulusServer) -> None:
    """Tests join the code actions and the lenses, with the commands that make them."""
    session = server.session

    @cache
    def maker() -> TestMaker:
        from famulus.lsp_server.testgen.doors.service import TestMaker

        made = TestMaker(session)
        session.at_end.append(made.close)
        return made

    async def actions(params: types.CodeActionParams) -> list[types.CodeAction]:
        return await maker().actions(params)

    async def lenses(uri: str) -> list[types.CodeLens]:
        return await maker().scores.lenses(uri)

    session.code_actions.append(actions)
    session.code_lenses.append(lenses)

    @server.command(GENERATE)
    async def generate(uri: str, *name: str) -> None:
        await maker().generate(uri, next(iter(name), ""))

    @server.command("famulus.testgen.here")
    async def here(uri: str, position: types.Position) -> None:
        await maker().here(uri, position)

    @server.command(STRENGTHEN)
    async def strengthen(uri: str, position: types.Position, *test: str) -> None:
        await maker().strengthen(uri, position, next(iter(test), ""))

    @server.command(WHY)
    async def why(uri: str, position: types.Position, *test: str) -> Page | None:
        return await maker().why(uri, position, next(iter(test), ""))
