"""Multi-head latent attention, absorbed (DeepSeek-V2 §2.1): all heads read one latent per token.

The store of one layer is ``kv`` [1, slots, width]: ``rank`` values of the normalised latent, then the turned key that
all heads share, then what others keep there. Keys are ``W_UK c`` and values ``W_UV c``; moved over to the query and the
output, these matrices leave attention with one head whose value is the first ``rank`` columns of its key:
``softmax(scale * q · [c, k]) c``. Bytes that bound decode: ``(rank + rotated) * size`` per token of context, 1,152 in
bf16, whatever the number of heads.

The store stays in the dtype of the model: it is small already, what is rounded in it is rounded in every head's key and
value at once, and latent and turned key, of different sizes, could not share a scale.

With ``chosen`` tokens (DeepSeek-V3.2's sparse attention, see :mod:`famulus.kernels.indexer`) a row reads only those.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from famulus.kernels.attention import Segment, causal_mask
from famulus.kernels.op import Case, op


def latents(kv: Tensor, segment: Segment) -> Tensor:
    """What ``kv`` [1, slots, width] keeps of a segment's context: [context, width], a view where it is one run."""
    if segment.slots is None:
        return kv[0, segment.start : segment.start + segment.context]
    return kv[0].index_select(0, segment.slots.to(kv.device))


def _cases(g: torch.Generator) -> Iterator[Case]:
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
        for heads, rank, rotated, spare in ((4, 32, 16, 0), (16, 64, 32, 16), (3, 48, 8, 0)):
            kv = torch.randn(1, 256, rank + rotated + spare, generator=g).to(dtype)
            scattered = torch.randperm(256, generator=g)[:40]
            segments = [
                Segment(0, 1, 77, 11),
                Segment(1, 5, 64, 100, mask=causal_mask(5, 64, dtype)),
                Segment(6, 1, 40, 0, slots=scattered),
                Segment(7, 30, 30, 200, mask=causal_mask(30, 30, dtype)),
            ]
            q = torch.randn(37, heads, rank + rotated, generator=g).to(dtype)
            name = f"{heads}x{rank}+{rotated}-{dtype}"
            scale = (rank + rotated) ** -0.5
            yield Case(name, (q, kv, segments, scale, rank), tolerance)
            yield Case(f"chosen-{name}", (q, kv, segments, scale, rank, _some(segments, 12, g)), tolerance)


def _some(segments: list[Segment], count: int, g: torch.Generator) -> Tensor:
    """For every row at most ``count`` tokens that it may see, ascending, then -1."""
    found = torch.full((sum(s.count for s in segments), count), -1)
    for s in segments:
        for row in range(s.count):
            seen = torch.randperm(s.context - s.count + row + 1, generator=g)[:count].sort().values
            found[s.row + row, : len(seen)] = seen
    return found


def _bytes(
    q: Tensor, kv: Tensor, segments: list[Segment], scale: float, rank: int, chosen: Tensor | None = None
) -> int:
    read = sum(s.context for s in segments) if chosen is None else int((chosen >= 0).sum())
    return read * q.shape[2] * kv.element_size() + 2 * q.numel() * q.element_size()


@op(
    key=lambda q, kv, segments, scale, rank, chosen=None: (q.device.type, chosen is not None),
    cases=_cases,
    bytes_moved=_bytes,
    words=("of chosen tokens",),
)
def mla(
    q: Tensor, kv: Tensor, segments: list[Segment], scale: float, rank: int, chosen: Tensor | None = None
) -> Tensor:
    """``q`` [tokens, heads, rank + rotated] against ``kv`` [1, slots, width] → [tokens, heads, rank] in the dtype of
    ``q``. ``chosen`` [tokens, n] int64: the places in its context that a row reads, -1 for none."""
    out = torch.empty((*q.shape[:2], rank), dtype=q.dtype)
    for s in segments:
        keys = latents(kv, s)[:, : q.shape[2]].float()
        for row in range(s.count):
            seen = torch.arange(s.context - s.count + row + 1)
            if chosen is not None:
                seen = chosen[s.row + row][chosen[s.row + row] >= 0]
            weights = (q[s.row + row].float() @ keys[seen].t() * scale).softmax(-1)
            out[s.row + row] = (weights @ keys[seen, :rank]).to(q.dtype)
    return out


@mla.implement("torch-rows", rule=lambda k: k[0] == "cpu", why="all heads and rows of a segment in two products")
def _mla_rows(
    q: Tensor, kv: Tensor, segments: list[Segment], scale: float, rank: int, chosen: Tensor | None = None
) -> Tensor:
    heads, width = q.shape[1:]
    out = torch.empty((len(q), heads, rank), dtype=q.dtype)
    for s in segments:
        keys, mask = latents(kv, s)[:, :width], s.mask
        if chosen is not None and s.count == 1:
            keys = keys[chosen[s.row][chosen[s.row] >= 0]]
        elif chosen is not None:
            mask = _only(chosen[s.row : s.row + s.count], s.context)
        rows = q[s.row : s.row + s.count].reshape(-1, width)
        scores = (rows @ keys.t()).float() * scale
        if mask is not None:
            scores = (scores.view(s.count, heads, -1) + mask[:, None]).view(scores.shape)
        out[s.row : s.row + s.count] = (scores.softmax(-1).to(q.dtype) @ keys[:, :rank]).view(s.count, heads, rank)
    return out


def _only(chosen: Tensor, context: int) -> Tensor:
    """A mask [rows, context] f32 that leaves the chosen places; the last column takes what is not chosen."""
    hidden = torch.full((len(chosen), context + 1), float("-inf"))
    return hidden.scatter_(1, torch.where(chosen < 0, context, chosen), 0.0)[:, :context]
