"""Causal attention with grouped query heads over a paged KV store.

The store of one layer is ``kv`` [2 * kv_heads, slots, D]: keys of all heads, then values; a page is a run of
neighbouring slots. A sequence's slots are a :class:`Segment`: one contiguous run is read as a view, several are
gathered. Bytes that bound decode: ``2 * kv_heads * D * size`` per token of context.

The query group is laid out as *rows* of its KV head. torch's CPU kernel with ``enable_gqa`` was measured 9–20 times
slower, because it works through every query head alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from famulus.kernels.op import Case, op


@dataclass(frozen=True)
class Segment:
    """Query rows ``[row, row + count)`` of the batch: the last ``count`` of ``context`` tokens of one sequence.

    ``start``: first slot when the context lies in one run; otherwise ``slots`` [context] int64 names each one.
    ``mask`` [count, context] f32 (0 or -inf), None where one row sees everything.
    """

    row: int
    count: int
    context: int
    start: int
    slots: Tensor | None = None
    mask: Tensor | None = None


def causal_mask(count: int, context: int, dtype: torch.dtype) -> Tensor | None:
    """Row i of ``count`` sees the first ``context - count + i + 1`` tokens: [count, context] of 0 and -inf."""
    if count == 1:
        return None
    return torch.full((count, context), float("-inf"), dtype=dtype).triu_(context - count + 1)


def _read(kv: Tensor, segment: Segment) -> tuple[Tensor, Tensor]:
    """(keys, values), each [kv_heads, context, D]; a view where the context is one run."""
    if segment.slots is None:
        both = kv[:, segment.start : segment.start + segment.context]
    else:
        both = kv.index_select(1, segment.slots)
    heads = kv.shape[0] // 2
    return both[:heads], both[heads:]


def _cases(g: torch.Generator) -> Iterator[Case]:
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
        for heads, kv_heads, dim in ((9, 3, 64), (4, 4, 32), (8, 1, 128)):
            kv = torch.randn(2 * kv_heads, 256, dim, generator=g).to(dtype)
            scattered = torch.randperm(256, generator=g)[:40]
            segments = [
                Segment(0, 1, 77, 11),
                Segment(1, 5, 64, 100, mask=causal_mask(5, 64, dtype)),
                Segment(6, 1, 40, 0, slots=scattered),
                Segment(7, 30, 30, 200, mask=causal_mask(30, 30, dtype)),
            ]
            q = torch.randn(37, heads, dim, generator=g).to(dtype)
            yield Case(f"{heads}/{kv_heads}x{dim}-{dtype}", (q, kv, segments, dim**-0.5), tolerance)


def _bytes(q: Tensor, kv: Tensor, segments: list[Segment], scale: float) -> int:
    per_token = kv.shape[0] * kv.shape[2] * kv.element_size()
    return sum(s.context for s in segments) * per_token + 2 * q.numel() * q.element_size()


@op(key=lambda q, kv, segments, scale: q.device.type, cases=_cases, bytes_moved=_bytes)
def attention(q: Tensor, kv: Tensor, segments: list[Segment], scale: float) -> Tensor:
    """``q`` [tokens, heads, D] against ``kv`` [2 * kv_heads, slots, D] → [tokens, heads, D] in the dtype of ``q``."""
    out = torch.empty_like(q)
    group = q.shape[1] // (kv.shape[0] // 2)
    for s in segments:
        keys, values = (part.float().repeat_interleave(group, 0) for part in _read(kv, s))
        rows = q[s.row : s.row + s.count].transpose(0, 1).float()
        scores = rows @ keys.transpose(1, 2) * scale
        visible = torch.arange(s.context)[None] <= torch.arange(s.context - s.count, s.context)[:, None]
        scores = scores.masked_fill(~visible, float("-inf"))
        out[s.row : s.row + s.count] = (scores.softmax(-1) @ values).transpose(0, 1).to(q.dtype)
    return out


@attention.implement("torch-rows", rule=lambda k: True, why="query groups as rows of their KV head")
def _attention_rows(q: Tensor, kv: Tensor, segments: list[Segment], scale: float) -> Tensor:
    parts = [_one(q[s.row : s.row + s.count], kv, s, scale) for s in segments]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _one(q: Tensor, kv: Tensor, s: Segment, scale: float) -> Tensor:
    count, heads, dim = q.shape
    keys, values = _read(kv, s)
    kv_heads = keys.shape[0]
    group = heads // kv_heads
    if count == 1:
        rows = q.view(1, kv_heads, group, dim)
        mixed = F.scaled_dot_product_attention(rows, keys[None], values[None], scale=scale)
        return mixed.view(1, heads, dim)
    # [kv_heads, group, count, D]: the KV head is the batch, so keys are shared by a stride of 0, not by a copy.
    rows = q.view(count, kv_heads, group, dim).permute(1, 2, 0, 3)
    shape = (kv_heads, group, s.context, dim)
    mixed = F.scaled_dot_product_attention(
        rows, keys[:, None].expand(shape), values[:, None].expand(shape), attn_mask=s.mask, scale=scale
    )
    return mixed.permute(2, 0, 1, 3).reshape(count, heads, dim)
