"""What became of suggestions, read from the changes of the document: it needs no help from the client.

A suggestion was seen if the client said so, if the user typed into it, or, where the client never says, if it was on
offer for a moment. It was accepted if a change put a good part of it in at once where it was shown; what was accepted
is followed through later edits and looked at again after 30 seconds and after five minutes. Clients merge what is
typed fast into one change, so a few characters at once count as typed unless the client says that they were accepted.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from famulus.engine.folders import folders
from famulus.lsp_server.completion.following import Piece, plain, slid, trimmed
from famulus.lsp_server.completion.ledger import How, Ledger, Record, Source
from famulus.lsp_server.documents import Change, Document, Text

if TYPE_CHECKING:
    from famulus.lsp_server.server import FamulusServer
    from famulus.lsp_server.session import Session

SEEN_SECONDS = 0.75
"""On offer for less, nobody can have judged it."""
SOON, LATER = 30.0, 300.0
"""Seconds after the acceptance at which the text is looked at again."""
TYPED_AT_ONCE = 3
"""Characters of a part of a suggestion that one change may bring although they were typed."""
REMEMBERED = 256

_PAIRS = frozenset(("()", "[]", "{}", '""', "''", "``", "<>"))
_CLOSERS = frozenset(")]}>\"'`;,")
_MOST_CLOSERS = 3
_WIDTH: dict[How, int] = {"": 0, "word": 1, "line": 2, "all": 3}


@dataclass(eq=False)
class Suggestion:
    """What is on offer at one place. ``at`` is where its rest begins, ``progress`` how much of it is in the text."""

    document: Document
    start: int
    at: int
    texts: dict[str, str]
    record: Record
    offered_at: float
    shown_at: float | None = None
    progress: int = 0
    last: str = ""
    """What the last change took from it."""
    told: bool = False
    """The client said that it was accepted, and the change is still to come."""
    pieces: list[Piece] = field(default_factory=list)
    accepted_at: float = 0.0
    over: bool = False
    """Nothing more can come of it but what happens to its pieces."""

    def rests(self) -> dict[str, str]:
        """What is not yet in the text, of each candidate that agrees with what is."""
        return {id: text[self.progress :] for id, text in self.texts.items()}


class Outcomes:
    """The suggestions of one session. Nothing is looked at for a document whose statistics are off."""

    def __init__(
        self,
        session: Session,
        ledger: Ledger,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._session, self._ledger = session, ledger
        self._now, self._sleep = now, sleep
        self._live: dict[str, Suggestion] = {}
        self._followed: dict[str, list[Suggestion]] = {}
        self._known: OrderedDict[str, Suggestion] = OrderedDict()
        self._tells = False
        """Whether the client says what it shows."""
        session.on_change.append(self._changed)
        session.on_close.append(self._closed)
        session.at_end.append(self._end)

    def offered(
        self, document: Document, offset: int, candidate_id: str, text: str, latency_ms: float, source: str
    ) -> None:
        """A candidate goes to the editor, for the document as it is now. Several at one place are one suggestion."""
        text = plain(text)
        if not text or not self._enabled(document):
            return
        live = self._live.get(document.uri)
        if live is not None and live.at == offset and (not live.progress or text in live.rests().values()):
            done = next(iter(live.texts.values()))[: live.progress]
            live.texts[candidate_id] = done + text
        else:
            if live is not None:
                self._finish(live, typed_against=False)
            record = Record(
                language=document.language_id or "",
                model=str(self._session.link.model.get("id", "")),
                source=_source(source),
                latency_ms=latency_ms,
                length=len(text),
                document=document.uri,
            )
            live = Suggestion(document, offset, offset, {candidate_id: text}, record, self._now())
            self._live[document.uri] = live
        self._known[candidate_id] = live
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def shown(self, candidate_id: str) -> None:
        """The client says that it shows the candidate."""
        self._tells = True
        found = self._known.get(candidate_id)
        if found is not None and found.shown_at is None:
            found.shown_at = self._now()

    def accepted(self, candidate_id: str, characters: int | None = None) -> None:
        """The client says that it was accepted: all of it, or the first ``characters`` of what it showed.

        It may say so before or after the change itself arrives.
        """
        found = self._known.get(candidate_id)
        if found is None or characters == 0:
            return
        text = found.texts.get(candidate_id)
        taken = len(found.last)
        if text is None or not taken or (characters is None and found.progress < len(text)):
            found.told = not found.over
        elif not found.pieces or found.pieces[-1].end != found.at:
            # The change came first and was taken for typing.
            whole = found.progress == len(text)
            found.at -= taken
            found.progress -= taken
            self._take(found, found.last, "all" if whole else _how(found.last, text[found.progress :]))

    def _changed(self, document: Document, before: Text, change: Change) -> None:
        followed, live = self._followed.get(document.uri), self._live.get(document.uri)
        if not followed and live is None:
            return
        change = trimmed(before, change)
        if change.start == change.end and not change.inserted:
            return
        after = document.text.value
        if live is not None:
            change = slid(change, after, live.at)
        for suggestion in followed or ():
            self._follow(suggestion, change, after)
        if live is not None:
            self._step(live, change, after)

    def _step(self, live: Suggestion, change: Change, after: str) -> None:
        if change.end < live.start or (change.end == live.start < live.at and change.start < change.end):
            shift = len(change.inserted) - (change.end - change.start)
            live.start, live.at = live.start + shift, live.at + shift
        elif change.start > live.at:
            return
        elif change.start == change.end == live.at:
            self._insert(live, change.inserted, after)
        elif not change.inserted and change.end == live.at and change.start >= live.start and not live.pieces:
            # Backspace: what was typed of it is on offer again.
            removed = live.at - change.start
            live.at -= removed
            live.progress = max(0, live.progress - removed)
            live.last = ""
        else:
            self._finish(live, typed_against=change.start <= live.at < change.start + len(change.inserted))

    def _insert(self, live: Suggestion, raw: str, after: str) -> None:
        inserted = plain(raw)
        rests = live.rests()
        agree = {id: rest for id, rest in rests.items() if rest and rest.startswith(inserted)}
        if not agree and raw in _PAIRS:
            inserted = raw = raw[:1]
            agree = {id: rest for id, rest in rests.items() if rest.startswith(inserted)}
        if not agree:
            # More than the whole at once: accepted, and typed on.
            agree = {id: rest for id, rest in rests.items() if rest and inserted.startswith(rest)}
            inserted = raw = next(iter(agree.values()), "")
        if not agree:
            self._finish(live, typed_against=True)
            return
        live.texts = {id: live.texts[id] for id in agree}
        live.shown_at = live.offered_at if live.shown_at is None else live.shown_at
        rest = next(iter(agree.values()))
        behind = rest[len(inserted) :]
        # What the suggestion brings of the text behind the cursor, the client may leave as it is.
        own = len(behind) <= _MOST_CLOSERS and _CLOSERS.issuperset(behind)
        if own and after.startswith(behind, live.at + len(raw)):
            inserted, raw = rest, raw + behind
        self._take(live, raw, self._accepted_by(live, inserted, rest))

    def _accepted_by(self, live: Suggestion, inserted: str, rest: str) -> How:
        whole = len(inserted) == len(rest)
        least = TYPED_AT_ONCE if whole else TYPED_AT_ONCE + 1
        if not live.told and (len(inserted) < least or not inserted.strip()):
            return ""
        if not live.told and not whole and _inside_word(inserted, rest):
            return ""
        live.told = False
        if whole and (not live.pieces or len(rest.split()) > 1):
            return "all"
        return _how(inserted, rest)

    def _take(self, live: Suggestion, raw: str, how: How) -> None:
        """``raw`` of the suggestion is in the text now, at its place."""
        inserted = plain(raw)
        start, end = live.at, live.at + len(raw)
        live.at, live.progress, live.last = end, live.progress + len(inserted), raw
        if how:
            if live.pieces and live.pieces[-1].end == start:
                live.pieces[-1] = Piece(live.pieces[-1].text + inserted, live.pieces[-1].start, end)
            else:
                live.pieces.append(Piece(inserted, start, end))
            record = live.record
            record.outcome = "accepted"
            record.accepted += len(inserted)
            record.how = max(record.how, how, key=_WIDTH.__getitem__)
            first, live.accepted_at = not live.accepted_at, self._now()
            if first:
                self._followed.setdefault(live.document.uri, []).append(live)
                self._session.spawn(self._look_again(live))
            self._write(live)
        if any(len(text) <= live.progress for text in live.texts.values()):
            self._finish(live, typed_against=False)

    def _finish(self, live: Suggestion, *, typed_against: bool) -> None:
        """It is not on offer any more."""
        self._live.pop(live.document.uri, None)
        if live.over:
            return
        live.over = True
        record = live.record
        since = live.shown_at if self._tells or live.shown_at is not None else live.offered_at
        if record.outcome != "accepted":
            if live.progress:
                record.outcome = "typed" if any(len(t) <= live.progress for t in live.texts.values()) else "rejected"
                if not typed_against and record.outcome == "rejected":
                    record.outcome = "left"
            elif since is None:
                return
            elif self._now() - since < SEEN_SECONDS:
                record.outcome = "brief"
            else:
                record.outcome = "rejected" if typed_against else "left"
            self._write(live)

    def _follow(self, suggestion: Suggestion, change: Change, after: str) -> None:
        before = any(piece.start < piece.end for piece in suggestion.pieces)
        for piece in suggestion.pieces:
            here = piece.start == piece.end == change.start == change.end
            if suggestion.record.reverted and here and plain(change.inserted) == piece.text:  # done again
                piece.end += len(change.inserted)
                suggestion.record.reverted = False
            else:
                piece.follow(change, after)
        if before and not change.inserted and all(piece.start == piece.end for piece in suggestion.pieces):
            suggestion.record.reverted = True

    async def _look_again(self, suggestion: Suggestion) -> None:
        """Twice after the last part of it was accepted, for as long as its document is open."""
        for seconds in (SOON, LATER):
            while (wait := suggestion.accepted_at + seconds - self._now()) > 0:
                await self._sleep(wait)
            if suggestion not in self._followed.get(suggestion.document.uri, ()):
                return
            self._measure(suggestion, later=seconds == LATER)
        self._forget(suggestion)

    def _measure(self, suggestion: Suggestion, *, later: bool) -> None:
        kept = [piece.kept(suggestion.document.text.value) for piece in suggestion.pieces]
        known = None if None in kept else sum(filter(None, kept))
        if later:
            suggestion.record.kept_later = known
        else:
            suggestion.record.kept_soon = known
        self._write(suggestion)

    def _forget(self, suggestion: Suggestion) -> None:
        rest = [other for other in self._followed.get(suggestion.document.uri, ()) if other is not suggestion]
        if rest:
            self._followed[suggestion.document.uri] = rest
        else:
            self._followed.pop(suggestion.document.uri, None)

    def _closed(self, document: Document) -> None:
        """A file that is closed stays as it is."""
        if (live := self._live.get(document.uri)) is not None:
            self._finish(live, typed_against=False)
        for suggestion in self._followed.pop(document.uri, ()):
            if suggestion.record.kept_soon is None:
                self._measure(suggestion, later=False)
            self._measure(suggestion, later=True)

    def _end(self) -> Awaitable[None]:
        for live in list(self._live.values()):
            self._finish(live, typed_against=False)
        return asyncio.to_thread(self._ledger.close)

    def _write(self, suggestion: Suggestion) -> None:
        if self._enabled(suggestion.document):
            self._ledger.write(suggestion.record)

    def _enabled(self, document: Document) -> bool:
        return self._session.settings.for_document(document.snapshot()).statistics.enabled


def bind(server: FamulusServer) -> None:
    """Put the outcomes into the session."""
    home = server.session.link.home
    server.session.outcomes = Outcomes(server.session, Ledger(folders(home).data if home else None))


def _source(words: str) -> Source:
    if words in ("type-through", "speculation"):
        return "type-through" if words == "type-through" else "speculation"
    return "model"


def _how(inserted: str, rest: str) -> How:
    return "line" if inserted.endswith("\n") or rest[len(inserted) : len(inserted) + 1] in ("\n", "") else "word"


def _inside_word(inserted: str, rest: str) -> bool:
    following = rest[len(inserted) : len(inserted) + 1]
    return _wordy(inserted[-1]) and _wordy(following)


def _wordy(character: str) -> bool:
    return character.isalnum() or character == "_"
