"""The next token from each row of logits, in two launches; nothing is sorted.

The first launch finds the largest logit of every :data:`CHUNK` tokens. In the second, a program has a row: what can
still be chosen is gathered in the order of the ids, and a bisection over the floats' bits finds the last logit that is
kept, first by counting tokens (top-k), then by adding up their weights (top-p). Whoever is kept divides its weight by
its noise. A weight is e to the distance to the largest logit over the temperature. It and the sums are in f32, so a
token that the reference's f64 has within a hundred-thousandth of the border of top-p or min-p may be on the other side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from famulus.kernels.gpu.launch import launch, power
from famulus.kernels.op import Gpu
from famulus.kernels.sample import Choice, sample

CHUNK = 256
TOGETHER = 16
"""Chunks of one program."""

BLOCK = 4096

LEAST, MOST = tl.constexpr(-0x7F800001), tl.constexpr(0x7F800000)
"""The keys of the infinities."""

FAINT = tl.constexpr(4e-18)
"""Below this share of the likeliest token's weight, no noise lets a token win."""


@triton.jit
def ordered(x):
    """Integers in the order of floats. The zeros are equal, and a NaN is larger than all."""
    bits = tl.where(x == 0.0, 0.0, x).to(tl.int32, bitcast=True)
    return tl.where(x == x, bits ^ ((bits >> 31) & 0x7FFFFFFF), 0x7FFFFFFF)


