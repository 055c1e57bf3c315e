"""The router of a mixture of experts: scores, the choice, its weights, and the pairs sorted by expert. At most sixteen
tokens take one launch, more of them a second one that sorts.

Programs share the experts and the columns of the gate; the last one that is through with a block of sixteen tokens adds
up the logits in a fixed order and chooses for them. A pair's place in the order is the number of those before it, which
is counted, so no program waits for another. Experts are laid out by group, each group in a power of two of lanes, so
that the lower lane is the lower expert, as ties want it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from famulus.kernels.gpu.launch import counters, launch, power
from famulus.kernels.op import Gpu
from famulus.kernels.router import FEW, Rule, route

STEP = 64
"""Columns that are read together; a program takes :data:`SHARE` of them."""

SHARE = 512
EXPERTS = 16

SORTED = 64
"""Pairs whose places one program finds."""


@triton.jit
def _route(
    x, gate, bias, correction, weights, experts, order, logits, arrivals, M, E, K, x_stride, scale, top_p,
    TOP_K: tl.constexpr, SHARED: tl.constexpr, SIGMOID: tl.constexpr, RENORMALISE: tl.constexpr, TOP_P: tl.constexpr,
    GROUPS: tl.constexpr, KEPT: tl.constexpr, LANES: tl.constexpr, PLACES: tl.constexpr, PAIRS: tl.constexpr,
    BM: tl.constexpr, BE: tl.constexpr, STEP: tl.constexpr, SHARE: tl.constexpr, SHARES: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(2)
    m = block * BM + tl.arange(0, BM)
    e = tl.program_id(0) * BE + tl.arange(0, BE)
    k = tl.program_id(1) * SHARE + tl.arange(0, STEP)
    acc = tl.zeros((BM, BE), tl.float32)
    for step in range(SHARE // STEP):
        at = k + step * STEP
        rows = tl.load(x + m[:, None] * x_stride + at[None, :], mask=(m < M)[:, None] & (at < K)[None, :], other=0.0)
        gates = tl.load(gate + e[None, :] * K + at[:, None], mask=(e < E)[None, :] & (at < K)[:, None], other=0.0)
        acc = tl.dot(rows.to(tl.float32), gates.to(tl.float32), acc, input_precision="ieee")
    mine = logits + (tl.program_id(1) * M + m[:, None]) * E + e[None, :]
    tl.store(mine, acc, mask=(m < M)[:, None] & (e < E)[None, :])
    tl.debug_barrier()  # all threads have stored before the arrival is seen
    before = tl.atomic_add(arrivals + block, 1)
    if before == tl.num_programs(0) * SHARES - 1:
        tl.store(arrivals + block, 0)
        lane = tl.arange(0, GROUPS * LANES)
        within = lane % LANES
        expert = (lane // LANES) * (E // GROUPS) + within
        real = within < E // GROUPS
        inside = (m < M)[:, None] & real[None, :]
        total = tl.zeros((BM, GROUPS * LANES), tl.float32)
        for part in range(SHARES):
            source = logits + (part * M + m[:, None]) * E + expert[None, :]
            total += tl.load(source, mask=inside, other=0.0, cache_modifier=".cg")
        if bias is not None:
            total += tl.load(bias + expert, mask=real, other=0.0)[None, :]
        total = tl.where(real[None, :], total, float("-inf"))
        if SIGMOID:
            scores = tl.sigmoid(total)
        else:
            scores = tl.exp(total - tl.max(total, 1)[:, None])
            scores = scores / tl.sum(scores, 1)[:, None]
        whole = tl.sum(tl.where(real[None, :], scores, 0.0), 1)
        merit = scores
        if correction is not None:
            merit += tl.load(correction + expert, mask=real, other=0.0)[None, :]
        merit = tl.where(real[None, :], merit, float("-inf"))
        if GROUPS > 1:
            grouped = tl.reshape(merit, (BM, GROUPS, LANES))
            worth = tl.max(grouped, 2)
            if correction is not None:  # the best two speak for their group
                first = tl.argmax(grouped, 2)
                others = tl.arange(0, LANES)[None, None, :] != first[:, :, None]
                worth += tl.max(tl.where(others, grouped, float("-inf")), 2)
            kept = tl.zeros((BM, GROUPS), tl.int32)
            for _ in tl.static_range(KEPT):
                top = tl.argmax(worth, 1)
                chosen = tl.arange(0, GROUPS)[None, :] == top[:, None]
                kept = tl.where(chosen, 1, kept)
                worth = tl.where(chosen, float("-inf"), worth)
            spread = tl.broadcast_to(kept[:, :, None], (BM, GROUPS, LANES))
            merit = tl.where(tl.reshape(spread, (BM, GROUPS * LANES)) > 0, merit, float("-inf"))
        place = tl.arange(0, PLACES)[None, :]
        taken = tl.full((BM, PLACES), -1, tl.int32)
        given = tl.zeros((BM, PLACES), tl.float32)
        reached = tl.zeros((BM,), tl.float32)
        for j in tl.static_range(TOP_K):
            top = tl.argmax(merit, 1)
            here = lane[None, :] == top[:, None]
            weight = tl.sum(tl.where(here, scores, 0.0), 1)
            number = (top // LANES) * (E // GROUPS) + top % LANES
            if TOP_P:
                wanted = reached < top_p * whole
                reached += weight
                number = tl.where(wanted, number, -1)
                weight = tl.where(wanted, weight, 0.0)
            taken = tl.where(place == j, number[:, None], taken)
            given = tl.where(place == j, weight[:, None], given)
            merit = tl.where(here, float("-inf"), merit)
        if RENORMALISE:
            given = given / (tl.sum(given, 1)[:, None] + 1e-20)
        given *= scale
        if SHARED > 0:  # they stand behind the others, and every token meets them
            given = tl.where(place >= TOP_K, 1.0, given)
            taken = tl.where(place >= TOP_K, E + place - TOP_K, taken)
        target = m[:, None] * (TOP_K + SHARED) + place
        written = (m < M)[:, None] & (place < TOP_K + SHARED)
        tl.store(weights + target, given, mask=written)
        tl.store(experts + target, taken.to(tl.int64), mask=written)
        if PAIRS:
            tl.debug_barrier()  # the pairs are read again, by other threads
            p = tl.arange(0, PAIRS)
            pairs = M * (TOP_K + SHARED)
            key = tl.load(experts + p, mask=p < pairs, other=E + SHARED)
            key = tl.where(key < 0, E + SHARED, key)
            less = (key[None, :] < key[:, None]) | ((key[None, :] == key[:, None]) & (p[None, :] < p[:, None]))
            rank = tl.sum(less.to(tl.int32), 1)
            tl.store(order + rank, p.to(tl.int64), mask=p < pairs)


@triton.jit
def _sort(experts, order, P, E, BP: tl.constexpr, CHUNK: tl.constexpr):
    """``order`` of all ``P`` pairs; each program finds the places of ``BP`` of them."""
    p = tl.program_id(0) * BP + tl.arange(0, BP)
    key = tl.load(experts + p, mask=p < P, other=E).to(tl.int32)
    key = tl.where(key < 0, E, key)
    rank = tl.zeros((BP,), tl.int32)
    for start in range(0, P, CHUNK):
        q = start + tl.arange(0, CHUNK)
        other = tl.load(experts + q, mask=q < P, other=0).to(tl.int32)
        other = tl.where(other < 0, E, other)
        less = (other[None, :] < key[:, None]) | ((other[None, :] == key[:, None]) & (q[None, :] < p[:, None]))
        rank += tl.sum((less & (q < P)[None, :]).to(tl.int32), 1)
    tl.store(order + rank, p.to(tl.int64), mask=p < P)


def _shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Qwen3-30B-A3B and, with its shared expert, DeepSeek-V3."""
    for name, tokens, experts, hidden, rule in (
        ("qwen3", 1, 128, 2048, Rule(8, renormalise=True)),
        ("v3", 40, 256, 7168, Rule(8, "sigmoid", True, 2.5, 8, 4, shared=1)),
    ):
        x = torch.empty(tokens, hidden, dtype=torch.bfloat16, device="meta")
        correction = torch.empty(experts, device="meta") if name == "v3" else None
        yield f"{name} {tokens}", (x, torch.empty(experts, hidden, device="meta"), rule, None, correction)


