"""What 8 and 4 bits cost the embedded model on real code, on a processor and in the forms of a GPU: docs/models.md."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest
import torch

from famulus.engine.catalog import EMBEDDED, Catalog, installed_root
from famulus.engine.checkpoint import Checkpoint, open_checkpoint
from famulus.engine.loader import load
from famulus.engine.text import Tokenizer
from tests.engine import tiny_models as tiny

CONTEXT, WINDOW = 40, 220
"""Tokens of a file; those behind the context are judged."""


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    catalog = Catalog([installed_root(Path(sys.prefix))])
    folder = catalog.path(catalog.find(EMBEDDED))
    if folder is None:
        pytest.skip("the embedded model is not installed (make does it)")
    return open_checkpoint(folder)


@pytest.fixture(scope="module")
def window(checkpoint: Checkpoint) -> list[int]:
    text = (Path(sysconfig.get_paths()["stdlib"]) / "heapq.py").read_text(encoding="utf-8")
    return Tokenizer.of(checkpoint).encode(text[:4000])[: WINDOW + 1]


def perplexity(
    checkpoint: Checkpoint, window: list[int], precision: str, device: str, kept: Path, w8a8: bool = False
) -> float:
    with torch.inference_mode():
        model = load(checkpoint, precision, kept, lambda _: None, device, w8a8=w8a8)
        scores = tiny.logits(model, window[:-1]).log_softmax(-1)
    return float((-scores[range(WINDOW), window[1:]][CONTEXT:]).mean().exp())


@pytest.fixture(scope="module")
def exact(checkpoint: Checkpoint, window: list[int], tmp_path_factory: pytest.TempPathFactory) -> float:
    return perplexity(checkpoint, window, "fp32", "cpu", tmp_path_factory.mktemp("exact"))


@pytest.mark.parametrize(
    ("precision", "device", "bound"),
    [
        ("bf16", "cpu", 1.01),
        ("int8", "cpu", 1.01),
        ("int4", "cpu", 1.02),
        ("fp8", "cpu:0", 1.05),  # named so, the processor takes the forms of a GPU, and computes with their references
        ("int8", "cpu:0", 1.01),
        ("int4", "cpu:0", 1.02),
    ],
)
def test_small_precisions_stay_within_their_bounds(
    checkpoint: Checkpoint,
    window: list[int],
    exact: float,
    tmp_path: Path,
    precision: str,
    device: str,
    bound: float,
) -> None:
    found = perplexity(checkpoint, window, precision, device, tmp_path)
    print(f"{precision} on {device}: {found:.3f}, exact {exact:.3f}, {found / exact:.4f}")
    assert 1 / bound < found / exact < bound


@pytest.mark.parametrize(("precision", "bound"), [("fp8", 1.05), ("int8", 1.03)])
def test_prompts_in_8_bits_stay_within_their_bounds(
    checkpoint: Checkpoint, window: list[int], exact: float, tmp_path: Path, precision: str, bound: float
) -> None:
    """All tokens of the window are one prompt, so that the activations of all are rounded."""
    whole, found = (perplexity(checkpoint, window, precision, "cpu:0", tmp_path, w8a8) for w8a8 in (False, True))
    print(f"{precision} with activations in 8 bits: {found:.3f}, in 16 {whole:.3f}, exact {exact:.3f}")
    assert found != whole
    assert 1 / bound < found / exact < bound
