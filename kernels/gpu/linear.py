"""Linear layers whose weights are streamed: int4 in paired groups, MXFP4, int8 and fp8; the last two also for prompts
whose activations have 8 bits.

With few rows there are fewer tiles than multiprocessors, so several programs share the columns of a tile; the last one
that is through adds their parts in a fixed order (the same bits every time) and sets the tile's counter back. Programs
that follow one another share a tile of weights: a prompt has few blocks of rows, and reads every weight once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from famulus.kernels.gpu.launch import card, launch, power
from famulus.kernels.gpu.product import Stored, example, product, stored
from famulus.kernels.linear import linear
from famulus.kernels.op import Gpu
from famulus.kernels.pack import Weight
from famulus.kernels.store import Quantized
from famulus.kernels.tuned import Configuration, configured
from famulus.kernels.w8a8 import activations, linear_w8a8

STAGED = 90 << 10
"""Bytes of shared memory for steps in flight: what the smallest card has for one program."""


@triton.jit
def _linear(
    x, row_scales, w, scales, minimums, bias, y, partial, arrivals, M, N, K, x_stride, row_groups, w_stride,
    FORMAT: tl.constexpr, GROUP: tl.constexpr, OFFSET: tl.constexpr, E4M3: tl.constexpr, COMPUTE: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, STEP: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    tile, split = tl.program_id(1), tl.program_id(2)
    n = tile * BN + tl.arange(0, BN)
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    steps = (K + STEP - 1) // STEP
    share = (steps + SPLITS - 1) // SPLITS
    acc = product(
        x + m.to(tl.int64) * x_stride, m < M, w, scales, minimums, n, N, K, w_stride,
        split * share, tl.minimum((split + 1) * share, steps),
        FORMAT, GROUP, OFFSET, E4M3, COMPUTE, BM, BN, STEP,
        None if row_scales is None else row_scales + m * row_groups,
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

    def rule() -> Configuration:
        bm = min(64, max(16, power(rows)))
        tiles = triton.cdiv(w.rows, 64) * triton.cdiv(rows, bm)
        splits = 1
        while splits * tiles < 2 * card(x).processors and splits * 2 <= min(16, w.columns // form.step):
            splits *= 2
        stages = STAGED // (64 * form.step_bytes + bm * form.step * x.element_size())
        return Configuration(bm=bm, bn=64, splits=splits, warps=4, stages=max(2, min(4, stages)))

    shape = f"{form.name} {w.rows}x{w.columns} {power(rows)}"
    found = configured("linear", card(x).architecture, shape, rule)
    # Parts are kept for one block of rows; a weight that is not made for a GPU has no counters.
    return found if rows <= found.bm and w.arrivals is not None else replace(found, splits=1)


def _prompt_configuration(x: Tensor, w: Weight, form: Stored) -> Configuration:
    """The same with activations in 8 bits: as much as a multiprocessor holds of a prompt."""
    rows = x.shape[0]

    def rule() -> Configuration:
        return Configuration(bm=min(128, max(16, power(rows))), bn=128, splits=1, warps=8, stages=3)

    found = configured("linear_w8a8", card(x).architecture, f"{form.name} {w.rows}x{w.columns} {power(rows)}", rule)
    return replace(found, splits=1)


def _given(shape: str) -> tuple[Any, ...]:
    """Arguments of a shape as tables name it."""
    name, matrix, rows = shape.split()
    n, k = map(int, matrix.split("x"))
    return torch.empty(int(rows), k, dtype=torch.bfloat16, device="meta"), example(name, n, k)


def _shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Qwen3-30B-A3B's attention, Qwen2.5-Coder-7B's and DeepSeek-Coder-V2-Lite's MLP."""
    for shape in (
        "affine-32 5120x2048 1",
        "e2m1-32 5120x2048 1",
        "fp8 5120x2048 1",
        "int8 5120x2048 1",
        "affine-128 3584x18944 16",
        "int8 3584x18944 16",
        "fp8-blocks 10944x2048 64",
        "int8 10944x2048 64",
    ):
        yield shape, _given(shape)


@linear.implement(
    "triton",
    rule=lambda k: k[1] in ("pairs", "e2m1", "fp8") or (k[1] == "int8" and k[4]),
    why="weights are streamed in the form they are stored in",
    gpu=Gpu(_shapes, streams=True, table="linear", given=_given),
)
def _linear_16(x: Tensor, w: Weight) -> Tensor:
    x = x if x.stride(-1) == 1 else x.contiguous()
    form = stored(w, x)
    return _run(x, None, w, form, _configuration(x, w, form), x.dtype)


def _given_8(shape: str) -> tuple[Any, ...]:
    """Arguments of a shape as tables name it, with activations in 8 bits."""
    x, w = _given(shape)
    form = activations(w)
    assert form is not None, shape
    groups = w.columns // form[1]
    values = torch.empty(len(x), groups, form[1], dtype=form[0], device="meta")
    return Quantized(values, torch.empty(len(x), groups, device="meta")), w, torch.bfloat16


def _shapes_8() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Qwen2.5-Coder-7B's MLP; a matrix of DeepSeek-V3's."""
    for shape in ("int8 37888x3584 1024", "fp8 37888x3584 1024", "fp8-blocks 36864x7168 1024"):
        yield shape, _given_8(shape)


@linear_w8a8.implement(
    "triton",
    rule=lambda k: True,
    why="tensor cores multiply 8 bits by 8 bits; before sm_89, e4m3 as 16 bits",
    gpu=Gpu(_shapes_8, streams=True, table="linear_w8a8", given=_given_8),
)
def _linear_8(x: Quantized, w: Weight, dtype: torch.dtype) -> Tensor:
    values = x.values.flatten(1)
    form = stored(w, values)
    given = values.view(torch.uint8) if form.constants["E4M3"] else values
    return _run(given, x.scales, w, form, _prompt_configuration(values, w, form), dtype)


def _run(x: Tensor, row_scales: Tensor | None, w: Weight, form: Stored, c: Configuration, dtype: torch.dtype) -> Tensor:
    rows = x.shape[0]
    tiles = triton.cdiv(w.rows, c.bn)
    y = torch.empty((rows, w.rows), dtype=dtype, device=x.device)
    partial = None
    if c.splits > 1:
        partial = torch.empty((tiles, c.splits, c.bm, c.bn), dtype=torch.float32, device=x.device)
    launch(
        _linear,
        (triton.cdiv(rows, c.bm), tiles, c.splits),
        *(x, row_scales, form.values, form.scales, form.minimums, w.bias, y, partial, w.arrivals),
        *(rows, w.rows, w.columns, x.stride(0), 0 if row_scales is None else row_scales.shape[1], form.stride),
        **form.constants,
        BM=c.bm,
        BN=c.bn,
        STEP=form.step,
        SPLITS=c.splits,
        warps=c.warps,
        stages=c.stages,
    )
    return y
