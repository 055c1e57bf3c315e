"""A proposal while it is written, for clients that asked for it: each notification replaces the last.

Nothing here changes a document. What is told while it grows may become anything; ``final`` is what the user is then
asked about (:func:`famulus.lsp_server.commands.apply.offer`), and ``withdrawn`` says that there is nothing to ask.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from lsprotocol import types

from famulus.engine.errors import InvalidRequest
from famulus.lsp_server.commands.proposal import Proposal, annotated, unchanged
from famulus.lsp_server.session import Session

METHOD = "famulus/proposal"
DISCARD = "famulus/discardProposal"
SECONDS = 0.1
"""Between two notifications while a proposal grows."""
SHARE = 0.2
"""Of the time that may go into working out what is told: long selections of lines that are alike take long."""

State = Literal["growing", "final", "withdrawn"]


class Preview:
    """What is told of one proposal. ``empty`` is the proposal before anything was written."""

    def __init__(self, session: Session, empty: Proposal, clock: Callable[[], float] = time.monotonic) -> None:
        self._session, self._empty, self._clock = session, empty, clock
        self._open = session.options.proposals
        self._text, self._next = "", 0.0
        self._shown = False
        self._writer: asyncio.Task[Any] | None = None

    def written_here(self) -> None:
        """The current task writes it, and ends when the user discards it."""
        self._writer = asyncio.current_task()

    def grow(self, lines: Callable[[], str]) -> None:
        """Tell the lines so far, which ``lines`` works out, if there are new ones and the last were told a while ago.

        Raises :class:`InvalidRequest` where the document has changed, as all of it would be for nothing.
        """
        if not self._open:
            return
        document = unchanged(self._session, self._empty)
        if document is None:
            raise InvalidRequest("The text changed while this was written, so nothing was applied.", fix="Ask again.")
        if (began := self._clock()) < self._next:
            return
        text = lines()
        self._next = began + max(SECONDS, (self._clock() - began) / SHARE)
        if text.strip() and text != self._text:
            self._text = text
            self._tell("growing", annotated(document, replace(self._empty, text=text)))

    def finish(self, edit: types.WorkspaceEdit) -> None:
        """Tell what the user will be asked about."""
        if self._open:
            self._tell("final", edit)

    def close(self) -> None:
        """The user has answered: nothing more is told."""
        self._open = False

    def withdraw(self) -> None:
        """There is nothing to ask about, unless the user has answered. Idempotent."""
        if self._open and self._shown:
            self._tell("withdrawn", None)
        self._open = False

    def discard(self) -> None:
        """The user does not want it: nothing more is written."""
        self.withdraw()
        if self._writer is not None:
            self._writer.cancel()

    def _tell(self, state: State, edit: types.WorkspaceEdit | None) -> None:
        self._shown = True
        protocol = self._session.server.protocol
        told: dict[str, Any] = {"id": self._empty.id, "state": state}
        if edit is not None:
            told["edit"] = protocol._converter.unstructure(edit, types.WorkspaceEdit)
        protocol.notify(METHOD, told)
