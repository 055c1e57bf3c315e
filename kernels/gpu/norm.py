"""RMSNorm, with the addition to the residual stream before it: one program a row, which stays in registers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from famulus.kernels.gpu.launch import launch, power
from famulus.kernels.norm import add_rms_norm, rms_norm
from famulus.kernels.op import Gpu


@triton.jit
def _norm(h, delta, w, out, eps, n, h_stride, ADD: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < n
    x = tl.load(h + row * h_stride + at, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        x += tl.load(delta + row * n + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(h + row * h_stride + at, x, mask=inside)
    scale = 1.0 / tl.sqrt_rn(tl.sum(x * x) / n + eps)
    y = x * scale * tl.load(w + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * n + at, y.to(out.dtype.element_ty), mask=inside)


def _run(h: Tensor, delta: Tensor | None, w: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    rows, n = h.shape
    out = torch.empty((rows, n), dtype=dtype, device=h.device)
    block = power(n)
    launch(
        _norm,
        (rows,),
        *(h, delta if delta is None else delta.contiguous(), w, out, eps, n, h.stride(0)),
        ADD=delta is not None,
        BLOCK=block,
        warps=min(16, max(4, block // 512)),
    )
    return out


def _shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    x, w = torch.empty(1, 2048, device="meta"), torch.empty(2048, device="meta")
    yield "1x2048", (x, w, 1e-6, torch.bfloat16)


def _added_shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    for name, (x, *rest) in _shapes():
        yield name, (x, x.bfloat16(), *rest)


@rms_norm.implement("triton", rule=lambda k: True, why="one launch", gpu=Gpu(_shapes))
def _rms_norm(x: Tensor, w: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    return _run(x, None, w, eps, dtype)


@add_rms_norm.implement("triton", rule=lambda k: True, why="addition and norm in one launch", gpu=Gpu(_added_shapes))
def _add_rms_norm(h: Tensor, delta: Tensor, w: Tensor, eps: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return h, _run(h, delta, w, eps, dtype)
