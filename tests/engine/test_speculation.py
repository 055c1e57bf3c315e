"""Speculation changes how long an answer takes and nothing else."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest
import torch

from famulus.bench.random_model import random_model
from famulus.engine.cache import Table
from famulus.engine.client import Client, connect
from famulus.engine.core import Core
from famulus.engine.draft.budget import DELAY, Acceptance, Budget, Costs, Evidence
from famulus.engine.draft.copying import Copier
from famulus.engine.draft.speculation import LONGEST, Room, Speculation
from famulus.engine.graphs import singles
from famulus.engine.models import family
from famulus.engine.protocol import (
    Constraint,
    Delta,
    Done,
    Event,
    Finish,
    Generate,
    Sampling,
    Text,
    Tokens,
)
from famulus.engine.runner import Runner
from famulus.engine.served import Served
from famulus.engine.step import Chunk, Limits, Sequence, StepPlan
from famulus.engine.text import Tokenizer
from famulus.engine.training.evaluation.subject import Subject
from tests.conftest import Famulus
from tests.engine import tiny_models as tiny

Answers = dict[tuple[str, int], tuple[list[int], str, str]]
"""By request and candidate: tokens, text, how it ended."""


@dataclass
class Oracle(Speculation):
    """Drafts that are right as far as chance wants, and then wrong. ``known``: answers by request."""

    known: dict[str, list[int]] = field(default_factory=dict)
    chance: random.Random = field(default_factory=lambda: random.Random(5))

    def propose(self, plan: StepPlan, room: Mapping[int, Room]) -> dict[int, list[int]]:
        drafts = {}
        for sequence in (c.sequence for c in plan.chunks if c.sequence.id in room):
            said = len(sequence.tokens) - sequence.prompt
            rest = self.known[sequence.request][said:][: self.chance.randrange(6)]
            wrong = [self.chance.randrange(256) for _ in range(self.chance.randrange(3))]
            drafts[sequence.id] = [*rest, *wrong][: room[sequence.id].count]
        return drafts


def run(core: Core, *requests: Generate, scores: dict[tuple[str, int], list[float]]) -> Answers:
    """The answers; ``scores`` is given the log-probabilities of their tokens."""
    for request in requests:
        core.submit(request)
    events: list[Event] = []
    while core.busy:
        events += core.step(lambda: None)
        core.cache.check()
    found: Answers = {}
    for request in requests:
        assert any(isinstance(e, Done) and e.id == request.id for e in events)
        for index in range(request.n):
            mine = [e for e in events if isinstance(e, Delta) and (e.id, e.index) == (request.id, index)]
            [reason] = [e.reason for e in events if isinstance(e, Finish) and (e.id, e.index) == (request.id, index)]
            tokens = [s.token for e in mine for s in e.logprobs or []]
            scores[request.id, index] = [s.logprob for e in mine for s in e.logprobs or [] if s.logprob is not None]
            assert sum(e.tokens for e in mine) == len(tokens)
            found[request.id, index] = tokens, "".join(e.text for e in mine), reason
    return found


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Speculation | None], Served]:
    folder = tiny.write_folder(tmp_path_factory.mktemp("speculation") / "m", tiny.random_model(seed=3))
    model = tiny.open_model(folder)
    tokenizer = Tokenizer.from_file(folder / "tokenizer.json", {"eos_token": "<|im_end|>"})
    limits = Limits(batch_tokens=48, prefill_chunk=32, reserve=8)
    return lambda how: replace(tiny.serve(model, tokenizer, pages=96, limits=limits), speculation=how)


def requests() -> list[Generate]:
    """Every way in which an answer can be chosen, and can end."""
    hot = Sampling(temperature=0.9, top_p=0.95, seed=11)
    ways: list[dict[str, object]] = [
        {},
        {"sampling": hot},
        {"sampling": hot, "n": 3},
        {"sampling": Sampling(repetition_penalty=1.3, logit_bias={7: 2.0})},
        {"constraint": Constraint(regex="[a-f]{3,9}(, [0-9]{2}){2}")},
        {"constraint": Constraint(regex="[a-f]{3,9}(, [0-9]{2}){2}"), "sampling": hot},
        {"stop": ["e", "th", "!"], "sampling": Sampling(temperature=1.0, seed=3)},
        {"ignore_eos": True, "max_tokens": 3},
        {"sampling": Sampling(temperature=2.0, seed=4), "lane": "key"},
    ]
    made = []
    for i, way in enumerate(ways):
        made.append(Generate(f"r{i}", Tokens(tiny.prompt(20 + 5 * i, i)), **{"max_tokens": 24, **way}, logprobs=2))  # type: ignore[arg-type]
    healed = Constraint(names=["lower", "lowest", "loan"])
    made.append(Generate("names", Text("the lo", heal=True), constraint=healed, max_tokens=12, logprobs=0))
    return made


def test_answers_are_the_same_whatever_the_drafts_say(serve: Callable[[Speculation | None], Served]) -> None:
    asked = requests()
    alone: dict[tuple[str, int], list[float]] = {}
    together: dict[tuple[str, int], list[float]] = {}
    plain = {key: value for request in asked for key, value in run(Core(serve(None)), request, scores=alone).items()}
    oracle = Oracle(known={request.id: plain[request.id, 0][0] for request in asked})
    core = Core(serve(oracle))
    for _ in range(2):  # the second time from the cache
        assert run(core, *asked, scores=together) == plain
        for key, values in alone.items():
            assert together[key] == pytest.approx(values, abs=1e-3), "each token has its own row's log-probability"
    counts = core.stats()
    assert counts["accepted_tokens"] > 100, "the drafts were never right: the test shows nothing"
    assert counts["drafted_tokens"] - counts["accepted_tokens"] > 100
    assert core.cache.held == 0


def test_speed_is_measured_without_drafts(serve: Callable[[Speculation | None], Served]) -> None:
    oracle = Oracle(known=defaultdict(list))
    core = Core(serve(oracle))
    subject = Subject("tiny", core)
    speed = subject.speed("the lower the loan", 40)
    assert speed.reading > 0 and speed.writing > 0
    assert core.stats()["drafted_tokens"] == 0
    subject.write(Text("the lower the loan"), 40, ignore_eos=True)
    assert core.stats()["drafted_tokens"] > 0, "they come back"


@pytest.mark.parametrize("kind", ["qwen2", "qwen3_moe", "gpt_oss", "deepseek_v2"])
def test_drafted_tokens_see_what_they_would_see_one_after_the_other(kind: str) -> None:
    """Together, as rows of their own (as a recorded step has them), and step by step: the same hidden states."""
    torch.manual_seed(0)
    said = family(kind).tiny() | {"model_type": kind}
    runner = Runner.create(random_model(said, "fp32", torch.device("cpu")), 16)
    text = tiny.prompt(44, 1)

    def sequence(known: int, pages: list[int]) -> Sequence:
        return Sequence(0, "r", "chat", text[:known], table=Table("", pages))

    def run(*chunks: Chunk, alone: bool = False) -> torch.Tensor:
        plan = StepPlan(chunks)
        return runner.forward(singles(plan) if alone else plan, lambda: None).clone()

    found = []
    for pages in ([0, 1, 2], [4, 6, 5], [9, 8, 7]):
        prompt = sequence(38, pages)
        run(Chunk(prompt, 0, 37))
        drafted = Chunk(prompt, 37, 7, tuple(text[38:]))
        if len(found) < 2:
            found.append(run(drafted, alone=bool(found)))
        else:
            found.append(torch.cat([run(Chunk(sequence(i + 1, pages), i, 1)) for i in range(37, 44)]))
    for other in found[1:]:
        assert tiny.error(other, found[0]) < 1e-4


def calls(old: list[int], new: list[int], most: int = LONGEST) -> int:
    """Calls of the model that write ``new`` after ``old`` if every draft is computed in full."""
    copier, tokens, count = Copier(old, len(old), "", Acceptance()), list(old), 0
    while len(tokens) < len(old) + len(new):
        copier.follow(tokens)
        draft, rates = copier.draft(most)
        assert len(draft) == len(rates) <= most and all(0 < r < 1 for r in rates)
        rest = new[len(tokens) - len(old) :]
        right = next(
            (i for i, (a, b) in enumerate(zip(draft, rest, strict=False)) if a != b), min(len(draft), len(rest))
        )
        tokens += rest[: right + 1]
        count += 1
    return count


def text_of(seed: int, length: int, words: int = 40) -> list[int]:
    """Tokens with repetitions, as code has them."""
    chance = random.Random(seed)
    return [chance.randrange(words) ** 2 // words for _ in range(length)]


@pytest.mark.parametrize("seed", range(4))
def test_a_rewritten_function_is_drafted_around_what_changes(seed: int) -> None:
    old = text_of(seed, 150)
    ask, begin = [900 + seed, 901, *old, 902], [*old[:5]]
    assert calls(ask, old) <= 5 + 150 / LONGEST + 2, "once the copy is found, it goes on to the end"
    name = 77
    named = [name if t in (3, 4) else t for t in old]
    renamed = [t for u in named for t in ((500, 501) if u == name else (u,))]
    copy = [900, 901, *named, 902]
    assert calls(copy, renamed) <= 30, "after it was replaced once or twice, a name is replaced in the draft"
    longer = [*old[:60], 600, 601, 602, *old[60:110], *old[118:]]
    assert calls(ask, longer) <= 30, "an insertion and a deletion are passed"
    assert calls(ask, begin) <= 5


def test_what_repeats_is_drafted_beyond_its_end() -> None:
    assert calls([1, 2, 3, 1, 2, 3, 1], [2, 3, 1] * 20) <= 8
    assert calls([1], [5] * 60) <= 8


def test_texts_of_others_are_not_copied_from() -> None:
    secret, begin = text_of(9, 40, 1000), [2000, 2001]
    speculation = Speculation()
    drafts = {}
    for i, salt in enumerate(("alice", "alice", "bob")):
        sequence = Sequence(i, str(i), "chat", [*begin, *secret[:4]], salt=salt, prompt=len(begin))
        plan = StepPlan((Chunk(sequence, len(sequence.tokens) - 1, 1),))
        drafts[salt] = speculation.propose(plan, {i: Room(LONGEST)}).get(i, [])
        sequence.tokens = [*begin, *secret]
        speculation.propose(plan, {i: Room(LONGEST)})
    assert drafts["bob"] == []
    assert drafts["alice"] and drafts["alice"] == secret[4 : 4 + len(drafts["alice"])]


@pytest.mark.parametrize(("row", "look"), [(0.02, 0.0), (0.12, 0.0003), (0.5, 0.001), (0.9, 0.0)])
def test_the_budget_learns_what_rows_cost_and_drafts_no_more_than_pays(row: float, look: float) -> None:
    """Steps that take ``1 - row + rows * (row + context * look)`` milliseconds, with every fifth one disturbed."""
    budget, chance = Budget(16), random.Random(1)

    def took(rows: int, context: int) -> float:
        return (1 - row + rows * (row + context * look)) / 1000

    for i in range(400):
        rows, context = chance.choice([1, 1, 1, 2, 4, 8, 16]), 100 + i
        budget.costs.observe(rows, rows * context, took(rows, context) * (1 if i % 5 else chance.uniform(1, 30)))
    for likely in (0.05, 0.3, 0.6, 0.9, 0.99):
        context = 400
        count = budget.choose({1: [likely] * 15}, {1: context}).get(1, 0)

        def yielded(n: int, likely: float = likely, context: int = context) -> float:
            return sum(likely**i for i in range(n + 1)) / took(n + 1, context)

        best = max(map(yielded, range(16)))
        assert yielded(count) >= 0.9 * best, (likely, count)
        assert yielded(count) >= 0.99 * yielded(0), "never slower than without"


def test_drafts_hardly_delay_others_and_fill_no_step_beyond_its_size() -> None:
    costs = Costs()
    budget, sure = Budget(16, costs), [0.99] * 15
    alone = budget.choose({1: sure}, {1: 100})
    assert 10 <= alone[1] <= 15
    others = dict.fromkeys(range(1, 4), 100)
    shared = budget.choose({1: sure, 2: sure}, others)
    rows = 3 + sum(shared.values())
    assert costs.of(rows, 100 * rows) <= DELAY * costs.of(3, 300)
    assert budget.choose(dict.fromkeys(range(20), sure), dict.fromkeys(range(20), 100)) == {}
    assert budget.choose({1: [0.01] * 15}, {1: 100}) == {}


def test_acceptance_follows_what_happens() -> None:
    usual, seen = Acceptance(), Evidence.of("same", 5)
    mine, other = Acceptance(usual), Acceptance(usual)
    for _ in range(60):
        mine.observe(seen, False)
    assert mine.rate(seen) < 0.1 and other.rate(seen) < 0.25 < other.rate(Evidence.of("same", 40))
    for _ in range(60):
        mine.observe(seen, True)
    assert mine.rate(seen) > 0.6


PROMPTS = (
    "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n\n\ndef mul(a, b):\n",
    "alpha = 1\nbeta = 2\ngamma = 3\nalpha = 1\nbeta = 2\ngamma = 3\nalpha = 1\n",
    "The quick brown fox jumps over the lazy dog. The quick",
    "class Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n",
)


def one_by_one(engine: Client, prompt: str, count: int) -> list[int]:
    """Greedy tokens, a request each: an answer of one token has no room for a draft."""
    tokens = engine.tokenize(prompt)
    for _ in range(count):
        [score] = [
            s
            for d in engine.generate({"type": "tokens", "tokens": tokens}, max_tokens=1, logprobs=0, ignore_eos=True)
            for s in d.logprobs or []
        ]
        tokens = [*tokens, score.token]
    return tokens[-count:]


def test_the_embedded_model_says_the_same_token_by_token(served: Famulus) -> None:
    engine = connect(served.home, start=False)
    for prompt in PROMPTS:
        deltas = engine.generate(prompt, max_tokens=12, logprobs=0, ignore_eos=True)
        tokens = [s.token for d in deltas for s in d.logprobs or []]
        assert tokens == one_by_one(engine, prompt, 12), prompt
    until = time.monotonic() + 30
    while not (drafts := engine.status()["stats"].get("accepted_tokens", 0)) and time.monotonic() < until:
        engine.tokenize("")  # what the worker counts comes with its heartbeat
    assert drafts > 0, "nothing was drafted: the test shows nothing"
    assert "tokens computed in advance" in served("status").stdout
