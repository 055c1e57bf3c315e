"""RMSNorm, with the addition to the residual stream before it and the rounding to 8 bits behind it: one program a row,
which stays in registers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from famulus.kernels.gpu.eight_bits import rounded
from famulus.kernels.gpu.launch import launch, power
from famulus.kernels.norm import add_rms_norm, quantized_rms_norm, rms_norm
from famulus.kernels.op import Gpu
from famulus.kernels.store import Quantized


@triton.jit
def _norm(
    h, delta, w, out, scales, eps, n, groups, h_stride,
    ADD: tl.constexpr, E4M3: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < n
    x = tl.load(h + row * h_stride + at, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        x += tl.load(delta + row * n + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(h + row * h_stride + at, x, mask=inside)
    scale = 1.0 / tl.sqrt_rn(tl.sum(x * x) / n + eps)
    y = x * scale * tl.load(w + at, mask=inside, other=0.0).to(tl.float32)
    if scales is None:
        tl.store(out + row * n + at, y.to(out.dtype.element_ty), mask=inside)
    else:
        largest: tl.constexpr = 448.0 if E4M3 else 127.0
        together = tl.reshape(y, (BLOCK // WIDTH, WIDTH))
        group = tl.arange(0, BLOCK // WIDTH)
        steps = tl.maximum(tl.max(tl.abs(together), 1) / largest, 1e-30)
        tl.store(scales + row * groups + group, steps, mask=group < groups)
        small = rounded(together / steps[:, None], E4M3)
        tl.store(out + row * n + at, tl.reshape(small, (BLOCK,)), mask=inside)


def _run(h: Tensor, delta: Tensor | None, w: Tensor, eps: float, out: Tensor, scales: Tensor | None = None) -> None:
    rows, n = h.shape
    block = power(n)
    groups = 1 if scales is None else scales.shape[1]
    e4m3 = out.dtype == torch.float8_e4m3fn
    launch(
        _norm,
        (rows,),
        *(h, delta if delta is None else delta.contiguous(), w, out.view(torch.uint8) if e4m3 else out, scales),
        *(eps, n, groups, h.stride(0)),
        ADD=delta is not None,
        E4M3=e4m3,
        WIDTH=block if groups == 1 else n // groups,
        BLOCK=block,
        warps=min(16, max(4, block // 512)),
    )


def _shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    x, w = torch.empty(1, 2048, device="meta"), torch.empty(2048, device="meta")
    yield "1x2048", (x, w, 1e-6, torch.bfloat16)


def _added_shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    for name, (x, *rest) in _shapes():
        yield name, (x, x.bfloat16(), *rest)


def _quantized_shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Qwen2.5-Coder-7B's and DeepSeek-V3's rows."""
    for n, dtype, width in (
        (3584, torch.int8, 3584),
        (3584, torch.float8_e4m3fn, 3584),
        (7168, torch.float8_e4m3fn, 128),
    ):
        x, w = torch.empty(1024, n, device="meta"), torch.empty(n, device="meta")
        yield f"1024x{n}/{width}-{dtype}", (x, None, w, 1e-6, dtype, width)
        yield f"1024x{n}/{width}-{dtype}-added", (x, x.bfloat16(), w, 1e-6, dtype, width)


@rms_norm.implement("triton", rule=lambda k: True, why="one launch", gpu=Gpu(_shapes))
def _rms_norm(x: Tensor, w: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    out = torch.empty(x.shape, dtype=dtype, device=x.device)
    _run(x, None, w, eps, out)
    return out


@add_rms_norm.implement("triton", rule=lambda k: True, why="addition and norm in one launch", gpu=Gpu(_added_shapes))
def _add_rms_norm(h: Tensor, delta: Tensor, w: Tensor, eps: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    out = torch.empty(h.shape, dtype=dtype, device=h.device)
    _run(h, delta, w, eps, out)
    return h, out


@quantized_rms_norm.implement(
    "triton", rule=lambda k: True, why="addition, norm and rounding in one launch", gpu=Gpu(_quantized_shapes)
)
def _quantized_rms_norm(
    h: Tensor, delta: Tensor | None, w: Tensor, eps: float, dtype: torch.dtype, width: int
) -> tuple[Tensor, Quantized]:
    rows, groups = h.shape[0], h.shape[1] // width
    values = torch.empty((rows, groups, width), dtype=dtype, device=h.device)
    out = Quantized(values, torch.empty((rows, groups), device=h.device))
    _run(h, delta, w, eps, out.values, out.scales)
    return h, out
