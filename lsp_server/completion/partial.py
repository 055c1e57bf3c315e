"""Ghost text while it is written, for clients that asked for it: each notification replaces the last.

Only text that the filters which need no more than the text itself let pass, and that is likely enough so far. What
comes with the answer may be shorter, as the parser has the last word.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lsprotocol import types

from famulus.lsp_server.completion.candidates import Candidate
from famulus.lsp_server.completion.filters import fences
from famulus.lsp_server.completion.judging import FEW, Measure
from famulus.lsp_server.completion.offers import Offer

if TYPE_CHECKING:
    from famulus.lsp_server.completion.track import Request, Track
    from famulus.lsp_server.session import Session

METHOD = "famulus/partialCompletion"
SECONDS = 0.03
"""Between two notifications."""

_STEPS = (fences.characters, fences.template_marks, fences.fences, fences.cells, fences.prose)


class Partial:
    """What is told of one writing."""

    def __init__(self, session: Session, track: Track, measure: Measure, clock: Callable[[], float] = time.monotonic):
        self._session, self._track, self._measure, self._clock = session, track, measure, clock
        self._told, self._last = "", 0.0

    def heard(self, candidate: Candidate, typed: int) -> None:
        """More of ``candidate`` has come, of which ``typed`` characters stand in the document."""
        request, now = self._track.newest, self._clock()
        if request is None or request.superseded.is_set() or request.situation is None or now - self._last < SECONDS:
            return
        if request.document.version != request.snapshot.version:
            return
        part = candidate.part(typed)
        first = candidate.part(typed, typed + len(part.text) - len(part.text.lstrip()) + _first_line(part.text))
        if len(part.logprobs) < FEW or self._measure.curve.probability(first) < self._measure.threshold:
            return
        text = part.text
        for step in _STEPS:
            text = step(text, request.situation)
        if text.strip() and text != self._told:
            self._told, self._last = text, now
            self._tell(request, Offer(candidate.id, request.document, request.situation, text, 0.0))

    def _tell(self, request: Request, offer: Offer) -> None:
        document = request.document
        converter = self._session.server.protocol._converter
        self._session.server.protocol.notify(
            METHOD,
            {
                "textDocument": {"uri": document.uri, "version": request.snapshot.version},
                "position": converter.unstructure(document.position_at(request.offset), types.Position),
                "item": converter.unstructure(offer.item(), types.InlineCompletionItem),
            },
        )


def _first_line(text: str) -> int:
    """The length of the first line that says something, without the white space before it."""
    return len(text.lstrip().partition("\n")[0])
