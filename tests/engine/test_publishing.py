"""What the rows of a step mean, where it is easy to get wrong: failures among candidates, memory nobody wrote to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from famulus.engine.core import Core
from famulus.engine.errors import InvalidConstraint, InvalidRequest
from famulus.engine.layers import Model
from famulus.engine.protocol import (
    Chat,
    Constraint,
    Delta,
    Done,
    Embed,
    Embedded,
    Event,
    Failed,
    Finish,
    Generate,
    Message,
    Sampling,
    Score,
    Text,
    Tokens,
)
from famulus.engine.step import Limits
from famulus.engine.templates import ChatTemplate
from famulus.engine.text import Tokenizer
from tests.engine import tiny_models as tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_folder(tmp_path_factory.mktemp("publishing") / "m", tiny.random_model(seed=3))


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return tiny.open_model(folder)


@pytest.fixture
def make(model: Model, folder: Path) -> Callable[[float], Core]:
    """``make(garbage)``: an engine whose cache holds that number everywhere at first."""

    def make(garbage: float) -> Core:
        tokenizer = Tokenizer.from_file(folder / "tokenizer.json", {"eos_token": "<|im_end|>"})
        served = tiny.serve(model, tokenizer, pages=24, limits=Limits(batch_tokens=40, prefill_chunk=32, reserve=8))
        served = replace(served, speculation=None)  # how many rows a product has shows in its last digits
        for store in served.runner.kv:
            store.fill_(garbage)
        return Core(served)

    return make


def run(core: Core, *requests: Generate | Embed) -> list[Event]:
    for request in requests:
        core.submit(request)
    events: list[Event] = []
    while core.busy:
        events += core.step(lambda: None)
    return events


class BreaksAfter:
    """A grammar that turns out too complex after ``tokens`` tokens."""

    finished = False

    def __init__(self, size: int, tokens: int) -> None:
        self._all, self._left = np.ones(size, dtype=np.bool_), tokens

    def allowed(self) -> NDArray[np.bool_]:
        return self._all

    def advance(self, token: int) -> None:
        self._left -= 1
        if self._left < 0:
            raise InvalidConstraint("The constraint cannot be used: it is too complex.")

    def forced(self) -> list[int]:
        return []

    def legal(self, tokens: list[int]) -> int:
        return len(tokens)


@pytest.mark.parametrize("first", [0, 1, 3])
@pytest.mark.parametrize("others", [0, 2, 99])
def test_nothing_is_said_after_a_failure(
    make: Callable[[float], Core], monkeypatch: pytest.MonkeyPatch, first: int, others: int
) -> None:
    """One candidate's constraint breaks while the others go on: the request has failed, and only once."""
    core = make(0)
    size = core.tokenizer.vocab_size
    monkeypatch.setattr("famulus.engine.core.build_mask", lambda *_: BreaksAfter(size, first))
    monkeypatch.setattr("famulus.engine.publishing.build_mask", lambda *_: BreaksAfter(size, others))
    request = Generate("a", Tokens(tiny.prompt(20)), n=3, constraint=Constraint(regex="x"), ignore_eos=True)
    *before, last = run(core, request)
    assert isinstance(last, Failed)
    assert all(isinstance(e, Delta) for e in before)
    assert core.cache.held == 0
    assert core.stats()["tasks"] == 0


def test_what_nobody_wrote_is_never_read(make: Callable[[float], Core]) -> None:
    """Fresh cache memory may hold anything; times a weight of zero, a NaN would still be a NaN."""
    long = tiny.prompt(75, seed=1)
    histories = [
        [Generate("a", Tokens(long), max_tokens=9, ignore_eos=True, logprobs=3, prompt_logprobs=True)],
        [Generate("b", Tokens([*long[:41], 7, 8]), max_tokens=20, ignore_eos=True, logprobs=3)],
        [
            Generate(f"c{i}", Tokens(tiny.prompt(5 + 9 * i, i)), max_tokens=30, ignore_eos=True, logprobs=3)
            for i in range(4)
        ],
        [Generate("d", Tokens(long[:29]), n=4, max_tokens=20, logprobs=3, sampling=Sampling(temperature=1, seed=5))],
        [Embed("e", ["", "low the low"])],
    ]
    clean, dirty = make(0), make(float("nan"))
    for requests in histories:
        wanted, found = run(clean, *requests), run(dirty, *requests)
        strip = [e for e in wanted if not isinstance(e, Done)]
        assert [e for e in found if not isinstance(e, Done)] == strip


@pytest.mark.parametrize("n", [1, 3])
def test_an_answer_of_no_tokens_ends_for_every_candidate(make: Callable[[float], Core], n: int) -> None:
    events = run(make(0), Generate("a", Tokens(tiny.prompt(9)), max_tokens=0, n=n))
    assert [(e.index, e.reason) for e in events if isinstance(e, Finish)] == [(i, "length") for i in range(n)]
    assert isinstance(events[-1], Done)
    assert events[-1].usage.generated == 0


def test_an_empty_text_and_a_vector_of_zeros_have_finite_embeddings(
    make: Callable[[float], Core], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = make(0)
    [answer] = run(core, Embed("a", ["", "low"]))
    assert isinstance(answer, Embedded)
    assert [math.hypot(*v) for v in answer.vectors] == pytest.approx([1, 1])
    monkeypatch.setattr(model, "norm", torch.zeros(64))
    [answer] = run(core, Embed("b", ["low"]))
    assert isinstance(answer, Embedded)
    assert not any(answer.vectors[0]), "no direction is zero, not NaN"


def test_generated_tokens_are_counted_for_every_candidate(make: Callable[[float], Core]) -> None:
    core = make(0)
    *_, done = run(core, Generate("a", Text("low "), n=3, max_tokens=5, ignore_eos=True))
    assert isinstance(done, Done)
    assert core.stats()["generated_tokens"] == done.usage.generated == 15


def test_a_step_is_judged_without_the_time_spent_on_new_requests(make: Callable[[float], Core]) -> None:
    """Rendering somebody's prompt between two layers says nothing about the number of threads."""
    core, seen = make(0), []
    core._governor.observe = lambda kind, seconds: seen.append(seconds)  # type: ignore[method-assign]
    core.submit(Generate("a", Tokens([1]), max_tokens=1))
    core.step(lambda: time.sleep(1))
    assert len(seen) == 1
    assert 0 < seen[0] < 0.5


def test_a_score_after_a_conversation_that_renders_to_nothing_is_refused(make: Callable[[float], Core]) -> None:
    """There is no row that predicts the first token; an answer without scores would look like a success."""
    core = make(0)
    core.card = replace(core.card, chat=ChatTemplate("{{ '' }}"))
    with pytest.raises(InvalidRequest, match="empty"):
        core.submit(Score("a", Chat([Message("user", "hello")]), "low"))
    assert not core.busy
