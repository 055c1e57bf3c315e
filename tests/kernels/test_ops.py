"""Every case of every implementation against its reference: adding a kernel adds no test code here."""

from __future__ import annotations

import importlib

import pytest
import torch

from famulus.kernels.op import REGISTRY

for _family in ("linear", "norm", "rope", "activation", "attention", "sample"):
    importlib.import_module(f"famulus.kernels.{_family}")


def _pairs() -> list[tuple[str, str]]:
    return [(o.name, i.name) for o in REGISTRY.values() for i in o.implementations]


@pytest.mark.parametrize(("operation", "implementation"), _pairs())
def test_an_implementation_agrees_with_the_reference(operation: str, implementation: str) -> None:
    op = REGISTRY[operation]
    chosen = next(i for i in op.implementations if i.name == implementation)
    seed = torch.seed() % (1 << 31)
    checked = 0
    for case in op.cases(torch.Generator().manual_seed(seed)):
        if not chosen.rule(op.key(*case.arguments)):
            continue
        got, want = chosen.run(*case.arguments), op.reference(*case.arguments)
        assert got.shape == want.shape
        assert got.dtype == want.dtype
        error = (got.double() - want.double()).abs().max() / want.double().abs().max().clamp(min=1e-30)
        assert error <= case.tolerance, (
            f"{operation}/{implementation} {case.name} seed {seed}: relative error {error:.2e}"
        )
        checked += 1
    assert checked, f"no case reaches {operation}/{implementation}"


def test_forcing_the_reference_is_honoured_and_undone() -> None:
    op = REGISTRY["rms_norm"]
    case = next(op.cases(torch.Generator().manual_seed(0)))
    op.force("reference")
    try:
        assert op.choose(op.key(*case.arguments))[1] == "forced"
    finally:
        op.force(None)
    assert op.choose(op.key(*case.arguments))[0].name == "torch"
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
