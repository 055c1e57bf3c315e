"""Work that takes longer than a moment is shown, and can be cancelled."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from lsprotocol import types
from pygls.lsp.server import LanguageServer

PATIENCE = 0.3
"""Seconds after which the user is told that something is under way."""
LINE = 80
"""Characters of a report."""

T = TypeVar("T")
Report = Callable[[str], None]
"""Shows the latest line of what is being written."""


async def shown(server: LanguageServer, title: str, work: Callable[[Report], Coroutine[Any, Any, T]]) -> T | None:
    """The result of ``work``, which may report; None when the user cancelled it in the editor."""
    progress = _Progress(server, title)
    task = asyncio.ensure_future(work(progress.report))
    try:
        done, _ = await asyncio.wait({task}, timeout=PATIENCE)
        if not done:
            await progress.begin(task)
        await asyncio.wait({task})
        return None if task.cancelled() else task.result()
    finally:
        task.cancel()
        progress.end()


class _Progress:
    """One progress of the client's; silent for clients that show none."""

    def __init__(self, server: LanguageServer, title: str) -> None:
        self._server, self._title = server, title
        self._token = f"famulus-{uuid.uuid4()}"
        self._latest = ""
        self._open = False

    async def begin(self, task: asyncio.Future[Any]) -> None:
        window = self._server.client_capabilities.window
        if window is None or not window.work_done_progress:
            return
        created = asyncio.ensure_future(self._server.work_done_progress.create_async(self._token))
        await asyncio.wait({created, task}, return_when=asyncio.FIRST_COMPLETED)
        if not created.done() or created.exception() is not None:
            created.cancel()
            return
        self._server.work_done_progress.tokens[self._token].add_done_callback(
            lambda told: task.cancel() if told.cancelled() else None
        )
        self._open = True
        begun = types.WorkDoneProgressBegin(title=self._title, cancellable=True, message=self._latest or None)
        self._server.work_done_progress.begin(self._token, begun)

    def report(self, text: str) -> None:
        lines = text.split("\n")
        latest = next((line.strip() for line in reversed(lines) if line.strip()), "")[:LINE]
        if latest == self._latest:
            return
        self._latest = latest
        if self._open:
            self._server.work_done_progress.report(self._token, types.WorkDoneProgressReport(message=latest))

    def end(self) -> None:
        if self._open:
            self._server.work_done_progress.end(self._token, types.WorkDoneProgressEnd())
        self._server.work_done_progress.tokens.pop(self._token, None)