@route.implement(
    "triton", rule=lambda k: True, why=f"one launch; a second one that sorts for over {FEW} tokens", gpu=Gpu(_shapes)
)
def _run(
    x: Tensor, gate: Tensor, rule: Rule, bias: Tensor | None = None, correction: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    tokens, hidden = x.shape
    count = len(gate)
    shares = triton.cdiv(hidden, SHARE)
    weights = torch.empty((tokens, rule.places), dtype=torch.float32, device=x.device)
    experts = torch.empty((tokens, rule.places), dtype=torch.int64, device=x.device)
    order = torch.empty(tokens * rule.places, dtype=torch.int64, device=x.device)
    logits = torch.empty((shares, tokens, count), dtype=torch.float32, device=x.device)
    blocks, few = triton.cdiv(tokens, FEW), tokens <= FEW
    arrivals = counters(x.device, blocks)
    launch(
        _route,
        (triton.cdiv(count, EXPERTS), shares, blocks),
        *(x, gate, bias, correction, weights, experts, order, logits, arrivals),
        *(tokens, count, hidden, x.stride(0), float(rule.scale), float(rule.top_p)),
        TOP_K=rule.top_k,
        SHARED=rule.shared,
        SIGMOID=rule.score == "sigmoid",
        RENORMALISE=rule.renormalise,
        TOP_P=rule.top_p < 1,
        GROUPS=rule.groups,
        KEPT=rule.kept_groups,
        LANES=power(count // rule.groups),
        PLACES=power(rule.places),
        PAIRS=power(tokens * rule.places) if few else 0,
        BM=FEW,
        BE=EXPERTS,
        STEP=STEP,
        SHARE=SHARE,
        SHARES=shares,
        warps=4,
        stages=3,
    )
    if not few:
        pairs = tokens * rule.places
        launch(_sort, (triton.cdiv(pairs, SORTED),), experts, order, pairs, count + rule.shared, BP=SORTED, CHUNK=128)
    return weights, experts, order
