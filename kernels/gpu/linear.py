"""Linear layers whose weights are streamed: int4 in paired groups, MXFP4 and fp8.

With few rows there are fewer tiles than multiprocessors, so several programs share the columns of a tile; the last one
that is through adds their parts in a fixed order (the same bits every time) and sets the tile's counter back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from famulus.kernels.gpu.launch import card, launch, power
from famulus.kernels.gpu.product import Stored, product, stored
from famulus.kernels.linear import linear, make_fp8, make_pairs
from famulus.kernels.op import Gpu
from famulus.kernels.pack import FP8_BLOCK, Weight
from famulus.kernels.tuned import Configuration, tuned

STAGED = 90 << 10
"""Bytes of shared memory for steps in flight: what the smallest card has for one program."""


@triton.jit
def _linear(
    x, w, scales, minimums, bias, y, partial, arrivals, M, N, K, x_stride, w_stride,
    FORMAT: tl.constexpr, GROUP: tl.constexpr, OFFSET: tl.constexpr, E4M3: tl.constexpr, COMPUTE: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, STEP: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    tile, split = tl.program_id(0), tl.program_id(1)
    n = tile * BN + tl.arange(0, BN)
    m = tl.program_id(2) * BM + tl.arange(0, BM)
    steps = (K + STEP - 1) // STEP
    share = (steps + SPLITS - 1) // SPLITS
    acc = product(
        x + m.to(tl.int64) * x_stride, m < M, w, scales, minimums, n, N, K, w_stride,
        split * share, tl.minimum((split + 1) * share, steps),
        FORMAT, GROUP, OFFSET, E4M3, COMPUTE, BM, BN, STEP,
    )  # fmt: skip
    inside = (m < M)[:, None] & (n < N)[None, :]
    place = y + m[:, None].to(tl.int64) * N + n[None, :]
    if SPLITS == 1:
        if bias is not None:
            acc += tl.load(bias + n, mask=n < N, other=0.0).to(tl.float32)[None, :]
        tl.store(place, acc.to(y.dtype.element_ty), mask=inside)
    else:
        at = tl.arange(0, BM)[:, None] * BN + tl.arange(0, BN)[None, :]
        part = partial + (tile * SPLITS).to(tl.int64) * (BN * BM)
        tl.store(part + split * (BN * BM) + at, acc)
        tl.debug_barrier()  # all threads have stored before the arrival is seen
        before = tl.atomic_add(arrivals + tile, 1)
        if before == SPLITS - 1:
            total = tl.zeros((BM, BN), tl.float32)
            for other in range(SPLITS):
                total += tl.load(part + other * (BN * BM) + at, cache_modifier=".cg")
            if bias is not None:
                total += tl.load(bias + n, mask=n < N, other=0.0).to(tl.float32)[None, :]
            tl.store(place, total.to(y.dtype.element_ty), mask=inside)
            tl.store(arrivals + tile, 0)


def _configuration(x: Tensor, w: Weight, form: Stored) -> Configuration:
    """From the table; else enough programs for two on each multiprocessor, and no more parts than there are steps."""
    rows = x.shape[0]
    found = tuned("linear", card(x).architecture, (w.format, w.rows, w.columns, power(rows)))
    if found is not None:
        return found
    bm = min(64, max(16, power(rows)))
    tiles = triton.cdiv(w.rows, 64) * triton.cdiv(rows, bm)
    splits = 1
    while rows <= bm and splits * tiles < 2 * card(x).processors and splits * 2 <= min(16, w.columns // form.step):
        splits *= 2
    stages = STAGED // (64 * form.step_bytes + bm * form.step * x.element_size())
    return Configuration(bm=bm, bn=64, splits=splits, warps=4, stages=max(2, min(4, stages)))


def _shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Qwen3-30B-A3B's attention, Qwen2.5-Coder-7B's and DeepSeek-Coder-V2-Lite's MLP."""
    for form, rows, n, k, group in (
        ("int4", 1, 5120, 2048, 32),
        ("mxfp4", 1, 5120, 2048, 32),
        ("fp8", 1, 5120, 2048, 0),
        ("int4", 16, 3584, 18944, 128),
        ("fp8-blocks", 64, 10944, 2048, 0),
    ):
        x = torch.empty(rows, k, dtype=torch.bfloat16, device="meta")
        values = torch.empty(n, k, dtype=torch.uint8, device="meta")
        if group:
            scales = torch.empty(n, k // group, dtype=torch.float16, device="meta")
            weight = make_pairs(values, scales, None if form == "mxfp4" else scales, group, e2m1=form == "mxfp4")
        else:
            sizes = (n,) if form == "fp8" else (-(-n // FP8_BLOCK), -(-k // FP8_BLOCK))
            weight = make_fp8(values.to(torch.float8_e4m3fn), torch.empty(*sizes, device="meta"))
        yield f"{form} {rows}x{n}x{k}", (x, weight)


@linear.implement(
    "triton",
    rule=lambda k: k[1] in ("pairs", "e2m1", "fp8"),
    why="weights are streamed in the form they are stored in",
    gpu=Gpu(_shapes, streams=True),
)
def _run(x: Tensor, w: Weight) -> Tensor:
    x = x if x.stride(-1) == 1 else x.contiguous()
    rows = x.shape[0]
    form = stored(w, x)
    c = _configuration(x, w, form)
    tiles = triton.cdiv(w.rows, c.bn)
    y = torch.empty((rows, w.rows), dtype=x.dtype, device=x.device)
    partial = None
    if c.splits > 1:
        partial = torch.empty((tiles, c.splits, c.bm, c.bn), dtype=torch.float32, device=x.device)
    launch(
        _linear,
        (tiles, c.splits, triton.cdiv(rows, c.bm)),
        *(x, form.values, form.scales, form.minimums, w.bias, y, partial, w.arrivals),
        *(rows, w.rows, w.columns, x.stride(0), form.stride),
        **form.constants,
        BM=c.bm,
        BN=c.bn,
        STEP=form.step,
        SPLITS=c.splits,
        warps=c.warps,
        stages=c.stages,
    )
    return y
