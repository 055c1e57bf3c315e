"""Ghost text while it is written, for clients that asked for it: each notification replaces the last.

It is judged as if the model had ended there: likely enough, and through the same filters. What comes with the answer
may still differ, as more of it is known then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lsprotocol import types

from famulus.lsp_server.completion.candidates import Candidate
from famulus.lsp_server.completion.judging import FEW, Measure, judge
from famulus.lsp_server.completion.offers import Offer

if TYPE_CHECKING:
    from famulus.lsp_server.completion.track import Request, Track
    from famulus.lsp_server.session import Session

METHOD = "famulus/partialCompletion"
SECONDS = 0.03
"""Between two notifications."""
SHARE = 0.2
"""Of the time that may go into judging: in a large file the parser takes long."""


class Partial:
    """What is told of one writing."""

    def __init__(self, session: Session, track: Track, measure: Measure, clock: Callable[[], float] = time.monotonic):
        self._session, self._track, self._measure, self._clock = session, track, measure, clock
        self._told, self._next = "", 0.0

    def heard(self, candidate: Candidate, typed: int) -> None:
        """More of ``candidate`` has come, of which ``typed`` characters stand in the document."""
        request, began = self._track.newest, self._clock()
        if request is None or request.superseded.is_set() or request.situation is None or began < self._next:
            return
        if request.document.version != request.snapshot.version or len(candidate.part(typed).logprobs) < FEW:
            return
        text = judge(candidate, candidate.text[:typed], request.situation, self._measure).text
        ended = self._clock()
        self._next = began + max(SECONDS, (ended - began) / SHARE)
        if text and text != self._told:
            self._told = text
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
