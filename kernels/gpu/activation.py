"""Gated activations, element by element."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from famulus.kernels.activation import clamped_swiglu, swiglu
from famulus.kernels.gpu.launch import launch, power
from famulus.kernels.op import Gpu


@triton.jit
def _swiglu(x, out, n, alpha, limit, CLAMP: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    gate = tl.load(x + row * 2 * n + at, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(x + row * 2 * n + n + at, mask=inside, other=0.0).to(tl.float32)
    if CLAMP:
        gate = tl.minimum(gate, limit)
        both = gate * tl.sigmoid(alpha * gate) * (tl.minimum(tl.maximum(up, -limit), limit) + 1.0)
    else:
        both = gate * tl.sigmoid(gate) * up
    tl.store(out + row * n + at, both.to(out.dtype.element_ty), mask=inside)


def _shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    yield "1x18944", (torch.empty(1, 2 * 18944, dtype=torch.bfloat16, device="meta"),)


def _clamped_shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    for name, (x,) in _shapes():
        yield name, (x, 1.702, 7.0)


@swiglu.implement("triton", rule=lambda k: True, why="one launch", gpu=Gpu(_shapes))
def _plain(x: Tensor) -> Tensor:
    return _run(x, 0.0, 0.0, clamp=False)


@clamped_swiglu.implement("triton", rule=lambda k: True, why="one launch", gpu=Gpu(_clamped_shapes))
def _clamped(x: Tensor, alpha: float, limit: float) -> Tensor:
    return _run(x, alpha, limit, clamp=True)


def _run(x: Tensor, alpha: float, limit: float, *, clamp: bool) -> Tensor:
    rows, n = x.shape[0], x.shape[1] // 2
    out = torch.empty((rows, n), dtype=x.dtype, device=x.device)
    block = min(1024, power(n))
    launch(_swiglu, (rows, triton.cdiv(n, block)), x.contiguous(), out, n, alpha, limit, CLAMP=clamp, BLOCK=block)
    return out
