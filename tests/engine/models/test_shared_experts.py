"""On a GPU the shared experts of a mixture stand behind the others, and all of them take the same two launches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from famulus.engine import loader
from famulus.engine.decoder import Decoder
from famulus.engine.gpu_forms import as_experts, gpu_weight
from famulus.engine.layers import MLP, MoE, Part
from famulus.kernels.linear import make_fp8
from famulus.kernels.moe import Experts
from famulus.kernels.pack import quantize_fp8
from tests.engine import tiny_models as tiny
from tests.engine.models import zoo

CARD = "cpu:0"
"""To the loader another device than "cpu": weights get the forms of a GPU, and torch computes with them."""


def opened(folder: Path, precision: str) -> Decoder:
    made = tiny.open_model(folder, precision, CARD)
    assert isinstance(made, Decoder)
    return made


@pytest.mark.parametrize("precision", ["fp32", "int8", "fp8", "int4"])
@pytest.mark.parametrize("variant", ["deepseek-v2", "deepseek-v3"])
def test_shared_experts_behind_the_others_compute_the_same(
    tmp_path: Path, variant: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo.write(tmp_path / "m", variant, moe_intermediate_size=64)
    behind = opened(tmp_path / "m", precision)
    monkeypatch.setattr(loader, "_further", lambda found, parts: {})
    beside = opened(tmp_path / "m", precision)
    mixtures = [(a.mlp, b.mlp) for a, b in zip(behind.blocks, beside.blocks, strict=True) if isinstance(a.mlp, MoE)]
    assert mixtures
    x = torch.randn(18, behind.args.hidden_size).to(behind.compute)
    for one, other in mixtures:
        assert isinstance(one, MoE) and isinstance(other, MoE) and other.shared is not None
        assert one.shared is None and one.rule.shared == len(one.down) - len(other.down) > 0
        assert tiny.error(one(x), other(x)) < (1e-5 if precision == "fp32" else 0.01)
        assert len(one.linears()) == 2 * one.rule.places
    if precision == "fp32":
        tokens = tiny.prompt(9)
        wanted = tiny.logits(tiny.open_model(tmp_path / "m"), tokens)
        assert tiny.error(tiny.logits(behind, tokens, (7,)), wanted) < 1e-5


def test_blocks_that_share_a_scale_are_cut_between_experts_only() -> None:
    hidden, inner, shares = 256, 128, 2
    gate_up = Part("experts", ("gate", "up"), ((inner, hidden), (inner, hidden)), shares=shares)
    down = Part("experts", ("down",), ((hidden, inner),), shares=shares)
    whole = [
        make_fp8(*quantize_fp8(torch.randn(shape), blocks=True))
        for shape in ((2 * shares * inner, hidden), (hidden, shares * inner))
    ]
    each = []
    for part, w in zip((gate_up, down), whole, strict=True):
        assert w.fp8 is not None and w.fp8_scales is not None
        fields = as_experts(part, {"fp8": w.fp8, "fp8_scales": w.fp8_scales})
        assert fields is not None
        each.append(Experts(gpu_weight(part, "fp8", fields, torch.device("cpu"))).each)
        odd = tuple((96, hidden) if rows == inner else (hidden, 96) for rows, _ in part.shapes)
        assert as_experts(replace(part, shapes=odd), {"fp8": w.fp8, "fp8_scales": w.fp8_scales}) is None
    x = torch.randn(3, hidden)
    summed = torch.stack([MLP(*expert)(x) for expert in zip(*each, strict=True)]).sum(0)
    assert tiny.error(summed, MLP(*whole)(x)) < 1e-5
