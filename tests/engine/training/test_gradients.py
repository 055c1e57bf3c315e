"""Operations with backward passes of their own give what autograd gives for their references."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from famulus.engine.training import gradients
from famulus.kernels.activation import swiglu
from famulus.kernels.norm import rms_norm
from famulus.kernels.pack import Weight
from famulus.kernels.rope import frequencies, rope, tables

Operation = Callable[..., Tensor]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape))) * 2


WEIGHT = drawn(64).abs() + 0.5
COS, SIN = tables(torch.arange(5), frequencies(64, 1e4))


def weighted(gate: Tensor, up: Tensor, weights: Tensor) -> Tensor:
    return F.silu(gate) * up * weights.repeat_interleave(16, 1)


def torchs(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3, enable_gqa=True)


CASES: dict[str, tuple[Operation, Operation, list[Tensor]]] = {
    "norm": (
        lambda x: gradients.rms_norm(x, WEIGHT, 1e-5, x.dtype),
        lambda x: rms_norm.reference(x, WEIGHT, 1e-5, x.dtype),
        [drawn(2, 7, 64)],
    ),
    "turn": (
        lambda x: gradients.turned(x, COS, SIN),
        lambda x: rope.reference(x, COS, SIN),
        [drawn(2, 5, 3, 64)],
    ),
    "swiglu": (gradients.swiglu, swiglu.reference, [drawn(9, 64)]),
    "weighted": (gradients.weighted_swiglu, weighted, [drawn(9, 64), drawn(9, 64, seed=1), drawn(9, 4).abs()]),
    "attention": (
        lambda q, k, v: gradients.attention(q, k, v, 0.3),
        torchs,
        [drawn(2, 6, 11, 16), drawn(2, 3, 11, 16), drawn(2, 3, 11, 16, seed=1)],
    ),
    "attention, other values": (
        lambda q, k, v: gradients.attention(q, k, v, 0.3),
        torchs,
        [drawn(1, 4, 9, 16), drawn(1, 4, 9, 16, seed=1), drawn(1, 4, 9, 8)],
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_the_reference(name: str, dtype: torch.dtype) -> None:
    mine, reference, inputs = CASES[name]
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    given = [x.to(dtype) for x in inputs]
    found, wanted = run(mine, given), run(reference, [x.float() for x in given])
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.dtype == dtype
        assert (ours.float() - theirs).norm() <= tolerance * theirs.norm()


def test_attention_keeps_no_large_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, reference, inputs = CASES["attention"]
    monkeypatch.setattr(gradients, "LARGEST", 2 * 6 * 11 * 11 * 4 - 1)
    out = mine(*[x.requires_grad_() for x in inputs])
    assert "_Attention" not in type(out.grad_fn).__name__ and torch.equal(out, reference(*inputs))


def run(operation: Operation, inputs: list[Tensor]) -> list[Tensor]:
    """The result, and the gradient of each input."""
    given = [x.clone().requires_grad_() for x in inputs]
    out = operation(*given)
    out.backward(drawn(*out.shape, seed=3).to(out.dtype))
    return [out.detach(), *(x.grad for x in given if x.grad is not None)]


@pytest.mark.parametrize("trained", [False, True])
def test_the_loss_and_its_gradients_are_those_of_all_logits_at_once(
    trained: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(gradients.AT_ONCE, "cpu", 4)
    ids = torch.tensor([3, 17]) if trained else None
    head = gradients.Head(Weight(rows=40, columns=16, format="dense", dense=drawn(40, 16)), ids, 0.5)
    wanted = torch.tensor([1, 3, 39, 17, 0, 3, 5, 8, 2, 30])
    found, expected = [], []
    for results, loss in (
        (found, lambda x, rows: gradients.cross_entropy(x, rows, wanted, head)),
        (expected, lambda x, rows: F.cross_entropy(head.logits(x, rows), wanted, reduction="sum")),
    ):
        x = drawn(10, 16).requires_grad_()
        rows = drawn(2, 16, seed=5).requires_grad_() if trained else None
        value = loss(x, rows)
        (value * 0.7).backward()
        results += [value.detach(), x.grad, *([rows.grad] if rows is not None else [])]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours is not None and theirs is not None and torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)
