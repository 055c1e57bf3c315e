"""The whole engine on a tiny model in fp32: whatever happens around a request, its answer is transformers' own."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from famulus.engine.core import Core
from famulus.engine.errors import FamulusError, InvalidConstraint, InvalidRequest, ModelNotFound, PromptTooLong
from famulus.engine.layers import Model
from famulus.engine.protocol import (
    Constraint,
    Delta,
    Detokenize,
    Done,
    Embed,
    Embedded,
    Event,
    Failed,
    Finish,
    Generate,
    PromptScores,
    Sampling,
    Score,
    Scored,
    Text,
    Tokenize,
    Tokenized,
    TokenLogprob,
    Tokens,
    Usage,
)
from famulus.engine.step import Limits
from famulus.engine.text import Tokenizer
from tests.engine import tiny_models as tiny

LIMITS = Limits(batch_tokens=96, prefill_chunk=64)
SMALL = Limits(batch_tokens=24, prefill_chunk=16, busy_chunk=8, reserve=16)
"""Prompts move in chunks of a page."""


def idle() -> None:
    """Nothing arrives between layers."""


class Reference:
    """What ``transformers`` says, each continuation computed once."""

    def __init__(self, model: Any, vocabulary: int) -> None:
        self.model, self.vocabulary = model, vocabulary
        self._greedy: dict[tuple[int, ...], list[int]] = {}

    def logprobs(self, tokens: Sequence[int]) -> torch.Tensor:
        """[tokens, vocabulary]: log-probabilities of what follows each token; a padded head's rows are no tokens."""
        return tiny.reference(self.model, tokens)[:, : self.vocabulary].log_softmax(-1)

    def greedy(self, prompt: Sequence[int], count: int) -> list[int]:
        found = self._greedy.setdefault(tuple(prompt), [])
        while len(found) < count:
            found.append(int(self.logprobs([*prompt, *found])[-1].argmax()))
        return found[:count]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("core") / "m"


@pytest.fixture(scope="module")
def reference(folder: Path, tokenizer: Tokenizer) -> Reference:
    from transformers import LlamaForCausalLM

    return Reference(LlamaForCausalLM.from_pretrained(folder), tokenizer.vocab_size)


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    tiny.write_folder(folder, tiny.random_model(seed=3, tie_word_embeddings=False))
    return tiny.open_model(folder)


@pytest.fixture(scope="module")
def tokenizer(folder: Path, model: Model) -> Tokenizer:
    return Tokenizer.from_file(folder / "tokenizer.json", {"eos_token": "<|im_end|>"})


Make = Callable[..., Core]


@pytest.fixture(scope="module")
def make(model: Model, tokenizer: Tokenizer) -> Make:
    """``make(limits, pages=…, context=…, clock=…)``"""

    def make(limits: Limits = LIMITS, clock: Callable[[], float] | None = None, **sizes: int) -> Core:
        served = tiny.serve(model, tokenizer, limits=limits, **sizes)
        return Core(served) if clock is None else Core(served, clock)

    return make


@dataclass
class Answer:
    """The events of one request, put together. Per candidate: text, tokens with log-probabilities, how it ended."""

    events: list[Event] = field(default_factory=list)

    def text(self, index: int = 0) -> str:
        return "".join(e.text for e in self.events if isinstance(e, Delta) and e.index == index)

    def scores(self, index: int = 0) -> list[TokenLogprob]:
        deltas = [e for e in self.events if isinstance(e, Delta) and e.index == index]
        return [s for e in deltas for s in e.logprobs or []]

    def tokens(self, index: int = 0) -> list[int]:
        return [s.token for s in self.scores(index)]

    def reason(self, index: int = 0) -> str:
        [finish] = [e for e in self.events if isinstance(e, Finish) and e.index == index]
        return finish.reason

    @property
    def done(self) -> Done:
        assert isinstance(self.events[-1], Done), self.events[-1]
        assert sum(isinstance(e, Done) for e in self.events) == 1
        return self.events[-1]


def drain(core: Core, poll: Callable[[], None] = idle) -> dict[str, Answer]:
    """Step until nothing is left to do."""
    found: dict[str, Answer] = {}
    for _ in range(5000):
        if not core.busy:
            return found
        for event in core.step(poll):
            found.setdefault(event.id, Answer()).events.append(event)
    pytest.fail("the engine never comes to rest")


def run(core: Core, *requests: Any) -> dict[str, Answer]:
    for request in requests:
        core.submit(request)
    return drain(core)


def one(core: Core, request: Any) -> Answer:
    return run(core, request)[request.id]


def greedy(id: str, tokens: Sequence[int], count: int = 12, **fields: Any) -> Generate:
    """Each token is told with its log-probability, and no control token ends the answer."""
    return Generate(id, Tokens(list(tokens)), max_tokens=count, logprobs=0, ignore_eos=True, **fields)


def assert_rest(core: Core) -> None:
    """Nothing is held: all pages are free or cached, and no task, sequence or table is left."""
    stats = core.stats()
    assert (stats["running"], stats["waiting"], stats["tasks"]) == (0, 0, 0)
    assert core.cache.held == 0
    assert stats["pages_free"] + stats["pages_cached"] == stats["pages_total"]
    core.cache.check()
    assert not core.busy


