"""What stands before and behind the layers of a step, by the compiled library; see :mod:`famulus.kernels.rope`,
:mod:`famulus.kernels.norm` and :mod:`famulus.kernels.sample` for its meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from famulus.kernels.cpu.library import library, ready

if TYPE_CHECKING:
    from famulus.kernels.sample import Choice

__all__ = ["largest", "norm", "ready", "turns"]


def turns(positions: Tensor, inverse: Tensor, amplitude: float) -> tuple[Tensor, Tensor]:
    """See :func:`famulus.kernels.rope.tables`."""
    found = library()
    assert found is not None
    positions, inverse = positions.contiguous(), inverse.contiguous()
    tokens, half = len(positions), len(inverse)
    cos, sin = torch.empty(tokens, 1, 2 * half), torch.empty(tokens, 1, 2 * half)
    places = positions.data_ptr(), tokens, inverse.data_ptr(), half
    found.famulus_turns(*places, amplitude, cos.data_ptr(), sin.data_ptr())
    return cos, sin


def norm(x: Tensor, w: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """See :func:`famulus.kernels.norm.rms_norm`."""
    found = library()
    assert found is not None
    x, w = x.float().contiguous(), w.float().contiguous()
    y = torch.empty(x.shape)
    columns = x.shape[-1]
    found.famulus_norm(x.data_ptr(), w.data_ptr(), x.numel() // columns, columns, eps, y.data_ptr())
    return y.to(dtype)


def largest(logits: Tensor, choices: list[Choice]) -> Tensor:
    """See :func:`famulus.kernels.sample.sample`; all ``choices`` are greedy."""
    found = library()
    assert found is not None
    logits = logits.float().contiguous()
    places = torch.empty(len(logits), dtype=torch.int64)
    found.famulus_largest(logits.data_ptr(), *logits.shape, places.data_ptr())
    return places
