"""The trees of a session's open documents, kept up with every edit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from famulus.lsp_server.documents import HUGE, Change, Document, Text
from famulus.lsp_server.syntax.tree import Tree, parse

if TYPE_CHECKING:
    from famulus.lsp_server.session import Session

BIG = 300_000
"""Code points; a longer text is parsed in a thread, and has no tree until that is done."""


AHEAD = 30_000
"""Code points; a longer text is parsed in a thread as soon as it is opened."""
MOST_EDITS = 64
"""After more edits that nobody asked a tree for, the next one is parsed afresh."""

Edit = tuple[Text, Change, Text]
"""The text before, what changed, and the text after."""


@dataclass
class _State:
    """The last tree of a document, and the edits since then."""

    tree: Tree | None = None
    edits: list[Edit] = field(default_factory=list)
    working: bool = False


class Trees:
    """Trees by document. Use it on the event loop."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._states: dict[str, _State] = {}
        session.on_open.append(self._opened)
        session.on_change.append(self._changed)
        session.on_close.append(self._closed)

    def tree(self, document: Document) -> Tree | None:
        """The tree of what the document is now.

        None if its language has no grammar, if it is huge, and while a big one is being parsed.
        """
        if len(document.text) > HUGE:
            return None
        state = self._states.setdefault(document.uri, _State())
        language = document.language_id or ""
        if state.tree is not None and state.tree.language != language:
            state.tree = None
        if state.tree is None or state.tree.text is not document.text:
            if len(document.text) > BIG:
                self._work(document, state)
                return None
            state.tree = _caught_up(state.tree, state.edits, language, document.text)
            state.edits = []
        return state.tree

    def _opened(self, document: Document) -> None:
        self._states[document.uri] = _State()
        if AHEAD < len(document.text) <= HUGE:
            self._work(document, self._states[document.uri])

    def _changed(self, document: Document, before: Text, change: Change) -> None:
        state = self._states.setdefault(document.uri, _State())
        if state.tree is not None or state.working:
            state.edits = [*state.edits[-MOST_EDITS:], (before, change, document.text)]

    def _closed(self, document: Document) -> None:
        self._states.pop(document.uri, None)

    def _work(self, document: Document, state: _State) -> None:
        if not state.working:
            state.working = True
            self._session.spawn(self._parse(document, state))

    async def _parse(self, document: Document, state: _State) -> None:
        try:
            while self._states.get(document.uri) is state and len(document.text) <= HUGE:
                text, edits = document.text, state.edits
                state.edits, known = [], state.tree
                found = await asyncio.to_thread(_caught_up, known, edits, document.language_id or "", text)
                if state.tree is known:  # else someone could not wait
                    state.tree = found
                if found is None or document.text is text or len(document.text) <= BIG:
                    return
        finally:
            state.working = False


def _caught_up(tree: Tree | None, edits: list[Edit], language: str, text: Text) -> Tree | None:
    """The tree of ``text``, from an older one where the edits since then lead to it."""
    if tree is None or not edits or edits[0][0] is not tree.text or edits[-1][2] is not text:
        return parse(language, text)
    return tree.after([(change, after) for _, change, after in edits])
