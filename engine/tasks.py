"""What the core is working on: one task a request, turning rows of a step into events.

A task owns the sequences it gave to the scheduler and knows when it is over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from famulus.engine.endings import Ending
from famulus.engine.prompt import Rendered
from famulus.engine.protocol import (
    Delta,
    Done,
    Embed,
    Event,
    Finish,
    Generate,
    PromptScores,
    Score,
    Timing,
    TokenLogprob,
    Usage,
)
from famulus.engine.sampler import Sampler
from famulus.engine.step import Sequence
from famulus.engine.text import Detokenizer, Tokenizer

Scores = tuple[float, list[tuple[int, float]]]
"""Log-probability of a token, and the likeliest tokens at its place with theirs."""


def token_logprob(tokenizer: Tokenizer, token: int, scores: Scores | None) -> TokenLogprob:
    """The protocol's form of a scored token; ``scores`` None for a prompt's first token."""
    text = tokenizer.decode([token])
    if scores is None:
        return TokenLogprob(token, text, None)
    value, top = scores
    return TokenLogprob(token, text, value, [(t, tokenizer.decode([t]), p) for t, p in top])


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

    def add(self, sequence: Sequence, place: int) -> None:
        """``sequence`` is the text at ``place``."""
        self.places[sequence.id] = place
        self.sums[sequence.id] = torch.zeros(1)
        self.tokens += sequence.prompt

    def ended(self, sequence: Sequence) -> None:
        """All rows of ``sequence`` are summed: its direction is the vector."""
        self.vectors[self.places[sequence.id]] = F.normalize(self.sums.pop(sequence.id), dim=0).tolist()


@dataclass
class Candidate:
    """One of the ``n`` answers of a generation."""

    index: int
    sampler: Sampler
    text: Detokenizer
    ending: Ending
    tokens: int = 0
    unsent: int = 0
    logprobs: list[TokenLogprob] = field(default_factory=list)


class Generation:
    """A :class:`Generate` in progress. ``open`` maps the ids of live sequences to their candidates; ``scores`` are
    those of the prompt, if asked for."""

    def __init__(
        self,
        request: Generate,
        rendered: Rendered,
        tokenizer: Tokenizer,
        model: str,
        limit: int,
        arrival: float,
    ) -> None:
        self.request = request
        self.limit = limit
        self.open: dict[int, Candidate] = {}
        self.scores: list[TokenLogprob] = []
        self.rendered = rendered
        self._tokenizer, self._model = tokenizer, model
        self._arrival = arrival
        self._started: float | None = None
        self._first: float | None = None
        self._usage = Usage()

    def candidate(self, index: int, sampler: Sampler) -> Candidate:
        """A fresh candidate; register it in ``open`` under its sequence's id."""
        text = Detokenizer(self._tokenizer, skip=len(self.rendered.heal))
        return Candidate(index, sampler, text, Ending(self.rendered.ending, self.request.stop))

    def prompt_done(self, sequence: Sequence) -> list[Event]:
        """The prompt is computed: note the times and what came from the cache, and tell its scores if asked for.
        After a pre-emption it is so once more, which changes nothing."""
        if self._started is not None:
            return []
        self._started = sequence.started
        self._usage = Usage(sequence.prompt, sequence.cached, 0)
        if not self.request.prompt_logprobs:
            return []
        return [PromptScores(self.request.id, [token_logprob(self._tokenizer, sequence.tokens[0], None), *self.scores])]

    def take(
        self, sequence: Sequence, token: int, scores: Scores | None, now: float, more: bool = False
    ) -> list[Event]:
        """``token`` was sampled for ``sequence``: new text, and the end of the candidate if this is it.

        ``more``: its sampler has chosen tokens behind this one already.
        """
        candidate = self.open[sequence.id]
        if self._first is None:
            self._first = now
        candidate.tokens += 1
        self._usage = Usage(self._usage.prompt, self._usage.cached, self._usage.generated + 1)
        if token in self.rendered.stop_ids and not self.request.ignore_eos:
            return self.end(sequence.id, "stop", now)
        if scores is not None:
            candidate.logprobs.append(token_logprob(self._tokenizer, token, scores))
        candidate.unsent += 1
        shown, over = candidate.ending.push(candidate.text.push(token))
        events = self._delta(candidate, shown)
        if over:
            return events + self.end(sequence.id, "stop", now)
        if candidate.sampler.finished and not more:
            return events + self.end(sequence.id, "stop", now)
        if candidate.tokens >= self.limit:
            return events + self.end(sequence.id, "length", now)
        return events

    def end(self, sequence: int, reason: Literal["stop", "length"], now: float) -> list[Event]:
        """The candidate of the sequence with this id is over; with the last one so is the request."""
        candidate = self.open.pop(sequence)
        rest, over = candidate.ending.push(candidate.text.flush())
        if not over:
            rest += candidate.ending.flush()
        events: list[Event] = [
            *self._delta(candidate, rest),
            Finish(self.request.id, reason, candidate.index),
        ]
        if not self.open:
            events.append(Done(self.request.id, self._model, self._usage, self._timing(now)))
        return events

    def _delta(self, candidate: Candidate, shown: str) -> list[Event]:
        if not shown and not (candidate.logprobs and self.request.logprobs is not None):
            return []
        delta = Delta(self.request.id, shown, candidate.index, candidate.unsent, candidate.logprobs or None)
        candidate.unsent, candidate.logprobs = 0, []
        return [delta]

    def _timing(self, now: float) -> Timing:
        def since(moment: float | None) -> float:
            return round(1000 * ((now if moment is None else moment) - self._arrival), 3)

        return Timing(since(self._started), since(self._first), since(now))


Task = Generation | Scoring | Embedding
