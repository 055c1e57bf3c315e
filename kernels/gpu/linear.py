"""Linear layers whose weights are streamed: int4 in paired groups, MXFP4, int8 and fp8.

A block of weights is loaded once, in pieces of 16 bytes, and becomes the right operand of one or two products.
Integers become floats without a conversion: a nibble is put into the mantissa of 128 (bf16) or 1024 (fp16), and that
offset is taken out again with the sum of the group's ``x``. With few rows there are fewer tiles than multiprocessors,
so several programs share the columns of a tile; the last one that is through adds their parts in a fixed order (the
same bits every time) and sets the tile's counter back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from famulus.kernels.gpu.launch import COMPUTE, card, launch, power
from famulus.kernels.linear import linear, make_fp8, make_pairs
from famulus.kernels.op import Gpu
from famulus.kernels.pack import FP8_BLOCK, Weight
from famulus.kernels.tuned import Configuration, tuned

AFFINE, SYMMETRIC, E2M1 = 0, 1, 2

STAGED = 90 << 10
"""Bytes of shared memory for steps in flight: what the smallest card has for one program."""


@triton.jit
def _nibble(bits, KIND: tl.constexpr, COMPUTE: tl.constexpr):
    """Nibbles as floats: ``q + offset`` for integers, the value itself for MXFP4."""
    if KIND == 2:
        sign = 1.0 - 2.0 * (bits >> 3).to(tl.float32)
        exponent = (bits >> 1) & 3
        mantissa = (bits & 1).to(tl.float32)
        power = (1 << exponent.to(tl.int32)).to(tl.float32) * 0.5
        return (sign * tl.where(exponent == 0, 0.5 * mantissa, power * (1.0 + 0.5 * mantissa))).to(COMPUTE)
    elif COMPUTE == tl.bfloat16:  # noqa: SIM300
        return (bits.to(tl.uint16) | 0x4300).to(tl.bfloat16, bitcast=True)
    elif COMPUTE == tl.float16:  # noqa: SIM300
        return (bits.to(tl.uint16) | 0x6400).to(tl.float16, bitcast=True)
    else:
        return bits.to(COMPUTE)


@triton.jit
def _byte(weights, E4M3: tl.constexpr, COMPUTE: tl.constexpr):
    """Bytes as floats. Cards before sm_89 cannot convert e4m3: there its bits, given as integers, become those of a
    float with a wider exponent, which is 2^120 (bf16) or 2^8 (fp16) too small."""
    if E4M3:
        wide = weights.to(tl.uint16)
        if COMPUTE == tl.bfloat16:  # noqa: SIM300
            bits = ((wide & 0x80) << 8) | ((wide & 0x7F) << 4)
            floats = bits.to(tl.bfloat16, bitcast=True) * 1.329227995784916e36
        else:
            bits = ((wide & 0x80) << 8) | ((wide & 0x7F) << 7)
            floats = bits.to(tl.float16, bitcast=True).to(tl.float32) * 256.0
    else:
        floats = weights
    return floats.to(COMPUTE)


@triton.jit
def _finish(
    acc, bias, y, partial, arrivals, tile, split, n, m, N, M, SPLITS: tl.constexpr, BN: tl.constexpr, BM: tl.constexpr
):
    """Add the parts of a tile if this program is its last one, then the bias, and store the rows of ``y``."""
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


@triton.jit
def _pairs(
    x, w, scales, minimums, bias, y, partial, arrivals, M, N, K, x_stride, w_stride,
    KIND: tl.constexpr, GROUP: tl.constexpr, OFFSET: tl.constexpr, COMPUTE: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    tile, split = tl.program_id(0), tl.program_id(1)
    n = tile * BN + tl.arange(0, BN)
    m = tl.program_id(2) * BM + tl.arange(0, BM)
    k = tl.arange(0, GROUP)
    blocks = K // (2 * GROUP)
    share = (blocks + SPLITS - 1) // SPLITS
    column = w + n[None, :].to(tl.int64) * w_stride + k[:, None]
    row = x + m[:, None].to(tl.int64) * x_stride + k[None, :]
    here = (n < N)[None, :]
    there = (m < M)[:, None]
    acc = tl.zeros((BM, BN), tl.float32)
    for block in range(split * share, tl.minimum((split + 1) * share, blocks)):
        bits = tl.load(column + block * GROUP, mask=here, other=0)
        for side in tl.static_range(2):
            nibbles = _nibble((bits >> 4) if side else (bits & 15), KIND, COMPUTE)
            inputs = tl.load(row + (2 * block + side) * GROUP, mask=there, other=0.0)
            at = (2 * block + side) * N + n
            scale = tl.load(scales + at, mask=n < N, other=0.0).to(tl.float32)
            product = tl.dot(inputs.to(COMPUTE), nibbles, input_precision="ieee")
            acc += product * scale[None, :]
            if KIND != 2:
                shift = -OFFSET * scale
                if KIND == 0:
                    shift += tl.load(minimums + at, mask=n < N, other=0.0).to(tl.float32)
                else:
                    shift -= 8.0 * scale
                acc += tl.sum(inputs.to(tl.float32), 1)[:, None] * shift[None, :]
    _finish(acc, bias, y, partial, arrivals, tile, split, n, m, N, M, SPLITS, BN, BM)


@triton.jit
def _bytes(
    x, w, scales, bias, y, partial, arrivals, M, N, K, x_stride, w_stride,
    BLOCKS: tl.constexpr, E4M3: tl.constexpr, COMPUTE: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    tile, split = tl.program_id(0), tl.program_id(1)
    n = tile * BN + tl.arange(0, BN)
    m = tl.program_id(2) * BM + tl.arange(0, BM)
    k = tl.arange(0, BK)
    blocks = (K + BK - 1) // BK
    share = (blocks + SPLITS - 1) // SPLITS
    column = w + n[None, :].to(tl.int64) * w_stride + k[:, None]
    row = x + m[:, None].to(tl.int64) * x_stride + k[None, :]
    acc = tl.zeros((BM, BN), tl.float32)
    for block in range(split * share, tl.minimum((split + 1) * share, blocks)):
        left = k < K - block * BK
        weights = tl.load(column + block * BK, mask=(n < N)[None, :] & left[:, None], other=0 if E4M3 else 0.0)
        inputs = tl.load(row + block * BK, mask=(m < M)[:, None] & left[None, :], other=0.0)
        product = tl.dot(inputs.to(COMPUTE), _byte(weights, E4M3, COMPUTE), input_precision="ieee")
        if BLOCKS:
            scale = tl.load(scales + (n // 128) * ((K + 127) // 128) + block * BK // 128, mask=n < N, other=0.0)
            acc += product * scale[None, :]
        else:
            acc += product
    if not BLOCKS:
        acc *= tl.load(scales + n, mask=n < N, other=0.0)[None, :]
    _finish(acc, bias, y, partial, arrivals, tile, split, n, m, N, M, SPLITS, BN, BM)


def _configuration(x: Tensor, w: Weight, step: int) -> Configuration:
    """From the table; else enough programs for two on each multiprocessor, and no more parts than there are steps."""
    rows = x.shape[0]
    found = tuned("linear", card(x).architecture, (w.format, w.rows, w.columns, power(rows)))
    if found is not None:
        return found
    bm = min(64, max(16, power(rows)))
    tiles = triton.cdiv(w.rows, 64) * triton.cdiv(rows, bm)
    splits = 1
    while rows <= bm and splits * tiles < 2 * card(x).processors and splits * 2 <= min(16, w.columns // step):
        splits *= 2
    step_bytes = 64 * step // (1 if w.pairs is None else 2) + bm * step * x.element_size()
    stages = max(2, min(4, STAGED // step_bytes))
    return Configuration(bm=bm, bn=64, splits=splits, warps=4, stages=stages)


def _run(x: Tensor, w: Weight) -> Tensor:
    x = x if x.stride(-1) == 1 else x.contiguous()
    rows = x.shape[0]
    y = torch.empty((rows, w.rows), dtype=x.dtype, device=x.device)
    step = 2 * w.group if w.pairs is not None else FP8_BLOCK
    c = _configuration(x, w, step)
    tiles = triton.cdiv(w.rows, c.bn)
    partial = None
    if c.splits > 1:
        partial = torch.empty((tiles, c.splits, c.bn, c.bm), dtype=torch.float32, device=x.device)
    grid = (tiles, c.splits, triton.cdiv(rows, c.bm))
    stored = next(t for t in (w.pairs, w.fp8, w.int8) if t is not None)
    sizes = (rows, w.rows, w.columns, x.stride(0), stored.stride(0))
    tile = {
        "BM": c.bm,
        "BN": c.bn,
        "SPLITS": c.splits,
        "COMPUTE": COMPUTE[x.dtype],
        "warps": c.warps,
        "stages": c.stages,
    }
    if w.pairs is not None:
        kind = E2M1 if w.format == "e2m1" else SYMMETRIC if w.pair_minimums is None else AFFINE
        offset = {torch.bfloat16: 128.0, torch.float16: 1024.0}.get(x.dtype, 0.0)
        given = (x, stored, w.pair_scales, w.pair_minimums, w.bias, y, partial, w.arrivals)
        launch(_pairs, grid, *given, *sizes, KIND=kind, GROUP=w.group, OFFSET=offset, **tile)
    else:
        scales = w.fp8_scales if w.fp8 is not None else w.int8_scales
        assert scales is not None
        by_hand = w.fp8 is not None and card(x).architecture < 89
        if by_hand:
            stored = stored.view(torch.uint8)
        launch(
            _bytes,
            grid,
            *(x, stored, scales, w.bias, y, partial, w.arrivals, *sizes),
            BLOCKS=scales.ndim == 2,
            E4M3=by_hand,
            BK=FP8_BLOCK,
            **tile,
        )
    return y


def _shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Qwen3-30B-A3B's attention, Qwen2.5-Coder-7B's and DeepSeek-Coder-V2-Lite's MLP."""
    for rows, n, k, group in ((1, 5120, 2048, 32), (16, 3584, 18944, 128), (64, 10944, 2048, 128)):
        x = torch.empty(rows, k, dtype=torch.bfloat16, device="meta")
        values = torch.empty(n, k, dtype=torch.uint8, device="meta")
        scales = torch.empty(n, k // group, dtype=torch.float16, device="meta")
        yield f"int4-{group} {rows}x{n}x{k}", (x, make_pairs(values, scales, scales, group))
        fp8 = torch.empty(n, k, dtype=torch.float8_e4m3fn, device="meta")
        blocks = torch.empty(-(-n // 128), -(-k // 128), device="meta")
        yield f"fp8-blocks {rows}x{n}x{k}", (x, make_fp8(fp8, blocks))
        if rows == 1:
            yield f"mxfp4 {rows}x{n}x{k}", (x, make_pairs(values, scales, None, 32, e2m1=True))
            yield f"fp8 {rows}x{n}x{k}", (x, make_fp8(fp8, torch.empty(n, device="meta")))


@linear.implement(
    "triton",
    rule=lambda k: k[1] in ("pairs", "e2m1", "fp8"),
    why="weights are streamed in the form they are stored in",
    gpu=Gpu(_shapes, streams=True),
)
def _linear(x: Tensor, w: Weight) -> Tensor:
    return _run(x, w)
