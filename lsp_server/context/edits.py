"""The places that were edited last, as they are now: what the user is at, told by code and not by differences."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from famulus.lsp_server.context.symbols import signature
from famulus.lsp_server.documents import Change, Document, Text

if TYPE_CHECKING:
    from famulus.lsp_server.session import Session

MOST = 10
NEAR = 8
"""Lines; edits no farther apart belong together."""
PAUSE = 1.0
"""Seconds; after a longer pause a new group begins, unless it lies in an old one."""
MOST_LINES = 12
"""Of a place that are shown."""
TYPED = 200
"""Lines; a larger change was not made by hand and says nothing."""
MARGIN = 1
"""Lines shown around what was edited."""


@dataclass
class Event:
    """``text[start:end]`` of an open document was edited, last at ``time``."""

    uri: str
    start: int
    end: int
    time: float


@dataclass(frozen=True)
class Edited:
    """An edited place as it is now: whole lines, below the head of the function around them."""

    uri: str
    line: int
    text: str


class Edits:
    """A ring of the last edits in open documents. Use it on the event loop."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        self._session = session
        self._clock = clock
        self.events: list[Event] = []
        session.on_change.append(self._changed)
        session.on_close.append(self._closed)

    def _closed(self, document: Document) -> None:
        self.events = [event for event in self.events if event.uri != document.uri]

    def _changed(self, document: Document, before: Text, change: Change) -> None:
        if before.value[change.start : change.end] == change.inserted:
            return
        self._move(document.uri, change)
        large = change.inserted.count("\n") + before.value.count("\n", change.start, change.end) > TYPED
        if large:
            self.events = [event for event in self.events if event.uri != document.uri]
            return
        end = change.start + len(change.inserted)
        now = self._clock()
        last = self.events[-1] if self.events else None
        for event in reversed(self.events):
            if event.uri != document.uri:
                continue
            first, final = document.text.place(event.start)[0], document.text.place(event.end)[0]
            line, end_line = document.text.place(change.start)[0], document.text.place(end)[0]
            within = first <= end_line and line <= final
            close = first - NEAR <= end_line and line <= final + NEAR
            if within or (close and event is last and now - event.time <= PAUSE):
                event.start, event.end = min(event.start, change.start), max(event.end, end)
                event.time = now
                self.events.remove(event)
                self.events.append(event)
                return
        self.events = [*self.events[-(MOST - 1) :], Event(document.uri, change.start, end, now)]

    def _move(self, uri: str, change: Change) -> None:
        """Events behind a change move with it."""
        shift = len(change.inserted) - (change.end - change.start)
        for event in self.events:
            if event.uri != uri:
                continue
            event.start = event.start + shift if event.start >= change.end else min(event.start, change.start)
            event.end = event.end + shift if event.end >= change.end else min(event.end, change.start)

    def recent(self, uri: str, first: int, last: int) -> list[Edited]:
        """Edited places, oldest first; not those that touch lines ``first`` to ``last`` of the document ``uri``."""
        found: list[Edited] = []
        for event in self.events:
            document = self._session.document(event.uri)
            if document is None:
                continue
            text = document.text
            top = max(0, text.place(event.start)[0] - MARGIN)
            bottom = min(text.lines - 1, text.place(max(event.start, event.end - 1))[0] + MARGIN, top + MOST_LINES - 1)
            if event.uri == uri and top <= last and first <= bottom:
                continue
            lines = text.value[text.starts[top] : text.line_end(bottom)].strip("\r\n")
            if lines.strip():
                found.append(Edited(event.uri, top, self._head(document, top) + lines))
        return found

    def _head(self, document: Document, line: int) -> str:
        """The signature of the function around a line that is not shown otherwise."""
        tree = self._session.trees.tree(document)
        if tree is None:
            return ""
        start = document.text.starts[line]
        for node in tree.around(min(start + 1, len(document.text))):
            if node.type in tree.grammar.functions and node.start_byte < start:
                margin = tree.text.line(tree.text.place(node.start_byte)[0])
                return margin[: len(margin) - len(margin.lstrip())] + signature(tree, node) + "\n"
        return ""
