"""The benchmarks for a GPU run from a plain checkout, with nothing installed but torch and what comes with it."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from famulus.bench import decode, kernels
from famulus.bench.decode_peer import peer_model
from famulus.bench.random_model import built, random_weights
from famulus.bench.tune import better
from famulus.kernels.tuned import Configuration
from tests.engine import tiny_models as tiny

PLAIN = """
import sys
for name in "pydantic pydantic_settings msgspec typer rich starlette uvicorn websockets pluggy".split():
    sys.modules[name] = None
from famulus.bench import decode, kernels
tiny = ["--device", "cpu", "--tiny", "--out", sys.argv[1]]
kernels.main([*tiny, "--only", "linear bf16 1x"])
decode.main([*tiny, "--models", "qwen3-30b-a3b", "--precisions", "bf16", "int4", "--resident", "0", "4",
             "--batches", "2", "--contexts", "20", "--steps", "1"])
"""


def test_kernels_and_decoding_are_measured_from_a_plain_checkout(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", PLAIN, str(tmp_path)]
    ran = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    rows = json.loads((tmp_path / "decode.json").read_text())
    shown = ["bf16", "bf16, 4 experts on the card", "int4", "int4, 4 experts on the card"]
    assert [(r["precision"], r["batch"], r["context"]) for r in rows] == [(name, "2", "20") for name in shown]
    assert all(float(r["tokens/s"]) > 0 for r in rows)
    assert len(json.loads((tmp_path / "kernels.json").read_text())) == 2
    assert "| linear bf16 1x" in (tmp_path / "kernels.md").read_text()


@pytest.mark.parametrize("kind", ["qwen3_moe", "deepseek_v2", "qwen2"])
def test_transformers_is_measured_on_the_same_tensors(kind: str) -> None:
    """The same logits, and what is large is not copied: both models fit where one does."""
    config, cpu = decode.tiny_config(kind), torch.device("cpu")
    loaded = random_weights(config, "fp32", cpu)
    theirs = peer_model(config, loaded, cpu, torch.float32)
    tokens = tiny.prompt(20)
    ours = built(config, loaded, "fp32")
    assert tiny.error(tiny.logits(ours, tokens), tiny.reference(theirs, tokens)) < 1e-4
    shared = {t.untyped_storage().data_ptr() for t in theirs.parameters()}
    stacks = [e.stacked.dense for e in loaded.experts.values()] or [w.dense for w in loaded.weights.values()]
    assert all(t is not None and t.untyped_storage().data_ptr() in shared for t in stacks)


def test_the_peer_s_column_has_figures(tmp_path: Path) -> None:
    tiny_sizes = ["--device", "cpu", "--tiny", "--batches", "1", "--contexts", "20", "--steps", "1"]
    chosen = ["--models", "deepseek-coder-v2-lite", "--precisions", "bf16", "--peer", "transformers"]
    decode.main([*tiny_sizes, *chosen, "--out", str(tmp_path)])
    [row] = json.loads((tmp_path / "decode.json").read_text())
    assert float(row["transformers, tokens/s"]) > 0


def test_tile_sizes_are_sought_step_by_step() -> None:
    """A made-up time, the logarithm's distance from an optimum; wide tiles do not fit."""
    optimum, start = Configuration(16, 32, 8, 2, 5), Configuration(16, 64, 1, 4, 3)

    def time(c: Configuration) -> float:
        if c.bn > 64:
            return math.inf
        powers = [abs(math.log2(getattr(c, n) / getattr(optimum, n))) for n in ("bm", "bn", "splits", "warps")]
        return 1 + sum(powers) + abs(c.stages - optimum.stages)

    best, took, times = better(start, time)
    assert (best, took) == (optimum, 1)
    assert {c.bm for c in times} == {16}, "one token is one block of rows"
    assert len(times) < 60, "few are compiled"


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_tuning_runs_without_a_card_and_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--device", "cpu", "--tiny", "--tune"]
    with pytest.raises(SystemExit):
        kernels.main(asked)
    assert "--tune needs a GPU" in capsys.readouterr().err
    asked += ["--only", "linear int8 1x192x", "--below", "inf", "--into", str(tmp_path)]
    command = [sys.executable, "-P", "-m", "famulus.bench.kernels", *asked]
    interpreted = {**os.environ, "OMP_NUM_THREADS": "1", "TRITON_INTERPRET": "1"}
    subprocess.run(command, env=interpreted, capture_output=True, text=True, check=True)
    # Which tiles are fastest in the interpreter is chance; that fewer programs are faster is not.
    [(shape, found)] = json.loads((tmp_path / "linear.json").read_text())["sm_0"].items()
    assert shape == "int8 192x1152 1"
    assert set(found) == {"device", "bm", "bn", "splits", "warps", "stages"}
    assert "interpreter" in found["device"]
