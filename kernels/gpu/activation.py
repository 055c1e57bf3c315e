"""Gated activations, element by element."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from famulus.kernels.activation import swiglu
from famulus.kernels.gpu.launch import launch, power
from famulus.kernels.op import Gpu


@triton.jit
def _swiglu(x, out, n, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    gate = tl.load(x + row * 2 * n + at, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(x + row * 2 * n + n + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * n + at, (gate * tl.sigmoid(gate) * up).to(out.dtype.element_ty), mask=inside)


def _shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    for rows, n in ((1, 18944), (64, 10944)):
        yield f"{rows}x{n}", (torch.empty(rows, 2 * n, dtype=torch.bfloat16, device="meta"),)


@swiglu.implement("triton", rule=lambda k: True, why="one launch", gpu=Gpu(_shapes))
def _run(x: Tensor) -> Tensor:
    rows, n = x.shape[0], x.shape[1] // 2
    out = torch.empty((rows, n), dtype=x.dtype, device=x.device)
    block = min(1024, power(n))
    launch(_swiglu, (rows, triton.cdiv(n, block)), x.contiguous(), out, n, BLOCK=block)
    return out
