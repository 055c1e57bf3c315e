"""Gated activations: ``silu(gate) * up`` (SwiGLU, Shazeer 2020), gate and up side by side in one tensor."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from famulus.kernels.op import Case, op


def _cases(g: torch.Generator) -> Iterator[Case]:
    for rows, n in ((1, 1536), (5, 96), (64, 256)):
        x = torch.randn(rows, 2 * n, generator=g) * 4
        yield Case(f"{rows}x{n}", (x,), 1e-6)
        yield Case(f"{rows}x{n}-bf16", (x.bfloat16(),), 2e-2)


@op(key=lambda x: x.device.type, cases=_cases, bytes_moved=lambda x: x.numel() * x.element_size() * 3 // 2)
def swiglu(x: Tensor) -> Tensor:
    """``x`` [tokens, 2n] = gate | up → [tokens, n] in the dtype of ``x``."""
    gate, up = x.float().chunk(2, -1)
    return (gate / (1 + torch.exp(-gate)) * up).to(x.dtype)


@swiglu.implement("torch", rule=lambda k: True, why="torch's own silu")
def _swiglu_torch(x: Tensor) -> Tensor:
    gate, up = x.chunk(2, -1)
    return F.silu(gate) * up