@triton.jit
def _weight(key, top, temperature):
    x = (key ^ ((key >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)
    most = (top ^ ((top >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)
    return tl.exp((x - most) / temperature)


@triton.jit
def _peaks(logits, peaks, V, stride, TOGETHER: tl.constexpr, CHUNK: tl.constexpr):
    row, lanes = tl.program_id(1).to(tl.int64), tl.num_programs(0) * TOGETHER
    lane = tl.program_id(0) * TOGETHER + tl.arange(0, TOGETHER)
    at = lane[:, None] * CHUNK + tl.arange(0, CHUNK)[None, :]
    key = ordered(tl.load(logits + row * stride + at, mask=at < V, other=float("-inf")))
    tl.store(peaks + row * lanes + lane, tl.max(key, 1))


@triton.jit
def _border(keys, n, low, top, wanted, temperature, COUNT: tl.constexpr, BLOCK: tl.constexpr):
    """The lowest key, from ``low`` on, above which is less than ``wanted``, and what is there: tokens or weights."""
    high = top
    above = 0.0
    while low < high:
        middle = (low & high) + ((low ^ high) >> 1)
        amount = 0.0
        for start in range(0, n, BLOCK):
            at = start + tl.arange(0, BLOCK)
            key = tl.load(keys + at, mask=at < n, other=LEAST)
            if COUNT:
                amount += tl.sum((key > middle).to(tl.float32), 0)
            else:
                amount += tl.sum(tl.where(key > middle, _weight(key, top, temperature), 0.0), 0)
        less = amount < wanted
        high = tl.where(less, middle, high)
        above = tl.where(less, amount, above)
        low = tl.where(less, low, middle + 1)
    return high, above


@triton.jit
def _best(score, at, best, token):
    """``token``, the best one so far, or one ``at`` which the ``score`` is higher."""
    most = tl.max(score, 0)
    first = tl.min(tl.where(score == most, at, 0x7FFFFFFF), 0)
    return tl.maximum(most, best), tl.where(most > best, first, token)


@triton.jit
def _mixed(x):
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def _noise(at, first, second):
    """See :func:`famulus.kernels.sample.noise`."""
    h = _mixed(_mixed(at.to(tl.uint32) ^ first) ^ second)
    v = tl.minimum((h.to(tl.float32) + 0.5) * 2.3283064365386963e-10, 0.99999994)
    # log1p: exact where 1 - v is, and v alone says enough below that.
    return tl.where(v < 1e-4, v + 0.5 * v * v, -tl.log(1 - v))


@triton.jit
def _draw(
    logits, seeds, settings, peaks, keys, ids, out, V, stride,
    LANES: tl.constexpr, CHUNK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    logits += row * stride
    settings += row * 4
    peaks += row * LANES
    keys += row * V
    ids += row * V
    temperature = tl.load(settings)
    peak = tl.load(peaks + tl.arange(0, LANES))
    top = tl.max(peak, 0)
    token = 0
    if (temperature == 0) | (top >= MOST) | (top <= LEAST):
        at = tl.argmax(peak, 0) * CHUNK + tl.arange(0, CHUNK)
        key = ordered(tl.load(logits + at, mask=at < V, other=float("-inf")))
        token = tl.min(tl.where((key == top) & (at < V), at, V), 0)
    else:
        top_k, top_p, min_p = tl.load(settings + 1), tl.load(settings + 2), tl.load(settings + 3)
        first = tl.load(seeds + 2 * row).to(tl.uint32, bitcast=True)
        second = tl.load(seeds + 2 * row + 1).to(tl.uint32, bitcast=True)
        cut = (top_k > 0) | (top_p < 1)
        floor = tl.maximum(min_p, FAINT)
        lightest = floor
        low = tl.full((), LEAST, tl.int32)
        if top_k > 0:  # so many chunks reach up to here, so many tokens do
            low, _ = _border(peaks, LANES, low, top, top_k, temperature, True, BLOCK)
        else:  # all that is lighter has together less than what top-p leaves over
            lightest = tl.maximum(floor, (1 - top_p) / (2 * V))
        whole = 0.0
        best = -1.0
        count = 0
        for start in range(0, V, BLOCK):
            at = start + tl.arange(0, BLOCK)
            key = ordered(tl.load(logits + at, mask=at < V, other=float("-inf")))
            weight = _weight(key, top, temperature)
            weight = tl.where(weight >= floor, weight, 0.0)
            whole += tl.sum(weight, 0)
            near = (weight >= lightest) & (key >= low)
            if cut:
                place = count + tl.cumsum(near.to(tl.int32), 0) - 1
                tl.store(keys + place, key, mask=near)
                tl.store(ids + place, at, mask=near)
                count += tl.sum(near.to(tl.int32), 0)
            else:
                chance = weight / _noise(at, first, second)
                best, token = _best(tl.where(near, chance, -1.0), at, best, token)
        tl.debug_barrier()  # what was gathered is read by other threads
        ties = V * 1.0
        if top_k > 0:
            low, above = _border(keys, count, low, top, top_k, temperature, True, BLOCK)
            ties = top_k - above
            whole = 0.0
            equal = 0.0
            for start in range(0, count, BLOCK):
                at = start + tl.arange(0, BLOCK)
                key = tl.load(keys + at, mask=at < count, other=LEAST)
                whole += tl.sum(tl.where(key > low, _weight(key, top, temperature), 0.0), 0)
                equal += tl.sum((key == low).to(tl.float32), 0)
            whole += tl.minimum(ties, equal) * _weight(low, top, temperature)
        if top_p < 1:
            last, above = _border(keys, count, low, top, top_p * whole, temperature, False, BLOCK)
            more = tl.maximum(tl.ceil((top_p * whole - above) / _weight(last, top, temperature)), 1.0)
            ties = tl.where(last == low, tl.minimum(ties, more), more)
            low = last
        seen = 0
        for start in range(0, count, BLOCK):
            at = start + tl.arange(0, BLOCK)
            key = tl.load(keys + at, mask=at < count, other=LEAST)
            place = tl.load(ids + at, mask=at < count, other=0)
            equal = ((key == low) & (at < count)).to(tl.int32)
            rank = seen + tl.cumsum(equal, 0)
            seen += tl.sum(equal, 0)
            kept = (at < count) & ((key > low) | ((key == low) & (rank <= ties)))
            chance = _weight(key, top, temperature) / _noise(place, first, second)
            best, token = _best(tl.where(kept, chance, -1.0), place, best, token)
    tl.store(out + row, token)


def _shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Qwen3-30B-A3B's vocabulary."""
    choices = [Choice(), Choice(0.7, top_k=20, top_p=0.8)]
    yield "2x151936", (torch.empty(2, 151936, device="meta"), choices)


@sample.implement(
    "triton",
    rule=lambda k: not k[1],
    why="some rows are sampled: two launches, and nothing is sorted",
    gpu=Gpu(_shapes),
)
def _run(logits: Tensor, choices: list[Choice]) -> Tensor:
    rows, vocabulary = logits.shape
    device, lanes = logits.device, max(TOGETHER, power(triton.cdiv(vocabulary, CHUNK)))
    # With less than f32's smallest normal number a card may divide by zero.
    settings = torch.tensor(
        [[c.temperature and max(c.temperature, 2**-126), c.top_k, c.top_p, c.min_p] for c in choices]
    )
    seeds = torch.tensor([c.key - (c.key >> 63 << 64) for c in choices]).view(torch.int32)
    peaks = torch.empty((rows, lanes), dtype=torch.int32, device=device)
    keys, ids = (torch.empty((rows, vocabulary), dtype=torch.int32, device=device) for _ in range(2))
    out = torch.empty(rows, dtype=torch.int64, device=device)
    stride = logits.stride(0)
    launch(_peaks, (lanes // TOGETHER, rows), logits, peaks, vocabulary, stride, TOGETHER=TOGETHER, CHUNK=CHUNK)
    launch(
        _draw,
        (rows,),
        *(logits, seeds.to(device), settings.to(device), peaks, keys, ids, out),
        *(vocabulary, stride),
        LANES=lanes,
        CHUNK=CHUNK,
        BLOCK=BLOCK,
        warps=16,
        stages=1,
    )
    return out
