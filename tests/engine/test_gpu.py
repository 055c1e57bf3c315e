"""A model on a GPU, as far as it can be told without one: every tensor of a step is there, and what is launched."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from famulus.bench.random_model import built, random_model, random_weights
from famulus.engine.cache import Table
from famulus.engine.checkpoint import open_checkpoint
from famulus.engine.config import Args
from famulus.engine.loader import load
from famulus.engine.models import family
from famulus.engine.runner import Runner
from famulus.engine.step import Chunk, Sequence, StepPlan
from tests.engine import tiny_models

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed; it exists for Linux on x86-64 only", allow_module_level=True)

from famulus.kernels.gpu.aot import multiplies_8_bits
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
    ("kind", "precision", "kv"),
    [
        ("qwen3_moe", "int4", "auto"),
        ("gpt_oss", "fp8", "fp8"),
        ("qwen3_moe", "int8", "auto"),
        ("deepseek_v2", "int4", "auto"),
        ("deepseek_v32", "bf16", "auto"),
        ("qwen2", "bf16", "int8"),
    ],
)
def test_a_step_stays_on_the_gpu(kind: str, precision: str, kv: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake tensors of another device than the processor's: torch refuses to mix them, and launches are written down."""
    monkeypatch.setattr(Args, "check", lambda self: None)  # looks at values, which fake tensors do not have
    said = family(kind).tiny() | {"model_type": kind} | (SPARSE if kind == "deepseek_v32" else {})
    with FakeTensorMode(), torch.inference_mode(), recording(CARDS[90]) as launches:
        model = random_model(said, precision, torch.device("meta"))
        runner = Runner.create(model, 16, kv)
        for counts, start in (((40, 3), 0), ((1, 1, 1), 20), ((1, 1), 30), ((1, 1), 31), ((3, 1), 20)):
            launches.clear()
            found = runner.logits(runner.forward(_plan(counts, start, drafted=counts == (3, 1)), lambda: None))
            assert (found.device.type, found.shape, found.dtype) == ("meta", (sum(counts), 512), torch.float32)
        assert len(launches) <= 13 * model.layers, "a layer takes a few launches"
        if kind == "deepseek_v32":
            assert runner.graphs is None, "what its indexer chooses is different every time"
            return
        assert runner.graphs is not None and set(runner.graphs.buckets) == {(4, 1024), (2, 1024)}, (
            "prompts are not recorded, and a drafted token is a row of a recorded step"
        )


@pytest.mark.parametrize("precision", ["fp8", "int8", "bf16"])
def test_prompts_are_multiplied_in_8_bits_where_that_is_wished(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Query, key and value, and gate and up, of more than 64 tokens; a step of fewer is bound by the weights' bytes."""
    monkeypatch.setattr(Args, "check", lambda self: None)
    said = family("qwen2").tiny() | {"model_type": "qwen2"}
    with FakeTensorMode(), torch.inference_mode(), recording(CARDS[90]) as launches:
        loaded = random_weights(said, precision, torch.device("meta"))
        model = built(said, replace(loaded, w8a8=True), precision)
        runner = Runner.create(model, 16)
        for counts, matrices in (((40, 25), 2 if precision != "bf16" else 0), ((40, 24), 0)):
            launches.clear()
            runner.logits(runner.forward(_plan(counts, 0), lambda: None))
            assert sum(map(multiplies_8_bits, launches)) == matrices * model.layers


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


def _plan(counts: tuple[int, ...], start: int, drafted: bool = False) -> StepPlan:
    """Sequences with pages of their own, which compute so many tokens after ``start``: ``drafted``, all but one."""
    chunks = []
    for i, count in enumerate(counts):
        draft = (7,) * (count - 1) if drafted else ()
        table = Table("", [4 * i, 4 * i + 1, 4 * i + 2])
        chunks.append(
            Chunk(Sequence(i, "r", "chat", [7] * (start + count - len(draft)), table=table), start, count, draft)
        )
    return StepPlan(tuple(chunks))
