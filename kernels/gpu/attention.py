"""Attention over the paged store, of grouped heads and of DeepSeek's latents: decode, verification and prefill.

A block is up to ``BM`` rows of a segment's query tokens times the query heads that share a key; keys are read once for
all of them. Long contexts are split between programs, so that one sequence fills the card; the last program that is
through with a block joins the parts (Dao et al. 2023, "Flash-Decoding"). Where each token's key lies is said by a table
of slots, made once for a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from famulus.kernels.attention import Segment, Segments, attention
from famulus.kernels.gpu.eight_bits import byte
from famulus.kernels.gpu.launch import COMPUTE, card, counters, launch, power
from famulus.kernels.mla import mla
from famulus.kernels.op import Gpu
from famulus.kernels.store import DTYPES, FORMATS, Quantized, Store, empty
from famulus.kernels.tuned import Configuration, configured


@triton.jit
def _attend(
    q, kv, scales, sinks, out, table, blocks, part, arrivals, width, capacity, q_stride, kv_stride, scale,
    GROUP: tl.constexpr, HEADS: tl.constexpr, DIM: tl.constexpr, ROTATED: tl.constexpr, SHARED: tl.constexpr,
    WINDOW: tl.constexpr, E4M3: tl.constexpr, COMPUTE: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr, BR: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    block, head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    segment = tl.load(blocks + block * 5).to(tl.int64)
    first = tl.load(blocks + block * 5 + 1)
    row = tl.load(blocks + block * 5 + 2)
    count = tl.load(blocks + block * 5 + 3)
    context = tl.load(blocks + block * 5 + 4)
    flat = first + tl.arange(0, BM)
    token = flat // GROUP
    present = token < count
    d = tl.arange(0, BD)
    wide: tl.constexpr = DIM + ROTATED
    base = (row + token).to(tl.int64) * q_stride + (head * GROUP + flat % GROUP) * wide
    inside = present[:, None] & (d < DIM)[None, :]
    query = tl.load(q + base[:, None] + d[None, :], mask=inside, other=0.0).to(COMPUTE)
    if ROTATED:
        r = tl.arange(0, BR)
        turned = tl.load(
            q + base[:, None] + DIM + r[None, :], mask=present[:, None] & (r < ROTATED)[None, :], other=0.0
        ).to(COMPUTE)
    place = context - count + token  # of the row's own token
    end = tl.minimum(context, context - count + (first + BM - 1) // GROUP + 1)
    begin = tl.maximum(0, context - count + first // GROUP - WINDOW + 1) if WINDOW else 0
    tiles = (end - begin + BN - 1) // BN
    share = (tiles + SPLITS - 1) // SPLITS
    best = tl.full((BM,), float("-inf"), tl.float32)
    total = tl.zeros((BM,), tl.float32)
    acc = tl.zeros((BM, BD), tl.float32)
    keys = kv + head * capacity * kv_stride
    values = kv + (HEADS + head) * capacity * kv_stride
    for tile in range(split * share, tl.minimum((split + 1) * share, tiles)):
        at = begin + tile * BN + tl.arange(0, BN)
        number = tl.load(table + segment * width + at, mask=at < end, other=0).to(tl.int64)
        slot = number * kv_stride
        there = (at < end)[:, None]
        key = tl.load(keys + slot[:, None] + d[None, :], mask=there & (d < DIM)[None, :], other=0 if E4M3 else 0.0)
        key = byte(key, E4M3, COMPUTE)
        score = tl.dot(query, tl.trans(key), input_precision="ieee")
        if scales is not None:
            score *= tl.load(scales + head * capacity + number, mask=at < end, other=0.0)[None, :]
        if ROTATED:
            also = tl.load(keys + slot[:, None] + DIM + r[None, :], mask=there & (r < ROTATED)[None, :], other=0.0).to(
                COMPUTE
            )
            score = tl.dot(turned, tl.trans(also), score, input_precision="ieee")
        seen = (at[None, :] <= place[:, None]) & (at < end)[None, :]
        if WINDOW:
            seen = seen & (at[None, :] > place[:, None] - WINDOW)
        score = tl.where(seen, score * scale, float("-inf"))
        highest = tl.maximum(best, tl.max(score, 1))
        finite = tl.where(highest == float("-inf"), 0.0, highest)
        weight = tl.exp(score - finite[:, None])
        shrink = tl.exp(best - finite)
        total = total * shrink + tl.sum(weight, 1)
        if SHARED:
            value = key
        else:
            value = tl.load(
                values + slot[:, None] + d[None, :], mask=there & (d < DIM)[None, :], other=0 if E4M3 else 0.0
            )
            value = byte(value, E4M3, COMPUTE)
        if scales is not None:
            weight *= tl.load(scales + (HEADS + head) * capacity + number, mask=at < end, other=0.0)[None, :]
        acc = acc * shrink[:, None] + tl.dot(weight.to(COMPUTE), value, input_precision="ieee")
        best = highest
    last = True
    if SPLITS > 1:
        heads = tl.num_programs(1)
        at = tl.arange(0, BM)
        slice = part + ((block * heads + head) * SPLITS).to(tl.int64) * (BM * (BD + 2))
        mine = slice + split * (BM * (BD + 2))
        tl.store(mine + at, best)
        tl.store(mine + BM + at, total)
        tl.store(mine + 2 * BM + at[:, None] * BD + d[None, :], acc)
        tl.debug_barrier()  # all threads have stored before the arrival is seen
        before = tl.atomic_add(arrivals + block * heads + head, 1)
        last = before == SPLITS - 1
        if last:
            best = tl.full((BM,), float("-inf"), tl.float32)
            total = tl.zeros((BM,), tl.float32)
            acc = tl.zeros((BM, BD), tl.float32)
            for other in range(SPLITS):
                theirs = slice + other * (BM * (BD + 2))
                high = tl.load(theirs + at, cache_modifier=".cg")
                highest = tl.maximum(best, high)
                finite = tl.where(highest == float("-inf"), 0.0, highest)
                shrink, grow = tl.exp(best - finite), tl.exp(high - finite)
                total = total * shrink + tl.load(theirs + BM + at, cache_modifier=".cg") * grow
                more = tl.load(theirs + 2 * BM + at[:, None] * BD + d[None, :], cache_modifier=".cg")
                acc = acc * shrink[:, None] + more * grow[:, None]
                best = highest
            tl.store(arrivals + block * heads + head, 0)
    if last:
        if sinks is not None:
            sink = tl.load(sinks + head * GROUP + flat % GROUP)
            highest = tl.maximum(best, sink)
            acc *= tl.exp(best - highest)[:, None]
            total = total * tl.exp(best - highest) + tl.exp(sink - highest)
        total = tl.where(present, total, 1.0)
        target = out + ((row + token).to(tl.int64) * (HEADS * GROUP) + head * GROUP + flat % GROUP)[:, None] * DIM
        tl.store(target + d[None, :], (acc / total[:, None]).to(out.dtype.element_ty), mask=inside)


@dataclass(frozen=True)
class Table:
    """Where a step's tokens lie. ``slots`` [segments, longest context] int32; ``blocks`` [blocks, 5] int32: segment,
    first row (of query tokens times heads), row in the batch, count, context."""

    slots: Tensor
    blocks: Tensor
    longest: int


def table(segments: list[Segment], rows: int, heads: int, device: torch.device) -> Table:
    """The table of ``segments`` for blocks of ``rows`` rows, where ``heads`` query heads share a key; made once for
    :class:`Segments`."""
    kept = segments.tables if isinstance(segments, Segments) else {}
    found: Table | None = kept.get((rows, heads))
    if found is None:
        found = kept[rows, heads] = _table(segments, rows, heads, device)
    return found


def _table(segments: list[Segment], rows: int, heads: int, device: torch.device) -> Table:
    """Made on the processor, so that it goes over in two copies."""
    longest = max(s.context for s in segments)
    slots = torch.zeros((len(segments), longest), dtype=torch.int32)
    blocks = []
    for i, s in enumerate(segments):
        slots[i, : s.context] = torch.arange(s.start, s.start + s.context) if s.slots is None else s.slots
        blocks += [(i, first, s.row, s.count, s.context) for first in range(0, s.count * heads, rows)]
    return Table(slots.to(device), torch.tensor(blocks, dtype=torch.int32).to(device), longest)


def _configuration(
    operation: str, q: Tensor, kv: Store, sizes: tuple[int, int, int, int], counts: list[int], reach: int
) -> Configuration:
    """Tiles for segments with ``counts`` rows, of which none reads more than ``reach`` tokens. ``bm``: rows times the
    query heads that share a key; ``bn``: keys; ``splits``: parts of a context. ``sizes`` as in :func:`_launch`."""
    group, heads, dim, rotated = sizes

    def rule() -> Configuration:
        bm = 16 if max(counts) * group <= 32 or (rotated and group <= 16) else 64
        bn = 32 if dim > 128 else 64
        programs = heads * sum(-(-count * group // bm) for count in counts)
        splits = 1
        while splits * programs <= card(q).processors and 2 * splits * bn <= reach:
            splits *= 2
        return Configuration(bm, bn, splits, warps=8 if bm * max(16, power(dim)) > 4096 else 4, stages=2)

    form = _NAMES[(kv.values if isinstance(kv, Quantized) else kv).dtype]
    shape = f"{form} {group}/{heads}x{dim}+{rotated} {power(len(counts))}x{power(max(counts))}/{power(reach)}"
    return configured(operation, card(q).architecture, shape, rule)


_NAMES = {dtype: name for name, dtype in DTYPES.items()} | {torch.float16: "fp16"}


def _given(shape: str) -> tuple[Any, ...]:
    """Arguments of a shape as tables name it."""
    form, heads, rows = shape.split()
    group, heads = heads.split("/")
    kv_heads, widths = heads.split("x")
    dim, rotated = map(int, widths.split("+"))
    segments, count = (int(n) for n in rows.split("/")[0].split("x"))
    each = [Segment(i * count, count, int(rows.split("/")[1]), 0) for i in range(segments)]
    q = _empty(segments * count, int(group) * int(kv_heads), dim + rotated)
    if rotated:
        return q, _empty(1, 65536, dim + rotated), each, dim**-0.5, dim
    dtype = next(d for d, name in _NAMES.items() if name == form)
    return q, empty((2 * int(kv_heads), 65536, dim), dtype, torch.device("meta")), each, dim**-0.5, None


def _launch(
    q: Tensor,
    kv: Store,
    where: Table,
    sinks: Tensor | None,
    out: Tensor,
    sizes: tuple[int, int, int, int],
    scale: float,
    window: int,
    tile: Configuration,
) -> None:
    """``sizes``: query heads that share a key, key heads, width of the part that is also the value, of the rest."""
    group, heads, dim, rotated = sizes
    blocks = len(where.blocks)
    part = arrivals = None
    bd = max(16, power(dim))
    if tile.splits > 1:
        part = torch.empty((blocks, heads, tile.splits, tile.bm * (bd + 2)), dtype=torch.float32, device=q.device)
        arrivals = counters(q.device, blocks * heads)
    values, scales = (kv.values, kv.scales) if isinstance(kv, Quantized) else (kv, None)
    e4m3 = values.dtype == torch.float8_e4m3fn and card(q).architecture < 89
    launch(
        _attend,
        (blocks, heads, tile.splits),
        *(q, values.view(torch.uint8) if e4m3 else values, scales),
        *(sinks, out, where.slots, where.blocks, part, arrivals),
        *(where.slots.shape[1], kv.shape[1], q.stride(0), values.stride(1), scale),
        GROUP=group,
        HEADS=heads,
        DIM=dim,
        ROTATED=rotated,
        SHARED=rotated > 0,
        WINDOW=window,
        E4M3=e4m3,
        COMPUTE=COMPUTE[q.dtype],
        BM=tile.bm,
        BN=tile.bn,
        BD=bd,
        BR=max(16, power(rotated)),
        SPLITS=tile.splits,
        warps=tile.warps,
        stages=tile.stages,
    )


def _empty(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.empty(*shape, dtype=dtype, device="meta")


def _shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Qwen3-30B-A3B, Qwen2.5-Coder-7B and gpt-oss-20b."""
    for name, segments, heads, kv_heads, dim in (
        ("decode-32k", [Segment(0, 1, 32768, 0)], 32, 4, 128),
        ("prompt", [Segment(0, 512, 2048, 0)], 28, 4, 128),
        ("window", [Segment(i, 1, 128, 0, window=128) for i in range(16)], 64, 8, 64),
    ):
        rows = sum(s.count for s in segments)
        sinks = _empty(heads, dtype=torch.float32) if name == "window" else None
        formats = {"decode-32k": ("int8", "fp8"), "prompt": ("fp8",), "window": ("int8",)}[name]
        for dtype in (torch.bfloat16, *(FORMATS[f] for f in formats)):
            kv = empty((2 * kv_heads, 65536, dim), dtype, torch.device("meta"))
            yield f"{name}-{dtype}", (_empty(rows, heads, dim), kv, segments, dim**-0.5, sinks)


