"""From a request of the editor to what it shows: each step is a module of its own; here is their order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from lsprotocol import types

from famulus.engine.protocol import Infill
from famulus.lsp_server.completion import confidence, popup
from famulus.lsp_server.completion.candidates import Candidate, ranked
from famulus.lsp_server.completion.explanation import Explanation, Explanations
from famulus.lsp_server.completion.gate import Decision, decide
from famulus.lsp_server.completion.judging import UNLIKELY, Measure, Verdict, judge, watcher
from famulus.lsp_server.completion.offers import Offer, Offers
from famulus.lsp_server.completion.partial import Partial
from famulus.lsp_server.completion.request import Order, Place, Writing
from famulus.lsp_server.completion.resting import Resting
from famulus.lsp_server.completion.situation import Popup, Situation
from famulus.lsp_server.completion.speculation import LIKELY, PAUSE_SECONDS, Ahead, accepted, on_the_way
from famulus.lsp_server.completion.track import Request, Track
from famulus.lsp_server.completion.type_through import Match, Suggestion
from famulus.lsp_server.documents import Change, Document, Text

if TYPE_CHECKING:
    from famulus.lsp_server.session import Session

NEIGHBOURHOOD = 48_000
"""Code points before and after the cursor that are sent at the least; the engine fits them to its budget."""
STEP = 16_384
"""The first code point that is sent moves in steps, so that the engine's cache holds while a long file is typed."""
GRACE_SECONDS = 0.04
"""After a client took its request back: a newer one may want what is being written."""
LINE_TOKENS = 48
MOST_TOKENS = 256