# Same answer, whatever happens around it.


def test_greedy_output_is_that_of_transformers_with_and_without_cache(make: Make, reference: Reference) -> None:
    prompt = tiny.prompt(45)
    core = make()
    first = one(core, greedy("a", prompt))
    assert first.tokens() == reference.greedy(prompt, 12)
    assert (first.reason(), first.done.usage) == ("length", Usage(45, 0, 12))
    computed = core.stats()["computed_tokens"]
    again = one(core, greedy("b", prompt))
    assert again.tokens() == first.tokens()
    assert again.done.usage == Usage(45, 44, 12), "all but the last token, whose logits are needed"
    assert core.stats()["computed_tokens"] - computed == 12
    longer = [*prompt, *first.tokens()[:5], 7]
    assert one(core, greedy("c", longer)).tokens() == reference.greedy(longer, 12)
    assert one(core, greedy("d", longer)).done.usage.cached == 50
    changed = [*prompt[:20], 3, *prompt[21:]]
    answer = one(core, greedy("e", changed))
    assert answer.tokens() == reference.greedy(changed, 12)
    assert answer.done.usage.cached == 20, "reuse is exact to the token"
    assert_rest(core)


def test_another_salt_shares_nothing(make: Make) -> None:
    core, prompt = make(), tiny.prompt(40)
    first = one(core, greedy("a", prompt, salt="alice"))
    other = one(core, greedy("b", prompt, salt="bob"))
    assert other.done.usage.cached == 0
    assert other.tokens() == first.tokens()
    assert one(core, greedy("c", prompt, salt="alice")).done.usage.cached == 39


def test_greedy_output_does_not_depend_on_the_batch(make: Make, reference: Reference) -> None:
    prompts = {f"r{i}": tiny.prompt(5 + 13 * i, seed=i) for i in range(6)}
    answers = run(make(), *(greedy(id, prompt) for id, prompt in prompts.items()))
    for id, prompt in prompts.items():
        assert answers[id].tokens() == reference.greedy(prompt, 12), id


@pytest.mark.parametrize("limits", [LIMITS, SMALL, Limits(batch_tokens=9, prefill_chunk=1, busy_chunk=1)])
def test_greedy_output_does_not_depend_on_how_the_prompt_is_cut(
    make: Make, reference: Reference, limits: Limits
) -> None:
    prompt = tiny.prompt(100, seed=9)
    assert one(make(limits), greedy("a", prompt)).tokens() == reference.greedy(prompt, 12)


def preemptions(core: Core) -> list[int]:
    """Counts how many sequences each plan sent back."""
    counts: list[int] = []
    plan = core.scheduler.plan

    def counting() -> Any:
        made = plan()
        counts.append(len(made.preempted) if made else 0)
        return made

    core.scheduler.plan = counting  # type: ignore[method-assign]
    return counts


@pytest.mark.parametrize("limits", [LIMITS, SMALL])
def test_greedy_output_survives_preemption(make: Make, reference: Reference, limits: Limits) -> None:
    """A pool of 10 pages for three answers of 7 pages each."""
    core = make(limits, pages=10)
    counts = preemptions(core)
    prompts = {"idle": tiny.prompt(40, 1), "chat": tiny.prompt(41, 2), "key": tiny.prompt(42, 3)}
    core.submit(greedy("idle", prompts["idle"], 60, lane="idle"))
    events = [e for _ in range(8) for e in core.step(idle)]
    core.submit(greedy("chat", prompts["chat"], 60, lane="chat", prompt_logprobs=True))
    events += [e for _ in range(8) for e in core.step(idle)]
    core.submit(greedy("key", prompts["key"], 60, lane="key"))
    answers = drain(core)
    for event in reversed(events):
        answers[event.id].events.insert(0, event)
    assert sum(counts) >= 2, "nobody had to give way: the test is too easy"
    for id, prompt in prompts.items():
        assert answers[id].tokens() == reference.greedy(prompt, 60), id
    assert sum(isinstance(e, PromptScores) for e in answers["chat"].events) == 1, "told once, not once per start"
    assert_rest(core)


def test_prompt_scores_are_told_once_though_the_prompt_is_computed_twice(make: Make, reference: Reference) -> None:
    """A keystroke takes every page, so that the answer starts again from nothing, in one chunk."""
    core = make(pages=8)
    counts = preemptions(core)
    core.submit(greedy("chat", tiny.prompt(50, 1), 10, prompt_logprobs=True))
    first = [e for _ in range(4) for e in core.step(idle)]
    core.submit(greedy("key", tiny.prompt(110, 2), 18, lane="key"))
    chat = Answer([*first, *drain(core)["chat"].events])
    assert sum(counts) == 1
    assert sum(isinstance(e, PromptScores) for e in chat.events) == 1
    assert chat.tokens() == reference.greedy(tiny.prompt(50, 1), 10)
    assert chat.done.usage == Usage(50, 0, 10)


