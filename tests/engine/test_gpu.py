"""A model on a GPU, as far as it can be told without one: every tensor of a step is there, and what is launched."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from famulus.bench.random_model import random_model
from famulus.engine.cache import Table
from famulus.engine.checkpoint import open_checkpoint
from famulus.engine.config import Args
from famulus.engine.gpu_forms import gpu_fields, gpu_weight
from famulus.engine.layers import Part
from famulus.engine.loader import load
from famulus.engine.models import family
from famulus.engine.runner import Runner
from famulus.engine.step import Chunk, Sequence, StepPlan
from famulus.kernels.linear import linear
from famulus.kernels.pack import dequantize_int4
from tests.engine import tiny_models

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed; it exists for Linux on x86-64 only", allow_module_level=True)

from famulus.kernels.gpu.launch import CARDS, recording

SPARSE = {
    "topk_method": None,
    "q_lora_rank": 48,
    "n_group": 4,
    "topk_group": 2,
    "index_topk": 24,
    "index_head_dim": 16,
    "index_n_heads": 8,
}
"""What DeepSeek-V3.2 has beside the tiny V2."""


@pytest.mark.parametrize(
    ("kind", "precision"),
    [("qwen3_moe", "int4"), ("gpt_oss", "fp8"), ("deepseek_v2", "int4"), ("deepseek_v32", "bf16"), ("qwen2", "bf16")],
)
def test_a_step_stays_on_the_gpu(kind: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake tensors of another device than the processor's: torch refuses to mix them, and launches are written down."""
    monkeypatch.setattr(Args, "check", lambda self: None)  # looks at values, which fake tensors do not have
    said = family(kind).tiny() | {"model_type": kind} | (SPARSE if kind == "deepseek_v32" else {})
    with FakeTensorMode(), torch.inference_mode(), recording(CARDS[90]) as launches:
        model = random_model(said, precision, torch.device("meta"))
        runner = Runner.create(model, 16)
        for counts, start in (((40, 3), 0), ((1, 1, 1), 20), ((1, 1), 30), ((1, 1), 31)):
            launches.clear()
            found = runner.logits(runner.forward(_plan(counts, start), lambda: None))
            assert (found.device.type, found.shape, found.dtype) == ("meta", (sum(counts), 512), torch.float32)
        assert len(launches) <= 13 * model.layers, "a layer takes a few launches"
        if kind == "deepseek_v32":
            assert runner.graphs is None, "what its indexer chooses is different every time"
            return
        assert runner.graphs is not None and set(runner.graphs.buckets) == {(4, 1024), (2, 1024)}, (
            "prompts are not recorded"
        )


@pytest.mark.parametrize(("precision", "error"), [("bf16", 0.01), ("fp8", 0.05), ("int4", 0.1)])
def test_a_matrix_keeps_its_values_in_the_forms_of_a_gpu(precision: str, error: float) -> None:
    part = Part("linear", ("a", "b"), ((32, 128), (16, 128)))
    dense, x = torch.randn(48, 128), torch.randn(5, 128)
    weight = gpu_weight(part, precision, gpu_fields(part, precision, dense), torch.device("cpu"))
    wanted = x @ dense.t()
    assert (linear.reference(x, weight) - wanted).abs().max() < error * wanted.abs().max()
    grid = torch.randint(0, 256, (48, 64), dtype=torch.uint8), torch.rand(48, 4).half().float(), torch.zeros(48, 4)
    if precision == "int4":
        own = gpu_weight(part, precision, gpu_fields(part, precision, dense, grid), torch.device("cpu"))
        assert torch.allclose(linear.reference(x, own), x @ dequantize_int4(*grid).t(), rtol=1e-4, atol=1e-3)


def test_packed_weights_for_a_gpu_are_kept_apart_and_read_again(tmp_path: Path) -> None:
    """The device "meta" takes what a card would: shapes and dtypes."""
    folder = tiny_models.write_folder(tmp_path / "m", tiny_models.random_model(tie_word_embeddings=False))
    checkpoint = open_checkpoint(folder, stamps=tmp_path / "stamps")
    for precision, dtype in (("fp8", torch.float8_e4m3fn), ("int4", torch.uint8)):
        told: list[str] = []
        for _ in range(2):
            model = load(checkpoint, precision, tmp_path / "kept", told.append, "meta")
            kept = [next(t for t in (w.pairs, w.fp8) if t is not None) for w in model.linears()]
            assert {t.device.type for t in kept} == {"meta"}
            assert (kept[0].dtype, kept[1].dtype) == (torch.float8_e4m3fn, dtype), "the head stays in 8 bits"
        assert told[-1] == "mapping the packed weights"
    assert len(list((tmp_path / "kept").glob("*/packed.safetensors"))) == 2


def _plan(counts: tuple[int, ...], start: int) -> StepPlan:
    """Sequences with pages of their own, which compute so many tokens after ``start``."""
    made = [
        Sequence(i, "r", "chat", [7] * (start + count), table=Table("", [4 * i, 4 * i + 1, 4 * i + 2]))
        for i, count in enumerate(counts)
    ]
    return StepPlan(tuple(Chunk(s, start, count) for s, count in zip(made, counts, strict=True)))
