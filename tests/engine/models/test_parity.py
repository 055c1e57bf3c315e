"""Every family's logits are ``transformers``' own: for a prompt, token by token, in mixed batches, after eviction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from famulus.engine.cache import Table
from famulus.engine.core import Core
from famulus.engine.hardware import PAGE
from famulus.engine.layers import Model
from famulus.engine.protocol import Delta, Done, Generate, TokenLogprob, Tokens
from famulus.engine.runner import Runner
from famulus.engine.step import Chunk, Limits, Sequence, StepPlan
from famulus.engine.text import Tokenizer
from tests.engine import tiny_models as tiny
from tests.engine.models import zoo

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
"""Where ours computes: with a GPU the same tests run on it."""

FP32 = 1e-5 if DEVICE == "cpu" else 1e-3
"""Largest difference relative to the largest logit, in fp32; the promise is 1e-3."""


@dataclass(frozen=True)
class Pair:
    """A model of ``transformers``, and ours of its files."""

    reference: Any
    ours: Model
    folder: Path

    def wanted(self, tokens: list[int]) -> Tensor:
        return tiny.reference(self.reference, tokens)


@pytest.fixture(scope="module", params=zoo.VARIANTS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("zoo") / "m"
    reference = zoo.write(folder, request.param)
    return Pair(reference, tiny.open_model(folder, device=DEVICE), folder)


def test_a_prompt_and_its_pieces_give_the_logits_of_transformers(pair: Pair) -> None:
    tokens = tiny.prompt(90)
    wanted = pair.wanted(tokens)
    assert wanted.std() > 0.3, "a flat model proves nothing"
    for pieces in ((), (1, 16, 5, 30, 2), (1,) * 90):
        for scattered in (False, True):
            found = tiny.logits(pair.ours, tokens, pieces, scattered)
            assert tiny.error(found, wanted) < FP32, (pieces, scattered)


def test_sequences_of_unequal_length_share_steps(pair: Pair) -> None:
    """Prompts and single tokens side by side in one step; nobody sees anybody else."""
    prompts = [tiny.prompt(length, seed) for seed, length in enumerate((70, 3, 33, 16))]
    sequences, first = [], 1
    for i, tokens in enumerate(prompts):
        pages = -(-len(tokens) // PAGE)
        sequences.append(Sequence(i, "tiny", "chat", tokens, table=Table("", list(range(first, first + pages)))))
        first += pages + 1
    runner = Runner.create(pair.ours, first)
    found: list[list[Tensor]] = [[] for _ in prompts]
    at = [0] * len(prompts)
    for counts in ((50, 1, 1, 16), (1, 1, 20, 0), (18, 0, 11, 0), (1, 1, 1, 0)):
        chunks = [Chunk(s, at[i], counts[i]) for i, s in enumerate(sequences) if counts[i]]
        logits = runner.logits(runner.forward(StepPlan(tuple(chunks)), lambda: None))
        for chunk, part in zip(chunks, logits.split([c.count for c in chunks]), strict=True):
            found[chunk.sequence.id].append(part.clone().cpu())
            at[chunk.sequence.id] += chunk.count
    assert at == [70, 3, 33, 16]
    for tokens, parts in zip(prompts, found, strict=True):
        assert tiny.error(torch.cat(parts), pair.wanted(tokens)) < FP32


def test_an_answer_after_eviction_goes_on_from_what_is_left(pair: Pair) -> None:
    evict_and_resume(pair.ours, pair.folder, "auto", pair.wanted, FP32)


@pytest.mark.parametrize("kv", ["int8", "fp8"])
def test_keys_and_values_in_8_bits_are_rounded_once(pair: Pair, kv: str) -> None:
    """Close to what ``transformers`` says; and the same whatever pieces a prompt came in, wherever its pages lie."""
    if latent(pair.ours):
        return
    tokens = tiny.prompt(50)
    wanted, whole = pair.wanted(tokens), tiny.logits(pair.ours, tokens, kv=kv)
    far = (whole - wanted).abs().amax(1) / wanted.abs().max()
    # Of positions the median: where two experts are nearly equal, a router jumps.
    assert 1e-4 < float(far.median()) < {"int8": 0.02, "fp8": 0.06}[kv]
    found = tiny.logits(pair.ours, tokens, (1, 16, 5, 28), scattered=True, kv=kv)
    assert tiny.error(found, whole) < 100 * FP32


def test_keys_and_values_in_8_bits_are_shared_copied_and_evicted_too(pair: Pair) -> None:
    if latent(pair.ours):
        return
    evict_and_resume(pair.ours, pair.folder, "int8", lambda t: tiny.logits(pair.ours, t, kv="int8"), 100 * FP32)


def latent(model: Model) -> bool:
    """Whether it keeps latents, which stay whole."""
    return model.kv_shape[0] == 1


def evict_and_resume(
    model: Model, folder: Path, kv: str, wanted: Callable[[list[int]], Tensor], tolerance: float
) -> None:
    """Through the whole engine: what is reused, copied within a page, evicted and computed again is right."""
    tokenizer = Tokenizer.from_file(folder / "tokenizer.json", {"eos_token": "<|im_end|>"})
    limits = Limits(batch_tokens=48, prefill_chunk=32, reserve=16)
    core = Core(tiny.serve(model, tokenizer, pages=16, limits=limits, kv=kv))
    long = tiny.prompt(100)

    def cached(prompt: list[int]) -> int:
        return reused(core, wanted, prompt, tolerance)

    assert cached(long) == 0
    assert cached([*long[:75], *tiny.prompt(20, 1)]) == 75  # four pages, and eleven tokens of one copied
    core.cache.evict(4)
    assert 0 < cached(long) < 96
    for seed in (2, 3):  # strangers fill the store, so all of it has to go
        cached(tiny.prompt(200, seed))
    assert cached(long) == 0


def reused(core: Core, wanted: Callable[[list[int]], Tensor], prompt: list[int], tolerance: float) -> int:
    """Write on from ``prompt``, compare every log-probability: how much of the prompt was reused."""
    core.submit(Generate("r", Tokens(prompt), max_tokens=12, logprobs=0, ignore_eos=True))
    scores: list[TokenLogprob] = []
    while True:
        for event in core.step(lambda: None):
            if isinstance(event, Delta):
                scores += event.logprobs or []
            if isinstance(event, Done):
                tokens = [s.token for s in scores]
                rows = wanted([*prompt, *tokens])[len(prompt) - 1 : -1, : core.tokenizer.vocab_size]
                exact = rows.log_softmax(-1)[torch.arange(len(tokens)), torch.tensor(tokens)]
                assert len(tokens) == 12
                found = torch.tensor([s.logprob for s in scores])
                assert float((found - exact).abs().max()) < tolerance * float(rows.abs().max())
                return event.usage.cached


def test_a_router_with_top_p_sends_tokens_to_different_numbers_of_experts() -> None:
    """What the tests above compute for famulus_moe."""
    model = zoo.make("famulus_moe")
    tiny.reference(model, tiny.prompt(90))
    assert set.union(*(layer.mlp.counts for layer in model.model.layers)) >= {2, 3, 4}