@dataclass(frozen=True)
class Arrival:
    """A request of a random history: ``prompt`` is a prefix of one of three texts and a tail of its own."""

    text: int
    shared: int
    tail: int
    count: int
    lane: str
    at: int
    cancel_after: int | None


arrivals = st.builds(
    Arrival,
    text=st.integers(0, 2),
    shared=st.integers(0, 60),
    tail=st.integers(1, 4),
    count=st.integers(1, 10),
    lane=st.sampled_from(["key", "chat", "idle"]),
    at=st.integers(0, 20),
    cancel_after=st.one_of(st.none(), st.none(), st.integers(0, 12)),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=st.lists(arrivals, min_size=1, max_size=8),
    pages=st.integers(6, 20),
    chunk=st.integers(1, 40),
    slots=st.integers(1, 6),
)
def test_any_history_gives_each_request_the_answer_it_gets_alone(
    make: Make, reference: Reference, history: list[Arrival], pages: int, chunk: int, slots: int
) -> None:
    limits = Limits(
        batch_tokens=chunk + slots, batch_sequences=slots, prefill_chunk=chunk, busy_chunk=min(chunk, 8), reserve=8
    )
    core = make(limits, pages=pages)
    found: dict[str, Answer] = {}
    cancels: dict[int, list[str]] = {}
    step = 0
    while core.busy or step <= 20 or any(at > step for at in cancels):
        for i, a in enumerate(history):
            if a.at == step:
                prompt = [*tiny.prompt(60, a.text)[: a.shared], *tiny.prompt(a.tail, 100 + i)]
                core.submit(greedy(str(i), prompt, a.count, lane=a.lane))
                if a.cancel_after is not None:
                    cancels.setdefault(step + a.cancel_after, []).append(str(i))
        due = cancels.pop(step, [])
        # Half of the cancels come between two steps, half in the middle of one.
        for id in due[::2]:
            core.cancel(id)
        for event in core.step(lambda due=due: [core.cancel(id) for id in due[1::2]] and None):  # type: ignore[misc]
            found.setdefault(event.id, Answer()).events.append(event)
        core.cache.check()
        step += 1
        assert step < 3000, "the engine never comes to rest"
    for i, a in enumerate(history):
        prompt = [*tiny.prompt(60, a.text)[: a.shared], *tiny.prompt(a.tail, 100 + i)]
        wanted, answer = reference.greedy(prompt, a.count), found.get(str(i), Answer())
        if a.cancel_after is None:
            assert answer.tokens() == wanted
            assert answer.done.usage.generated == a.count
        else:
            assert answer.tokens() == wanted[: len(answer.tokens())]
    assert_rest(core)
    core.cache.evict(core.cache.total)
    assert core.cache.free == core.cache.total


# Several candidates.


def test_candidates_are_the_runs_with_the_following_seeds(make: Make) -> None:
    prompt = tiny.prompt(37)
    sampling = Sampling(temperature=0.9, top_p=0.95, seed=11)
    core = make()
    computed = core.stats()["computed_tokens"]
    together = one(core, greedy("n", prompt, 9, n=4, sampling=sampling))
    assert core.stats()["computed_tokens"] - computed == 37 + 4 * 8, "the prompt is computed once"
    assert together.done.usage == Usage(37, 0, 36)
    alone = [
        one(make(), greedy("s", prompt, 9, sampling=Sampling(temperature=0.9, top_p=0.95, seed=11 + i))).tokens()
        for i in range(4)
    ]
    assert [together.tokens(i) for i in range(4)] == alone
    assert len({tuple(t) for t in alone}) > 1
    assert [together.reason(i) for i in range(4)] == ["length"] * 4
    assert_rest(core)


@pytest.mark.parametrize("pages", [8, 64])
def test_candidates_without_room_for_all_at_once_come_one_after_the_other(make: Make, pages: int) -> None:
    """32 candidates and 8 slots; with 8 pages not even the prompt's last page can be copied for all."""
    core = make(SMALL, pages=pages)
    sampling = Sampling(temperature=1.0, seed=5)
    together = one(core, greedy("n", tiny.prompt(37), 20, n=32, sampling=sampling, prompt_logprobs=True))
    assert sum(isinstance(e, PromptScores) for e in together.events) == 1
    for i in (0, 1, 17, 31):
        alone = one(make(), greedy("s", tiny.prompt(37), 20, sampling=Sampling(temperature=1.0, seed=5 + i)))
        assert together.tokens(i) == alone.tokens(), i
    assert_rest(core)


def test_greedy_candidates_are_all_the_same(make: Make, reference: Reference) -> None:
    answer = one(make(), greedy("n", tiny.prompt(20), 6, n=3))
    assert [answer.tokens(i) for i in range(3)] == [reference.greedy(tiny.prompt(20), 6)] * 3


def test_candidates_of_one_token_end_at_once(make: Make) -> None:
    core = make()
    answer = one(core, greedy("n", tiny.prompt(20), 1, n=5, sampling=Sampling(temperature=2.0, seed=1)))
    assert answer.done.usage.generated == 5
    assert [len(answer.tokens(i)) for i in range(5)] == [1] * 5
    assert_rest(core)


# Cancelling.


