"""Causal attention with grouped query heads over a paged KV store.

The store of one layer is ``kv`` [2 * kv_heads, slots, D]: keys of all heads, then values; a page is a run of
neighbouring slots. A sequence's slots are a :class:`Segment`: one contiguous run is read as a view, several are
gathered. Bytes that bound decode: ``2 * kv_heads * D * size`` per token of context; in int8 or e4m3 with a scale per
token and KV head, as :mod:`famulus.kernels.store` lays them out, ``2 * kv_heads * (D + 4)``.

A *window* (Beltagy et al. 2020) lets a row see only the last tokens up to itself. A *sink* (gpt-oss) is one more logit
per head in the softmax, without a value: it takes its share of the weight and gives nothing.

The query group is laid out as *rows* of its KV head. torch's CPU kernel with ``enable_gqa`` was measured 9–20 times
slower, because it works through every query head alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from famulus.kernels.op import Case, op
from famulus.kernels.store import FORMATS, Quantized, Store, quantize, read


@dataclass(frozen=True)
class Segment:
    """Query rows ``[row, row + count)`` of the batch: the last ``count`` of ``context`` tokens of one sequence.

    ``start``: first slot when the context lies in one run; otherwise ``slots`` [context] int64 names each one.
    ``mask`` [count, context] f32 (0 or -inf), None where one row sees everything. With a ``window`` row i sees the last
    ``window`` tokens up to itself, and ``context`` begins at the first that any row sees.
    """

    row: int
    count: int
    context: int
    start: int
    slots: Tensor | None = None
    mask: Tensor | None = None
    window: int = 0


class Segments(list[Segment]):
    """The segments of one step. ``tables``: what a kernel made of them, for all layers of the step."""

    def __init__(self, segments: Iterable[Segment] = ()) -> None:
        super().__init__(segments)
        self.tables: dict[tuple[int, int], Any] = {}


def causal_mask(count: int, context: int, dtype: torch.dtype, window: int = 0) -> Tensor | None:
    """Row i of ``count`` sees the first ``context - count + i + 1`` tokens, with a ``window`` the last of them alone:
    [count, context] of 0 and -inf."""
    if count == 1:
        return None
    hidden = torch.full((count, context), float("-inf"), dtype=dtype)
    later = hidden.triu(context - count + 1)
    return later + hidden.tril(context - count - window) if window else later


def _read(kv: Store, segment: Segment, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """(keys, values), each [kv_heads, context, D]; a view where the context is one run, ``dtype`` where 8 bits are."""
    run = slice(segment.start, segment.start + segment.context)
    both = read(kv, run if segment.slots is None else segment.slots, dtype)
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
            windowed = [
                Segment(0, 1, 16, 72, window=16),
                Segment(1, 5, 20, 144, mask=causal_mask(5, 20, dtype, 16), window=16),
                Segment(6, 1, 9, 0, slots=scattered[:9], window=16),
                Segment(7, 30, 30, 200, mask=causal_mask(30, 30, dtype, 16), window=16),
            ]
            sinks = torch.randn(heads, generator=g) * 2
            for name, chosen in (("sinks", segments), ("window-sinks", windowed)):
                yield Case(f"{name}-{heads}/{kv_heads}x{dim}-{dtype}", (q, kv, chosen, dim**-0.5, sinks), tolerance)
            yield Case(f"window-{heads}/{kv_heads}x{dim}-{dtype}", (q, kv, windowed, dim**-0.5), tolerance)
            for format, small in FORMATS.items():
                kept = Quantized(*quantize(kv, small))
                name = f"{heads}/{kv_heads}x{dim}-{dtype}-{format}"
                yield Case(name, (q, kept, segments, dim**-0.5), tolerance)
                yield Case(f"window-sinks-{name}", (q, kept, windowed, dim**-0.5, sinks), tolerance)


def _bytes(q: Tensor, kv: Store, segments: list[Segment], scale: float, sinks: Tensor | None = None) -> int:
    per_token = kv.nbytes // kv.shape[1]
    return sum(s.context for s in segments) * per_token + 2 * q.numel() * q.element_size()


@op(
    key=lambda q, kv, segments, scale, sinks=None: (q.device.type, sinks is not None, isinstance(kv, Quantized)),
    cases=_cases,
    bytes_moved=_bytes,
    words=("with sinks", "of 8 bits"),
)
def attention(q: Tensor, kv: Store, segments: list[Segment], scale: float, sinks: Tensor | None = None) -> Tensor:
    """``q`` [tokens, heads, D] against ``kv`` [2 * kv_heads, slots, D], with ``sinks`` [heads] f32 → [tokens, heads, D]
    in the dtype of ``q``."""
    out = torch.empty_like(q)
    group = q.shape[1] // (kv.shape[0] // 2)
    for s in segments:
        keys, values = (part.float().repeat_interleave(group, 0) for part in _read(kv, s, torch.float32))
        rows = q[s.row : s.row + s.count].transpose(0, 1).float()
        scores = rows @ keys.transpose(1, 2) * scale
        ahead = torch.arange(s.context)[None] - torch.arange(s.context - s.count, s.context)[:, None]
        visible = (ahead <= 0) & (ahead > -s.window) if s.window else ahead <= 0
        scores = scores.masked_fill(~visible, float("-inf"))
        if sinks is not None:
            scores = torch.cat([scores, sinks.float()[:, None, None].expand(-1, s.count, 1)], -1)
        weights = scores.softmax(-1)[..., : s.context]
        out[s.row : s.row + s.count] = (weights @ values).transpose(0, 1).to(q.dtype)
    return out


@attention.implement("torch-rows", rule=lambda k: not k[1], why="query groups as rows of their KV head")
def _attention_rows(q: Tensor, kv: Store, segments: list[Segment], scale: float, sinks: Tensor | None = None) -> Tensor:
    parts = [_one(q[s.row : s.row + s.count], kv, s, scale) for s in segments]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _one(q: Tensor, kv: Store, s: Segment, scale: float) -> Tensor:
    count, heads, dim = q.shape
    keys, values = _read(kv, s, q.dtype)
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


@attention.implement("torch-sinks", rule=lambda k: k[1], why="the softmax by hand, for its one more logit")
def _attention_sinks(
    q: Tensor, kv: Store, segments: list[Segment], scale: float, sinks: Tensor | None = None
) -> Tensor:
    assert sinks is not None
    out = torch.empty_like(q)
    for s in segments:
        keys, values = _read(kv, s, q.dtype)
        group = q.shape[1] // len(keys)
        # [kv_heads, group * count, D], the group outside, so that one product serves all of a KV head's queries.
        rows = q[s.row : s.row + s.count].view(s.count, len(keys), group, -1).permute(1, 2, 0, 3)
        scores = (rows.reshape(len(keys), group * s.count, -1) @ keys.transpose(1, 2)).float() * scale
        scores = scores.view(len(keys), group, s.count, s.context)
        if s.mask is not None:
            scores = scores + s.mask
        extra = sinks.float().view(len(keys), group, 1, 1).expand(-1, -1, s.count, 1)
        weights = torch.cat([scores, extra], -1).softmax(-1)[..., :-1].to(values.dtype)
        mixed = weights.reshape(len(keys), group * s.count, s.context) @ values
        mixed = mixed.view(len(keys), group, s.count, -1).permute(2, 0, 1, 3)
        out[s.row : s.row + s.count] = mixed.reshape(s.count, q.shape[1], -1)
    return out
