"""One step of the engine: plan → batch → forward → publish. The only file that knows every part."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from famulus.engine.cache import PageCache
from famulus.engine.constraints import build as build_mask
from famulus.engine.draft.speculation import Room
from famulus.engine.errors import DeadlineExceeded, FamulusError, InvalidRequest, ModelNotFound, PromptTooLong
from famulus.engine.hardware import PAGE
from famulus.engine.prompt import Rendered, render
from famulus.engine.protocol import (
    Detokenize,
    Embed,
    Event,
    Generate,
    Infill,
    Prompt,
    Score,
    Scored,
    Text,
    Tokenize,
    Tokenized,
    Tokens,
    Usage,
)
from famulus.engine.publishing import Publisher
from famulus.engine.runner import Runner, StepAborted
from famulus.engine.sampler import Sampler
from famulus.engine.scheduler import Scheduler
from famulus.engine.served import Served, open_served
from famulus.engine.settings import Settings
from famulus.engine.step import Sequence, StepPlan
from famulus.engine.tasks import Embedding, Generation, Scoring, Task

LAYER_GROUP = 2
"""Layers between two looks at the inbox (microseconds each): a step that nobody wants any more ends within two."""


class Core:
    """A loaded model and everything that is running on it. Not thread-safe: one thread steps, submits and cancels."""

    def __init__(self, served: Served, clock: Callable[[], float] = time.monotonic) -> None:
        self.info, self.plan, self.progress = served.info, served.plan, 0
        self.tokenizer, self.card = served.tokenizer, served.card
        self.cache = PageCache(served.pages, PAGE)
        self.scheduler = Scheduler(self.cache, served.limits, clock)
        self._runner, self._governor, self._clock = served.runner, served.governor, clock
        self._tasks: dict[str, Task] = {}
        self._ready: list[Event] = []
        self._ids = count(1)
        self._polled = 0.0  # seconds of the current step spent on the inbox: rendering a prompt says nothing of threads
        self._counts = dict.fromkeys(
            (
                "steps",
                "aborted_steps",
                "unwanted_chunks",
                "computed_tokens",
                "generated_tokens",
                "drafted_tokens",
                "accepted_tokens",
                "cancelled",
            ),
            0.0,
        )
        self.speculation = served.speculation
        """What proposes drafts; None: nothing does."""
        self._publisher = Publisher(
            self._tasks, self.scheduler, served.runner, served.tokenizer, self._ids, clock, self._counts
        )

    @classmethod
    def load(cls, settings: Mapping[str, Any], progress: Callable[[str], None]) -> Core:
        """The configured model, or the best that this machine can run. ``progress`` is told each stage in words."""
        core = cls(open_served(Settings(**settings), progress))
        progress("warming up")
        core._warm_up()
        return core

    def _warm_up(self) -> None:
        """The first products of a process are slow (libraries start, weights are paged in): not on a user's time."""
        for rows in (1, 8):
            warm = Tokens([t % self.info.vocabulary for t in range(rows)])
            self.submit(Generate("warm-up", warm, max_tokens=2, ignore_eos=True, salt="warm-up"))
            while self.busy:
                self.step(lambda: None)
        self.cache.evict(self.cache.total)
        self._counts.update(dict.fromkeys(self._counts, 0.0))

    @property
    def runner(self) -> Runner:
        """What computes, for those who look into the model."""
        return self._runner

    @property
    def busy(self) -> bool:
        """Whether :meth:`step` has something to do."""
        return bool(self._ready or self.scheduler.running or self.scheduler.waiting)

    def stats(self) -> dict[str, float]:
        """Counters since the start, and pages and sequences now."""
        pages = {
            "pages_free": self.cache.free,
            "pages_cached": self.cache.cached,
            "pages_total": self.cache.total,
        }
        now = {
            "running": self.scheduler.running,
            "waiting": self.scheduler.waiting,
            "tasks": len(self._tasks),
        }
        return {
            **self._counts,
            "threads": float(self._governor.current),
            **{k: float(v) for k, v in {**pages, **now}.items()},
        }

    def decode_bytes(self) -> int:
        """Bytes of weights that one decoded token reads."""
        return sum(w.decode_bytes for w in self._runner.model.linears())

    def close(self) -> None:
        """Drop all work."""
        for request in list(self._tasks):
            self.cancel(request)

    # Requests.

    def submit(self, request: Generate | Score | Embed | Tokenize | Detokenize) -> None:
        """Take a request; its events come from :meth:`step`. Raises :class:`FamulusError` for one that cannot run."""
        if isinstance(request, Tokenize):
            ids = self.tokenizer.encode(request.text, special=request.special)
            texts = [self.tokenizer.decode([t]) for t in ids]
            self._ready.append(Tokenized(request.id, ids, texts, request.text))
            return
        if isinstance(request, Detokenize):
            self._check_ids(request.tokens)
            texts = [self.tokenizer.decode([t]) for t in request.tokens]
            self._ready.append(Tokenized(request.id, request.tokens, texts, self.tokenizer.decode(request.tokens)))
            return
        if request.id in self._tasks:
            raise InvalidRequest(f"The request id {request.id!r} is in use.")
        if request.model and request.model != self.info.id:
            raise ModelNotFound(
                f"This engine serves {self.info.id}, not {request.model!r}.",
                fix="Set model in the settings, then: famulus stop",
            )
        start = {Generate: self._generate, Score: self._score, Embed: self._embed}[type(request)]
        try:
            start(request)  # type: ignore[operator]
        except FamulusError:
            # An embedding of several texts may fail at its second: nothing of it stays.
            self.scheduler.cancel(request.id)
            self._tasks.pop(request.id, None)
            raise

    def cancel(self, id: str) -> None:
        """Drop a request, whatever it is doing; what it computed stays cached. Unknown ids are ignored."""
        if self._tasks.pop(id, None) is not None:
            self._counts["cancelled"] += 1
        self.scheduler.cancel(id)

    def _sequence(self, request: Generate | Score, tokens: list[int], **fields: Any) -> Sequence:
        now = self._clock()
        deadline = None if request.deadline_ms is None else now + request.deadline_ms / 1000
        return Sequence(
            next(self._ids),
            request.id,
            request.lane,
            tokens,
            arrival=now,
            deadline=deadline,
            salt=request.salt,
            **fields,
        )

    def _generate(self, request: Generate) -> None:
        rendered = self._render(request.prompt, request.max_tokens)
        limit = min(request.max_tokens, self.card.context - len(rendered.tokens))
        language = request.prompt.language if isinstance(request.prompt, Infill) else ""
        sequence = self._sequence(request, rendered.tokens, max_tokens=limit, language=language)
        if request.prompt_logprobs:
            sequence.logits_from = sequence.reuse_limit = 0
        task = Generation(request, rendered, self.tokenizer, self.info.id, limit, sequence.arrival)
        mask = build_mask(request.constraint, rendered.heal, self.tokenizer, rendered.before)
        task.open[sequence.id] = task.candidate(0, Sampler(request.sampling, 0, rendered.tokens, mask))
        self.scheduler.submit(sequence)
        self._tasks[request.id] = task

    def _score(self, request: Score) -> None:
        rendered = self._render(request.prompt, 0)
        rest = self.tokenizer.encode(rendered.heal.decode("utf-8", "replace") + request.continuation)
        start, tokens = len(rendered.tokens), rendered.tokens + rest
        if not start:
            raise InvalidRequest("The prompt is empty, so nothing can follow it.", fix="Send at least one token.")
        if len(tokens) > self.card.context:
            raise PromptTooLong(
                f"Prompt and continuation have {len(tokens)} tokens, {len(tokens) - self.card.context} more than the "
                f"context of {self.info.id} ({self.card.context}).",
                fix="Shorten one of them.",
            )
        if not rest:
            self._ready.append(Scored(request.id, [], Usage(start)))
            return
        sequence = self._sequence(request, tokens, logits_from=start - 1)
        self.scheduler.submit(sequence)
        self._tasks[request.id] = Scoring(request)

    def _embed(self, request: Embed) -> None:
        task = Embedding(request)
        self._tasks[request.id] = task
        for place, text in enumerate(request.texts):
            tokens = self._render(Text(text), 0).tokens
            now = self._clock()
            sequence = Sequence(next(self._ids), request.id, request.lane, tokens, arrival=now, logits_from=0)
            task.add(sequence, place)
            self.scheduler.submit(sequence)

    def _render(self, prompt: Prompt, wanted: int) -> Rendered:
        """Infillings are trimmed to keep room for the whole answer; others stop at the context's end."""
        reserve = min(wanted, self.card.context // 4) if isinstance(prompt, Infill) else min(wanted, 1)
        return render(prompt, self.tokenizer, self.card, reserve)

    def _check_ids(self, tokens: list[int]) -> None:
        wrong = next((t for t in tokens if t >= self.tokenizer.vocab_size), None)
        if wrong is not None:
            raise InvalidRequest(
                f"{self.info.id} has no token {wrong}; its ids end at {self.tokenizer.vocab_size - 1}."
            )

    # Steps.

    def step(self, poll: Callable[[], None]) -> list[Event]:
        """Advance everything by one step. ``poll`` is called between layer groups and may submit and cancel."""
        events, self._ready = self._ready, []
        plan = self.scheduler.plan()
        if plan is None:
            return events
        for sequence in plan.expired:
            late = DeadlineExceeded("The deadline passed before the request was finished.")
            events += self._publisher.failed(sequence, late)
        for sequence in plan.full:
            events += self._publisher.full(sequence)
        if not plan.chunks:
            return events
        started, self._polled = time.perf_counter(), 0.0
        plan = self._drafted(plan)
        try:
            hidden = self._runner.forward(plan, self._between(plan, poll))
        except StepAborted:
            self._counts["aborted_steps"] += 1
            return events
        computed = time.perf_counter() - started - self._polled
        self._counts["steps"] += 1
        self._counts["computed_tokens"] += sum(c.count for c in plan.chunks)
        events += self._publisher.publish(plan, hidden)
        self._judge(plan, computed, time.perf_counter() - started - self._polled)
        return events

    def _drafted(self, plan: StepPlan) -> StepPlan:
        """The plan with drafts where they are worth computing: never beside prompts, whose first token waits."""
        if self.speculation is None or not plan.decodes:
            return plan
        drafts = self.speculation.propose(plan, self._room(plan))
        return self.scheduler.widen(plan, drafts) if drafts else plan

    def _room(self, plan: StepPlan) -> dict[int, Room]:
        """What drafts the answers of ``plan`` that have begun can have."""
        found = {}
        for sequence in (c.sequence for c in plan.chunks if len(c.sequence.tokens) > c.sequence.prompt):
            task = self._tasks.get(sequence.request)
            if isinstance(task, Generation) and sequence.id in task.open:
                candidate = task.open[sequence.id]
                found[sequence.id] = Room(task.limit - candidate.tokens - 1, candidate.sampler.mask)
        return found

    def _judge(self, plan: StepPlan, computed: float, seconds: float) -> None:
        """Tell those who choose threads and drafts what a step took: ``computed`` seconds for the model, all
        ``seconds``."""
        tokens = sum(c.count for c in plan.chunks)
        if plan.decodes:
            drafted = self.speculation is not None and tokens > len(plan.chunks)
            share = self.speculation.relative(plan) if self.speculation and drafted else 1.0
            self._governor.observe(f"decode {min(len(plan.chunks), 8)}", computed / share)
            if self.speculation is not None:
                self.speculation.observe(plan, seconds)
        elif tokens >= 16:
            self._governor.observe("prompt", computed / tokens)

    def _between(self, plan: StepPlan, poll: Callable[[], None]) -> Callable[[], None]:
        layer = 0

        def between() -> None:
            nonlocal layer
            self.progress += 1
            if layer % LAYER_GROUP == 0:
                asked = time.perf_counter()
                poll()
                self._polled += time.perf_counter() - asked
                if not plan.wanted:
                    raise StepAborted
            layer += 1

        return between
