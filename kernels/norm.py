"""Root mean square normalisation: ``y = x / sqrt(mean(x²) + eps) * w`` (Zhang & Sennrich 2019).

Bytes: the row is read and written once; at decode the launch counts, not the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from famulus.kernels.op import Case, op


def _cases(g: torch.Generator) -> Iterator[Case]:
    for rows in (1, 7, 64):
        for n in (64, 576, 2048):
            x = torch.randn(rows, n, generator=g) * 3
            yield Case(f"{rows}x{n}", (x, torch.randn(n, generator=g), 1e-5, torch.float32), 1e-6)
            yield Case(f"{rows}x{n}-bf16", (x, torch.randn(n, generator=g), 1e-5, torch.bfloat16), 1e-2)


@op(
    key=lambda x, w, eps, dtype: x.device.type,
    cases=_cases,
    bytes_moved=lambda x, w, eps, dtype: x.numel() * (x.element_size() + dtype.itemsize) + w.numel() * w.element_size(),
)
def rms_norm(x: Tensor, w: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """``x`` [tokens, n] f32 residual stream, ``w`` [n] f32 → [tokens, n] in ``dtype``; statistics in f32."""
    x = x.float()
    return (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * w.float()).to(dtype)


@rms_norm.implement("torch", rule=lambda k: True, why="torch's own op: one call from Python")
def _rms_norm_torch(x: Tensor, w: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), w, eps).to(dtype)
