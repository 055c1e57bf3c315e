"""One connection of one editor: its documents, its settings, and the services that work on them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from famulus.lsp_server.documents import Change, Document, Mirror, Text

if TYPE_CHECKING:
    from pygls.lsp.server import LanguageServer

    from famulus.lsp_server.link import EngineLink

log = logging.getLogger("famulus.lsp")


class Session:
    """What belongs to one connection. Services register for the events that they need; nothing here knows them."""

    def __init__(self, server: LanguageServer, link: EngineLink) -> None:
        self.server = server
        self.link = link
        self.settings: dict[str, Any] = {}
        self.on_open: list[Callable[[Document], None]] = []
        self.on_change: list[Callable[[Document, Text, Change], None]] = []
        self.on_save: list[Callable[[Document], None]] = []
        self.on_close: list[Callable[[Document], None]] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    def mirror(self) -> Mirror:
        """Our workspace in place of the one that pygls has just made (call it while initialising)."""
        made = self.server.protocol.workspace
        encoding = made.position_encoding or "utf-16"
        mirror = Mirror(made, encoding, self.changed)
        self.server.protocol._workspace = mirror
        return mirror

    def document(self, uri: str) -> Document | None:
        """An open document."""
        found = self.server.workspace.get_text_document(uri)
        return found if isinstance(found, Document) and found.version is not None else None

    def changed(self, document: Document, before: Text, change: Change) -> None:
        """A change was applied to the mirror."""
        for listener in self.on_change:
            listener(document, before, change)

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
        """End all that runs for this connection."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
