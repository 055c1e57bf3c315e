"""A mixture of experts in two launches: gate, up and activation; then down, weights and the sum over a token's experts.

The pairs (token, expert) come sorted by expert. With at most :data:`FEW` tokens a program finds out for itself which
pairs of its expert it works on (a token chooses an expert once, so an expert has no more pairs than there are tokens):
nothing is aligned or padded, and every chosen expert is read once for up to ``BM`` tokens. More tokens come with a list
of blocks. Where one token's experts do not fill the card, programs share the columns of a tile. The last program that
is through with a tile, or with a token, adds up the parts in a fixed order. A token without experts gets zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from famulus.kernels.gpu.launch import card, counters, launch, power
from famulus.kernels.gpu.product import Stored, example, product, stored
from famulus.kernels.moe import Clamp, Experts, moe
from famulus.kernels.op import Gpu
from famulus.kernels.tuned import Configuration, configured

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
    x, w, scales, minimums, bias, order, experts, starts, y, shares, arrivals,
    P, N, K, x_stride, w_stride, expert_stride, scale_stride, alpha, limit,
    TOP_K: tl.constexpr, FEW: tl.constexpr, CLAMP: tl.constexpr, SPLITS: tl.constexpr,
    FORMAT: tl.constexpr, GROUP: tl.constexpr, OFFSET: tl.constexpr, E4M3: tl.constexpr, COMPUTE: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, STEP: tl.constexpr,
):  # fmt: skip
    expert, pairs, mine = _block(order, experts, starts, P, FEW, BM)
    if expert >= 0:
        tile, split = tl.program_id(1), tl.program_id(2)
        n = tile * BN + tl.arange(0, BN)
        inside = n < N
        row = x + (pairs // TOP_K).to(tl.int64) * x_stride
        at = expert.to(tl.int64)
        w += at * expert_stride
        if scales is not None:
            scales += at * scale_stride
        if minimums is not None:
            minimums += at * scale_stride
        steps = (K + STEP - 1) // STEP
        share = (steps + SPLITS - 1) // SPLITS
        begin, end = split * share, tl.minimum((split + 1) * share, steps)
        # A row outside the first half would be one of the second: it is sent past the end, where nothing is read.
        gate = product(
            row, mine, w, scales, minimums, tl.where(inside, n, 2 * N), 2 * N, K, w_stride, begin, end,
            FORMAT, GROUP, OFFSET, E4M3, COMPUTE, BM, BN, STEP,
        )  # fmt: skip
        up = product(
            row, mine, w, scales, minimums, tl.where(inside, n + N, 2 * N), 2 * N, K, w_stride, begin, end,
            FORMAT, GROUP, OFFSET, E4M3, COMPUTE, BM, BN, STEP,
        )  # fmt: skip
        through = True
        if SPLITS > 1:
            at_tile = tl.arange(0, BM)[:, None] * BN + tl.arange(0, BN)[None, :]
            block = tl.program_id(0) * tl.num_programs(1) + tile
            mine_part = shares + (block * SPLITS).to(tl.int64) * (2 * BM * BN)
            tl.store(mine_part + split * (2 * BM * BN) + at_tile, gate)
            tl.store(mine_part + split * (2 * BM * BN) + BM * BN + at_tile, up)
            tl.debug_barrier()  # all threads have stored before the arrival is seen
            through = tl.atomic_add(arrivals + block, 1) == SPLITS - 1
            if through:
                gate = tl.zeros((BM, BN), tl.float32)
                up = tl.zeros((BM, BN), tl.float32)
                for other in range(SPLITS):
                    source = mine_part + other * (2 * BM * BN) + at_tile
                    gate += tl.load(source, cache_modifier=".cg")
                    up += tl.load(source + BM * BN, cache_modifier=".cg")
                tl.store(arrivals + block, 0)
        if through:
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
    TOP_K: tl.constexpr, FEW: tl.constexpr, TILES: tl.constexpr, SPLITS: tl.constexpr,
    FORMAT: tl.constexpr, GROUP: tl.constexpr, OFFSET: tl.constexpr, E4M3: tl.constexpr, COMPUTE: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, STEP: tl.constexpr,
):  # fmt: skip
    expert, pairs, mine = _block(order, experts, starts, P, FEW, BM)
    tile, split = tl.program_id(1), tl.program_id(2)
    n = tile * BN + tl.arange(0, BN)
    if FEW:  # a token's first place stands for one that has no expert at all
        pair = tl.load(order + tl.program_id(0))
        known = 0
        for other in tl.static_range(TOP_K):
            known += (tl.load(experts + pair // TOP_K * TOP_K + other) >= 0).to(tl.int32)
        if (known == 0) & (pair % TOP_K == 0):
            nothing = tl.zeros((BN,), out.dtype.element_ty)
            tl.store(out + (pair // TOP_K).to(tl.int64) * N + n, nothing, mask=n < N)
    if expert >= 0:
        inside = (n < N)[None, :]
        at = expert.to(tl.int64)
        w += at * expert_stride
        if scales is not None:
            scales += at * scale_stride
        if minimums is not None:
            minimums += at * scale_stride
        steps = (K + STEP - 1) // STEP
        share = (steps + SPLITS - 1) // SPLITS
        acc = product(
            x + pairs.to(tl.int64) * K, mine, w, scales, minimums, n, N, K, w_stride,
            split * share, tl.minimum((split + 1) * share, steps),
            FORMAT, GROUP, OFFSET, E4M3, COMPUTE, BM, BN, STEP,
        )  # fmt: skip
        if bias is not None:  # noqa: SIM102
            if split == 0:
                acc += tl.load(bias + at * N + n, mask=n < N, other=0.0).to(tl.float32)[None, :]
        acc *= tl.load(weights + pairs, mask=mine, other=0.0)[:, None]
        place = part + (pairs * SPLITS + split)[:, None].to(tl.int64) * N + n[None, :]
        tl.store(place, acc, mask=mine[:, None] & inside)
        tl.debug_barrier()  # all threads have stored before the arrival is seen
        tokens = pairs // TOP_K
        before = tl.atomic_add(arrivals + tokens * TILES + tile, 1, mask=mine)
        chosen = tl.zeros((BM,), tl.int32)
        for other in tl.static_range(TOP_K):
            its = tl.load(experts + tokens * TOP_K + other, mask=mine, other=-1)
            chosen += (its >= 0).to(tl.int32)
        last = mine & (before == chosen * SPLITS - 1)
        if tl.sum(last.to(tl.int32)) > 0:
            total = tl.zeros((BM, BN), tl.float32)
            for one in range(TOP_K * SPLITS):
                there = last & (tl.load(experts + tokens * TOP_K + one // SPLITS, mask=last, other=-1) >= 0)
                source = part + (tokens * TOP_K * SPLITS + one)[:, None].to(tl.int64) * N + n[None, :]
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


def _given(shape: str) -> tuple[Any, ...]:
    """Arguments of a shape as tables name it: "up affine-64 768x2048 8/128 1"."""
    half, form, matrix, choice, rows = shape.split()
    sizes, (top_k, count), tokens = tuple(map(int, matrix.split("x"))), map(int, choice.split("/")), int(rows)
    inner, hidden = sizes if half == "up" else sizes[::-1]

    def empty(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.empty(*shape, dtype=dtype, device="meta")

    return (
        empty(tokens, hidden, dtype=torch.bfloat16),
        *(Experts.of([example(form, *each)] * count) for each in ((2 * inner, hidden), (hidden, inner))),
        empty(tokens, top_k, dtype=torch.float32),
        empty(tokens, top_k, dtype=torch.int64),
        empty(tokens * top_k, dtype=torch.int64),
    )


def _shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Qwen3-30B-A3B and, with a token's four experts of MXFP4, gpt-oss-20b."""
    for form in ("dense", "affine-32", "affine-64", "fp8-blocks", "int8"):
        shape = f"up {form} 768x2048 8/128 1"
        yield shape, _given(shape)
    for shape in ("up e2m1-32 2880x2880 4/32 1", "up dense 768x2048 8/128 256", "up int8 768x2048 8/128 256"):
        yield shape, _given(shape)


