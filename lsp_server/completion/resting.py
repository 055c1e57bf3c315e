"""Where the cursor rests, what the first key there will ask for is prepared.

In a file that was just opened, or far from the last place, the engine has no prompt in its cache that begins alike, and
the first suggestion would wait until it has read all of it. Editors tell where the cursor is by asking for code actions
there, or by ``famulus/didMoveCursor``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from lsprotocol import types

from famulus.lsp_server.documents import Change, Document, Text

if TYPE_CHECKING:
    from famulus.lsp_server.session import Session

REST_SECONDS = 0.3
"""Without a move and without a key; whoever only passes by wants nothing."""


class Resting:
    """Calls ``prepare(document, offset)`` once the cursor rests there and the engine is ready."""

    def __init__(self, session: Session, prepare: Callable[[Document, int], None]) -> None:
        self._session, self._prepare = session, prepare
        self._place: tuple[Document, int] | None = None
        self._timer: asyncio.TimerHandle | None = None
        session.code_actions.append(self._asked)
        session.on_change.append(self._changed)
        session.on_close.append(self._closed)
        session.on_start.append(self._started)
        session.at_end.append(self._forget)

    def moved(self, uri: str, position: types.Position) -> None:
        """The cursor is there now."""
        document = self._session.document(uri)
        if document is None:
            return
        place = document, document.offset_at(position)
        if place != self._place:
            self._forget()
            self._place = place
            self._wait()

    async def _asked(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        """Editors ask for code actions wherever the cursor comes to stand; a menu or a selection says nothing of it."""
        by_itself = params.context.trigger_kind != types.CodeActionTriggerKind.Invoked
        if by_itself and params.range.start == params.range.end:
            self.moved(params.text_document.uri, params.range.start)
        return []

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(REST_SECONDS, self._rested)

    def _rested(self) -> None:
        self._timer = None
        if self._place is not None and self._session.link.state == "ready":
            self._prepare(*self._place)

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._place = self._timer = None

    def _changed(self, document: Document, before: Text, change: Change) -> None:
        self._forget()

    def _closed(self, document: Document) -> None:
        if self._place is not None and self._place[0] is document:
            self._forget()

    def _started(self) -> None:
        self._session.at_end.append(self._session.link.listen(self._engine_changed))

    def _engine_changed(self) -> None:
        """The engine may have become ready while the cursor rests."""
        if self._place is not None and self._timer is None:
            self._wait()
