"""DeepSeek Sparse Attention's lightning indexer: which tokens a row attends to (DeepSeek-V3.2-Exp §2.1).

``score(t, s) = Σ_h w(t, h) · relu(q(t, h) · k(s))``, and of the tokens that row t may see the ``count`` best are read.
No softmax: a head without a match says nothing. Bytes that bound decode: ``D * size`` per token of context. Where no
row sees more than ``count`` tokens, dense attention is the same and nothing need be scored.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from famulus.kernels.attention import Segment
from famulus.kernels.mla import latents
from famulus.kernels.op import Case, op


def _cases(g: torch.Generator) -> Iterator[Case]:
    for heads, dim, before in ((4, 32, 0), (8, 64, 48), (16, 16, 8)):
        kv = torch.randn(1, 256, before + dim, generator=g)
        scattered = torch.randperm(256, generator=g)[:40]
        segments = [Segment(0, 1, 77, 11), Segment(1, 5, 64, 100), Segment(6, 1, 40, 0, slots=scattered)]
        segments.append(Segment(7, 30, 30, 200))
        q, weights = torch.randn(37, heads, dim, generator=g), torch.rand(37, heads, generator=g) + 0.1
        yield Case(f"{heads}x{dim}", (q, weights, kv, segments, 20), 0)
        q, kv, same = q.sign(), kv.sign(), torch.ones_like(weights)
        q[::3] = 0
        yield Case(f"{heads}x{dim}, ties", (q, same, kv, segments, 20), 0)


@op(
    key=lambda q, weights, kv, segments, count: q.device.type,
    cases=_cases,
    bytes_moved=lambda q, weights, kv, segments, count: (
        sum(s.context for s in segments) * q.shape[2] * kv.element_size() + q.nbytes + len(q) * count * 8
    ),
)
def index_tokens(q: Tensor, weights: Tensor, kv: Tensor, segments: list[Segment], count: int) -> Tensor:
    """``q`` [tokens, heads, D], ``weights`` [tokens, heads] f32, ``kv`` [1, slots, width] whose last D columns are the
    index keys → [tokens, count] int64: places in the row's context, ascending, then -1. Scores are f32; equal ones go
    to the earlier place."""
    found = torch.full((len(q), count), -1, device=q.device)
    for s in segments:
        keys = latents(kv, s)[:, -q.shape[2] :].float()
        for row in range(s.row, s.row + s.count):
            seen = keys[: s.context - s.count + row - s.row + 1]
            scores = weights[row].float() @ (q[row].float() @ seen.t()).relu()
            best = scores.sort(descending=True, stable=True).indices[:count].sort().values
            found[row, : len(best)] = best
    return found


@index_tokens.implement("torch-rows", rule=lambda k: True, why="all rows of a segment in two products")
def _index_rows(q: Tensor, weights: Tensor, kv: Tensor, segments: list[Segment], count: int) -> Tensor:
    found = torch.full((len(q), count), -1, device=q.device)
    for s in segments:
        part = slice(s.row, s.row + s.count)
        keys = latents(kv, s)[:, -q.shape[2] :].float()
        products = (q[part].float().reshape(-1, q.shape[2]) @ keys.t()).relu_().view(s.count, -1, s.context)
        scores = torch.bmm(weights[part, None].float(), products)[:, 0]
        hidden = torch.ones_like(scores, dtype=torch.bool).triu_(s.context - s.count + 1)
        # Scores of exactly 0 are common, and torch's own top-k breaks ties as it likes.
        values, indices = scores.masked_fill_(hidden, float("-inf")).sort(descending=True, stable=True)
        places = torch.where(values == float("-inf"), s.context, indices)[:, :count].sort(-1).values
        found[part, : places.shape[1]] = torch.where(places == s.context, -1, places)
    return found
