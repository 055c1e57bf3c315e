"""Registers the review with a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from famulus.lsp_server.commands.pages import Page
from famulus.lsp_server.review.doors.actions import IGNORE, WITNESS, Remedies
from famulus.lsp_server.review.doors.commands import ReviewCommands
from famulus.lsp_server.review.doors.lenses import WHY, Lenses
from famulus.lsp_server.review.doors.service import ReviewService

if TYPE_CHECKING:
    from famulus.lsp_server.server import FamulusServer

REVIEW, STAGED = "famulus.review", "famulus.review.staged"


def bind(server: FamulusServer) -> None:
    """Saved changes are reviewed; commands review when they are asked to; fixes join the code actions."""
    session = server.session
    service = ReviewService(session)
    lenses, remedies = Lenses(session, service), Remedies(session, service)
    commands = ReviewCommands(session, service, lenses)
    session.on_save.append(service.saved)
    session.on_change.append(service.moved)
    session.on_open.append(service.opened_or_closed)
    session.on_close.append(service.opened_or_closed)
    session.settings.on_change.append(service.show_all)
    session.settings.on_change.append(lenses.refresh)
    session.code_actions.append(remedies.actions)
    session.at_end.append(service.close)
    service.listeners.append(lenses.refresh)

    @server.command(REVIEW)
    async def review(*uri: str) -> Page | None:
        return await commands.review(next(iter(uri), None))

    @server.command(STAGED)
    async def staged(*uri: str) -> Page | None:
        return await commands.review(next(iter(uri), None), staged=True)

    @server.command(WHY)
    async def why(uri: str, position: types.Position, *test: str) -> Page | None:
        return await commands.why(uri, position, next(iter(test), None))

    @server.command(IGNORE)
    async def ignore(uri: str, fingerprint: str, *reason: str) -> None:
        await remedies.ignore(uri, fingerprint, next(iter(reason), ""))

    @server.command(WITNESS)
    def witness(uri: str, fingerprint: str) -> Page:
        return remedies.witness(uri, fingerprint)

    @server.feature(types.TEXT_DOCUMENT_CODE_LENS, types.CodeLensOptions(resolve_provider=True))
    async def code_lens(params: types.CodeLensParams) -> list[types.CodeLens] | None:
        return await lenses.lenses(params.text_document.uri) or None

    @server.feature(types.CODE_LENS_RESOLVE)
    def resolve(lens: types.CodeLens) -> types.CodeLens:
        return lenses.resolve(lens)
