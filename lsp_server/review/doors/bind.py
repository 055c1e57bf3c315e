"""Registers the review with a server. What it needs is imported with the first save or command."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from lsprotocol import types

from famulus.lsp_server.commands.pages import Page
from famulus.lsp_server.documents import Document
from famulus.lsp_server.session import Session

if TYPE_CHECKING:
    from famulus.lsp_server.review.doors.actions import Remedies
    from famulus.lsp_server.review.doors.commands import ReviewCommands
    from famulus.lsp_server.review.doors.lenses import Lenses
    from famulus.lsp_server.review.doors.service import ReviewService
    from famulus.lsp_server.server import FamulusServer

REVIEW, STAGED = "famulus.review", "famulus.review.staged"


class Doors:
    """The review of one session, made when it is first needed."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def open(self) -> bool:
        """Whether anything was reviewed, or is."""
        return "service" in self.__dict__

    @cached_property
    def service(self) -> ReviewService:
        """Runs reviews; from now on it hears what happens to documents and settings."""
        from famulus.lsp_server.review.doors.service import ReviewService

        session, service = self._session, ReviewService(self._session)
        session.on_change.append(service.moved)
        session.on_open.append(service.opened_or_closed)
        session.on_close.append(service.opened_or_closed)
        session.settings.on_change.append(service.show_all)
        session.settings.on_change.append(lambda: self.lenses.refresh())
        session.at_end.append(service.close)
        service.listeners.append(lambda: self.lenses.refresh())
        return service

    @cached_property
    def lenses(self) -> Lenses:
        """Lenses above tests."""
        from famulus.lsp_server.review.doors.lenses import Lenses

        return Lenses(self._session, self.service)

    @cached_property
    def remedies(self) -> Remedies:
        """What can be done about findings."""
        from famulus.lsp_server.review.doors.actions import Remedies

        return Remedies(self._session, self.service)

    @cached_property
    def commands(self) -> ReviewCommands:
        """What a user asks for by name."""
        from famulus.lsp_server.review.doors.commands import ReviewCommands

        return ReviewCommands(self._session, self.service, self.lenses)

    def saved(self, document: Document) -> None:
        """Review what a save changed."""
        self.service.saved(document)

    async def code_lenses(self, uri: str) -> list[types.CodeLens]:
        """Lenses above tests, once anything was reviewed."""
        return await self.lenses.lenses(uri) if self.open else []

    async def actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        """Code actions, once there are findings."""
        return await self.remedies.actions(params) if self.open else []


def bind(server: FamulusServer) -> None:
    """Saved changes are reviewed; commands review when they are asked to; fixes join the code actions."""
    doors = Doors(server.session)
    server.session.on_save.append(doors.saved)
    server.session.code_actions.append(doors.actions)
    server.session.code_lenses.append(doors.code_lenses)

    @server.command(REVIEW)
    async def review(*uri: str) -> Page | None:
        return await doors.commands.review(next(iter(uri), None))

    @server.command(STAGED)
    async def staged(*uri: str) -> Page | None:
        return await doors.commands.review(next(iter(uri), None), staged=True)

    @server.command("famulus.review.why")
    async def why(uri: str, position: types.Position, *test: str) -> Page | None:
        return await doors.commands.why(uri, position, next(iter(test), None))

    @server.command("famulus.review.ignore")
    async def ignore(uri: str, fingerprint: str, *reason: str) -> None:
        await doors.remedies.ignore(uri, fingerprint, next(iter(reason), ""))

    @server.command("famulus.review.witness")
    def witness(uri: str, fingerprint: str) -> Page:
        return doors.remedies.witness(uri, fingerprint)

    @server.feature(types.TEXT_DOCUMENT_CODE_LENS, types.CodeLensOptions(resolve_provider=True))
    async def code_lens(params: types.CodeLensParams) -> list[types.CodeLens] | None:
        found = [lens for of in server.session.code_lenses for lens in await of(params.text_document.uri)]
        return found or None

    @server.feature(types.CODE_LENS_RESOLVE)
    def resolve(lens: types.CodeLens) -> types.CodeLens:
        return doors.lenses.resolve(lens)
