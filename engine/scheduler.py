"""Who computes what in the next step: continuous batching in three lanes, as plain values and no tensors.

A step takes one token for every running sequence that decodes, then spends what is left of the token budget
on prompts, in chunks. Lanes go ``key > chat > idle``; waiting keystrokes newest first (an older one is
stale), the others in order of arrival. While a keystroke is served the batch stays small: idle work pauses
and other prompts move in small chunks. Whoever got nothing for its lane's patience goes first once, one
sequence a step: the wait of chat and idle is bounded by patience + sequences that wait as long, once slots
and pages are free.

When pages run out, running sequences of lower priority give way (lowest lane, then youngest); what they
computed stays cached, so that resuming is cheap. A sequence that cannot grow though nobody else runs is
stopped.

The loop: ``plan()``, run it, ``commit()``; then ``fork``/``finish`` as the sampled tokens say. ``submit`` and
``cancel`` are allowed at any time, between plan and commit too. A plan that is not committed has no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field, replace
from operator import attrgetter

from famulus.engine.cache import PageCache, Table
from famulus.engine.errors import InvalidRequest, Overloaded, PromptTooLong
from famulus.engine.step import LANES, Chunk, Limits, Sequence, StepPlan

__all__ = ["LANES", "Chunk", "Limits", "Scheduler", "Sequence", "StepPlan"]


@dataclass(slots=True)
class _Draft:
    """The step being planned. ``blocked``: waiting sequences of this lane or lower are not to be started."""

    budget: int
    busy_budget: int
    promoted: Sequence | None
    busy: bool = False
    blocked: int = len(LANES)
    chunks: dict[int, Chunk] = field(default_factory=dict)
    preempted: list[Sequence] = field(default_factory=list)
    full: list[Sequence] = field(default_factory=list)


class Scheduler:
    """Plans steps over ``cache``. ``clock`` gives seconds that never go back (``time.monotonic``)."""

    def __init__(self, cache: PageCache, limits: Limits, clock: Callable[[], float]) -> None:
        self.cache = cache
        self.limits = limits
        self._clock = clock
        self._waiting: dict[int, Sequence] = {}
        self._running: dict[int, Sequence] = {}
        self._planned: StepPlan | None = None
        self._step = 0

    @property
    def waiting(self) -> int:
        """Sequences that hold no pages: not started yet, or pre-empted."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Sequences that hold pages."""
        return len(self._running)

    @property
    def next_deadline(self) -> float | None:
        """The earliest deadline, in the clock's seconds: call :meth:`plan` then even if nothing else
        happens."""
        return min((s.deadline for s in self._live() if s.deadline is not None), default=None)

    def submit(self, sequence: Sequence) -> None:
        """Queue a new sequence.

        Raises :class:`Overloaded` if its lane's queue is full, :class:`PromptTooLong` if the pool could never
        hold its prompt, :class:`InvalidRequest` if it has no tokens.
        """
        assert sequence.state == "new", "a sequence is submitted once"
        assert sequence.id not in self._running, "ids are unique"
        assert sequence.id not in self._waiting, "ids are unique"
        known, room = len(sequence.tokens), self.cache.total * self.cache.page_size
        if not sequence.tokens:
            raise InvalidRequest("The prompt is empty.", fix="Send at least one token.")
        if known > room:
            raise PromptTooLong(
                f"The prompt has {known} tokens, {known - room} more than the cache holds.",
                fix="Shorten it or give the engine a larger cache.",
            )
        if sum(s.lane == sequence.lane for s in self._waiting.values()) >= self.limits.max_queue:
            raise Overloaded(
                f"{self.limits.max_queue} requests of lane {sequence.lane!r} wait already.",
                fix="Try again in a moment.",
            )
        self._enqueue(sequence)

    def cancel(self, request: str) -> list[Sequence]:
        """Finish all sequences of ``request``, whatever they do, and free their pages; the ones that lived."""
        cancelled = [s for s in self._live() if s.request == request]
        for sequence in cancelled:
            self.finish(sequence)
        return cancelled

    def finish(self, sequence: Sequence) -> None:
        """The sequence wants no more tokens. What it computed stays cached. Twice is once."""
        self._waiting.pop(sequence.id, None)
        if self._running.pop(sequence.id, None) is not None:
            self._give_back(sequence)
        sequence.state = "finished"

    def fork(self, sequence: Sequence, tokens: Mapping[int, int]) -> list[Sequence]:
        """Other candidates from what ``sequence`` has computed, without copying it: one child per token.

        ``tokens``: the id of each child and its own first token, which takes the place of the one that
        ``sequence`` got for the same position. Call it after :meth:`commit`, before the next plan.
        """
        assert sequence.table is not None, "only what runs can be forked"
        children = []
        for identity, token in tokens.items():
            child = replace(
                sequence,
                id=identity,
                tokens=[*sequence.tokens[: sequence.computed], token],
                logits_from=sequence.computed,
                reuse_limit=sequence.computed,
                computed=0,
                cached=0,
                table=None,
            )
            table = None
            if self._slot_free(child):
                table = self.cache.fork(sequence.table, sequence.tokens, sequence.computed)
            if table is None:
                self._enqueue(child)
            else:
                self._start(child, table)
            children.append(child)
        return children

    def plan(self) -> StepPlan | None:
        """The next step, or None if there is nothing to do until something is submitted, or ends.

        A plan without chunks only reports; plan again. A plan that was not committed is dropped by this call.
        """
        now = self._clock()
        expired = [s for s in self._live() if s.deadline is not None and s.deadline <= now]
        for sequence in expired:
            self.finish(sequence)
        order, promoted = self._order()
        decoding = sum(s.remaining == 1 for s in self._running.values())
        draft = _Draft(self.limits.batch_tokens - decoding, self.limits.busy_chunk, promoted)
        for sequence in order:
            self._serve(sequence, draft)
        chunks = tuple(draft.chunks.values())
        tables = (chunk.sequence.table for chunk in chunks)
        copies = tuple(table.copy for table in tables if table is not None and table.copy is not None)
        plan = StepPlan(chunks, copies, tuple(draft.preempted), tuple(expired), tuple(draft.full))
        self._planned = plan if chunks else None
        self._step += bool(chunks)
        return plan if chunks or draft.preempted or expired or draft.full else None

    def widen(self, plan: StepPlan, drafts: Mapping[int, Tokens[int]]) -> StepPlan:
        """The latest ``plan`` with ``drafts``, by sequence id. Nobody gives way to a draft: without room it is left
        out."""
        assert plan is self._planned and plan.decodes, "drafts go into the latest plan, and not beside prompts"
        chunks = []
        for chunk in plan.chunks:
            draft, table = tuple(drafts.get(chunk.sequence.id, ())), chunk.sequence.table
            if draft and table is not None and self.cache.extend(table, chunk.known + len(draft)):
                chunk = replace(chunk, count=chunk.count + len(draft), draft=draft)
            chunks.append(chunk)
        self._planned = replace(plan, chunks=tuple(chunks))
        return self._planned

    def commit(self, plan: StepPlan, new_tokens: Mapping[int, Tokens[int]]) -> None:
        """The plan ran: what it computed is in place. ``new_tokens``: what each sequence, by id, goes on with: the
        beginning of its draft that was right, and one more. The rows of other drafted tokens are forgotten.

        Sequences that ended meanwhile are passed over. Not calling this leaves all as if the plan never was.
        """
        assert plan is self._planned, "only the latest plan can be committed, once"
        self._planned = None
        for chunk in plan.chunks:
            sequence, table = chunk.sequence, chunk.sequence.table
            if table is None:
                continue
            self.cache.settle(table)
            sequence.computed = chunk.known
            sequence.served = self._step
            new = new_tokens.get(sequence.id, ())
            if new:
                assert sequence.remaining == 0, "a token was sampled before the prompt's end"
                assert tuple(new[:-1]) == chunk.draft[: len(new) - 1], "a token without a row"
                sequence.tokens += new
                sequence.computed += len(new) - 1
            self.cache.publish(table, sequence.tokens, sequence.computed)

    # What follows is planning: who is next, may it start, may it grow, who gives way.

    def _order(self) -> tuple[list[Sequence], Sequence | None]:
        """All that want to compute, by priority, the one that waited beyond its patience first."""
        order = sorted((s for s in self._live() if s.remaining), key=attrgetter("priority"))
        patience = {"chat": self.limits.chat_patience, "idle": self.limits.idle_patience}
        starved = [s for s in order if s.lane != "key" and self._step - s.served > patience[s.lane]]
        if not starved:
            return order, None
        promoted = min(starved, key=lambda s: s.served)
        return [promoted, *(s for s in order if s is not promoted)], promoted

    def _serve(self, sequence: Sequence, draft: _Draft) -> None:
        """Give ``sequence`` its part of the step, if there is one for it."""
        if sequence.state == "waiting" and LANES.index(sequence.lane) >= draft.blocked:
            return
        promoted = sequence is draft.promoted
        if sequence in draft.preempted or (sequence.lane == "idle" and draft.busy and not promoted):
            return
        decoding = sequence.state == "running" and sequence.remaining == 1
        small = promoted or (draft.busy and sequence.lane != "key")
        allowed = min(self.limits.prefill_chunk, draft.budget, draft.busy_budget if small else draft.budget)
        if decoding:
            allowed = 1
        if allowed < 1 or not (sequence.state == "running" or self._admit(sequence, draft)):
            return
        count = min(sequence.remaining, allowed)
        if not self._grow(sequence, sequence.computed + count, draft):
            return
        draft.chunks[sequence.id] = Chunk(sequence, sequence.computed, count)
        draft.busy = draft.busy or sequence.lane == "key"
        if not decoding:
            draft.budget -= count
            draft.busy_budget -= count if small else 0

    def _admit(self, sequence: Sequence, draft: _Draft) -> bool:
        """Start a waiting sequence: a slot, what the cache knows, and pages for its prompt and a bit more."""
        table = self._place(sequence, draft)
        if table is not None:
            self._waiting.pop(sequence.id)
            self._start(sequence, table)
        elif not self._running:
            self.finish(sequence)
            draft.full.append(sequence)
        else:
            # Nobody behind it slips past, keystrokes excepted.
            draft.blocked = min(LANES.index(sequence.lane), LANES.index("chat"))
        return table is not None

    def _place(self, sequence: Sequence, draft: _Draft) -> Table | None:
        while not self._slot_free(sequence):
            idle = any(s.lane == "idle" for s in self._running.values())  # nobody's stream stops for a slot
            if not idle or not self._take_from(sequence, draft, lower_lane=True):
                return None
        known = len(sequence.tokens)
        left = max(0, sequence.prompt + sequence.max_tokens - known)
        wanted = min(known + min(left, self.limits.reserve), self.cache.total * self.cache.page_size)
        limit, newer = min(sequence.reuse_limit, known - 1), sequence.lane == "key"
        table = self.cache.acquire(sequence.tokens, limit, sequence.salt, supersede=newer)
        while not self.cache.extend(table, wanted):
            if self._take_from(sequence, draft, lower_lane=True):
                continue
            if not self._running:
                # Alone: do without the reserve, and without the page that the source of a copy takes.
                self.cache.truncate(table, len(table.path) * self.cache.page_size)
                if self.cache.extend(table, known):
                    return table
            self.cache.release(table, sequence.tokens, table.reused)
            return None
        return table

    def _grow(self, sequence: Sequence, tokens: int, draft: _Draft) -> bool:
        """Make room for ``tokens`` tokens, at the cost of whoever has a lower priority."""
        assert sequence.table is not None
        while not self.cache.extend(sequence.table, tokens):
            if self._take_from(sequence, draft, lower_lane=False):
                continue
            if len(self._running) == 1:
                self.finish(sequence)
                draft.full.append(sequence)
            else:
                self._preempt(sequence, draft)
            return False
        return True

    def _take_from(self, sequence: Sequence, draft: _Draft, *, lower_lane: bool) -> bool:
        """Pre-empt the running sequence of lowest priority, if that is below ``sequence``'s."""
        victim = max(self._running.values(), key=attrgetter("priority"), default=sequence)
        below = victim.priority > sequence.priority
        if below and not (lower_lane and victim.lane == sequence.lane):
            self._preempt(victim, draft)
            return True
        return False

    def _preempt(self, victim: Sequence, draft: _Draft) -> None:
        draft.chunks.pop(victim.id, None)
        draft.preempted.append(victim)
        # What is behind ``computed`` was delivered and may come from the cache when it goes on.
        victim.logits_from = max(victim.logits_from, victim.computed)
        victim.reuse_limit = max(victim.reuse_limit, victim.computed)
        del self._running[victim.id]
        self._give_back(victim)
        victim.state = "waiting"
        self._waiting[victim.id] = victim

    def _slot_free(self, sequence: Sequence) -> bool:
        """One slot is kept for keystrokes, if there is more than one."""
        slots = self.limits.batch_sequences
        if len(self._running) >= slots or sequence.lane == "key":
            return len(self._running) < slots
        return sum(s.lane != "key" for s in self._running.values()) < max(1, slots - 1)

    def _enqueue(self, sequence: Sequence) -> None:
        sequence.state, sequence.served = "waiting", self._step
        self._waiting[sequence.id] = sequence

    def _start(self, sequence: Sequence, table: Table) -> None:
        sequence.table, sequence.computed, sequence.state = table, table.reused, "running"
        if sequence.started is None:
            sequence.started, sequence.cached = self._clock(), table.reused
        self._running[sequence.id] = sequence

    def _give_back(self, sequence: Sequence) -> None:
        assert sequence.table is not None
        self.cache.release(sequence.table, sequence.tokens, sequence.computed)
        sequence.table, sequence.computed = None, 0

    def _live(self) -> list[Sequence]:
        return [*self._running.values(), *self._waiting.values()]
