"""Every implementation against its reference, on fresh random cases: what the tests and ``check`` run."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from famulus.kernels.op import REGISTRY, Implementation, Op

FAMILIES = ("linear", "norm", "rope", "activation", "attention", "sample")
"""The modules of this package that declare operations."""


@dataclass(frozen=True)
class Outcome:
    """One case of one implementation. ``error``: the largest difference relative to the reference's largest value."""

    operation: str
    implementation: str
    case: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Within the tolerance; a NaN is not."""
        return self.error <= self.tolerance


def registry() -> dict[str, Op[Any, Any]]:
    """All operations by name; nothing is declared before this is asked for."""
    for family in FAMILIES:
        importlib.import_module(f"famulus.kernels.{family}")
    return REGISTRY


def outcomes(op: Op[Any, Any], implementation: Implementation, seed: int) -> Iterator[Outcome]:
    """The cases that ``implementation`` is meant for."""
    for case in op.cases(torch.Generator().manual_seed(seed)):
        if implementation.rule(op.key(*case.arguments)):
            got, want = implementation.run(*case.arguments), op.reference(*case.arguments)
            error = _error(got, want)
            yield Outcome(op.name, implementation.name, case.name, error, case.tolerance)


def _error(got: torch.Tensor, want: torch.Tensor) -> float:
    if got.shape != want.shape or got.dtype != want.dtype:
        return float("inf")
    scale = want.double().abs().max().clamp(min=1e-30)
    return float((got.double() - want.double()).abs().max() / scale)
