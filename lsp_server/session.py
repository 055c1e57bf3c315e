"""One connection of one editor: its documents, its settings, and the services that work on them."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.uris import to_fs_path

from famulus.lsp_server.diagnostics import Diagnostics
from famulus.lsp_server.documents import Change, Document, Mirror, Snapshot, Text
from famulus.lsp_server.notebooks import cells_before
from famulus.lsp_server.settings import Options

if TYPE_CHECKING:
    from famulus.engine.policy import Policy
    from famulus.lsp_server.actions import Provider
    from famulus.lsp_server.completion.outcome import Outcomes
    from famulus.lsp_server.configuration import Configuration
    from famulus.lsp_server.context.gather import Context
    from famulus.lsp_server.link import EngineLink
    from famulus.lsp_server.server import FamulusServer
    from famulus.lsp_server.status import Status
    from famulus.lsp_server.syntax import Trees

log = logging.getLogger("famulus.lsp")

CLOSE_SECONDS = 1.0


class Session:
    """What belongs to one connection. Services register for the events that they need; nothing here knows them.

    The parts put their services here when they are bound (:func:`famulus.lsp_server.server.create`).
    """

    settings: Configuration
    status: Status
    policy: Policy
    trees: Trees
    context: Context
    outcomes: Outcomes

    def __init__(self, server: FamulusServer, link: EngineLink) -> None:
        self.server = server
        self.link = link
        self.options = Options()
        self.diagnostics = Diagnostics(self)
        self.on_initialize: list[Callable[[types.InitializeParams], None]] = []
        """Called before ``initialize`` is answered: nothing may take long there."""
        self.on_start: list[Callable[[], None]] = []
        """Called once the client has said ``initialized``."""
        self.on_open: list[Callable[[Document], None]] = []
        self.on_change: list[Callable[[Document, Text, Change], None]] = []
        self.on_save: list[Callable[[Document], None]] = []
        self.on_close: list[Callable[[Document], None]] = []
        """Called before the document leaves the mirror; cells of notebooks are documents as well."""
        self.on_roots: list[Callable[[], None]] = []
        """Called when folders joined or left the workspace."""
        self.code_actions: list[Provider] = []
        """Who offers code actions; what each offers is shown in this order."""
        self.code_lenses: list[Callable[[str], Awaitable[list[types.CodeLens]]]] = []
        """Who has lenses for a document, by its address."""
        self.at_end: list[Callable[[], Awaitable[None] | None]] = []
        """Called in order when the connection ends, to let go of files and the like."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, params: types.InitializeParams) -> None:
        """Take over from pygls while it initialises: our mirror, and what the client said about itself."""
        made = self.server.protocol.workspace
        self.server.protocol._workspace = Mirror(made, made.position_encoding or "utf-16", self)
        self.options = self.settings.start(params)
        for listener in self.on_initialize:
            listener(params)

    @property
    def mirror(self) -> Mirror:
        """All open documents."""
        found = self.server.workspace
        assert isinstance(found, Mirror)
        return found

    def document(self, uri: str) -> Document | None:
        """An open document."""
        return self.mirror.document(uri)

    @property
    def documents(self) -> list[Document]:
        """All open documents, cells of notebooks among them."""
        return self.mirror.documents

    @property
    def roots(self) -> list[Path]:
        """The folders of the workspace, as they are now; empty for a lone file."""
        uris = [folder.uri for folder in self.mirror.folders.values()] or [self.mirror.root_uri or ""]
        found = [to_fs_path(uri) for uri in uris if uri.startswith("file:")]
        return [Path(path) for path in found if path]

    def folder_of(self, uri: str) -> str | None:
        """The innermost workspace folder that holds a document, by its key in the mirror."""
        return self.mirror.folder_of(uri)

    def notebook_cells_before(self, uri: str) -> list[Snapshot]:
        """The cells of a notebook before one of its cells, in order; empty for what is no cell.

        ``kind`` tells code from markup.
        """
        return cells_before(self.mirror, uri)

    def opened(self, document: Document) -> None:
        """A document joined the mirror."""
        for listener in self.on_open:
            listener(document)

    def changed(self, document: Document, before: Text, change: Change) -> None:
        """A change was applied to the mirror."""
        for listener in self.on_change:
            listener(document, before, change)

    def saved(self, uri: str) -> None:
        """A document was written to the disk."""
        document = self.document(uri)
        if document is not None:
            for listener in self.on_save:
                listener(document)

    def closed(self, document: Document) -> None:
        """A document is about to leave the mirror."""
        for listener in self.on_close:
            listener(document)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something beside; it ends with the session, and its errors are logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a background task failed", exc_info=error)

    async def close(self) -> None:
        """End all that runs for this connection, within about a second."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
        for act in self.at_end:
            try:
                waits = act()
                if inspect.isawaitable(waits):
                    await asyncio.wait_for(waits, CLOSE_SECONDS)
            except Exception:
                log.exception("a service did not end well")