def _configuration(
    half: str, form: Stored, x: Tensor, rows: int, columns: int, choice: tuple[int, int, int]
) -> Configuration:
    """From the table; else parts of the columns where one token's experts would leave multiprocessors without work."""
    tokens, top_k, count = choice
    few = tokens <= FEW
    # Four warps read 16 bytes a thread of a tile.
    width = 32 if half == "up" and form.step_bytes >= 64 else 64

    def rule() -> Configuration:
        splits, programs = 1, tokens * top_k * triton.cdiv(rows, width)
        while few and programs * splits < 2 * card(x).processors and splits * 2 <= columns // form.step:
            splits *= 2
        return Configuration(BLOCK if few else 64, width, splits, 4, 3 if few else 2)

    shape = f"{half} {form.name} {rows}x{columns} {top_k}/{count} {power(tokens)}"
    found = configured("moe", card(x).architecture, shape, rule)
    return found if few else replace(found, splits=1)


@moe.implement(
    "triton",
    rule=lambda k: set(k[1].split(", ")) <= {"dense", "pairs", "e2m1", "fp8", "int8"},
    why="two launches, every expert read once",
    gpu=Gpu(_shapes, streams=True, table="moe", given=_given),
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
    count = len(gate_up)
    few, choice = tokens <= FEW, (tokens, top_k, count)
    shared = {"TOP_K": top_k, "FEW": max(BLOCK, power(tokens)) if few else 0}

    form = stored(first, x)
    c = _configuration("up", form, x, second.columns, first.columns, choice)
    starts = None if few else _starts(experts, order, count, c.bm)
    blocks = pairs if starts is None else starts.shape[0]
    tiles = triton.cdiv(second.columns, c.bn)
    inner = torch.empty((pairs, second.columns), dtype=x.dtype, device=x.device)
    part = arrivals = None
    if c.splits > 1:
        part = torch.empty((blocks * tiles * c.splits, 2, c.bm, c.bn), dtype=torch.float32, device=x.device)
        arrivals = counters(x.device, blocks * tiles)
    launch(
        _up,
        (blocks, tiles, c.splits),
        *(x, form.values, form.scales, form.minimums, first.bias, order, experts, starts, inner, part, arrivals),
        *(pairs, second.columns, first.columns, x.stride(0), form.stride, *_strides(form.values, form.scales)),
        *((clamp.alpha, clamp.limit) if clamp else (0.0, 0.0)),
        CLAMP=clamp is not None,
        **shared,
        **_constants(c, form),
    )

    form, one = stored(second, x), c.bm
    c = _configuration("down", form, x, second.rows, second.columns, choice)
    if starts is not None and c.bm != one:
        starts = _starts(experts, order, count, c.bm)
        blocks = starts.shape[0]
    tiles = triton.cdiv(second.rows, c.bn)
    # Among few tokens those without an expert are seen to; with a list of blocks they are in none.
    out = (torch.empty if few else torch.zeros)((tokens, second.rows), dtype=x.dtype, device=x.device)
    part = torch.empty((pairs * c.splits, second.rows), dtype=torch.float32, device=x.device)
    arrivals = counters(x.device, tokens * tiles)
    launch(
        _down,
        (blocks, tiles, c.splits),
        *(inner, form.values, form.scales, form.minimums, second.bias, weights, order, experts, starts),
        *(part, out, arrivals, pairs, second.rows, second.columns, form.stride),
        *_strides(form.values, form.scales),
        TILES=tiles,
        **shared,
        **_constants(c, form),
    )
    return out


def _constants(c: Configuration, form: Stored) -> dict[str, Any]:
    numbers = {"BM": c.bm, "BN": c.bn, "SPLITS": c.splits, "STEP": form.step, "warps": c.warps, "stages": c.stages}
    return form.constants | numbers


def _strides(values: Tensor, scales: Tensor | None) -> tuple[int, int]:
    """From one expert to the next."""
    return values.stride(0), 0 if scales is None else scales.stride(0)
