"""What a user asks for by name: a review of the changes, and why a test is red."""

from __future__ import annotations

import os
from pathlib import Path

from lsprotocol import types
from pygls.uris import to_fs_path

from famulus.engine.errors import InvalidRequest
from famulus.lsp_server.commands.pages import Page, page
from famulus.lsp_server.commands.progress import shown
from famulus.lsp_server.review.doors.lenses import Lenses
from famulus.lsp_server.review.doors.places import repository_of
from famulus.lsp_server.review.doors.service import Asked, ReviewService
from famulus.lsp_server.session import Session

NOT_RUN = "\nNone of the project's code was run, because this workspace is not trusted.\n"


class ReviewCommands:
    """The commands. Everything raises :class:`FamulusError` with a sentence for the user."""

    def __init__(self, session: Session, service: ReviewService, lenses: Lenses) -> None:
        self._session, self._service, self._lenses = session, service, lenses

    async def review(self, uri: str | None, *, staged: bool = False) -> Page | None:
        """What the changes break around a file or folder, by default in the first folder of the workspace; None if
        the user cancelled it."""
        folder = self._folder(uri)
        trusted = self._session.options.trusted
        arguments = ["--budget", str(self._session.settings.general.review.budget)]
        arguments += ["--staged"] if staged else []
        arguments += [] if trusted else ["--no-run"]
        title = "Famulus: reviewing what is staged" if staged else "Famulus: reviewing my changes"
        text = await self._run(Asked(folder, arguments, staged), title)
        return None if text is None else page(self._session, "Review", text + ("" if trusted else NOT_RUN))

    async def why(self, uri: str, position: types.Position, test: str | None) -> Page | None:
        """Which part of the change makes a test fail: the one that is named, else the one around ``position``."""
        document = self._session.document(uri)
        if document is None or document.file is None:
            raise InvalidRequest("The document is not open.", fix="Open it first.")
        if not self._session.options.trusted:
            raise InvalidRequest("To find out why a test is red it has to be run.", fix="Trust the workspace.")
        self._allowed(document.file)
        test = test or self._lenses.test_at(document, position)
        root = repository_of(document.file.parent)
        path = self._service.places.path_of(document, root) if root is not None else None
        if root is None or path is None:
            raise InvalidRequest("This file is in no git repository.")
        if test is None:
            raise InvalidRequest("There is no test at the cursor.", fix="Go into a function test_….")
        budget = str(self._session.settings.general.review.budget)
        wanted = Asked(root, ["--why", f"{path}::{test}", "--budget", budget])
        text = await self._run(wanted, f"Famulus: why {test.rpartition('::')[2]} is red")
        return None if text is None else page(self._session, "Why it is red", text)

    async def _run(self, wanted: Asked, title: str) -> str | None:
        ended = await shown(self._session.server, title, lambda report: self._service.asked(wanted, report))
        return ended.markdown if ended is not None else None

    def _folder(self, uri: str | None) -> Path:
        if uri is None:
            found = next(iter(self._session.roots), None)
        else:
            path = to_fs_path(uri) if uri.startswith("file:") else None
            found = Path(path) if path else None
            if found is not None and not found.is_dir():
                found = found.parent
        if found is None or not found.is_dir():
            raise InvalidRequest("No folder is open.", fix="Open the folder of the repository.")
        self._allowed(found)
        return found

    def _allowed(self, path: Path) -> None:
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(root) for root in self._session.policy.roots):
            raise InvalidRequest(f"{path} is in no folder of the workspace.", fix="Open its folder.")
