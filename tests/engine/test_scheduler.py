"""The scheduler without a model: a dictionary plays the rows behind the pages.

A row of keys and values depends on every token before it, so its right content is the whole prefix up to it.
Every step checks that each sequence reads exactly its own rows, whatever was shared, copied, evicted or
cancelled meanwhile.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from famulus.engine.cache import PageCache, Table
from famulus.engine.errors import InvalidRequest, Overloaded, PromptTooLong
from famulus.engine.scheduler import Chunk, Limits, Scheduler, Sequence, StepPlan

PAGE = 4
Text = list[int] | tuple[int, ...]
Lane = Literal["key", "chat", "idle"]
lanes: st.SearchStrategy[Lane] = st.sampled_from(["key", "chat", "idle"])


SMALL = Limits(batch_tokens=24, batch_sequences=5, prefill_chunk=12, busy_chunk=6, reserve=4)


class House:
    """A scheduler, its cache, a clock, the runner's part, and what must hold at every step."""

    def __init__(self, pages: int = 64, limits: Limits = SMALL, page_size: int = PAGE) -> None:
        self.now = 0.0
        self.cache = PageCache(pages, page_size)
        self.limits = limits
        self.scheduler = Scheduler(self.cache, self.limits, lambda: self.now)
        self.rows: dict[tuple[int, int], tuple[str, tuple[int, ...]]] = {}
        self.ids = itertools.count()
        self.all: list[Sequence] = []
        self.logits: dict[int, set[int]] = {}  # sequence id -> positions whose logits were delivered
        self.wanted: dict[int, int] = {}  # sequence id -> the first position that needs logits

    def submit(self, lane: Lane, tokens: list[int], max_tokens: int = 4, **more: Any) -> Sequence:
        number = next(self.ids)
        fields: dict[str, Any] = {"request": f"r{number}", "arrival": self.now, **more}
        sequence = Sequence(number, lane=lane, tokens=list(tokens), max_tokens=max_tokens, **fields)
        self.scheduler.submit(sequence)
        self.add(sequence)
        return sequence

    def add(self, sequence: Sequence) -> None:
        self.all.append(sequence)
        self.wanted[sequence.id] = sequence.logits_from

    def live(self) -> list[Sequence]:
        return [s for s in self.all if s.state in ("waiting", "running")]

    def step(
        self,
        token: Callable[[Sequence], int] = lambda s: len(s.tokens) % 3,
        during: Callable[[], None] = lambda: None,
        lost: bool = False,
        drafted: int = 0,
    ) -> StepPlan | None:
        """Plan, run and commit one step. ``during`` happens while it computes; ``lost``: without commit; ``drafted``:
        the longest draft that an answer gets, of which a part is right."""
        streams = [s for s in self.all if s.state == "running" and s.remaining == 1]
        plan = self.scheduler.plan()
        if plan is None:
            return None
        self.check_plan(plan, streams)
        for copy in plan.copies:
            for row in range(copy.rows):
                self.rows[copy.target, row] = self.rows[copy.source, row]
        if plan.decodes and drafted:
            plan = self.scheduler.widen(plan, {c.sequence.id: self.draft(c, drafted) for c in plan.chunks})
        jobs = [(c, list(table_of(c.sequence).pages), [*c.sequence.tokens, *c.draft]) for c in plan.chunks]
        for chunk, pages, text in jobs:
            self.check_rows(pages, chunk.sequence.salt, text, chunk.start)
        during()
        for chunk, pages, text in jobs:  # the device knows nothing of cancels: it writes whatever was planned
            for at in range(chunk.start, chunk.start + chunk.count):
                place = pages[at // self.cache.page_size], at % self.cache.page_size
                self.rows[place] = (chunk.sequence.salt, tuple(text[: at + 1]))
        if plan.chunks and not lost:
            self.commit(plan, token)
        return plan

    def commit(self, plan: StepPlan, token: Callable[[Sequence], int]) -> None:
        sampled: dict[int, list[int]] = {}
        for chunk in plan.chunks:
            right = len(chunk.draft) * 2 // 3
            sequence, end = chunk.sequence, chunk.known + right
            if sequence.state != "running":
                continue
            seen = self.logits.setdefault(sequence.id, set())
            fresh = set(range(max(chunk.start, sequence.logits_from), end))
            assert not seen & fresh, "logits of one position were delivered twice"
            seen |= fresh
            if chunk.known == len(sequence.tokens) and len(sequence.tokens) - sequence.prompt < sequence.max_tokens:
                sampled[sequence.id] = [*chunk.draft[:right], token(sequence)]
        self.scheduler.commit(plan, sampled)
        for chunk in plan.chunks:
            sequence = chunk.sequence
            generated = len(sequence.tokens) - sequence.prompt
            done = sequence.remaining == 0 or (generated > 0 and generated >= sequence.max_tokens)
            if sequence.state == "running" and done:
                wanted = set(range(self.wanted[sequence.id], sequence.computed))
                assert self.logits[sequence.id] == wanted, "logits of a position are missing"
                self.scheduler.finish(sequence)

    def draft(self, chunk: Chunk, longest: int) -> list[int]:
        """Tokens that are like others, as far as the answer may still grow."""
        left = chunk.sequence.max_tokens - (len(chunk.sequence.tokens) - chunk.sequence.prompt) - 1
        return [(chunk.start + i) % 3 for i in range(max(0, min(longest, left)))]

    def check_plan(self, plan: StepPlan, streams: list[Sequence]) -> None:
        """What every plan must keep to."""
        limits, at = self.limits, [c.sequence for c in plan.chunks]
        assert len(set(at)) == len(at) <= limits.batch_sequences
        assert sum(c.count for c in plan.chunks) <= limits.batch_tokens
        ended = {*plan.preempted, *plan.expired, *plan.full}
        assert not ended & set(at)
        assert all(s.state == "finished" for s in (*plan.expired, *plan.full))
        assert all(s.state == "waiting" and s.table is None for s in plan.preempted)
        for chunk in plan.chunks:
            assert chunk.sequence.state == "running"
            assert chunk.start == chunk.sequence.computed
            assert 1 <= chunk.count <= min(limits.prefill_chunk, chunk.sequence.remaining)
            assert chunk.start + chunk.count <= len(table_of(chunk.sequence).pages) * self.cache.page_size
        keyed = any(s.lane == "key" for s in at)
        for stream in streams:
            paused = stream.lane == "idle" and keyed
            assert stream in at or stream in ended or paused, "a stream froze behind somebody's prompt"
        if keyed:
            assert sum(s.lane == "idle" for s in at) <= 1, "idle work goes on beside a keystroke"
            others = sum(c.count for c in plan.chunks if c.sequence.lane != "key" and c.sequence not in streams)
            assert others <= limits.busy_chunk, "the batch is too big beside a keystroke"

    def check_rows(self, pages: list[int], salt: str, text: Text, end: int, start: int = 0) -> None:
        size = self.cache.page_size
        for at in range(start, end):
            assert self.rows[pages[at // size], at % size] == (salt, tuple(text[: at + 1])), "somebody else's row"

    def check(self) -> None:
        """No page lost, none shared wrongly, every cached or held row right."""
        self.cache.check()
        for sequence in self.live():
            if sequence.table is not None:
                whole = len(sequence.table.path) * self.cache.page_size
                end = sequence.computed if sequence.table.copy is None else whole
                self.check_rows(sequence.table.pages, sequence.salt, sequence.tokens, end)
        for salt, text, node in self.cache.tree.nodes():
            whole = (len(text) - 1) // self.cache.page_size
            pages = [node.page] * (whole + 1)
            self.check_rows(pages, salt, text, len(text), whole * self.cache.page_size)

    def run(self, steps: int) -> None:
        """Go on until all are done, which must be so within ``steps``."""
        for _ in range(steps):
            if not self.live():
                break
            assert self.step() is not None, "work is left, but the scheduler has nothing to do"
        assert not self.live(), "work is left after many steps"

    def check_empty(self) -> None:
        """Nothing is left of anybody but what the cache may forget."""
        self.cache.check()
        assert self.cache.held == 0
        assert self.cache.free + self.cache.cached == self.cache.total
        assert (self.scheduler.running, self.scheduler.waiting, self.scheduler.next_deadline) == (0, 0, None)
        assert self.scheduler.plan() is None


def table_of(sequence: Sequence) -> Table:
    assert sequence.table is not None
    return sequence.table


class SchedulerMachine(RuleBasedStateMachine):
    """Random submits, steps, cancels, forks, evictions, pins and deadlines over a pool that is too small."""

    def __init__(self) -> None:
        super().__init__()
        self.house = House(pages=14)
        self.pins: list[Table] = []
        self.texts: list[list[int]] = [[0]]

    @rule(
        lane=lanes,
        shared=st.integers(0, 99),
        keep=st.integers(0, 30),
        more=st.lists(st.integers(0, 2), min_size=1, max_size=14),
        max_tokens=st.integers(0, 12),
        salt=st.sampled_from(["", "", "other"]),
        patience=st.none() | st.integers(1, 8),
        score=st.none() | st.integers(0, 20),
    )
    def submit(
        self,
        lane: Lane,
        shared: int,
        keep: int,
        more: list[int],
        max_tokens: int,
        salt: str,
        patience: int | None,
        score: int | None,
    ) -> None:
        text = self.texts[shared % len(self.texts)][:keep] + more
        deadline = None if patience is None else self.house.now + patience
        extra = {} if score is None else {"logits_from": min(score, len(text) - 1)}
        sequence = self.house.submit(lane, text, max_tokens, salt=salt, deadline=deadline, **extra)
        self.texts.append(sequence.tokens)

    @rule(
        seed=st.integers(0, 2),
        cancels=st.lists(st.integers(0, 99), max_size=3),
        fate=st.sampled_from("cccl"),
        drafted=st.integers(0, 5),
    )
    def step(self, seed: int, cancels: list[int], fate: str, drafted: int) -> None:
        def during() -> None:
            for which in cancels:
                self.cancel(which)

        self.house.step(lambda s: (len(s.tokens) + seed) % 3, during, fate == "l", drafted)

    @rule(steps=st.integers(2, 5))
    def steps(self, steps: int) -> None:
        for _ in range(steps):
            self.house.step(drafted=steps)

    @rule(which=st.integers(0, 99))
    def cancel(self, which: int) -> None:
        if self.house.all:
            request = self.house.all[which % len(self.house.all)].request
            mine = [s for s in self.house.live() if s.request == request]
            assert set(self.house.scheduler.cancel(request)) == set(mine)
            assert all(s.state == "finished" and s.table is None for s in mine)
            assert self.house.scheduler.cancel(request) == []

    @precondition(lambda self: any(s.state == "running" for s in self.house.all))
    @rule(which=st.integers(0, 99), count=st.integers(1, 3))
    def fork(self, which: int, count: int) -> None:
        house = self.house
        ready = [s for s in house.all if s.state == "running" and s.remaining == 1 and len(s.tokens) > s.prompt]
        ready = [s for s in ready if table_of(s).copy is None]
        if ready:
            parent = ready[which % len(ready)]
            children = house.scheduler.fork(parent, {next(house.ids): at % 3 for at in range(count)})
            for child in children:
                assert child.tokens[:-1] == parent.tokens[: parent.computed]
                assert child.request == parent.request
                house.add(child)

    @rule(pages=st.integers(1, 5))
    def evict(self, pages: int) -> None:
        self.house.cache.evict(pages)

    @rule(which=st.integers(0, 99))
    def pin(self, which: int) -> None:
        if len(self.pins) < 2:
            self.pins.append(self.house.cache.pin(self.texts[which % len(self.texts)][:8]))

    @precondition(lambda self: self.pins)
    @rule()
    def unpin(self) -> None:
        self.house.cache.unpin(self.pins.pop())

    @rule(seconds=st.integers(1, 6))
    def wait(self, seconds: int) -> None:
        self.house.now += seconds
        due = [s for s in self.house.live() if s.deadline is not None and s.deadline <= self.house.now]
        plan = self.house.step()
        assert set(due) == set(plan.expired if plan else ())

    @invariant()
    def all_is_well(self) -> None:
        self.house.check()
        deadlines = [s.deadline for s in self.house.live() if s.deadline is not None]
        assert self.house.scheduler.next_deadline == min(deadlines, default=None)

    def teardown(self) -> None:
        self.house.run(600)
        for table in self.pins:
            self.house.cache.unpin(table)
        self.house.check_empty()


TestSchedulerMachine = SchedulerMachine.TestCase
TestSchedulerMachine.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)


def counts(plan: StepPlan | None) -> dict[int, int]:
    """Sequence id -> tokens computed in this step."""
    return {} if plan is None else {chunk.sequence.id: chunk.count for chunk in plan.chunks}


def test_a_stream_gets_a_token_in_every_step_of_somebodys_long_prompt() -> None:
    house = House(pages=200)
    stream = house.submit("chat", [1, 2, 3], max_tokens=100)
    house.step()
    long = house.submit("chat", list(range(300)), max_tokens=1)
    steps = 0
    while long.state != "finished":
        plan = counts(house.step())
        assert plan[stream.id] == 1
        steps += 1
    assert steps == 300 / SMALL.prefill_chunk


def test_a_keystroke_goes_before_prompts_and_the_newest_one_first() -> None:
    house = House(pages=200)
    chat = house.submit("chat", list(range(100)))
    house.step()
    old = house.submit("key", [7] * 20)
    house.now += 1
    new = house.submit("key", [8] * 20)
    first, second = house.step(), house.step()
    assert first is not None
    assert [c.sequence for c in first.chunks] == [new, old], "both get their chunk, the newest is served first"
    assert counts(second)[new.id] == 8
    assert new.prompt == new.computed or new.state == "finished"
    assert chat.computed == 12 + counts(second).get(chat.id, 0)


def test_chat_and_idle_wait_in_order_of_arrival() -> None:
    house = House(pages=200, limits=Limits(batch_tokens=16, batch_sequences=2, prefill_chunk=15))
    waiting = []
    for at in range(4):
        waiting.append(house.submit("chat", [at] * 10, max_tokens=2))
        house.now += 1
    started: list[Sequence] = []
    while house.live():
        house.step()
        started += [s for s in waiting if s.started is not None and s not in started]
    assert started == waiting


@given(st.integers(1, 6), st.integers(0, 3), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_idle_work_moves_within_a_bounded_time_however_busy_the_keys(idle: int, chats: int, typed: int) -> None:
    limits = Limits(
        batch_tokens=24, batch_sequences=12, prefill_chunk=12, busy_chunk=6, chat_patience=4, idle_patience=10
    )
    house = House(pages=400, limits=limits)
    others = [house.submit("idle", [at, *range(100)], max_tokens=50) for at in range(idle)]
    others += [house.submit("chat", [at, *range(90)], max_tokens=50) for at in range(chats)]
    last = dict.fromkeys((s.id for s in others), 0)
    for step in range(1, 90):
        for number in range(2):  # two keystrokes at every step, each filling the whole budget
            house.scheduler.cancel(f"key{step - 1}")
            house.submit("key", [step, number, *range(typed + 24)], max_tokens=2, request=f"key{step}")
            house.now += 0.01
        for served in counts(house.step()):
            last[served] = step
        for sequence in others:
            patience = limits.chat_patience if sequence.lane == "chat" else limits.idle_patience
            assert step - last[sequence.id] <= patience + len(others)


def test_keystrokes_have_a_slot_of_their_own_and_stop_no_stream_for_another() -> None:
    house = House(pages=200, limits=Limits(batch_tokens=24, batch_sequences=4, prefill_chunk=12))
    chats = [house.submit("chat", [at] * 5, max_tokens=50) for at in range(6)]
    for _ in range(3):
        house.step()
    keys = [house.submit("key", [at] * 7, max_tokens=3) for at in range(3)]
    plan = house.step()
    assert any(key.id in counts(plan) for key in keys)
    while any(key.state != "finished" for key in keys):
        plan = house.step()
        assert {chat.id for chat in chats[:3]} <= counts(plan).keys()


def test_an_idle_stream_gives_its_slot_to_a_prompt() -> None:
    house = House(pages=200, limits=Limits(batch_tokens=24, batch_sequences=2, prefill_chunk=12))
    idle = house.submit("idle", [1] * 5, max_tokens=50)
    house.step()
    chat = house.submit("chat", [2] * 5, max_tokens=3)
    plan = house.step()
    assert plan is not None
    assert plan.preempted == (idle,)
    assert chat.id in counts(plan)
    house.run(100)


def test_idle_streams_pause_while_a_keystroke_is_served_and_go_on_after_it() -> None:
    house = House()
    idle = house.submit("idle", [1, 2, 3], max_tokens=100)
    house.step()
    key = house.submit("key", [5] * 6, max_tokens=5)
    while key.state != "finished":
        assert idle.id not in counts(house.step())
    assert counts(house.step()) == {idle.id: 1}


def test_when_pages_run_out_the_lowest_lane_gives_way_youngest_first_and_resumes_cheaply() -> None:
    house = House(pages=20, limits=Limits(batch_tokens=64, batch_sequences=6, prefill_chunk=64, reserve=4))
    chat = house.submit("chat", list(range(100, 116)), max_tokens=30)
    older = house.submit("idle", list(range(200, 220)), max_tokens=8)
    house.now += 1
    younger = house.submit("idle", list(range(300, 320)), max_tokens=8)
    house.step()
    assert house.scheduler.running == 3
    key = house.submit("key", list(range(400, 412)), max_tokens=4)
    plan = house.step()
    assert plan is not None
    assert plan.preempted == (younger,)
    assert {key.id, chat.id} <= counts(plan).keys()
    assert older.state == "running"
    house.scheduler.finish(chat)
    while key.state != "finished":
        house.step()
    computed = 0
    while younger.state != "finished":
        computed += counts(house.step()).get(younger.id, 0)
    assert computed <= 12, "28 tokens in all, most of them still cached"
    house.run(100)
    house.check_empty()


def test_what_was_generated_before_a_pre_emption_is_not_computed_again() -> None:
    house = House(pages=12, limits=Limits(batch_tokens=64, batch_sequences=4, prefill_chunk=64, reserve=0))
    idle = house.submit("idle", [1, 2, 3, 4], max_tokens=40)
    while len(idle.tokens) < 24:
        house.step()
    key = house.submit("key", list(range(100, 124)), max_tokens=2)
    while idle.state == "running":
        house.step()
    while key.state != "finished":
        house.step()
    plan = house.step()
    assert plan is not None
    assert plan.chunks[0].sequence is idle
    assert plan.chunks[0].start >= 20, "its pages were still there"
    assert (idle.started, idle.cached) == (0.0, 0), "usage tells of the first start"


def test_a_prompt_that_waits_for_pages_is_not_overtaken_for_ever() -> None:
    house = House(pages=20, limits=Limits(batch_tokens=64, batch_sequences=6, prefill_chunk=64))
    house.submit("chat", [1] * 20, max_tokens=30)
    house.step()
    big = house.submit("chat", [2] * 60, max_tokens=1)
    for number in range(60):
        house.now += 1
        house.submit("chat", [3, number], max_tokens=8)
        house.step()
        if big.started is not None:
            break
    assert big.started is not None
    assert big.started <= 32, "as soon as the first one is done"


def test_a_running_stream_is_not_stopped_for_a_waiting_prompt_of_its_own_lane() -> None:
    house = House(pages=10)
    stream = house.submit("chat", [1] * 20, max_tokens=15, arrival=5.0)
    house.step()
    house.submit("chat", [2] * 20, max_tokens=2, arrival=1.0)
    while stream.state != "finished":
        plan = house.step()
        assert plan is not None
        assert not plan.preempted
    house.run(20)


def test_a_sequence_that_cannot_grow_though_it_is_alone_ends() -> None:
    house = House(pages=4)
    alone = house.submit("chat", list(range(10)), max_tokens=100)
    plan = None
    while alone.state != "finished":
        plan = house.step()
    assert plan is not None
    assert plan.full == (alone,)
    assert len(alone.tokens) == 4 * PAGE + 1, "the whole pool was used, and the last row's token still sampled"
    house.check_empty()


def test_a_prompt_as_big_as_the_pool_runs_even_if_half_of_it_is_cached() -> None:
    house = House(pages=4)
    house.submit("chat", [*range(7), 9, 9], max_tokens=1)
    house.run(10)
    big = house.submit("chat", list(range(16)), max_tokens=1)
    house.run(10)
    assert len(big.tokens) == 17


def test_pinned_pages_may_leave_too_few_for_a_prompt_which_then_ends_instead_of_waiting_for_ever() -> None:
    house = House(pages=4)
    house.submit("chat", list(range(9)), max_tokens=0)
    house.run(5)
    pin = house.cache.pin(list(range(9)))
    big = house.submit("chat", [5] * 12)
    plan = house.step()
    assert plan is not None
    assert plan.full == (big,)
    house.cache.unpin(pin)
    house.check_empty()


def test_deadlines_stop_what_runs_and_drop_what_waits() -> None:
    house = House(limits=Limits(batch_tokens=24, batch_sequences=2, prefill_chunk=12))
    runs = house.submit("chat", [1] * 5, max_tokens=100, deadline=5.0)
    waits = house.submit("chat", [2] * 5, deadline=3.0)
    stays = house.submit("chat", [3] * 5, max_tokens=1)
    house.step()
    assert house.scheduler.next_deadline == 3.0
    house.now = 3.0
    plan = house.step()
    assert plan is not None
    assert plan.expired == (waits,)
    assert waits.started is None
    house.now = 5.5
    plan = house.step()
    assert plan is not None
    assert plan.expired == (runs,)
    assert stays.id in counts(plan), "its slot is taken at once"
    house.run(10)
    house.check_empty()


PHASES = ["waiting", "prefill", "decode", "executing", "after its end", "forked"]


@pytest.mark.parametrize("phase", PHASES)
def test_cancel_frees_everything_in_every_phase(phase: str) -> None:
    house = House()
    other = house.submit("chat", [9] * 10, max_tokens=60)
    house.step()
    held = house.cache.held
    mine = house.submit("chat", list(range(30)), max_tokens=3 if phase == "after its end" else 50, request="mine")
    family = [mine]

    def cancel() -> None:
        live = [s for s in family if s.state != "finished"]
        assert set(house.scheduler.cancel("mine")) == set(live)
        assert house.scheduler.cancel("mine") == []

    for _ in range({"waiting": 0, "prefill": 1, "executing": 1}.get(phase, 8)):
        house.step()
    if phase == "forked":
        family += house.scheduler.fork(mine, {100: 1, 101: 2})
    if phase == "executing":
        house.step(during=cancel)
    else:
        cancel()
    assert all(s.table is None and s.state == "finished" for s in family)
    assert house.cache.held <= held + 2, "only the other's pages are held"
    plan = house.step()
    assert counts(plan).keys() == {other.id}
    house.check()


def test_a_step_nobody_wants_any_more_may_be_dropped() -> None:
    house = House()
    house.submit("key", list(range(20)), request="gone")

    def cancel() -> None:
        house.scheduler.cancel("gone")

    plan = house.step(during=cancel, lost=True)
    assert plan is not None
    assert not plan.wanted
    house.check_empty()


def test_a_thousand_cancels_leave_every_counter_where_it_was() -> None:
    house = House()

    def cancel(request: str) -> None:
        house.scheduler.cancel(request)

    for at in range(1000):
        house.submit("key", [*range(at % 20), at % 7, at % 3], request=f"r{at}", salt=str(at % 3))
        if at % 3 == 1:
            house.step(during=partial(cancel, f"r{at}"))
        elif at % 3 == 2:
            house.step()
        house.scheduler.cancel(f"r{at}")
        house.now += 0.01
    house.check_empty()


def test_typing_recomputes_only_what_was_typed() -> None:
    house = House(pages=64, page_size=16)
    text, computed = list(range(200)), list[list[int]]()
    for typed in range(20):
        text = [*text, 1000 + typed]
        key = house.submit("key", text, max_tokens=4, request=f"r{typed}")
        computed.append([])
        while len(key.tokens) < key.prompt + 3:
            computed[-1].append(counts(house.step())[key.id])
        pages = table_of(key).pages
        assert pages == list(range(pages[0], pages[0] + len(pages))), "attention reads it as one view"
        house.scheduler.cancel(f"r{typed}")
        house.check()
    assert computed[1:] == [[1, 1, 1]] * 19, "the typed token, and two of those that it led to"
    assert key.cached == len(text) - 1


def test_a_keystroke_that_waits_for_pages_does_not_lose_what_it_could_reuse() -> None:
    house = House(pages=12, limits=Limits(batch_tokens=64, batch_sequences=4, prefill_chunk=64, reserve=0))
    text = list(range(10))
    house.submit("key", text, max_tokens=1)
    house.run(5)
    other = house.submit("key", [7] * 32, max_tokens=4)
    house.step()
    waits = house.submit("key", [*text, *range(50, 62)], max_tokens=1)
    house.step()
    assert (waits.state, other.state) == ("waiting", "running")
    house.run(20)
    assert waits.cached == 10


def test_a_prompt_reuses_what_a_running_one_has_computed_so_far() -> None:
    house = House()
    house.submit("chat", list(range(20)), max_tokens=30)
    house.step()
    house.step()
    second = house.submit("chat", [*range(20), 99])
    house.step()
    assert second.cached == 20


def test_candidates_share_their_prefix_and_compute_it_once() -> None:
    house = House(pages=64)
    parent = house.submit("chat", list(range(22)), max_tokens=8)
    while len(parent.tokens) == parent.prompt:
        house.step()
    held = house.cache.held
    children = house.scheduler.fork(parent, {100: 50, 101: 51, 102: 52})
    assert [c.tokens[-1] for c in children] == [50, 51, 52]
    assert house.cache.held == held + 3, "one tail page each"
    for child in children:
        house.add(child)
    plan = house.step()
    assert counts(plan) == dict.fromkeys((parent.id, 100, 101, 102), 1)
    house.run(20)
    house.check_empty()


def test_a_fork_without_free_slots_waits_its_turn() -> None:
    house = House(limits=Limits(batch_tokens=24, batch_sequences=2, prefill_chunk=12))
    parent = house.submit("chat", list(range(10)), max_tokens=3)
    house.step()
    children = house.scheduler.fork(parent, {100: 50, 101: 51})
    assert [c.state for c in children] == ["waiting", "waiting"]
    for child in children:
        house.add(child)
    house.run(30)
    assert [len(c.tokens) for c in children] == [13, 13]


def test_scoring_gets_logits_from_where_it_asked_even_if_all_is_cached() -> None:
    house = House()
    text = list(range(30))
    for _ in range(2):
        score = house.submit("chat", text, max_tokens=0, logits_from=17)
        house.run(10)
        assert house.logits[score.id] == set(range(17, 30))
    assert score.cached == 17


def test_a_full_queue_refuses_its_own_lane_only() -> None:
    house = House(limits=Limits(batch_tokens=24, batch_sequences=2, prefill_chunk=12, max_queue=3))
    for _ in range(3):
        house.submit("idle", [1, 2])
    with pytest.raises(Overloaded, match="3 requests of lane 'idle'"):
        house.submit("idle", [1, 2])
    house.submit("key", [1, 2])


def test_prompts_that_can_never_run_are_refused() -> None:
    house = House(pages=4)
    with pytest.raises(PromptTooLong, match="17 tokens, 1 more than"):
        house.submit("chat", [1] * 17)
    with pytest.raises(InvalidRequest, match="empty"):
        house.submit("chat", [])


def test_limits_that_could_not_move_a_prompt_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_tokens"):
        Limits(batch_tokens=8, batch_sequences=8)
    with pytest.raises(ValueError, match="positive"):
        Limits(prefill_chunk=0)
