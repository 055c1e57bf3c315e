"""One step of the engine: plan → batch → forward → sample → publish. The only file that knows every part."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from famulus.engine.cache import PageCache
from famulus.engine.constraints import build as build_mask
from famulus.engine.errors import (
    DeadlineExceeded,
    FamulusError,
    InvalidConstraint,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    PromptTooLong,
)
from famulus.engine.hardware import PAGE
from famulus.engine.prompt import Rendered, render
from famulus.engine.protocol import (
    Detokenize,
    Embed,
    Embedded,
    Event,
    Failed,
    Generate,
    Infill,
    Prompt,
    Score,
    Scored,
    Text,
    Tokenize,
    Tokenized,
    TokenLogprob,
    Tokens,
    Usage,
)
from famulus.engine.runner import StepAborted
from famulus.engine.sampler import Sampler, log_probabilities, next_tokens
from famulus.engine.scheduler import Scheduler
from famulus.engine.served import Served, open_served
from famulus.engine.settings import Settings
from famulus.engine.step import Chunk, Sequence, StepPlan
from famulus.engine.tasks import Generation, Scores, token_logprob

LAYER_GROUP = 2
"""Layers between two looks at the inbox (microseconds each): a step that nobody wants any more ends within two."""
SCORED_ROWS = 64
"""Rows whose whole vocabulary is in memory at once while a prompt is scored."""


@dataclass
class Scoring:
    """A :class:`Score` in progress."""

    request: Score
    scores: list[TokenLogprob] = field(default_factory=list)


@dataclass
class Embedding:
    """An :class:`Embed` in progress: per sequence id its place and the sum of its hidden states."""

    request: Embed
    places: dict[int, int] = field(default_factory=dict)
    sums: dict[int, Tensor] = field(default_factory=dict)
    vectors: dict[int, list[float]] = field(default_factory=dict)
    tokens: int = 0


Task = Generation | Scoring | Embedding


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
        self._ids = 0
        self._counts = dict.fromkeys(
            ("steps", "aborted_steps", "unwanted_chunks", "computed_tokens", "generated_tokens", "cancelled"), 0.0
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
        self._counts = dict.fromkeys(self._counts, 0.0)

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
        self._ids += 1
        now = self._clock()
        deadline = None if request.deadline_ms is None else now + request.deadline_ms / 1000
        return Sequence(
            self._ids,
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
        sequence = self._sequence(request, rendered.tokens, max_tokens=limit)
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
            self._ids += 1
            now = self._clock()
            sequence = Sequence(self._ids, request.id, request.lane, tokens, arrival=now, logits_from=0)
            task.places[sequence.id] = place
            task.sums[sequence.id] = torch.zeros(1)
            task.tokens += len(tokens)
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
            events += self._failed(sequence, DeadlineExceeded("The deadline passed before the request was finished."))
        for sequence in plan.full:
            events += self._full(sequence)
        if not plan.chunks:
            return events
        started = time.perf_counter()
        try:
            hidden = self._runner.forward(plan, self._between(plan, poll))
        except StepAborted:
            self._counts["aborted_steps"] += 1
            return events
        self._judge_threads(plan, time.perf_counter() - started)
        self._counts["steps"] += 1
        self._counts["computed_tokens"] += sum(c.count for c in plan.chunks)
        return events + self._publish(plan, hidden)

    def _judge_threads(self, plan: StepPlan, seconds: float) -> None:
        tokens = sum(c.count for c in plan.chunks)
        if tokens == len(plan.chunks):
            self._governor.observe(f"decode {min(tokens, 8)}", seconds)
        elif tokens >= 16:
            self._governor.observe("prompt", seconds / tokens)

    def _between(self, plan: StepPlan, poll: Callable[[], None]) -> Callable[[], None]:
        layer = 0

        def between() -> None:
            nonlocal layer
            self.progress += 1
            if layer % LAYER_GROUP == 0:
                poll()
                if not plan.wanted:
                    raise StepAborted
            layer += 1

        return between

    def _publish(self, plan: StepPlan, hidden: Tensor) -> list[Event]:
        """What the rows of a finished step mean: scores, vectors, new tokens."""
        events: list[Event] = []
        sampled: list[tuple[Sequence, Generation]] = []
        rows: list[int] = []
        row = 0
        for chunk in plan.chunks:
            task, states = self._tasks.get(chunk.sequence.request), hidden[row : row + chunk.count]
            row += chunk.count
            if task is None or chunk.sequence.state != "running":
                # Cancelled while the step ran, and others in the batch needed the rest of it.
                self._counts["unwanted_chunks"] += 1
                continue
            complete = chunk.start + chunk.count == len(chunk.sequence.tokens)
            events += self._deliver(task, chunk, states, complete)
            if complete and isinstance(task, Generation):
                task.begun(chunk.sequence)
                sampled.append((chunk.sequence, task))
                rows.append(row - 1)
        tokens, more = self._sample(sampled, hidden[rows]) if sampled else ({}, [])
        self.scheduler.commit(plan, tokens)
        for action in more:
            events += action()
        return events + self._finished(plan)

    def _deliver(self, task: Task, chunk: Chunk, states: Tensor, complete: bool) -> list[Event]:
        """Prompt rows that were asked for, of one chunk."""
        sequence = chunk.sequence
        if isinstance(task, Embedding):
            skip = max(0, sequence.logits_from - chunk.start)
            task.sums[sequence.id] = task.sums[sequence.id] + states[skip:].sum(0)
            return []
        scored = isinstance(task, Scoring) or task.request.prompt_logprobs
        if not scored or sequence.computed >= sequence.prompt:
            return []
        first = max(chunk.start, sequence.logits_from)
        last = min(chunk.start + chunk.count, sequence.prompt - 1)
        for at in range(first, last, SCORED_ROWS):
            end = min(at + SCORED_ROWS, last)
            following = sequence.tokens[at + 1 : end + 1]
            logits = self._logits(states[at - chunk.start : end - chunk.start])
            scores = log_probabilities(
                logits, following, (task.request.logprobs or 0) if isinstance(task, Generation) else 0
            )
            if isinstance(task, Scoring):
                task.scores += [token_logprob(self.tokenizer, t, s) for t, s in zip(following, scores, strict=True)]
            else:
                task.prompt_rows(following, scores)
        if complete and isinstance(task, Generation):
            return task.prompt_done(sequence.tokens[: sequence.prompt])
        return []

    def _sample(
        self, sampled: list[tuple[Sequence, Generation]], states: Tensor
    ) -> tuple[dict[int, int], list[Callable[[], list[Event]]]]:
        """Tokens by sequence id, and what is to be told once they are committed."""
        logits = self._logits(states)
        tokens: dict[int, int] = {}
        after: list[Callable[[], list[Event]]] = []
        live = [(s, t, logits[i]) for i, (s, t) in enumerate(sampled) if t.limit > 0]
        now = self._clock
        for sequence, task in sampled:
            if task.limit <= 0:
                after.append(lambda s=sequence, t=task: self._closed(t, t.end(s, "length", now())))  # type: ignore[misc]
        if not live:
            return tokens, after
        chosen = next_tokens(torch.stack([row for _, _, row in live]), [t.open[s.id].sampler for s, t, _ in live])
        for (sequence, task, row), token in zip(live, chosen, strict=True):
            if isinstance(token, InvalidConstraint):
                after.append(lambda s=sequence, e=token: self._failed(s, e))  # type: ignore[misc]
                continue
            tokens[sequence.id] = token
            if task.request.n > 1 and len(sequence.tokens) == sequence.prompt and task.open[sequence.id].index == 0:
                after.append(self._forking(sequence, task, row))
            after.append(self._taking(sequence, task, token, self._scores(task, row, token)))
        self._counts["generated_tokens"] += len(chosen)
        return tokens, after

    def _scores(self, task: Generation, row: Tensor, token: int) -> Scores | None:
        wanted = task.request.logprobs
        return None if wanted is None else log_probabilities(row[None], [token], wanted)[0]

    def _taking(
        self, sequence: Sequence, task: Generation, token: int, scores: Scores | None
    ) -> Callable[[], list[Event]]:
        def take() -> list[Event]:
            if sequence.id not in task.open:
                return []  # the request failed at another candidate
            return self._closed(task, task.take(sequence, token, scores, self._clock()), sequence)

        return take

    def _forking(self, sequence: Sequence, task: Generation, row: Tensor) -> Callable[[], list[Event]]:
        """The other candidates start from the first one's computed prompt, each with a first token of its own."""

        def fork() -> list[Event]:
            samplers = [self._sampler(task, i, sequence) for i in range(1, task.request.n)]
            first: dict[int, int] = {}
            for sampler, token in zip(samplers, next_tokens(row.expand(len(samplers), -1), samplers), strict=True):
                if isinstance(token, InvalidConstraint):
                    return self._failed(sequence, token)
                self._ids += 1
                first[self._ids] = token
                task.open[self._ids] = task.candidate(len(first), sampler)
            events: list[Event] = []
            for child in self.scheduler.fork(sequence, first):
                token = first[child.id]
                told = task.take(child, token, self._scores(task, row, token), self._clock())
                events += self._closed(task, told, child)
            return events

        return fork

    def _sampler(self, task: Generation, index: int, sequence: Sequence) -> Sampler:
        rendered = task.rendered
        mask = build_mask(task.request.constraint, rendered.heal, self.tokenizer, rendered.before)
        return Sampler(task.request.sampling, index, sequence.tokens[: sequence.prompt], mask)

    def _closed(self, task: Generation, events: list[Event], sequence: Sequence | None = None) -> list[Event]:
        """After ``events`` of a generation: let go of a sequence that ended, and of the task with its last one."""
        if sequence is not None and sequence.id not in task.open:
            self.scheduler.finish(sequence)
        if not task.open:
            self._tasks.pop(task.request.id, None)
            self.scheduler.cancel(task.request.id)
        return events

    def _finished(self, plan: StepPlan) -> list[Event]:
        """Scorings and embeddings whose last row came with this step."""
        events: list[Event] = []
        for sequence in (c.sequence for c in plan.chunks if c.sequence.state == "running" and not c.sequence.remaining):
            task = self._tasks.get(sequence.request)
            if isinstance(task, Scoring):
                self.scheduler.finish(sequence)
                del self._tasks[sequence.request]
                usage = Usage(sequence.prompt, sequence.cached, 0)
                events.append(Scored(task.request.id, task.scores, usage))
            elif isinstance(task, Embedding):
                self.scheduler.finish(sequence)
                mean = task.sums.pop(sequence.id) / len(sequence.tokens)
                task.vectors[task.places[sequence.id]] = (mean / mean.norm()).tolist()
                if not task.sums:
                    del self._tasks[sequence.request]
                    vectors = [task.vectors[i] for i in range(len(task.vectors))]
                    events.append(Embedded(task.request.id, vectors, Usage(task.tokens)))
        return events

    def _failed(self, sequence: Sequence, error: FamulusError) -> list[Event]:
        """End the request of ``sequence`` with ``error``; nothing else notices."""
        if self._tasks.pop(sequence.request, None) is None:
            return []
        self.scheduler.cancel(sequence.request)
        return [Failed(sequence.request, error.code, str(error))]

    def _full(self, sequence: Sequence) -> list[Event]:
        """No page is left for a sequence: an answer ends there, anything else has failed."""
        task = self._tasks.get(sequence.request)
        if isinstance(task, Generation) and sequence.id in task.open:
            return self._closed(task, task.end(sequence, "length", self._clock()))
        return self._failed(sequence, Overloaded("The cache is too small for this request.", fix="Send less at once."))

    def _logits(self, states: Tensor) -> Tensor:
        """[rows, hidden] → [rows, tokenizer's vocabulary] f32; a padded head's extra rows are no tokens."""
        return self._runner.logits(states)[:, : self.tokenizer.vocab_size]
