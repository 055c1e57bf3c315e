"""Tile sizes that were measured on a card: taken there and nowhere else, and compiled before anybody runs them."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path

import pytest

from famulus.kernels import tuned
from famulus.kernels.__main__ import main
from famulus.kernels.check import registry
from famulus.kernels.op import load_gpu

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed; it exists for Linux on x86-64 only", allow_module_level=True)


@pytest.mark.parametrize(
    ("table", "shape"),
    [
        ("linear", "affine-64 4096x2048 4"),
        ("moe", "down int8 2048x768 8/128 4"),
        ("attention", "int8 8/4x128+0 2x1/8192"),
        ("mla", "bf16 16/1x64+32 1x1/8192"),
    ],
)
def test_what_was_tuned_for_a_card_is_launched_and_compiled_for_it(
    table: str, shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    aot = importlib.import_module("famulus.kernels.gpu.aot")
    assert load_gpu()
    monkeypatch.setattr(tuned, "FOLDER", tmp_path / "tuned")
    tuned.write(tuned.FOLDER, table, 90, shape, tuned.Configuration(16, 128, 2, 8, 5), "a card")
    [chosen] = [i for o in registry().values() for i in o.implementations if i.gpu and i.gpu.table == table]
    found = {a: [x for x in aot.launches(chosen, a) if (x.warps, x.stages) == (8, 5)] for a in (80, 90)}
    assert found[80] == [], "it was measured on another card"
    [launch] = found[90]
    assert (launch.constants["BN"], launch.constants["SPLITS"]) == (128, 2)
    assert aot.compiled(launch, 90).shared <= aot.SHARED[90]
    monkeypatch.setattr(sys, "argv", ["kernels", "why", table, shape])
    assert main() == 0
    other, this = re.findall(r"on sm_(?:80|90): triton .*\n((?:  .*\n)+)", capsys.readouterr().out)
    assert f"{shape}: by rule" in other and "stages 5" not in other
    assert f"{shape}: measured" in this and "BN 128, SPLITS 2, warps 8, stages 5" in this


@pytest.mark.parametrize(
    ("operation", "shape", "says"),
    [
        ("linear", "fp8 5120x", "linear has no shape 'fp8 5120x'; one is 'affine-32 5120x2048 1'."),
        ("linear", "fp8 5120x2048 0", "linear has no shape"),
        ("linear_w8a8", "affine-32 5120x2048 1024", "one is 'int8 37888x3584 1024'."),
        ("moe", "side int8 768x2048 8/128 4", "moe has no shape"),
        ("attention", "int3 8/4x128+0 1x1/8192", "attention has no shape"),
        ("rms_norm", "1x2048", "these have: attention, linear, linear_w8a8, mla, moe."),
        ("nothing", "1x2048", "'nothing' has no tiles"),
    ],
)
def test_a_shape_that_no_kernel_has_is_told(
    operation: str, shape: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kernels", "why", operation, shape])
    assert main() == 2
    assert says in capsys.readouterr().err


def test_a_trial_is_taken_and_told_and_then_forgotten() -> None:
    rule = tuned.Configuration(16, 64, 1, 4, 3)
    other = tuned.Configuration(16, 32, 2, 4, 3)

    def asked() -> tuned.Configuration:
        return tuned.configured("linear", 0, "a shape", lambda: rule)

    with tuned.trying({("linear", "a shape"): other}) as trial:
        assert asked() == other
    assert trial.asked == {("linear", "a shape"): other}
    assert asked() == rule