def _latent_shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """DeepSeek-Coder-V2-Lite."""
    for name, segments in (("decode-32k", [Segment(0, 1, 32768, 0)]), ("prompt", [Segment(0, 512, 2048, 0)])):
        rows = sum(s.count for s in segments)
        yield name, (_empty(rows, 16, 576), _empty(1, 65536, 576), segments, 576**-0.5, 512)


@attention.implement(
    "triton",
    rule=lambda k: True,
    why="keys are read once, long contexts are split",
    gpu=Gpu(_shapes, table="attention", given=_given),
)
def _run(q: Tensor, kv: Store, segments: list[Segment], scale: float, sinks: Tensor | None = None) -> Tensor:
    heads, dim = q.shape[1:]
    kv_heads, window = kv.shape[0] // 2, segments[0].window
    sizes = heads // kv_heads, kv_heads, dim, 0
    counts = [s.count for s in segments]
    reach = max(s.context for s in segments)
    reach = min(reach, window + max(counts)) if window else reach
    tile = _configuration("attention", q, kv, sizes, counts, reach)
    out = torch.empty((q.shape[0], heads, dim), dtype=q.dtype, device=q.device)
    where = table(segments, tile.bm, heads // kv_heads, q.device)
    _launch(q, kv, where, sinks, out, sizes, scale, window, tile)
    return out


@mla.implement(
    "triton",
    rule=lambda k: True,
    why="the latent is key and value: read once",
    gpu=Gpu(_latent_shapes, table="mla", given=_given),
)
def _run_latent(
    q: Tensor, kv: Tensor, segments: list[Segment], scale: float, rank: int, chosen: Tensor | None = None
) -> Tensor:
    heads, width = q.shape[1:]
    sizes = heads, 1, rank, width - rank
    counts = [s.count for s in segments] if chosen is None else [1] * len(chosen)
    reach = max(s.context for s in segments) if chosen is None else chosen.shape[1]
    tile = _configuration("mla", q, kv, sizes, counts, reach)
    out = torch.empty((q.shape[0], heads, rank), dtype=q.dtype, device=q.device)
    if chosen is None:
        where = table(segments, tile.bm, heads, q.device)
    else:
        where = _chosen(segments, chosen, tile.bm, heads)
    _launch(q, kv, where, None, out, sizes, scale, 0, tile)
    return out


def _chosen(segments: list[Segment], chosen: Tensor, bm: int, heads: int) -> Table:
    """Every row as a segment of its own, whose context is what it reads; nothing is waited for."""
    device = chosen.device
    runs = table(segments, bm, heads, device).slots
    rows = torch.arange(len(chosen), device=device)
    segment = torch.tensor([i for i, s in enumerate(segments) for _ in range(s.count)]).to(device)
    slots = runs[segment].gather(1, chosen.clamp(0, runs.shape[1] - 1))
    first = torch.arange(0, heads, bm, device=device).repeat(len(rows))
    row = rows.repeat_interleave(-(-heads // bm))
    read = (chosen >= 0).sum(1)[row]
    blocks = torch.stack([row, first, row, torch.ones_like(row), read], 1).int()
    return Table(slots, blocks, chosen.shape[1])