@pytest.fixture
def busy(make: Make) -> Core:
    """Two slots: one decodes, and there is always somebody whose answer must not change."""
    core = make(Limits(batch_tokens=20, batch_sequences=3, prefill_chunk=16, busy_chunk=16))
    core.submit(greedy("other", tiny.prompt(20, 7), 80))
    for _ in range(6):
        core.step(idle)
    return core


def gone(core: Core, id: str, before: dict[str, float]) -> None:
    """After the cancel, before any step: nothing of it is held; after the next one: nothing is told."""
    stats = core.stats()
    assert stats["cancelled"] == before["cancelled"] + 1
    for key in ("running", "waiting", "tasks"):
        assert stats[key] == before[key], key
    assert id not in {e.id for _ in range(3) for e in core.step(idle)}
    core.cache.check()


def finish_other(core: Core) -> None:
    core.cancel("other")
    drain(core)
    assert_rest(core)


def test_a_queued_request_is_cancelled(busy: Core) -> None:
    busy.submit(greedy("first", tiny.prompt(20), 80))
    busy.step(idle)
    before = busy.stats()
    busy.submit(greedy("late", tiny.prompt(20, 1)))
    busy.step(idle)
    assert busy.stats()["waiting"] == 1
    busy.cancel("late")
    gone(busy, "late", before)
    busy.cancel("first")
    finish_other(busy)


def test_a_prompt_that_is_half_computed_is_cancelled_and_what_it_computed_is_kept(busy: Core) -> None:
    before, held = busy.stats(), busy.cache.held
    busy.submit(greedy("late", tiny.prompt(100, 1)))
    for _ in range(3):
        busy.step(idle)
    assert busy.cache.held > held
    busy.cancel("late")
    assert busy.cache.held <= held + 1, "one for a page that the other one has begun meanwhile"
    gone(busy, "late", before)
    busy.submit(greedy("again", tiny.prompt(100, 1), 1))
    answer = Answer(list(iterate(busy, "again")))
    assert answer.done.usage.cached >= 32
    finish_other(busy)


def iterate(core: Core, id: str) -> Iterator[Event]:
    for _ in range(200):
        for event in core.step(idle):
            if event.id == id:
                yield event
                if isinstance(event, Done | Failed):
                    return


def test_a_stream_is_cancelled(busy: Core) -> None:
    before = busy.stats()
    busy.submit(greedy("late", tiny.prompt(10, 1), 100))
    events = [e for _ in range(6) for e in busy.step(idle) if e.id == "late"]
    assert len(events) >= 4
    busy.cancel("late")
    gone(busy, "late", before)
    finish_other(busy)


def test_a_request_is_cancelled_in_the_middle_of_a_step_that_others_need(make: Make, reference: Reference) -> None:
    core = make()
    core.submit(greedy("other", tiny.prompt(20, 7), 10))
    core.submit(greedy("late", tiny.prompt(20, 1), 10))
    found = drain(core, lambda: core.cancel("late") if core.stats()["steps"] == 4 else None)
    assert found["other"].tokens() == reference.greedy(tiny.prompt(20, 7), 10)
    assert found["late"].tokens() == reference.greedy(tiny.prompt(20, 1), 10)[:4]
    assert not any(isinstance(e, Finish | Done | Failed) for e in found["late"].events)
    assert_rest(core)


def test_an_id_that_is_cancelled_and_used_again_within_a_step_means_the_new_request(
    make: Make, reference: Reference
) -> None:
    core = make()
    core.submit(greedy("other", tiny.prompt(20, 7), 6))
    core.submit(greedy("a", tiny.prompt(20, 1), 6))

    def replace() -> None:
        if core.stats()["steps"] == 2 and core.stats()["cancelled"] == 0:
            core.cancel("a")
            core.submit(greedy("a", tiny.prompt(15, 2), 6))

    found = drain(core, replace)
    assert found["other"].tokens() == reference.greedy(tiny.prompt(20, 7), 6)
    assert found["a"].tokens() == reference.greedy(tiny.prompt(20, 1), 6)[:2] + reference.greedy(tiny.prompt(15, 2), 6)
    assert_rest(core)


def test_a_step_that_nobody_needs_any_more_is_abandoned(make: Make, reference: Reference) -> None:
    core, prompt = make(), tiny.prompt(60, 1)
    core.submit(greedy("a", prompt))
    assert core.step(lambda: core.cancel("a")) == []
    stats = core.stats()
    assert (stats["aborted_steps"], stats["steps"], stats["computed_tokens"]) == (1, 0, 0)
    assert_rest(core)
    answer = one(core, greedy("b", prompt))
    assert answer.done.usage.cached == 0, "a step that was abandoned has computed nothing"
    assert answer.tokens() == reference.greedy(prompt, 12)


def test_cancelling_after_the_end_or_what_never_was_changes_nothing(make: Make) -> None:
    core = make()
    one(core, greedy("a", tiny.prompt(10)))
    before = core.stats()
    core.cancel("a")
    core.cancel("nobody")
    assert core.stats() == before
    assert one(core, greedy("a", tiny.prompt(10))).done.usage.generated == 12, "the id is free again"


