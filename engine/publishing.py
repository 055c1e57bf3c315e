"""What the rows of a finished step mean: scores, vectors, new tokens, and the ends of requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from famulus.engine.constraints import build as build_mask
from famulus.engine.errors import FamulusError, InvalidConstraint, Overloaded
from famulus.engine.protocol import Embedded, Event, Failed, Scored, Usage
from famulus.engine.runner import Runner
from famulus.engine.sampler import Sampler, continuations, log_probabilities, next_tokens
from famulus.engine.scheduler import Scheduler
from famulus.engine.step import Chunk, Sequence, StepPlan
from famulus.engine.tasks import Embedding, Generation, Scores, Scoring, Task, token_logprob
from famulus.engine.text import Tokenizer

SCORED_ROWS = 64
"""Rows whose whole vocabulary is in memory at once while a prompt is scored."""


@dataclass(frozen=True)
class _Draw:
    """What a sequence goes on with. ``rows``: the logits [tokens, vocabulary] f32 from which its ``tokens`` were
    chosen, the last of which may be an error. No tokens: no answer was asked for."""

    sequence: Sequence
    task: Generation
    rows: Tensor
    tokens: list[int | InvalidConstraint] = field(default_factory=list)

    @property
    def new(self) -> list[int]:
        """The tokens that are no errors."""
        return [t for t in self.tokens if isinstance(t, int)]


@dataclass
class Publisher:
    """Turns hidden states into events and ends what is over. ``tasks`` (by request id), ``scheduler``, ``ids`` (of
    sequences) and ``counts`` are the core's own and are changed."""

    tasks: dict[str, Task]
    scheduler: Scheduler
    runner: Runner
    tokenizer: Tokenizer
    ids: Iterator[int]
    clock: Callable[[], float]
    counts: dict[str, float]

    def publish(self, plan: StepPlan, hidden: Tensor) -> list[Event]:
        """The events of ``plan``, which ran and is committed here. ``hidden``: [tokens, hidden] f32."""
        events: list[Event] = []
        complete: list[tuple[Chunk, Generation]] = []
        last_rows: list[int] = []
        row = 0
        for chunk in plan.chunks:
            sequence, states = chunk.sequence, hidden[row : row + chunk.count]
            row += chunk.count
            task = self.tasks.get(sequence.request)
            if task is None or sequence.state != "running":
                # Cancelled while the step ran, and others in the batch needed the rest of it.
                self.counts["unwanted_chunks"] += 1
                continue
            self._collect(task, chunk, states)
            if isinstance(task, Generation) and chunk.known == len(sequence.tokens):
                events += task.prompt_done(sequence)
                complete.append((chunk, task))
                last_rows += range(row - 1 - len(chunk.draft), row)
        draws = self._draw(complete, hidden[last_rows]) if complete else []
        self.scheduler.commit(plan, {d.sequence.id: d.new for d in draws})
        for draw in draws:
            events += self._tell(draw)
        return events + self._finished(plan)

    def failed(self, sequence: Sequence, error: FamulusError) -> list[Event]:
        """End the request of ``sequence`` with ``error``; nothing else notices."""
        if self.tasks.pop(sequence.request, None) is None:
            return []
        self.scheduler.cancel(sequence.request)
        return [Failed(sequence.request, error.code, str(error))]

    def full(self, sequence: Sequence) -> list[Event]:
        """No page is left for a sequence: an answer ends there, anything else has failed."""
        task = self.tasks.get(sequence.request)
        if isinstance(task, Generation) and sequence.id in task.open:
            return self._closed(task, task.end(sequence.id, "length", self.clock()))
        return self.failed(sequence, Overloaded("The cache is too small for this request.", fix="Send less at once."))

    # Rows of prompts.

    def _collect(self, task: Task, chunk: Chunk, states: Tensor) -> None:
        """Keep what was asked for of a prompt's rows ``states`` [chunk's tokens, hidden]."""
        sequence = chunk.sequence
        if isinstance(task, Embedding):
            # Rows before ``logits_from`` were summed already, before a pre-emption.
            skip = max(0, sequence.logits_from - chunk.start)
            task.sums[sequence.id] = task.sums[sequence.id] + states[skip:].sum(0)
        elif (isinstance(task, Scoring) or task.request.prompt_logprobs) and sequence.computed < sequence.prompt:
            self._score(task, chunk, states)

    def _score(self, task: Scoring | Generation, chunk: Chunk, states: Tensor) -> None:
        """Log-probabilities of the prompt's tokens that follow the rows of ``chunk``."""
        sequence = chunk.sequence
        top = (task.request.logprobs or 0) if isinstance(task, Generation) else 0
        first = max(chunk.start, sequence.logits_from)
        last = min(chunk.start + chunk.count, sequence.prompt - 1)
        for at in range(first, last, SCORED_ROWS):
            end = min(at + SCORED_ROWS, last)
            following = sequence.tokens[at + 1 : end + 1]
            scores = log_probabilities(self._logits(states[at - chunk.start : end - chunk.start]), following, top)
            task.scores += [token_logprob(self.tokenizer, t, s) for t, s in zip(following, scores, strict=True)]

    def _finished(self, plan: StepPlan) -> list[Event]:
        """Scorings and embeddings whose last row came with this step."""
        events: list[Event] = []
        for sequence in (c.sequence for c in plan.chunks if c.sequence.state == "running" and not c.sequence.remaining):
            task = self.tasks.get(sequence.request)
            if isinstance(task, Scoring):
                self.scheduler.finish(sequence)
                del self.tasks[sequence.request]
                events.append(Scored(task.request.id, task.scores, Usage(sequence.prompt, sequence.cached, 0)))
            elif isinstance(task, Embedding):
                self.scheduler.finish(sequence)
                task.ended(sequence)
                if not task.sums:
                    del self.tasks[sequence.request]
                    vectors = [task.vectors[i] for i in range(len(task.vectors))]
                    events.append(Embedded(task.request.id, vectors, Usage(task.tokens)))
        return events

    # New tokens.

    def _draw(self, complete: list[tuple[Chunk, Generation]], states: Tensor) -> list[_Draw]:
        """The next tokens of each; ``states`` [rows, hidden]: of its last token and its draft."""
        each = torch.split(self._logits(states), [1 + len(chunk.draft) for chunk, _ in complete])
        draws = [_Draw(chunk.sequence, task, rows) for (chunk, task), rows in zip(complete, each, strict=True)]
        asked = [i for i, (_, task) in enumerate(complete) if task.limit > 0]
        if asked:
            samplers = [complete[i][1].open[complete[i][0].sequence.id].sampler for i in asked]
            drafts = [complete[i][0].draft for i in asked]
            logits = each[0] if len(each) == 1 else torch.cat([each[i] for i in asked])
            for i, tokens in zip(asked, continuations(logits, samplers, drafts), strict=True):
                draws[i].tokens.extend(tokens)
                self.counts["drafted_tokens"] += len(complete[i][0].draft)
                self.counts["accepted_tokens"] += max(0, len(draws[i].new) - 1)
        return draws

    def _tell(self, draw: _Draw) -> list[Event]:
        """What follows from a draw, now that its token is committed."""
        sequence, task = draw.sequence, draw.task
        if self.tasks.get(sequence.request) is not task:
            return []  # the request failed at another candidate
        if not draw.tokens:
            for index in range(1, task.request.n):
                task.open[next(self.ids)] = task.candidate(index, task.open[sequence.id].sampler)
            now = self.clock()
            return self._closed(task, [e for identity in list(task.open) for e in task.end(identity, "length", now)])
        events: list[Event] = []
        for at, (row, token) in enumerate(zip(draw.rows, draw.tokens, strict=False)):
            if isinstance(token, InvalidConstraint):
                return events + self.failed(sequence, token)
            if task.request.n > 1 and len(sequence.tokens) == sequence.prompt + 1 and task.open[sequence.id].index == 0:
                events = self._fork(sequence, task, row)
                if self.tasks.get(sequence.request) is not task:
                    return events
            more, scores = at + 1 < len(draw.tokens), self._scores(task, row, token)
            self.counts["generated_tokens"] += 1
            events += task.take(sequence, token, scores, self.clock(), more)
            if sequence.id not in task.open:
                break  # what was drafted behind the end is not said
        return self._closed(task, events, sequence)

    def _fork(self, sequence: Sequence, task: Generation, row: Tensor) -> list[Event]:
        """The other candidates start from the first one's computed prompt, each with a first token of its own."""
        samplers = [self._sampler(task, i, sequence) for i in range(1, task.request.n)]
        first: dict[int, int] = {}
        for sampler, token in zip(samplers, next_tokens(row.expand(len(samplers), -1), samplers), strict=True):
            if isinstance(token, InvalidConstraint):
                return self.failed(sequence, token)
            identity = next(self.ids)
            first[identity] = token
            task.open[identity] = task.candidate(len(first), sampler)
        self.counts["generated_tokens"] += len(first)
        events: list[Event] = []
        for child in self.scheduler.fork(sequence, first):
            token = first[child.id]
            told = task.take(child, token, self._scores(task, row, token), self.clock())
            events += self._closed(task, told, child)
        return events

    def _sampler(self, task: Generation, index: int, sequence: Sequence) -> Sampler:
        rendered = task.rendered
        mask = build_mask(task.request.constraint, rendered.heal, self.tokenizer, rendered.before)
        return Sampler(task.request.sampling, index, sequence.tokens[: sequence.prompt], mask)

    def _scores(self, task: Generation, row: Tensor, token: int) -> Scores | None:
        wanted = task.request.logprobs
        return None if wanted is None else log_probabilities(row[None], [token], wanted)[0]

    def _closed(self, task: Generation, events: list[Event], sequence: Sequence | None = None) -> list[Event]:
        """After ``events`` of a generation: let go of a sequence that ended, and of the task with its last one."""
        if sequence is not None and sequence.id not in task.open:
            self.scheduler.finish(sequence)
        if not task.open:
            self.tasks.pop(task.request.id, None)
            self.scheduler.cancel(task.request.id)
        return events

    def _logits(self, states: Tensor) -> Tensor:
        """[rows, hidden] → [rows, tokenizer's vocabulary] f32; a padded head's extra rows are no tokens."""
        return self.runner.logits(states)[:, : self.tokenizer.vocab_size]
