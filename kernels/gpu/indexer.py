"""DeepSeek-V3.2's index in two launches: scores of all tokens, and the places of the best.

A program of the first launch has a row and a tile of its context, all heads at once. In the second, a program has a
row: the last score that is read is found digit by digit, eight bits of the float at a time, so nothing is sorted; then
the places are written down in order, and of equal scores the earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from famulus.kernels.attention import Segment
from famulus.kernels.gpu.attention import table
from famulus.kernels.gpu.launch import COMPUTE, launch, power
from famulus.kernels.gpu.sample import ordered
from famulus.kernels.indexer import index_tokens
from famulus.kernels.op import Gpu

BN = 64
"""Tokens of a tile."""

BLOCK = 4096
"""Tokens whose scores are read together."""

ROOM = 1 << 28
"""Bytes of scores that are kept at a time; longer prompts are worked through in parts."""


@triton.jit
def _score(
    q, weights, kv, keys, table, blocks, width, longest, q_stride, kv_stride,
    HEADS: tl.constexpr, DIM: tl.constexpr, COMPUTE: tl.constexpr,
    BH: tl.constexpr, BD: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    block = blocks + tl.program_id(0) * 5
    segment, first, start = tl.load(block).to(tl.int64), tl.load(block + 1), tl.load(block + 2)
    end = tl.load(block + 4) - tl.load(block + 3) + first + 1
    if tl.program_id(1) * BN < end:
        at = tl.program_id(1) * BN + tl.arange(0, BN)
        h, d = tl.arange(0, BH), tl.arange(0, BD)
        row = (start + first).to(tl.int64)
        inside = (h < HEADS)[:, None] & (d < DIM)[None, :]
        query = tl.load(q + row * q_stride + h[:, None] * DIM + d[None, :], mask=inside, other=0.0).to(COMPUTE)
        slot = tl.load(table + segment * width + at, mask=at < end, other=0).to(tl.int64) * kv_stride
        there = (at < end)[:, None] & (d < DIM)[None, :]
        key = tl.load(kv + slot[:, None] + d[None, :], mask=there, other=0.0).to(COMPUTE)
        found = tl.maximum(tl.dot(query, tl.trans(key), input_precision="ieee"), 0.0)
        weight = tl.load(weights + row * HEADS + h, mask=h < HEADS, other=0.0)
        total = tl.sum(found * weight[:, None], 0)
        tl.store(keys + tl.program_id(0).to(tl.int64) * longest + at, ordered(total), mask=at < end)


@triton.jit
def _choose(keys, blocks, out, longest, COUNT: tl.constexpr, BLOCK: tl.constexpr):
    block = blocks + tl.program_id(0) * 5
    first, start = tl.load(block + 1), tl.load(block + 2)
    end = tl.load(block + 4) - tl.load(block + 3) + first + 1
    keys += tl.program_id(0).to(tl.int64) * longest
    out += (start + first).to(tl.int64) * COUNT
    border = tl.zeros((), tl.uint32)
    ties = end
    if end > COUNT:
        ties = end * 0 + COUNT
        bins = tl.arange(0, 256)
        for shift in tl.static_range(24, -8, -8):
            counts = tl.zeros((256,), tl.int32)
            for begin in range(0, end, BLOCK):
                at = begin + tl.arange(0, BLOCK)
                key = tl.load(keys + at, mask=at < end, other=0).to(tl.uint32, bitcast=True) ^ 0x80000000
                alike = (at < end) & ((key >> shift) >> 8 == border)
                counts += tl.histogram(((key >> shift) & 255).to(tl.int32), 256, mask=alike)
            from_here = tl.cumsum(counts, 0, reverse=True)
            last = tl.max(tl.where(from_here >= ties, bins, -1), 0)
            ties -= tl.sum(tl.where(bins > last, counts, 0), 0)
            border = border * 256 + last.to(tl.uint32)
    done = 0
    equals = 0
    for begin in range(0, end, BLOCK):
        at = begin + tl.arange(0, BLOCK)
        key = tl.load(keys + at, mask=at < end, other=0).to(tl.uint32, bitcast=True) ^ 0x80000000
        equal = ((key == border) & (at < end)).to(tl.int32)
        rank = equals + tl.cumsum(equal, 0)
        equals += tl.sum(equal, 0)
        kept = ((at < end) & ((key > border) | ((key == border) & (rank <= ties)))).to(tl.int32)
        tl.store(out + done + tl.cumsum(kept, 0) - 1, at.to(tl.int64), mask=kept > 0)
        done += tl.sum(kept, 0)


def _shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """DeepSeek-V3.2."""
    for name, segment in (("decode-32k", Segment(0, 1, 32768, 0)), ("prompt", Segment(0, 512, 4096, 0))):
        q = torch.empty(segment.count, 64, 128, dtype=torch.bfloat16, device="meta")
        weights = torch.empty(segment.count, 64, device="meta")
        yield name, (q, weights, torch.empty(1, 65536, 704, dtype=torch.bfloat16, device="meta"), [segment], 2048)


@index_tokens.implement(
    "triton",
    rule=lambda k: True,
    why="two launches: keys are read once for all heads, and nothing is sorted",
    gpu=Gpu(_shapes),
)
def _run(q: Tensor, weights: Tensor, kv: Tensor, segments: list[Segment], count: int) -> Tensor:
    tokens, heads, dim = q.shape
    weights = weights.float().contiguous()
    q = q if q.stride()[1:] == (dim, 1) else q.contiguous()
    where = table(segments, 1, 1, q.device)
    out = torch.full((tokens, count), -1, dtype=torch.int64, device=q.device)
    rows = max(1, ROOM // (4 * where.longest))
    keys = torch.empty((min(rows, tokens), where.longest), dtype=torch.int32, device=q.device)
    for first in range(0, tokens, rows):
        blocks = where.blocks[first : first + rows]
        launch(
            _score,
            (len(blocks), triton.cdiv(where.longest, BN)),
            *(q, weights, kv[0, :, kv.shape[2] - dim :], keys, where.slots, blocks),
            *(where.slots.shape[1], where.longest, q.stride(0), kv.stride(1)),
            HEADS=heads,
            DIM=dim,
            COMPUTE=COMPUTE[q.dtype],
            BH=max(16, power(heads)),
            BD=max(16, power(dim)),
            BN=BN,
        )
        launch(
            _choose,
            (len(blocks),),
            *(keys, blocks, out, where.longest),
            COUNT=count,
            BLOCK=min(BLOCK, power(where.longest)),
            warps=8,
        )
    return out
