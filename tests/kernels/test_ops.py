"""Every case of every implementation against its reference: adding a kernel adds no test code here."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest
import torch

from famulus.kernels.check import outcomes, registry
from famulus.kernels.sample import noise

REGISTRY = registry()


def _pairs() -> list[tuple[str, str]]:
    return [(o.name, i.name) for o in REGISTRY.values() for i in o.implementations]


@pytest.mark.parametrize(("operation", "implementation"), _pairs())
def test_an_implementation_agrees_with_the_reference(operation: str, implementation: str) -> None:
    op = REGISTRY[operation]
    chosen = next(i for i in op.implementations if i.name == implementation)
    seed = torch.seed() % (1 << 31)
    found = list(outcomes(op, chosen, seed))
    assert found, "no case reaches it"
    assert not [o for o in found if not o.passed], f"seed {seed}"


def test_the_command_explains_and_checks() -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-P", "-m", "famulus.kernels", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert "torch-int4" in run("why", "linear")
    for text in (run("list"), run("why", "moe_block")):
        assert "not called (a layer calls rms_norm, route, moe one by one)" in text
    for op in REGISTRY.values():
        key = op.key(*next(op.cases(torch.Generator().manual_seed(0))).arguments)
        assert len(op.words) == (0 if isinstance(key, str) else len(key) - 1), f"{op.name} does not explain its key"
        assert set(op.made_of) <= REGISTRY.keys()
    assert ", 0 failed" in run("check", "--quick", "--seed", "1")


def test_forcing_the_reference_is_honoured_and_undone() -> None:
    op = REGISTRY["rms_norm"]
    key = op.key(*next(op.cases(torch.Generator().manual_seed(0))).arguments)
    usual = op.choose(key)[0].name
    op.force("reference")
    try:
        assert op.choose(key)[1] == "forced"
    finally:
        op.force(None)
    assert op.choose(key)[0].name == usual != "reference"
    with pytest.raises(ValueError, match="no implementation"):
        op.force("nonsense")


def test_a_row_does_not_depend_on_its_batch() -> None:
    """Quantised activations have a scale per row: somebody else's outlier must not change my tokens."""
    linear = importlib.import_module("famulus.kernels.linear")
    g = torch.Generator().manual_seed(1)
    weight = linear.make_weight(torch.randn(64, 96, generator=g), "int8", torch.bfloat16)
    rows = torch.randn(9, 96, generator=g).bfloat16()
    loud = torch.cat([rows, 1000 * torch.randn(3, 96, generator=g).bfloat16()])
    assert torch.equal(linear.linear(rows, weight), linear.linear(loud, weight)[:9])


WITHOUT_TRITON = """
import sys
sys.modules["triton"] = None  # as where there is none
from famulus.kernels.__main__ import main
sys.argv = ["kernels", "why", "swiglu"]
sys.exit(main())
"""


def test_no_triton_is_needed_to_import_the_kernels_and_to_be_told_what_is_chosen() -> None:
    ran = subprocess.run([sys.executable, "-P", "-c", WITHOUT_TRITON], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "swiglu on cpu" in ran.stdout and "swiglu on cuda" in ran.stdout and "triton" not in ran.stdout


SATURATING = """
import torch
from famulus.kernels.linear import int8_product
from famulus.kernels.pack import quantize_int8
for tokens, rows, columns in 10 * ((1, 48, 64), (70, 96, 576), (5, 33, 1536)):
    x, w = torch.rand(tokens, columns) + 1, torch.rand(rows, columns) + 1
    wanted = x.double() @ w.double().t()
    q, scales = quantize_int8(w, digits=2)
    error = (int8_product(x, q, scales, torch.float32) - wanted).abs().max() / wanted.max()
    assert error < 1e-4, (tokens, rows, columns, float(error))
"""


@pytest.mark.parametrize("instructions", ["ALL", "AVX512_CORE", "AVX2"])
def test_integer_products_are_exact_on_processors_that_add_pairs_in_16_bits(instructions: str) -> None:
    """Without VNNI, sums of two products of full digits saturate silently (large values of one sign show it)."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions}
    command = [sys.executable, "-P", "-c", SATURATING]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_noise_is_exponential_and_no_two_keys_share_it() -> None:
    ids, keys = torch.arange(50_000), [0, 1 << 32, 3 << 32 | 5, (1 << 64) - 1]
    rows = torch.stack([noise(key, ids) for key in keys]).double()
    for row in rows:
        below = torch.sort(1 - torch.exp(-row)).values  # evenly spread, where it is Exp(1)
        assert (below - (ids + 0.5) / len(ids)).abs().max() < 2 / len(ids) ** 0.5
    together = torch.corrcoef(torch.cat([rows[:, 1:], rows[:, :-1]]))
    assert (together - torch.eye(len(together))).abs().max() < 5 / len(ids) ** 0.5
    assert noise(7, torch.tensor([3])) == noise(7, torch.tensor([9, 3]))[1]
