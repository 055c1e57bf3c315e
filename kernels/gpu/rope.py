"""Rotary positions and the write into the KV store in one launch: one program for a token and a few heads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from famulus.kernels.gpu.eight_bits import rounded
from famulus.kernels.gpu.launch import launch, power
from famulus.kernels.op import Gpu
from famulus.kernels.rope import rope, rope_store
from famulus.kernels.store import FORMATS, Quantized, Store, empty


@triton.jit
def _rope(
    x, cos, sin, slots, out, kv, scales,
    heads, kv_heads, capacity, x_stride, x_head_stride,
    DIM: tl.constexpr, HALF: tl.constexpr, HEADS: tl.constexpr, STORE: tl.constexpr, E4M3: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    half: tl.constexpr = DIM // 2
    at = tl.arange(0, HALF)
    total = heads + 2 * kv_heads if STORE else heads
    inside = (head < total)[:, None] & (at < half)[None, :]
    place = x + token * x_stride + head[:, None] * x_head_stride + at[None, :]
    low = tl.load(place, mask=inside, other=0.0).to(tl.float32)
    high = tl.load(place + half, mask=inside, other=0.0).to(tl.float32)
    c = tl.load(cos + token * DIM + at, mask=at < half, other=0.0)[None, :]
    s = tl.load(sin + token * DIM + half + at, mask=at < half, other=0.0)[None, :]
    turned = (head < heads + kv_heads)[:, None]  # values are only stored
    first = tl.where(turned, low * c - high * s, low)
    second = tl.where(turned, high * c + low * s, high)
    query = inside & (head < heads)[:, None]
    target = out + (token * heads + head[:, None]) * DIM + at[None, :]
    tl.store(target, first.to(out.dtype.element_ty), mask=query)
    tl.store(target + half, second.to(out.dtype.element_ty), mask=query)
    if STORE:
        kept = inside & (head >= heads)[:, None]
        slot = tl.load(slots + token)
        place = (head - heads) * capacity + slot
        target = kv + place[:, None] * DIM + at[None, :]
        if scales is not None:
            largest: tl.constexpr = 448.0 if E4M3 else 127.0
            size = tl.maximum(tl.max(tl.abs(first), 1), tl.max(tl.abs(second), 1))
            scale = tl.maximum(size / largest, 1e-30)
            tl.store(scales + place, scale, mask=(head >= heads) & (head < total))
            tl.store(target, rounded(first / scale[:, None], E4M3), mask=kept)
            tl.store(target + half, rounded(second / scale[:, None], E4M3), mask=kept)
        else:
            tl.store(target, first.to(kv.dtype.element_ty), mask=kept)
            tl.store(target + half, second.to(kv.dtype.element_ty), mask=kept)


def _run(x: Tensor, cos: Tensor, sin: Tensor, slots: Tensor | None, kv: Store | None) -> Tensor:
    tokens, all_heads, dim = x.shape
    kv_heads = 0 if kv is None else kv.shape[0] // 2
    heads = all_heads - 2 * kv_heads
    out = torch.empty((tokens, heads, dim), dtype=x.dtype, device=x.device)
    group = min(4, power(all_heads))
    values, scales = (kv.values, kv.scales) if isinstance(kv, Quantized) else (kv, None)
    e4m3 = values is not None and values.dtype == torch.float8_e4m3fn
    if values is not None and e4m3:
        values = values.view(torch.uint8)
    launch(
        _rope,
        (tokens, triton.cdiv(all_heads, group)),
        *(
            x,
            cos,
            sin,
            slots,
            out,
            values,
            scales,
            heads,
            kv_heads,
            0 if kv is None else kv.shape[1],
            x.stride(0),
            x.stride(1),
        ),
        DIM=dim,
        HALF=power(dim // 2),
        HEADS=group,
        STORE=kv is not None,
        E4M3=e4m3,
    )
    return out


def _shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    table = torch.empty(1, 1, 64, device="meta")
    yield "1x16x64", (torch.empty(1, 16, 64, dtype=torch.bfloat16, device="meta"), table, table)


def _store_shapes() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Qwen3-30B-A3B."""
    mixed = torch.empty(1, 40, 128, dtype=torch.bfloat16, device="meta")
    table = torch.empty(1, 1, 128, device="meta")
    slots = torch.empty(1, dtype=torch.int64, device="meta")
    for dtype in (torch.bfloat16, *FORMATS.values()):
        yield f"1x32/4x128-{dtype}", (mixed, table, table, slots, empty((8, 32768, 128), dtype, mixed.device))


@rope.implement("triton", rule=lambda k: True, why="one launch", gpu=Gpu(_shapes))
def _rope_run(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return _run(x, cos, sin, None, None)


@rope_store.implement("triton", rule=lambda k: True, why="turned and stored in one launch", gpu=Gpu(_store_shapes))
def _rope_store_run(mixed: Tensor, cos: Tensor, sin: Tensor, slots: Tensor, kv: Store) -> tuple[Tensor, Store]:
    return _run(mixed, cos, sin, slots, kv), kv