@pytest.mark.parametrize("steps", range(6))
def test_candidates_scores_and_embeddings_are_cancelled_too(make: Make, steps: int) -> None:
    core = make(SMALL)
    core.submit(greedy("n", tiny.prompt(20), 30, n=4))
    core.submit(Score("s", Tokens(tiny.prompt(30)), "some text to be scored, longer than a chunk"))
    core.submit(Embed("e", ["a text", "another, longer text that takes more than a chunk", "third"]))
    for _ in range(steps):
        core.step(idle)
    for id in ("n", "s", "e"):
        core.cancel(id)
    assert_rest(core)
    assert drain(core) == {}


def cancels(core: Core, count: int, seed: int) -> None:
    """``count`` requests of every kind come and are cancelled at random moments, in steps and between."""
    rng = random.Random(seed)
    live: list[str] = []
    started = cancelled = 0

    def some_cancels() -> None:
        nonlocal cancelled
        while live and rng.random() < 0.3:
            core.cancel(live.pop(rng.randrange(len(live))))
            cancelled += 1

    while cancelled < count:
        for _ in range(rng.randrange(4)):
            if len(live) < 12:
                id, tokens = f"r{started}", tiny.prompt(rng.randrange(1, 60), rng.randrange(5))
                started += 1
                kind = rng.randrange(8)
                if kind == 0:
                    core.submit(Score(id, Tokens(tokens), "x = 1", lane="chat"))
                elif kind == 1:
                    core.submit(Embed(id, ["one", "two words"]))
                else:
                    lane = rng.choice(["key", "chat", "idle"])
                    core.submit(greedy(id, tokens, rng.randrange(1, 20), lane=lane, n=rng.choice([1, 1, 3])))
                live.append(id)
        some_cancels()
        for event in core.step(some_cancels):
            if isinstance(event, Done | Scored | Embedded | Failed) and event.id in live:
                live.remove(event.id)
    for id in live:
        core.cancel(id)


def test_a_thousand_cancels_leave_everything_as_it_was(make: Make) -> None:
    core = make(SMALL, pages=24)
    cancels(core, 1000, seed=torch.seed() % (1 << 31))
    assert_rest(core)
    core.cache.evict(core.cache.total)
    assert core.cache.free == core.cache.total


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_cancels_leave_everything_as_it_was(make: Make) -> None:
    core = make(SMALL, pages=24)
    cancels(core, 10_000, seed=torch.seed() % (1 << 31))
    assert_rest(core)
    core.cache.evict(core.cache.total)
    assert core.cache.free == core.cache.total


# Deadlines and time.


