"""Multi-head latent attention as DeepSeek builds it: absorbed, and in V3.2 over the tokens that an indexer chooses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from famulus.engine.batch import Batch
from famulus.kernels.indexer import index_tokens
from famulus.kernels.linear import linear
from famulus.kernels.mla import mla
from famulus.kernels.norm import rms_norm
from famulus.kernels.pack import Weight
from famulus.kernels.rope import rope
from famulus.kernels.store import Store

LATENT_EPS = 1e-6
"""Of the norms of the latents, whatever ``rms_norm_eps`` says."""


@dataclass(frozen=True)
class Indexer:
    """Chooses the tokens that a row reads. ``norm`` and its bias are a LayerNorm's (f32); ``weights`` [heads, hidden]
    f32."""

    queries: Weight
    key: Weight
    weights: Tensor
    norm: Tensor
    norm_bias: Tensor
    heads: int
    width: int
    turned: int
    count: int

    def __call__(self, x: Tensor, query: Tensor, batch: Batch, kv: Tensor) -> Tensor | None:
        """``x`` [tokens, hidden], ``query`` [tokens, lora] → chosen places [tokens, count], None where all are read;
        the index keys are written into the last columns of ``kv``."""
        raw = linear(x, self.key).float()
        key = F.layer_norm(raw, (self.width,), self.norm, self.norm_bias, 1e-6).to(x.dtype)
        q = linear(query, self.queries).view(-1, self.heads, self.width)
        both = torch.cat([q, key[:, None]], 1)
        both = torch.cat([rope(both[..., : self.turned], batch.cos, batch.sin), both[..., self.turned :]], -1)
        kv[0, :, -self.width :].index_copy_(0, batch.slots, both[:, self.heads])
        if all(s.context <= self.count for s in batch.segments):
            return None
        weights = F.linear(x.float(), self.weights) * (self.heads * self.width) ** -0.5
        return index_tokens(both[:, : self.heads], weights, kv, batch.segments, self.count)


@dataclass(frozen=True)
class LatentAttention:
    """Absorbed MLA. ``latents`` gives query (or its latent) and what is kept; ``keys`` [heads, plain, rank] and
    ``values`` [heads, v, rank] in the compute dtype."""

    latents: Weight
    kv_norm: Tensor
    keys: Tensor
    values: Tensor
    out: Weight
    turned: int
    scale: float
    queries: Weight | None = None
    query_norm: Tensor | None = None
    indexer: Indexer | None = None

    def __call__(self, x: Tensor, batch: Batch, kv: Store) -> Tensor:
        """``x`` [tokens, hidden] normalised → [tokens, hidden]; ``kv`` [1, slots, width] is written."""
        assert isinstance(kv, Tensor), "latents are kept whole"
        heads, plain, rank = self.keys.shape
        first = self.latents.rows - rank - self.turned
        query, latent, key = torch.split(linear(x, self.latents), [first, rank, self.turned], 1)
        if self.queries is not None and self.query_norm is not None:
            query = rms_norm(query.float(), self.query_norm, LATENT_EPS, x.dtype)
        q = (query if self.queries is None else linear(query, self.queries)).reshape(len(x), heads, -1)
        turned = rope(torch.cat([q[..., plain:], key[:, None]], 1), batch.cos, batch.sin)
        latent = rms_norm(latent.float(), self.kv_norm, LATENT_EPS, x.dtype)
        kv[0, :, : rank + self.turned].index_copy_(0, batch.slots, torch.cat([latent, turned[:, heads]], 1))
        chosen = None if self.indexer is None else self.indexer(x, query, batch, kv)
        absorbed = torch.bmm(q[..., :plain].transpose(0, 1), self.keys).transpose(0, 1)
        seen = mla(torch.cat([absorbed, turned[:, :heads]], -1), kv, batch.segments, self.scale, rank, chosen)
        mixed = torch.bmm(seen.transpose(0, 1), self.values.transpose(1, 2))
        return linear(mixed.transpose(0, 1).reshape(len(x), -1), self.out)

    @property
    def fixed(self) -> bool:
        """Not where an indexer chooses."""
        return self.indexer is None

    def linears(self) -> list[Weight]:
        """Every weight that a decoded token reads."""
        heads, _, rank = self.keys.shape
        absorbed = [Weight(heads * t.shape[1], rank, "dense", t.reshape(-1, rank)) for t in (self.keys, self.values)]
        indexed = [] if self.indexer is None else [self.indexer.queries, self.indexer.key]
        return [self.latents, self.out, *absorbed, *indexed, *([] if self.queries is None else [self.queries])]
