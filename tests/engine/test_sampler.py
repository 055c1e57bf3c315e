"""Tokens are drawn from the distribution that was asked for, from it alone, and by the request's own seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from famulus.engine import sampler as module
from famulus.engine.errors import InvalidConstraint
from famulus.engine.protocol import Sampling
from famulus.engine.sampler import Sampler, continuations, log_probabilities, next_tokens
from famulus.kernels.sample import Choice

DRAWS = 8000


def logits(size: int, seed: int, spread: float = 2.0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * spread


def draw(row: Tensor, sampling: Sampling, count: int = DRAWS) -> list[int]:
    """``count`` draws of one candidate from the same ``row``."""
    sampler = Sampler(sampling, 0, [], None)
    return [int(next_tokens(row[None], [sampler])[0]) for _ in range(count)]  # type: ignore[call-overload]


def assert_distribution(found: Sequence[int], wanted: Tensor) -> None:
    """Chi-square over the values with an expectation of at least 5 (the rest is one), up to 5 sigma."""
    counts, expected = Counter(found), (wanted * len(found)).tolist()
    big = [i for i, e in enumerate(expected) if e >= 5]
    rest = len(found) - sum(expected[i] for i in big)
    square = sum((counts[i] - expected[i]) ** 2 / expected[i] for i in big)
    if rest > 5:
        square += (len(found) - sum(counts[i] for i in big) - rest) ** 2 / rest
    free = len(big) - (rest <= 5)
    # Wilson and Hilferty's normal approximation.
    z = ((square / free) ** (1 / 3) - (1 - 2 / (9 * free))) / (2 / (9 * free)) ** 0.5
    assert z < 5, f"chi-square {square:.0f} with {free} degrees of freedom"
    assert all(wanted[i] > 0 for i in counts), "drawn although impossible"


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax_at_any_temperature(temperature: float) -> None:
    row = logits(40, 1)
    assert_distribution(draw(row, Sampling(temperature=temperature, seed=1)), torch.softmax(row / temperature, 0))


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1.3, top_k=7, seed=1),
        Sampling(temperature=0.8, top_p=0.7, seed=2),
        Sampling(temperature=1.5, min_p=0.1, seed=3),
        Sampling(temperature=1.5, top_k=20, top_p=0.9, min_p=0.05, seed=4),
    ],
)
def test_what_is_cut_off_is_never_drawn_and_the_rest_keeps_its_proportions(sampling: Sampling) -> None:
    row = logits(40, 2)
    assert_distribution(draw(row, sampling), truncated(row, sampling))


def truncated(row: Tensor, sampling: Sampling) -> Tensor:
    """The distribution after top-k, min-p and top-p, each on what the one before left."""
    p = torch.softmax(row.double() / sampling.temperature, 0)
    order = p.argsort(descending=True).tolist()
    if sampling.top_k:
        order = order[: sampling.top_k]
    order = [i for i in order if p[i] >= sampling.min_p * p[order[0]]]
    total, sum_, kept = float(p[order].sum()), 0.0, []
    for i in order:
        if sum_ < sampling.top_p * total:
            kept.append(i)
        sum_ += float(p[i])
    cut = torch.zeros_like(p)
    cut[kept] = p[kept]
    return cut / cut.sum()


@settings(max_examples=200, deadline=None)
@given(
    size=st.integers(1, 300),
    seed=st.integers(0, 1 << 62),
    temperature=st.floats(0, 5),
    top_k=st.integers(0, 400),
    top_p=st.floats(1e-9, 1),
    min_p=st.floats(0, 1),
)
def test_no_setting_leaves_its_set_or_fails(
    size: int, seed: int, temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    row = logits(size, seed % 1000, 6.0)
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed)
    for token in draw(row, sampling, 5):
        if temperature < 1e-3:
            # Nearly greedy: whatever is drawn is as good as the best.
            assert row[token] >= row.max() - 0.1
        else:
            # Rounding may move the border by the value that stands on it.
            wider = Sampling(
                temperature=temperature, top_k=top_k, top_p=min(1.0, top_p + 1e-5), min_p=max(0.0, min_p - 1e-5)
            )
            assert truncated(row, wider)[token] > 0


@pytest.mark.parametrize("temperature", [1e-44, 1e-38, 1e-30, 1e-6])
def test_a_tiny_temperature_is_greedy_and_does_not_overflow(temperature: float) -> None:
    row = logits(50, 5, 10.0)
    for top_p in (1.0, 0.5):
        assert set(draw(row, Sampling(temperature=temperature, top_p=top_p, seed=1), 5)) == {int(row.argmax())}


def test_greedy_takes_the_largest_and_of_equals_the_first() -> None:
    row = torch.tensor([0.0, 3.0, 1.0, 3.0])
    assert draw(row, Sampling(), 3) == [1, 1, 1]


def test_a_seed_gives_the_same_tokens_again_and_another_seed_others() -> None:
    row = logits(500, 3)
    first, again, other = (draw(row, Sampling(temperature=1, seed=s), 50) for s in (7, 7, 8))
    assert first == again
    assert first != other
    unseeded = [draw(row, Sampling(temperature=1), 50) for _ in range(2)]
    assert unseeded[0] != unseeded[1]


def test_candidate_i_draws_as_seed_plus_i() -> None:
    row = logits(500, 3)
    sampler = Sampler(Sampling(temperature=1, seed=5), 3, [], None)
    assert [next_tokens(row[None], [sampler])[0] for _ in range(20)] == draw(row, Sampling(temperature=1, seed=8), 20)
    Sampler(Sampling(temperature=1, seed=(1 << 62)), 31, [], None)  # the largest seed has candidates too


def test_the_neighbours_in_a_batch_change_nothing() -> None:
    rows = torch.stack([logits(300, i) for i in range(4)])
    kinds = [
        Sampling(temperature=1, seed=1),
        Sampling(),
        Sampling(temperature=0.7, top_k=5, seed=2, repetition_penalty=1.5),
        Sampling(temperature=2, top_p=0.9, seed=3, logit_bias={4: 5.0}),
    ]
    together = [Sampler(k, 0, [1, 2], None) for k in kinds]
    found = [next_tokens(rows, together) for _ in range(20)]
    for i, kind in enumerate(kinds):
        alone = Sampler(kind, 0, [1, 2], None)
        assert [next_tokens(rows[i : i + 1], [alone])[0] for _ in range(20)] == [step[i] for step in found]


def test_the_rows_of_others_are_not_written_to() -> None:
    rows = torch.stack([logits(30, i) for i in range(2)])
    before = rows.clone()
    kind = Sampling(logit_bias={1: 100.0}, repetition_penalty=2.0)
    next_tokens(rows, [Sampler(kind, 0, [3, 4], None), Sampler(Sampling(), 0, [], None)])
    assert torch.equal(rows, before)


def test_repetition_is_penalised_as_in_transformers() -> None:
    from transformers import RepetitionPenaltyLogitsProcessor

    row, prompt = logits(60, 4), [1, 5, 5, 9]
    sampler = Sampler(Sampling(repetition_penalty=1.7), 0, prompt, None)
    processor = RepetitionPenaltyLogitsProcessor(1.7)
    for _ in range(10):
        wanted = processor(torch.tensor([prompt]), row[None].clone())[0]
        torch.testing.assert_close(sampler.adjusted(row), wanted)
        prompt.append(int(next_tokens(row[None], [sampler])[0]))  # type: ignore[call-overload]
        assert prompt[-1] == int(wanted.argmax())


def test_a_bias_is_added_and_ids_that_no_token_has_are_passed_over() -> None:
    row = logits(60, 4)
    bias = {3: 2.5, 7: -100.0, 60: 100.0, 1 << 40: 100.0, -1: 100.0}
    adjusted = Sampler(Sampling(logit_bias=bias), 0, [], None).adjusted(row)
    assert adjusted[3] == row[3] + 2.5
    assert adjusted[7] == row[7] - 100
    same = [i for i in range(60) if i not in (3, 7)]
    assert torch.equal(adjusted[same], row[same])


class Only:
    """A mask that allows ``ids`` until ``count`` tokens were taken."""

    def __init__(self, size: int, ids: Sequence[int], count: int) -> None:
        self._allowed: NDArray[np.bool_] = np.isin(np.arange(size), ids)
        self._left = count

    @property
    def finished(self) -> bool:
        return False

    def allowed(self) -> NDArray[np.bool_] | None:
        return self._allowed if self._left else None

    def advance(self, token: int) -> None:
        if not self._allowed[token]:
            raise InvalidConstraint(f"token {token} is not allowed")
        self._left -= 1

    def forced(self) -> int | None:
        return None


@pytest.mark.parametrize("temperature", [0.0, 1.0, 5.0])
def test_a_mask_holds_against_bias_and_temperature_and_the_heads_padding_is_barred(temperature: float) -> None:
    row = logits(50, 6)
    row[20] = 50.0
    row[45] = 90.0  # beyond the 40 tokens that the mask knows
    kind = Sampling(temperature=temperature, seed=1, logit_bias={21: 100.0})
    sampler = Sampler(kind, 0, [], Only(40, [3, 8, 9], 200))
    found = [int(next_tokens(row[None], [sampler])[0]) for _ in range(200)]  # type: ignore[call-overload]
    assert set(found) <= {3, 8, 9}
    assert len(set(found)) == (1 if temperature == 0 else 3)


def test_a_masked_draw_keeps_the_proportions_of_what_is_allowed() -> None:
    row, ids = logits(50, 6), [3, 8, 9, 30]
    sampler = Sampler(Sampling(temperature=1, seed=1), 0, [], Only(50, ids, DRAWS))
    found = [int(next_tokens(row[None], [sampler])[0]) for _ in range(DRAWS)]  # type: ignore[call-overload]
    barred = torch.full_like(row, float("-inf"))
    barred[ids] = row[ids]
    assert_distribution(found, torch.softmax(barred, 0))


def test_a_constraint_that_breaks_fails_its_own_row_only() -> None:
    class Broken(Only):
        def allowed(self) -> NDArray[np.bool_] | None:
            raise InvalidConstraint("too complex")

    rows = torch.stack([logits(50, 1), logits(50, 2)])
    found = next_tokens(rows, [Sampler(Sampling(), 0, [], Broken(50, [1], 9)), Sampler(Sampling(), 0, [], None)])
    assert isinstance(found[0], InvalidConstraint)
    assert found[1] == int(rows[1].argmax())


def test_rows_stay_on_their_device_and_ids_come_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be copied from the device "meta"."""

    def chosen(rows: Tensor, choices: list[Choice]) -> Tensor:
        assert (rows.device.type, rows.shape) == ("meta", (3, 50))
        assert [c.key != 0 for c in choices] == [False, True, True]
        return torch.tensor([8, 3, 9])

    monkeypatch.setattr(module, "sample", chosen)
    samplers = [
        Sampler(Sampling(), 0, [], Only(40, [3, 8], 9)),
        Sampler(Sampling(temperature=1), 0, [], None),
        Sampler(Sampling(temperature=1, repetition_penalty=1.5, logit_bias={4: 5.0}), 0, [1, 2], None),
    ]
    assert next_tokens(torch.empty(3, 50, device="meta"), samplers) == [8, 3, 9]


