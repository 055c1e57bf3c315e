"""Gated activations: ``silu(gate) * up`` (SwiGLU, Shazeer 2020), gate and up side by side in one tensor; and gpt-oss's
variant, in which both are clamped, the sigmoid is steeper and ``up`` is taken plus one."""

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


def _clamped_cases(g: torch.Generator) -> Iterator[Case]:
    for case in _cases(g):
        yield Case(case.name, (*case.arguments, 1.702, 3.0), case.tolerance)


@op(
    key=lambda x, alpha, limit: x.device.type,
    cases=_clamped_cases,
    bytes_moved=lambda x, alpha, limit: x.numel() * x.element_size() * 3 // 2,
)
def clamped_swiglu(x: Tensor, alpha: float, limit: float) -> Tensor:
    """``x`` [tokens, 2n] = gate | up → ``g * sigmoid(alpha * g) * (u + 1)`` with ``g = min(gate, limit)`` and ``u`` =
    up within ``±limit``: [tokens, n] in the dtype of ``x``."""
    gate, up = x.float().chunk(2, -1)
    gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
    return (gate / (1 + torch.exp(-alpha * gate)) * (up + 1)).to(x.dtype)


@clamped_swiglu.implement("torch", rule=lambda k: True, why="torch's own sigmoid")
def _clamped_swiglu_torch(x: Tensor, alpha: float, limit: float) -> Tensor:
    gate, up = x.chunk(2, -1)
    gate = gate.clamp(max=limit)
    return gate * torch.sigmoid(gate * alpha) * (up.clamp(-limit, limit) + 1)
