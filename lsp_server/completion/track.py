"""What is going on in one document: the newest request, what is being written, and what was shown."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from famulus.lsp_server.completion.explanation import Explanation
from famulus.lsp_server.completion.request import Place, Writing
from famulus.lsp_server.completion.situation import Popup, Situation
from famulus.lsp_server.completion.speculation import Ahead
from famulus.lsp_server.completion.type_through import Shown
from famulus.lsp_server.documents import Change, Document, Snapshot, Text

BURST_SECONDS = 0.08
"""Keys that come faster than this are a burst."""
BURST_FACTOR = 1.5
SLOWEST = 0.5
"""Seconds; a longer pause says nothing of how fast somebody types."""
WEIGHT = 0.3
"""Of the latest gap."""


@dataclass(eq=False)
class Request:
    """What an editor asks for, as the document was when it asked. ``limit``: candidates, at most."""

    document: Document
    snapshot: Snapshot
    offset: int
    invoked: bool = False
    popup: Popup | None = None
    limit: int | None = None
    situation: Situation | None = None
    superseded: asyncio.Event = field(default_factory=asyncio.Event)
    began: float = field(default_factory=time.monotonic)


@dataclass
class Track:
    """One document. At most one :class:`Writing` for the cursor, and one for what comes after it."""

    shown: Shown = field(default_factory=Shown)
    newest: Request | None = None
    writing: Writing | None = None
    ahead: Ahead | None = None
    story: Explanation | None = None
    """Of the last answer for which the engine was asked."""
    deleted: int | None = None
    """The line of which something that can be seen was taken away, with nothing inserted since; None for no such."""
    gap: float = 0.2
    """Seconds between keys, lately."""

    def arrived(self, request: Request) -> None:
        """``request`` is the newest now; the one before it need not wait any longer."""
        if self.newest is not None:
            self.newest.superseded.set()
            if request.snapshot.version != self.newest.snapshot.version:
                gap = min(request.began - self.newest.began, SLOWEST)
                self.gap += WEIGHT * (gap - self.gap)
        self.newest = request

    @property
    def delay(self) -> float:
        """Seconds to wait for a further key before the engine is asked: in a burst nobody reads what comes between."""
        return BURST_FACTOR * self.gap if self.gap < BURST_SECONDS else 0.0

    def take(self, place: Place, invoked: bool) -> Writing | None:
        """What is or was written already and serves ``place``; all else is cancelled."""
        writing, ahead = self.writing, self.ahead
        if writing is not None and writing.serves(invoked) and writing.follow(writing.place.typed(place)):
            return writing
        if writing is not None:
            writing.cancel()
            self.writing = None
        if ahead is not None:
            self.ahead, writing = None, ahead.writing
            if writing.serves(invoked) and writing.follow(writing.place.typed(place)):
                self.writing = writing
                return writing
            writing.cancel()
        return None

    @property
    def idle(self) -> bool:
        """Whether nothing is being written for the cursor."""
        return self.writing is None or self.writing.over

    def asked_at(self, request: Request) -> bool:
        """Whether the newest request was for the same place."""
        newest = self.newest
        return newest is not None and (newest.snapshot.version, newest.offset) == (
            request.snapshot.version,
            request.offset,
        )

    def drop(self) -> None:
        """Nothing that is being written is wanted any more."""
        for writing in (self.writing, self.ahead.writing if self.ahead else None):
            if writing is not None:
                writing.cancel()
        self.writing = self.ahead = None

    def changed(self, before: Text, text: Text, change: Change) -> None:
        """The user edited ``before`` into ``text``: what that edit contradicts is cancelled at once."""
        if change.inserted:
            self.deleted = None
        elif before.value[change.start : change.end].strip():
            # Editors take white space away by themselves, on lines that are left: that says nothing of what is wanted.
            self.deleted = text.place(change.start)[0]
        writing, ahead = self.writing, self.ahead
        if writing is not None and not writing.over and not writing.follow_any(writing.place.added(text)):
            writing.cancel()
        if ahead is not None and not ahead.follow(text):
            ahead.writing.cancel()
            self.ahead = None

    def abandon(self, request: Request) -> None:
        """``request`` was taken back: nobody waits for what is being written, unless a newer one does."""
        if self.newest is request and self.writing is not None and not self.writing.over:
            self.writing.cancel()