@given(right=st.lists(st.integers(0, 5), min_size=4, max_size=4), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_every_place_has_its_noise_whether_it_was_drafted_or_not(right: list[int], seed: int) -> None:
    """A step with drafts and a step after it say what steps without drafts say."""
    kinds = [
        Sampling(temperature=1, seed=seed),
        Sampling(),
        Sampling(temperature=0.7, top_k=9, seed=seed, repetition_penalty=1.5),
        Sampling(temperature=2, top_p=0.9, seed=seed, logit_bias={4: 5.0}),
    ]
    rows = torch.stack([logits(30, seed + i) for i in range(7)])  # of each place
    alone = [Sampler(kind, 0, [1, 2], None) for kind in kinds]
    plain = [[next_tokens(row[None], [sampler])[0] for row in rows] for sampler in alone]
    drafts = [[*said[:n], (int(said[n]) + 1) % 30] for said, n in zip(plain, right, strict=True)]  # type: ignore[call-overload]
    drafted = [Sampler(kind, 0, [1, 2], None) for kind in kinds]
    together = torch.cat([rows[: 1 + len(draft)] for draft in drafts])
    found = continuations(together, drafted, drafts)  # type: ignore[arg-type]
    assert found == [said[: n + 1] for said, n in zip(plain, right, strict=True)]
    assert next_tokens(rows[[n + 1 for n in right]], drafted) == [
        said[n + 1] for said, n in zip(plain, right, strict=True)
    ]


def test_log_probabilities_are_those_of_the_softmax() -> None:
    rows = torch.stack([logits(50, i) for i in range(3)])
    wanted = rows.double().log_softmax(-1)
    for top in (0, 4):
        found = log_probabilities(rows, [4, 0, 49], top)
        for i, (token, (value, best)) in enumerate(zip([4, 0, 49], found, strict=True)):
            assert value == pytest.approx(float(wanted[i, token]), abs=1e-5)
            values, ids = wanted[i].topk(top)
            assert [t for t, _ in best] == ids.tolist()
            assert [v for _, v in best] == pytest.approx(values.tolist(), abs=1e-5)
