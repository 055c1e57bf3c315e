"""Predictions for the documents of one session: looked for while the user pauses, shown as diagnostics.

Soon after the last key come syntax errors and ruff's facts, without those on the line that is being typed and those of
a bracket or block that is not yet written to its end; after a real pause comes everything, and then the model is asked.
Any key stops all of it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lsprotocol import types

from famulus.engine.errors import FamulusError
from famulus.lsp_server.documents import HUGE, Change, Document, Snapshot, Text
from famulus.lsp_server.prediction import ruff, syntax_errors
from famulus.lsp_server.prediction.finding import Finding
from famulus.lsp_server.prediction.foreign import Foreign
from famulus.lsp_server.prediction.publishing import Published, actions, diagnostic
from famulus.lsp_server.prediction.ruff_program import SYNTAX
from famulus.lsp_server.prediction.surprise import rule
from famulus.lsp_server.prediction.surprise.decide import rule_of
from famulus.lsp_server.prediction.surprise.scoring import LinkAsker

if TYPE_CHECKING:
    from famulus.lsp_server.session import Session

log = logging.getLogger("famulus.lsp")

PAUSE, REST = 0.4, 2.0
"""Seconds after the last change: a short pause, and one in which nothing is being typed any more."""


@dataclass
class _Watched:
    """An open document. ``edited``: the offset behind its last change; None: it was not changed."""

    document: Document
    memory: rule.Memory
    foreign: Foreign = field(default_factory=Foreign)
    edited: int | None = None
    task: asyncio.Task[None] | None = None
    found: list[Finding] = field(default_factory=list)
    published: Published | None = None


class PredictionService:
    """Diagnostics for the documents of one session."""

    def __init__(self, session: Session, pause: float = PAUSE, rest: float = REST) -> None:
        self._session = session
        self._pause, self._rest = pause, rest
        self._asker = LinkAsker(session.link)
        self._watched: dict[str, _Watched] = {}
        self._said: set[str] = set()
        self._ready = session.link.state == "ready"

    def opened(self, document: Document) -> None:
        """Look at a document that was opened."""
        self._watched[document.uri] = _Watched(document, rule.Memory(document.text))
        self._later(document)

    def changed(self, document: Document, before: Text, change: Change) -> None:
        """Start over when a document was changed."""
        watched = self._watched.get(document.uri)
        if watched is not None:
            watched.edited = change.start + len(change.inserted)
            self._later(document)

    def saved(self, document: Document) -> None:
        """Who saves has finished typing: what was held back is shown."""
        self._later(document, settled=True)

    def closed(self, document: Document) -> None:
        """Clear what is shown."""
        watched = self._watched.pop(document.uri, None)
        if watched is None:
            return
        if watched.task is not None:
            watched.task.cancel()
        if watched.published is not None and watched.published.diagnostics:
            self._send(document.uri, None, [])

    def engine_changed(self) -> None:
        """The model could not be asked while the engine was away: ask now about what was changed meanwhile."""
        ready = self._session.link.state == "ready"
        if ready and not self._ready:
            for watched in list(self._watched.values()):
                if watched.edited is not None:
                    self._later(watched.document)
        self._ready = ready

    def again(self) -> None:
        """Look at all documents once more: settings changed."""
        for watched in list(self._watched.values()):
            self._later(watched.document, settled=True)

    async def actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        """Quick fixes in a range. What other servers show there is not shown by us from now on."""
        watched = self._watched.get(params.text_document.uri)
        if watched is None:
            return []
        news = watched.foreign.learn(watched.document, params.context.diagnostics)
        if watched.published is None or watched.published.text is not watched.document.text:
            return []
        if news:
            self._publish(watched, watched.document.snapshot(), watched.found)
        return actions(self._session.server.client_capabilities, watched.document, watched.published, params.range)

    def _later(self, document: Document, *, settled: bool = False) -> None:
        watched = self._watched.get(document.uri)
        if watched is None:
            return
        if watched.task is not None:
            watched.task.cancel()
        watched.task = self._session.spawn(self._look(watched, settled))

    async def _look(self, watched: _Watched, settled: bool) -> None:
        document = watched.document
        if not settled:
            await asyncio.sleep(self._pause)
        seen = document.snapshot()
        certain = await self._certain(document, seen)
        kept = await rule.recalled(watched.memory, seen) if self._wants_hints(seen) else []
        calm = certain if settled else await asyncio.to_thread(_calm, certain, watched, seen)
        self._publish(watched, seen, calm + kept)
        if not settled:
            await asyncio.sleep(max(0.0, self._rest - self._pause))
            if len(calm) < len(certain):
                self._publish(watched, seen, certain + kept)
        if not any(f.severity == "error" for f in certain if f.source == "syntax"):
            hints = await self._hints(watched, seen)
            if hints or kept:
                self._publish(watched, seen, certain + hints)

    async def _certain(self, document: Document, seen: Snapshot) -> list[Finding]:
        """What needs no model."""
        wanted = self._session.settings.for_document(seen).prediction
        found: list[Finding] = []
        if len(seen.text) > HUGE or seen.kind == "markup":
            return found
        tree = self._session.trees.tree(document) if wanted.syntax else None
        if tree is not None and tree.text is seen.text:
            found = await asyncio.to_thread(syntax_errors.findings, tree, seen)
        if seen.language == "python" and wanted.ruff and not found:
            facts = await self._facts(document, seen)
            found = [f for f in facts if wanted.syntax or f.code != SYNTAX]
        return found

    async def _facts(self, document: Document, seen: Snapshot) -> list[Finding]:
        """What ruff says; without the project's configuration if that cannot be used."""
        cells = self._session.notebook_cells_before(document.uri)
        for trusted in (True, False) if self._session.options.trusted else (False,):
            try:
                return await ruff.findings(seen, trusted=trusted, cells=cells)
            except (FamulusError, OSError) as error:
                if str(error) not in self._said:
                    self._said.add(str(error))
                    log.warning("ruff did not answer: %s", error)
        return []

    async def _hints(self, watched: _Watched, seen: Snapshot) -> list[Finding]:
        """What the model finds."""
        link = self._session.link
        chosen = rule_of(str(link.model.get("id", "")))
        if chosen is None or link.state != "ready" or watched.edited is None or not self._wants_hints(seen):
            return []
        if not await asyncio.to_thread(self._session.policy.check_uri, seen.uri):
            return []
        try:
            return await rule.findings(self._asker, chosen, watched.memory, seen, watched.edited)
        except FamulusError as error:
            link.lost(error)
            return []

    def _wants_hints(self, seen: Snapshot) -> bool:
        wanted = self._session.settings.for_document(seen).prediction.surprise
        return wanted and seen.language == "python" and seen.kind == "document" and len(seen.text) <= HUGE

    def _publish(self, watched: _Watched, seen: Snapshot, found: list[Finding]) -> None:
        """Show ``found`` if the document is still what was looked at."""
        document = watched.document
        if self._watched.get(document.uri) is not watched or document.text is not seen.text:
            return
        watched.found = found
        shown = [f for f in found if not watched.foreign.shows(f, seen.text)]
        capabilities = self._session.server.client_capabilities
        listed = [diagnostic(capabilities, document, f) for f in shown]
        before = watched.published
        watched.published = Published(seen.text, tuple(shown), tuple(listed))
        if listed != (list(before.diagnostics) if before is not None else []):
            self._send(document.uri, seen.version, listed)

    def _send(self, uri: str, version: int | None, listed: list[types.Diagnostic]) -> None:
        self._session.diagnostics.show("prediction", uri, version, listed)


def _calm(certain: list[Finding], watched: _Watched, seen: Snapshot) -> list[Finding]:
    """What may be said at a short pause: nothing new about what is being written just now."""
    if watched.edited is None:
        return certain
    line, _ = seen.text.place(watched.edited)
    known = {f.message for f in watched.found}
    passing = syntax_errors.unfinished(certain, seen, watched.edited)

    def being_typed(finding: Finding) -> bool:
        first, last = seen.text.place(finding.start)[0], seen.text.place(finding.end)[0]
        return first <= line <= last or finding in passing

    return [f for f in certain if f.message in known or not being_typed(f)]