class CompletionService:
    """Completion for the documents of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tracks: dict[str, Track] = {}
        self._numbers = count(1)
        self.offers = Offers(session)
        self.explanations = Explanations()
        self.resting = Resting(session, self._prepare)
        self._prepared: Track | None = None
        session.on_change.append(self._changed)
        session.on_close.append(self._closed)

    async def inline(self, params: types.InlineCompletionParams) -> types.InlineCompletionList | None:
        """Answers ``textDocument/inlineCompletion``; None where nothing is to be shown."""
        document = self._session.document(params.text_document.uri)
        if document is None:
            return None
        request = Request(document, document.snapshot(), document.offset_at(params.position))
        request.invoked = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
        selected = params.context.selected_completion_info
        if selected is not None:
            start, end = document.offset_at(selected.range.start), document.offset_at(selected.range.end)
            request.popup = Popup(selected.text, start, end)
        offers = await self.answer(request)
        return types.InlineCompletionList([offer.item() for offer in offers]) if offers else None

    async def popup(self, params: types.CompletionParams) -> types.CompletionList | None:
        """Answers ``textDocument/completion`` for clients without ghost text."""
        document = self._session.document(params.text_document.uri)
        if document is None:
            return None
        request = Request(document, document.snapshot(), document.offset_at(params.position), limit=1)
        return popup.items(await self.answer(request))

    def explain(self, uri: str, position: types.Position) -> Explanation | None:
        """The last decision at a place, or the document's newest if there is none for the place."""
        document = self._session.document(uri)
        if document is None:
            return None
        line, column = document.text.place(document.offset_at(position))
        return self.explanations.at(uri, line, column) or self.explanations.latest(uri)

    async def answer(self, request: Request) -> list[Offer]:
        """What to show, the best first. A request that a newer one of its document overtakes ends at once, empty."""
        track = self._tracks.setdefault(request.snapshot.uri, Track())
        track.arrived(request)
        line, column = request.snapshot.text.place(request.offset)
        story = Explanation(request.snapshot.uri, request.snapshot.version, line, column)
        self.explanations.add(story)
        try:
            offers = await self._answer(request, track, story)
        except asyncio.CancelledError:
            story.outcome = "the editor took the request back"
            asyncio.get_running_loop().call_later(GRACE_SECONDS, track.abandon, request)
            raise
        story.total = _ms(request.began)
        for offer in offers:
            self.offers.made(offer, story.total, "speculation" if story.source == "written ahead" else story.source)
        if offers and not request.invoked:
            self._session.spawn(self._go_on(track, offers[0]))
        return offers

    async def _answer(self, request: Request, track: Track, story: Explanation) -> list[Offer]:
        situation = self._situation(request, track)
        decision = decide(situation)
        story.gate = decision.reason
        if not decision.wanted:
            track.drop()
            story.outcome = "nothing is wanted here"
            return []
        situation = request.situation = situation.after_popup()
        measure = self._measure(situation)
        story.threshold = measure.threshold
        known = [] if request.invoked else track.shown.match(situation.snapshot.text, situation.offset)
        if known:
            story.source, story.outcome = "type-through", "shown"
            story.confidence = known[0].suggestion.confidence
            story.like(track.story)
            return [self._known(request, situation, match) for match in known][: request.limit]
        if self._session.link.state in ("away", "failed"):
            story.outcome = self._session.link.reason
            return []
        writing = await self._written(request, track, situation, decision, story)
        if writing is None:
            return []
        if request.document.version != request.snapshot.version:
            story.outcome = "the text has changed meanwhile"
            return []
        return self._chosen(request, track, writing, situation, measure, story)

    def _chosen(
        self,
        request: Request,
        track: Track,
        writing: Writing,
        situation: Situation,
        measure: Measure,
        story: Explanation,
    ) -> list[Offer]:
        """The candidates that may be shown, the likeliest first; they are remembered for typing through."""
        began = time.monotonic()
        verdicts = [judge(c, writing.typed, situation, measure) for c in writing.candidates if c.reason]
        story.candidates = [verdict.story for verdict in verdicts]
        story.confidence = max((v.confidence for v in verdicts), default=None)
        good = [v for v in verdicts if v.text]
        best = [good[i] for i in ranked(v.scored for v in good)]
        different = list({v.text: v for v in reversed(best)}.values())[::-1]  # the filters may have made them equal
        offers = [Offer(v.id, request.document, situation, v.text, v.confidence) for v in different[: request.limit]]
        story.filters = _ms(began)
        story.outcome = "shown" if offers else _why_not(verdicts)
        suggestions = [Suggestion(o.id, o.text, o.over, o.confidence) for o in offers]
        track.shown.remember(situation.snapshot.text, situation.offset, suggestions)
        return offers

    async def _written(
        self, request: Request, track: Track, situation: Situation, decision: Decision, story: Explanation
    ) -> Writing | None:
        """What the engine writes here: begun now, or for an earlier key where the text since agrees with it."""
        place = Place(situation.snapshot.text, situation.offset)
        while not request.superseded.is_set():
            writing = track.take(place, request.invoked)
            story.source = "an earlier key's" if writing is None or writing.order.lane == "key" else "written ahead"
            if writing is None:
                if not await self._patience(request, track, story):
                    break
                story.source = "the engine"
                writing = track.writing = self._begun(request, track, situation, decision, story)
            with self._session.status.busy():
                await writing.wait(unless=request.superseded)
            if request.superseded.is_set():
                break
            if story.source == "an earlier key's":
                story.like(track.story)
            story.prompt, track.story = writing.order.prompt, story
            story.timing, story.usage = writing.timing, writing.usage
            story.first_text, story.engine = writing.latency
            if writing.error is not None:
                story.outcome = f"the engine did not answer: {writing.error}"
                return None
            if writing.doubtful:
                story.outcome = f"nothing is shown: {UNLIKELY} so far"
                story.confidence = self._measure(situation).certain(writing.candidates[0], len(writing.typed))[1]
                return None
            if not writing.diverged:
                return writing
        story.outcome = "a newer request overtook this one"
        return None

    def _begun(
        self, request: Request, track: Track, situation: Situation, decision: Decision, story: Explanation
    ) -> Writing:
        """A new order for the engine, on its way."""
        began = time.monotonic()
        prompt = self._prompt(situation, decision, story)
        story.context = _ms(began)
        others = (request.limit or situation.settings.completion.candidates) - 1 if request.invoked else 0
        measure = self._measure(situation)
        partial = Partial(self._session, track, measure) if self._session.options.partial_completions else None
        return self._start(situation, decision, Order(prompt, others=max(0, others)), measure, partial)

    def _start(
        self,
        situation: Situation,
        decision: Decision,
        order: Order,
        measure: Measure,
        partial: Partial | None = None,
    ) -> Writing:
        lines = decision.max_lines or 1
        watch = watcher(measure, several=lines > 1, invoked=situation.invoked, language=situation.language)

        def keep(candidate: Candidate, typed: int) -> int | None:
            if partial is not None:
                partial.heard(candidate, typed)
            return watch(candidate, typed)

        order = replace(order, max_tokens=min(MOST_TOKENS, LINE_TOKENS * lines), keep=keep, doubt=measure.doubtful)
        place = Place(situation.snapshot.text, situation.offset)
        writing = Writing(self._session.link, place, order, f"c{next(self._numbers)}")
        writing.start(self._session.spawn)
        return writing

    async def _go_on(self, track: Track, offer: Offer) -> None:
        """Write what follows ``offer``, as if it were accepted, unless there is something better to do."""
        await asyncio.sleep(PAUSE_SECONDS)
        here, expected = offer.situation, offer.text
        origin = Place(here.snapshot.text, here.offset)
        wanted = here.settings.completion.speculative and offer.confidence >= LIKELY and not offer.over
        if not wanted or here.accepted is not None or track.ahead is not None or not track.idle:
            return
        if self._tracks.get(offer.document.uri) is not track or not on_the_way(origin, expected, offer.document.text):
            return
        after = accepted(here, expected)
        decision = decide(after)
        if decision.wanted:
            order = Order(self._prompt(after, decision), lane="idle")
            track.ahead = Ahead(origin, expected, self._start(after, decision, order, self._measure(after)))

    def _prepare(self, document: Document, offset: int) -> None:
        """Write what would be shown at a place where nobody has asked yet, unless there is something better to do."""
        track = self._tracks.setdefault(document.uri, Track())
        request = Request(document, document.snapshot(), offset)
        if not track.idle or track.asked_at(request):
            return
        for other in {id(t): t for t in (track, self._prepared) if t is not None}.values():
            other.drop()
        situation = self._situation(request, track)
        decision = decide(situation)
        if decision.wanted and situation.settings.completion.speculative:
            order = Order(self._prompt(situation, decision), lane="idle")
            writing = self._start(situation, decision, order, self._measure(situation))
            track.ahead = Ahead(Place(situation.snapshot.text, offset), "", writing)
            self._prepared = track

    def _prompt(self, situation: Situation, decision: Decision, story: Explanation | None = None) -> Infill:
        text, offset, seen = situation.text, situation.offset, situation.snapshot
        start = max(0, offset - NEIGHBOURHOOD) // STEP * STEP
        found = self._session.context.pieces(seen, offset)
        prompt = Infill(
            prefix=_plain(text[start:offset]),
            suffix=_plain(text[offset : offset + NEIGHBOURHOOD]),
            path=str(seen.path or "")[-4096:],
            language=seen.language[:64],
            pieces=[entry.piece for entry in found],
            trigger="invoked" if situation.invoked else "automatic",
            max_lines=decision.max_lines,
        )
        if story is not None:
            story.prompt = prompt
            story.pieces = [(e.piece.path, e.source, e.score, len(e.piece.text)) for e in found]
        return prompt

    @staticmethod
    def _known(request: Request, situation: Situation, match: Match) -> Offer:
        return Offer(match.suggestion.id, request.document, situation, match.rest, match.suggestion.confidence)

    async def _patience(self, request: Request, track: Track, story: Explanation) -> bool:
        """Wait as long as the settings say; whether the request is still wanted then."""
        chosen = self._session.settings.for_document(request.snapshot).completion.delay
        seconds = track.delay if chosen is None else chosen / 1000
        if seconds and not request.invoked:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await request.superseded.wait()
            story.delay = _ms(request.began)
        return not request.superseded.is_set()

    def _situation(self, request: Request, track: Track) -> Situation:
        seen = request.snapshot
        return Situation(
            snapshot=seen,
            offset=request.offset,
            tree=self._session.trees.tree(request.document),
            settings=self._session.settings.for_document(seen),
            invoked=request.invoked,
            popup=request.popup,
            recently_deleted=track.deleted == seen.text.place(request.offset)[0],
            permission=self._session.policy.check_uri(seen.uri),
        )

    def _measure(self, situation: Situation) -> Measure:
        used = confidence.curve(str(self._session.link.model.get("id", "")))
        wanted = situation.settings.completion.minimum_confidence
        least = 0.0 if situation.invoked else used.threshold if wanted is None else wanted
        return Measure(used, least)

    def _changed(self, document: Document, before: Text, change: Change) -> None:
        track = self._tracks.get(document.uri)
        if track is not None:
            track.changed(before, document.text, change)

    def _closed(self, document: Document) -> None:
        track = self._tracks.pop(document.uri, None)
        if track is not None:
            track.drop()


def _ms(since: float) -> float:
    return 1000 * (time.monotonic() - since)


def _plain(text: str) -> str:
    """With the line ends that models know."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _why_not(verdicts: list[Verdict]) -> str:
    whys = [v.story.dropped for v in verdicts if v.story.dropped]
    return f"nothing is shown: {whys[0]}" if whys else "the model wrote nothing"
