"""Every implementation against its reference, on fresh random cases: what the tests and ``check`` run.

Triton kernels run on the GPU where there is one, and under Triton's interpreter with ``TRITON_INTERPRET=1``. The
interpreter computes wrongly in bf16, so there it gets the other cases.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from famulus.kernels.op import REGISTRY, Implementation, Op, interpreting, load_gpu
from famulus.kernels.store import Quantized

FAMILIES = (
    "linear",
    "w8a8",
    "norm",
    "rope",
    "activation",
    "router",
    "moe",
    "attention",
    "mla",
    "indexer",
    "sample",
    "block",
    "moe_block",
    "layers",
)
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
    """All operations by name, with their Triton implementations where something can run them."""
    for family in FAMILIES:
        importlib.import_module(f"famulus.kernels.{family}")
    if interpreting() or torch.cuda.is_available():
        load_gpu()
    return REGISTRY


def outcomes(op: Op[Any, Any], implementation: Implementation, seed: int) -> Iterator[Outcome]:
    """The cases that ``implementation`` is meant for, the reference's in f32 on the CPU's values."""
    on_card = implementation.gpu is not None and not interpreting()
    for case in op.cases(torch.Generator().manual_seed(seed)):
        given = placed(case.arguments, "cuda" if on_card else "cpu")
        if not implementation.rule(op.key(*given)):
            continue
        if implementation.gpu and not on_card and any(t.dtype == torch.bfloat16 for t in tensors(given)):
            continue
        want = op.reference(*placed(case.arguments, "cpu"))
        with _poisoned():
            got = implementation.run(*given)
        yield Outcome(op.name, implementation.name, case.name, _error(got, want), case.tolerance)


def tensors(value: Any) -> list[Tensor]:
    """All tensors in nested arguments."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, list | tuple):
        return [t for v in value for t in tensors(v)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [t for f in dataclasses.fields(value) for t in tensors(getattr(value, f.name))]
    return []


def placed(value: Any, device: str) -> Any:
    """Copies of nested arguments with all tensors on ``device``; operations may write into what they are given."""
    if isinstance(value, Tensor):
        if 0 in value.stride():
            return value.detach().clone().to(device)
        strides = value.stride()  # kept, gaps included: kernels must not take every tensor for a contiguous one
        return torch.empty_strided(value.shape, strides, dtype=value.dtype, device=device).copy_(value.detach())
    if isinstance(value, list | tuple):
        return type(value)(placed(v, device) for v in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in dataclasses.fields(value)]
        return dataclasses.replace(value, **{n: placed(getattr(value, n), device) for n in names})
    return value


class _poisoned:
    """Memory that a kernel forgets to write is NaN, or the largest integer, and not by chance what is right."""

    def __enter__(self) -> None:
        self.before = (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        )
        torch.use_deterministic_algorithms(True, warn_only=True)

    def __exit__(self, *_: object) -> None:
        torch.use_deterministic_algorithms(self.before[0], warn_only=self.before[1])


def _error(got: Any, want: Any) -> float:
    if isinstance(want, tuple):
        return max(_error(g, w) for g, w in zip(got, want, strict=True))
    if isinstance(want, Quantized):
        return _error(got.exact(), want.exact()) if got.values.dtype == want.values.dtype else float("inf")
    if got.shape != want.shape or got.dtype != want.dtype:
        return float("inf")
    scale = want.double().abs().max().clamp(min=1e-30)
    worst = (got.cpu().double() - want.double()).abs().max()
    return float(worst / scale) if bool(worst == worst) else float("inf")