class Clock:
    """Seconds that only pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("steps", [0, 2, 9])
def test_a_deadline_ends_a_request_in_every_phase(make: Make, steps: int) -> None:
    """Not started, in its prompt (16 tokens a step), decoding."""
    clock = Clock()
    core = make(SMALL, clock=clock)
    core.submit(greedy("late", tiny.prompt(80), 100, deadline_ms=500))
    core.submit(greedy("other", tiny.prompt(10, 1), 30))
    for _ in range(steps):
        core.step(idle)
    clock.now += 0.5
    found = drain(core)
    [failed] = [e for e in found["late"].events if isinstance(e, Failed)]
    assert failed.code == "deadline_exceeded"
    assert "deadline" in failed.message
    assert found["late"].events[-1] is failed
    assert found["other"].done.usage.generated + steps >= 30
    assert_rest(core)


def test_a_score_has_a_deadline_too(make: Make) -> None:
    clock = Clock()
    core = make(SMALL, clock=clock)
    core.submit(Score("s", Tokens(tiny.prompt(80)), "continued", deadline_ms=1))
    core.step(idle)
    clock.now += 1
    assert isinstance(drain(core)["s"].events[0], Failed)
    assert_rest(core)


def test_times_are_milliseconds_since_arrival_in_order(make: Make) -> None:
    clock = Clock()
    core = make(Limits(batch_tokens=20, batch_sequences=1, prefill_chunk=16, busy_chunk=16), clock=clock)

    def tick() -> None:
        clock.now += 0.010  # twice a step: the model has two layers

    core.submit(greedy("a", tiny.prompt(40), 5))
    core.submit(greedy("b", tiny.prompt(8, 1), 2))
    first = core.info.context
    assert first == 256
    found = drain(core, tick)
    a, b = found["a"].done.timing, found["b"].done.timing
    assert a.queue == 0
    assert 0 < a.first_token < a.total == b.queue < b.first_token < b.total


# Prompt scores, scoring, embeddings.


def check_scores(scores: Sequence[TokenLogprob], tokens: Sequence[int], reference: Reference, first: int) -> None:
    """``scores`` are those of ``tokens[first:]``, each after all tokens before it."""
    wanted = reference.logprobs(tokens)
    assert [s.token for s in scores] == list(tokens[first:])
    for i, s in enumerate(scores, first):
        if i == 0:
            assert s.logprob is None
        else:
            assert s.logprob == pytest.approx(float(wanted[i - 1, tokens[i]]), abs=2e-4)


@pytest.mark.parametrize("limits", [LIMITS, SMALL])
@pytest.mark.parametrize("length", [1, 2, 80])
def test_prompt_scores_without_an_answer(make: Make, reference: Reference, limits: Limits, length: int) -> None:
    core, prompt = make(limits), tiny.prompt(length, 4)
    for id in ("cold", "cached"):
        answer = one(core, Generate(id, Tokens(prompt), max_tokens=0, logprobs=3, prompt_logprobs=True))
        scores, finish, done = answer.events
        assert isinstance(scores, PromptScores)
        check_scores(scores.scores, prompt, reference, 0)
        assert all(len(s.top) == 3 for s in scores.scores[1:])
        assert finish == Finish(id, "length", 0)
        assert isinstance(done, Done)
        assert done.usage == Usage(length, 0, 0), "what is scored is not taken from the cache"
    assert_rest(core)


def test_prompt_scores_and_an_answer(make: Make, reference: Reference, tokenizer: Tokenizer) -> None:
    prompt = tiny.prompt(30, 4)
    answer = one(make(), greedy("a", prompt, 5, prompt_logprobs=True))
    assert isinstance(answer.events[0], PromptScores)
    assert answer.events[0].scores[3].text == tokenizer.decode([prompt[3]])
    assert answer.tokens() == reference.greedy(prompt, 5)


@pytest.mark.parametrize("limits", [LIMITS, SMALL])
def test_a_score_is_the_log_probability_of_the_continuation(
    make: Make, reference: Reference, tokenizer: Tokenizer, limits: Limits
) -> None:
    core, prompt = make(limits), tiny.prompt(50, 4)
    rest = tokenizer.encode(" the low and lower ends of a long continuation, more than sixty-four tokens of it, I hope")
    assert len(rest) > 64, "more than one block of rows"
    for id, cached in (("cold", 0), ("cached", 49)):
        [scored] = one(core, Score(id, Tokens(prompt), tokenizer.decode(rest))).events
        assert isinstance(scored, Scored)
        check_scores(scored.scores, [*prompt, *rest], reference, len(prompt))
        assert scored.usage == Usage(len(prompt) + len(rest), cached, 0)
    [nothing] = one(core, Score("empty", Tokens(prompt), "")).events
    assert isinstance(nothing, Scored)
    assert nothing.scores == []
    assert_rest(core)


def test_scores_survive_preemption(make: Make, reference: Reference, tokenizer: Tokenizer) -> None:
    core = make(SMALL, pages=10)
    counts = preemptions(core)
    rest = tokenizer.encode("a continuation that takes several steps of sixteen tokens, so that it is interrupted")
    core.submit(Score("s", Tokens(tiny.prompt(20, 4)), tokenizer.decode(rest), lane="idle"))
    for _ in range(3):
        core.step(idle)
    core.submit(greedy("key", tiny.prompt(90, 5), 30, lane="key"))
    [scored] = drain(core)["s"].events
    assert sum(counts)
    assert isinstance(scored, Scored)
    check_scores(scored.scores, [*tiny.prompt(20, 4), *rest], reference, 20)


def embedding(reference: Reference, tokens: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        states = reference.model.model(torch.tensor([tokens])).last_hidden_state[0]
    mean: torch.Tensor = states.mean(0)
    return mean / mean.norm()


@pytest.mark.parametrize(("limits", "pages"), [(LIMITS, 64), (SMALL, 64), (SMALL, 8)])
def test_an_embedding_is_the_normalised_mean_of_the_last_hidden_states(
    make: Make, reference: Reference, tokenizer: Tokenizer, limits: Limits, pages: int
) -> None:
    core = make(limits, pages=pages)
    texts = ["print(1)", "the low hum of a longer text, in more chunks than one and pages as well, to be sure", "x"]
    for id in ("cold", "again"):
        core.submit(Embed(id, texts))
        core.submit(greedy(f"{id}-key", tiny.prompt(50), 20, lane="key"))
        [found] = drain(core)[id].events
        assert isinstance(found, Embedded)
        for text, vector in zip(texts, found.vectors, strict=True):
            assert math.hypot(*vector) == pytest.approx(1, abs=1e-5)
            torch.testing.assert_close(
                torch.tensor(vector), embedding(reference, tokenizer.encode(text)), atol=1e-5, rtol=1e-4
            )
        assert found.usage.prompt == sum(len(tokenizer.encode(t)) for t in texts)
    assert_rest(core)


def test_an_embedding_that_is_interrupted_counts_each_token_once(
    make: Make, reference: Reference, tokenizer: Tokenizer
) -> None:
    core = make(SMALL, pages=8)
    counts = preemptions(core)
    text = "the low hum of a longer text, in more chunks than one and pages as well, to be sure of an interruption"
    core.submit(Embed("e", [text]))
    for _ in range(3):
        core.step(idle)
    core.submit(greedy("key", tiny.prompt(70), 50, lane="key"))
    [found] = drain(core)["e"].events
    assert sum(counts)
    assert isinstance(found, Embedded)
    wanted = embedding(reference, tokenizer.encode(text))
    torch.testing.assert_close(torch.tensor(found.vectors[0]), wanted, atol=1e-5, rtol=1e-4)


# Endings and sampling.


def ascii_only(tokenizer: Tokenizer, **bias: float) -> Sampling:
    """Only tokens that write letters: a text with visible borders between its tokens."""
    pieces = (tokenizer.token_bytes(t) for t in range(tokenizer.vocab_size))
    barred = {i: -100.0 for i, piece in enumerate(pieces) if not piece.isalpha()}
    return Sampling(temperature=1.0, seed=2, logit_bias=barred)


def test_a_stop_string_across_tokens_ends_the_answer_and_is_never_shown(make: Make, tokenizer: Tokenizer) -> None:
    request = greedy("a", tiny.prompt(20), 40, sampling=ascii_only(tokenizer))
    whole = one(make(), request).text()
    assert len(whole) >= 40
    stop = whole[17:22]
    answer = one(make(), Generate("b", request.prompt, max_tokens=40, sampling=request.sampling, stop=["§§", stop]))
    assert answer.text() == whole[: whole.index(stop)]
    assert answer.reason() == "stop"
    assert answer.done.usage.generated < 40
    shown = ""
    for event in answer.events:
        if isinstance(event, Delta):
            shown += event.text
            assert whole.startswith(shown)


def test_a_stop_string_that_never_comes_whole_is_shown_at_the_end(make: Make, tokenizer: Tokenizer) -> None:
    request = greedy("a", tiny.prompt(20), 10, sampling=ascii_only(tokenizer))
    whole = one(make(), request).text()
    answer = one(
        make(), Generate("b", request.prompt, max_tokens=10, sampling=request.sampling, stop=[whole[-3:] + "§"])
    )
    assert (answer.text(), answer.reason()) == (whole, "length")


def test_a_token_that_ends_answers_ends_it_and_is_not_shown(make: Make, tokenizer: Tokenizer) -> None:
    [eos] = [tokenizer.special_id("<|im_end|>")]
    assert eos in tokenizer.eos_ids
    wanted = Sampling(logit_bias={eos: 100.0})
    answer = one(make(), Generate("a", Tokens(tiny.prompt(10)), sampling=wanted, logprobs=0))
    assert (answer.text(), answer.reason(), answer.done.usage.generated) == ("", "stop", 1)
    ignored = one(make(), Generate("b", Tokens(tiny.prompt(10)), max_tokens=7, sampling=wanted, ignore_eos=True))
    assert (ignored.text(), ignored.reason(), ignored.done.usage.generated) == ("", "length", 7)


def test_log_probabilities_are_those_of_the_model_before_bias_and_temperature(
    make: Make, reference: Reference, tokenizer: Tokenizer
) -> None:
    prompt = tiny.prompt(20)
    sampling = Sampling(temperature=1.5, seed=4, logit_bias={5: 3.0}, repetition_penalty=1.3)
    answer = one(make(), Generate("a", Tokens(prompt), max_tokens=15, logprobs=5, sampling=sampling, ignore_eos=True))
    scores = answer.scores()
    tokens = [*prompt, *(s.token for s in scores)]
    check_scores(scores, tokens, reference, len(prompt))
    wanted = reference.logprobs(tokens)
    for i, s in enumerate(scores, len(prompt)):
        values, ids = wanted[i - 1].topk(5)
        assert [t for t, _, _ in s.top] == ids.tolist()
        assert [p for _, _, p in s.top] == pytest.approx(values.tolist(), abs=2e-4)
        assert [text for _, text, _ in s.top] == [tokenizer.decode([t]) for t in ids.tolist()]
    assert sum(e.tokens for e in answer.events if isinstance(e, Delta)) == 15
    plain = one(make(), Generate("b", Tokens(prompt), max_tokens=5, ignore_eos=True))
    assert all(e.logprobs is None for e in plain.events if isinstance(e, Delta))


def test_the_text_is_that_of_the_tokens(make: Make, tokenizer: Tokenizer) -> None:
    """Bytes of broken characters are held back and joined: the pieces together are the whole."""
    for seed in range(5):
        request = greedy("a", tiny.prompt(10), 60, sampling=Sampling(temperature=2.0, seed=seed))
        answer = one(make(), request)
        assert answer.text() == tokenizer.decode(answer.tokens())


def test_a_constraint_holds_for_every_candidate(make: Make) -> None:
    constraint = Constraint(regex=r"[0-9]{3}-[a-c]{2}")
    request = Generate("a", Text("number: "), n=3, sampling=Sampling(temperature=1, seed=0), constraint=constraint)
    answer = one(make(), request)
    for i in range(3):
        text = answer.text(i)
        assert len(text) == 6 and text[:3].isdigit() and text[3] == "-" and set(text[4:]) <= set("abc"), text
        assert answer.reason(i) == "stop"


def test_healing_shows_only_what_was_not_typed(make: Make) -> None:
    """The cut word is written again by the model and not shown twice; what follows starts right behind it."""
    core = make()
    request = Generate("a", Text("say lo", heal=True), max_tokens=8, logprobs=0, ignore_eos=True)
    answer = one(core, request)
    written = core.tokenizer.decode(answer.tokens())
    assert written.startswith(" lo")
    assert answer.text() == written.removeprefix(" lo")


# Streams do not freeze; pools are full.


def test_a_stream_gets_a_token_in_every_step_behind_two_long_prompts(make: Make) -> None:
    core = make(SMALL)
    core.submit(greedy("stream", tiny.prompt(5), 40))
    core.step(idle)
    core.submit(greedy("long-1", tiny.prompt(200, 1), 3))
    core.submit(greedy("long-2", tiny.prompt(200, 2), 3))
    told: list[set[str]] = []
    for _ in range(39):
        events = core.step(idle)
        assert sum(isinstance(e, Delta) for e in events if e.id == "stream") == 1
        told.append({e.id for e in events})
    began = [next(i for i, ids in enumerate(told) if id in ids) for id in ("long-1", "long-2")]
    assert 12 <= min(began) <= max(began) < 39, "both prompts were computed meanwhile, 16 tokens a step"


def test_an_answer_that_outgrows_the_pool_ends_with_length(make: Make, reference: Reference) -> None:
    core = make(pages=4, context=256)
    answer = one(core, greedy("a", tiny.prompt(50), 100))
    assert answer.reason() == "length"
    assert answer.tokens() == reference.greedy(tiny.prompt(50), len(answer.tokens()))
    assert 14 <= len(answer.tokens()) < 100
    assert_rest(core)


def test_an_answer_ends_where_the_context_ends(make: Make) -> None:
    core = make(context=64)
    answer = one(core, greedy("a", tiny.prompt(60), 100))
    assert (answer.reason(), answer.done.usage.generated) == ("length", 4)


# Requests that cannot run.


def refused(core: Core, request: Any, kind: type[FamulusError], *says: str) -> None:
    before = core.stats()
    with pytest.raises(kind) as caught:
        core.submit(request)
    for text in says:
        assert text in str(caught.value)
    assert core.stats() == before
    assert not core.busy


def test_each_bad_request_has_its_error_and_leaves_nothing(make: Make) -> None:
    core = make(pages=8)
    vocabulary = core.tokenizer.vocab_size
    refused(core, Generate("a", Text("x"), model="gpt-5"), ModelNotFound, "gpt-5", "tiny")
    refused(core, Score("a", Text("x"), "y", model="gpt-5"), ModelNotFound, "gpt-5")
    refused(core, Embed("a", ["x"], model="gpt-5"), ModelNotFound, "gpt-5")
    refused(core, Generate("a", Tokens([1, vocabulary])), InvalidRequest, str(vocabulary), str(vocabulary - 1))
    refused(core, Score("a", Tokens([vocabulary]), "y"), InvalidRequest, str(vocabulary))
    refused(core, Detokenize("a", [vocabulary]), InvalidRequest, str(vocabulary))
    refused(core, greedy("a", tiny.prompt(300), 5), PromptTooLong, "300 tokens", "45 more", "256")
    refused(core, greedy("a", tiny.prompt(129), 5), PromptTooLong, "129 tokens", "1 more")
    refused(core, Score("a", Tokens(tiny.prompt(250)), "ten tokens"), PromptTooLong, "256")
    refused(core, Score("a", Tokens(tiny.prompt(125)), "ten tokens"), PromptTooLong, "cache")
    refused(core, Embed("a", ["fine", "x" * 200]), PromptTooLong)
    refused(core, Generate("a", Text("x"), constraint=Constraint(regex="(")), InvalidConstraint)
    refused(core, Generate("a", Text("\ud800")), InvalidRequest, "Unicode")
    assert one(core, greedy("a", tiny.prompt(10))).done.usage.generated == 12


def test_an_id_is_used_once_at_a_time(make: Make) -> None:
    core = make()
    core.submit(greedy("a", tiny.prompt(10)))
    with pytest.raises(InvalidRequest, match="'a'"):
        core.submit(greedy("a", tiny.prompt(11)))
    assert drain(core)["a"].done.usage.prompt == 10


def test_an_empty_prompt_starts_from_the_models_own_start(make: Make) -> None:
    core = make()
    assert one(core, greedy("a", [], 3)).done.usage.prompt == 1


def test_tokens_and_their_texts(make: Make) -> None:
    core = make()
    [there] = one(core, Tokenize("a", "the low é")).events
    assert isinstance(there, Tokenized)
    [back] = one(core, Detokenize("b", there.tokens)).events
    assert isinstance(back, Tokenized)
    assert back.text == "the low é"
    assert len(there.texts) == len(there.tokens)


def test_requests_that_arrive_in_the_middle_of_a_step_run_in_the_next(make: Make, reference: Reference) -> None:
    core = make()
    late = [greedy("late", tiny.prompt(9, 1), 4)]
    core.submit(greedy("a", tiny.prompt(10), 4))
    found = drain(core, lambda: core.submit(late.pop()) if late else None)
    assert found["late"].tokens() == reference.greedy(tiny.prompt(9, 1), 4)


def test_closing_drops_everything(make: Make) -> None:
    core = make()
    for i in range(20):
        core.submit(greedy(str(i), tiny.prompt(10, i)))
    core.step(idle)
    core.close()
    assert_rest(core)
