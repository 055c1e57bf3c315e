"""A mixture of experts in two launches: gate, up and activation; then down, weights and the sum over a token's experts.

The pairs (token, expert) come sorted by expert. With at most :data:`FEW` tokens a program finds out for itself which
pairs of its expert it works on (a token chooses an expert once, so an expert has no more pairs than there are tokens):
nothing is aligned or padded, and every chosen expert is read once for up to ``BM`` tokens. More tokens come with a list
of blocks. The last program that is through with a token adds up its experts in a fixed order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from famulus.kernels.gpu.launch import launch, power
from famulus.kernels.gpu.product import product, stored
from famulus.kernels.linear import make_fp8, make_pairs
from famulus.kernels.moe import Clamp, Experts, moe
from famulus.kernels.op import Gpu
from famulus.kernels.pack import Weight

FEW = 64
"""Tokens up to which no list of blocks is needed."""

BLOCK = 16
"""Pairs of one expert that a program works on: the fewest rows that tensor cores take."""


@triton.jit
def _block(order, experts, starts, P, FEW: tl.constexpr, BM: tl.constexpr):
    """The pairs of this program: (expert, pairs [BM], which of them count). Expert -1: nothing to do."""
    if FEW:
        first = tl.program_id(0)
    else:
        first = tl.load(starts + tl.program_id(0))
    expert = tl.load(experts + tl.load(order + first, mask=first < P, other=0), mask=first < P, other=-1)
    at = first + tl.arange(0, BM)
    pairs = tl.load(order + at, mask=at < P, other=0)
    mine = (at < P) & (tl.load(experts + pairs, mask=at < P, other=-1) == expert)
    if FEW:  # the first of an expert's pairs, its seventeenth and so on stand for the ones behind them
        window = first - FEW + tl.arange(0, FEW)
        before = tl.load(order + window, mask=window >= 0, other=0)
        same = (window >= 0) & (tl.load(experts + before, mask=window >= 0, other=-1) == expert)
        if tl.sum(same.to(tl.int32)) % BM != 0:
            expert = -1 + 0 * expert
    return expert, pairs, mine


@triton.jit
def _up(
    x, w, scales, minimums, bias, order, experts, starts, y, P, N, K, x_stride, w_stride, expert_stride, scale_stride,
    alpha, limit,
    TOP_K: tl.constexpr, FEW: tl.constexpr, CLAMP: tl.constexpr,
    FORMAT: tl.constexpr, GROUP: tl.constexpr, OFFSET: tl.constexpr, E4M3: tl.constexpr, COMPUTE: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, STEP: tl.constexpr,
):  # fmt: skip
    expert, pairs, mine = _block(order, experts, starts, P, FEW, BM)
    if expert >= 0:
        n = tl.program_id(1) * BN + tl.arange(0, BN)
        inside = n < N
        row = x + (pairs // TOP_K).to(tl.int64) * x_stride
        at = expert.to(tl.int64)
        w += at * expert_stride
        if scales is not None:
            scales += at * scale_stride
        if minimums is not None:
            minimums += at * scale_stride
        steps = (K + STEP - 1) // STEP
        # A row outside the first half would be one of the second: it is sent past the end, where nothing is read.
        gate = product(
            row, mine, w, scales, minimums, tl.where(inside, n, 2 * N), 2 * N, K, w_stride, 0, steps,
            FORMAT, GROUP, OFFSET, E4M3, COMPUTE, BM, BN, STEP,
        )  # fmt: skip
        up = product(
            row, mine, w, scales, minimums, tl.where(inside, n + N, 2 * N), 2 * N, K, w_stride, 0, steps,
            FORMAT, GROUP, OFFSET, E4M3, COMPUTE, BM, BN, STEP,
        )  # fmt: skip
        if bias is not None:
            gate += tl.load(bias + at * 2 * N + n, mask=inside, other=0.0).to(tl.float32)[None, :]
            up += tl.load(bias + at * 2 * N + N + n, mask=inside, other=0.0).to(tl.float32)[None, :]
        if CLAMP:
            gate = tl.minimum(gate, limit)
            up = tl.minimum(tl.maximum(up, -limit), limit)
            both = gate * tl.sigmoid(alpha * gate) * (up + 1.0)
        else:
            both = gate * tl.sigmoid(gate) * up
        place = y + pairs[:, None].to(tl.int64) * N + n[None, :]
        tl.store(place, both.to(y.dtype.element_ty), mask=mine[:, None] & inside[None, :])


@triton.jit
def _down(
    x, w, scales, minimums, bias, weights, order, experts, starts, part, out, arrivals,
    P, N, K, w_stride, expert_stride, scale_stride,
    TOP_K: tl.constexpr, FEW: tl.constexpr, TILES: tl.constexpr,
    FORMAT: tl.constexpr, GROUP: tl.constexpr, OFFSET: tl.constexpr, E4M3: tl.constexpr, COMPUTE: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, STEP: tl.constexpr,
):  # fmt: skip
    expert, pairs, mine = _block(order, experts, starts, P, FEW, BM)
    if expert >= 0:
        tile = tl.program_id(1)
        n = tile * BN + tl.arange(0, BN)
        inside = (n < N)[None, :]
        at = expert.to(tl.int64)
        w += at * expert_stride
        if scales is not None:
            scales += at * scale_stride
        if minimums is not None:
            minimums += at * scale_stride
        acc = product(
            x + pairs.to(tl.int64) * K, mine, w, scales, minimums, n, N, K, w_stride, 0, (K + STEP - 1) // STEP,
            FORMAT, GROUP, OFFSET, E4M3, COMPUTE, BM, BN, STEP,
        )  # fmt: skip
        if bias is not None:
            acc += tl.load(bias + at * N + n, mask=n < N, other=0.0).to(tl.float32)[None, :]
        acc *= tl.load(weights + pairs, mask=mine, other=0.0)[:, None]
        tl.store(part + pairs[:, None].to(tl.int64) * N + n[None, :], acc, mask=mine[:, None] & inside)
        tl.debug_barrier()  # all threads have stored before the arrival is seen
        tokens = pairs // TOP_K
        before = tl.atomic_add(arrivals + tokens * TILES + tile, 1, mask=mine)
        chosen = tl.zeros((BM,), tl.int32)
        for other in tl.static_range(TOP_K):
            its = tl.load(experts + tokens * TOP_K + other, mask=mine, other=-1)
            chosen += (its >= 0).to(tl.int32)
        last = mine & (before == chosen - 1)
        if tl.sum(last.to(tl.int32)) > 0:
            total = tl.zeros((BM, BN), tl.float32)
            for place in range(TOP_K):
                pair = tokens * TOP_K + place
                there = last & (tl.load(experts + pair, mask=last, other=-1) >= 0)
                source = part + pair[:, None].to(tl.int64) * N + n[None, :]
                total += tl.load(source, mask=there[:, None] & inside, other=0.0, cache_modifier=".cg")
            target = out + tokens[:, None].to(tl.int64) * N + n[None, :]
            tl.store(target, total.to(out.dtype.element_ty), mask=last[:, None] & inside)
            tl.store(arrivals + tokens * TILES + tile, 0, mask=last)


def _starts(experts: Tensor, order: Tensor, count: int, bm: int) -> Tensor:
    """Where the blocks of at most ``bm`` pairs of one expert begin in ``order``, one for each program; those that are
    too many begin past the end."""
    pairs = order.shape[0]
    sizes = (experts.flatten()[:, None] == torch.arange(count, device=order.device)).sum(0)
    ends = ((sizes + bm - 1) // bm).cumsum(0)
    block = torch.arange(pairs // bm + count, device=order.device)
    expert = torch.searchsorted(ends, block, right=True)
    inside = expert.clamp(max=count - 1)
    within = block - (ends - (sizes + bm - 1) // bm)[inside]
    first = (sizes.cumsum(0) - sizes)[inside] + within * bm
    return torch.where(expert < count, first, pairs)


def _shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Qwen3-30B-A3B."""

    def empty(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.empty(*shape, dtype=dtype, device="meta")

    def stack(form: str, experts: int, rows: int, columns: int) -> Experts:
        if form == "int4":
            values = empty(rows, columns, dtype=torch.uint8)
            scales = empty(rows, columns // 64, dtype=torch.float16)
            return Experts.of([make_pairs(values, scales, scales, 64)] * experts)
        if form == "fp8":
            blocks = empty(-(-rows // 128), -(-columns // 128), dtype=torch.float32)
            return Experts.of([make_fp8(empty(rows, columns, dtype=torch.float8_e4m3fn), blocks)] * experts)
        return Experts(Weight(rows, columns, "dense", empty(experts, rows, columns, dtype=torch.bfloat16)))

    real = (
        (1, 128, 8, 2048, 768, ("dense", "int4", "fp8")),
        (256, 128, 8, 2048, 768, ("dense",)),
    )
    for tokens, count, top_k, hidden, inner, forms in real:
        for form in forms:
            x = empty(tokens, hidden, dtype=torch.bfloat16)
            chosen = empty(tokens, top_k, dtype=torch.int64)
            weights = empty(tokens, top_k, dtype=torch.float32)
            matrices = stack(form, count, 2 * inner, hidden), stack(form, count, hidden, inner)
            order = empty(tokens * top_k, dtype=torch.int64)
            yield f"{form} {tokens}x{count}/{top_k}x{hidden}x{inner}", (x, *matrices, weights, chosen, order)


@moe.implement(
    "triton", rule=lambda k: True, why="two launches, every expert read once", gpu=Gpu(_shapes, streams=True)
)
def _run(
    x: Tensor,
    gate_up: Experts,
    down: Experts,
    weights: Tensor,
    experts: Tensor,
    order: Tensor,
    clamp: Clamp | None = None,
) -> Tensor:
    weights, experts = weights.contiguous(), experts.contiguous()
    tokens, top_k = experts.shape
    pairs = tokens * top_k
    first, second = gate_up.stacked, down.stacked
    few = tokens <= FEW
    bm = BLOCK if few else 64
    count = next(t.shape[0] for t in (first.pairs, first.fp8, first.int8, first.dense) if t is not None)
    starts = None if few else _starts(experts, order, count, bm)
    blocks = pairs if starts is None else starts.shape[0]
    inner = torch.empty((pairs, second.columns), dtype=x.dtype, device=x.device)
    window = max(BLOCK, power(tokens)) if few else 0
    shared = {"TOP_K": top_k, "FEW": window, "BM": bm, "warps": 4}
    form, bn = stored(first, x), 32
    launch(
        _up,
        (blocks, triton.cdiv(second.columns, bn)),
        *(x, form.values, form.scales, form.minimums, first.bias, order, experts, starts, inner),
        *(pairs, second.columns, first.columns, x.stride(0), form.stride, *_strides(form.values, form.scales)),
        *((clamp.alpha, clamp.limit) if clamp else (0.0, 0.0)),
        CLAMP=clamp is not None,
        BN=bn,
        STEP=form.step,
        stages=3 if few else 2,
        **form.constants,
        **shared,
    )
    form, bn = stored(second, x), 64
    tiles = triton.cdiv(second.rows, bn)
    out = torch.empty((tokens, second.rows), dtype=x.dtype, device=x.device)
    part = torch.empty((pairs, second.rows), dtype=torch.float32, device=x.device)
    arrivals = torch.zeros((tokens, tiles), dtype=torch.int32, device=x.device)
    launch(
        _down,
        (blocks, tiles),
        *(inner, form.values, form.scales, form.minimums, second.bias, weights, order, experts, starts),
        *(part, out, arrivals, pairs, second.rows, second.columns, form.stride),
        *_strides(form.values, form.scales),
        TILES=tiles,
        BN=bn,
        STEP=form.step,
        stages=3 if few else 2,
        **form.constants,
        **shared,
    )
    return out


def _strides(values: Tensor, scales: Tensor | None) -> tuple[int, int]:
    """From one expert to the next."""
    return values.stride(0), 0 if scales is None else scales.stride(0)
