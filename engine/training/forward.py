"""A model's forward pass that gradients go through: whole sequences at once, no cache.

It walks the same :class:`~famulus.engine.decoder.Decoder` that the engine serves, loaded dense or in 4 bits; what it
adds is :class:`~famulus.engine.training.changes.Changes`. The products run in the decoder's compute dtype, the residual
stream, norms and router in f32, as they do when it is served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from famulus.engine.decoder import Decoder
from famulus.engine.errors import InvalidRequest
from famulus.engine.latent import LATENT_EPS, LatentAttention
from famulus.engine.layers import MLP, Attention, Block, MoE, embed
from famulus.engine.training.changes import Changes
from famulus.engine.training.frozen import product, whole
from famulus.engine.training.gradients import Head, attention, cross_entropy, rms_norm, rounded, swiglu, turned
from famulus.kernels.activation import clamped_swiglu
from famulus.kernels.pack import Weight
from famulus.kernels.rope import tables
from famulus.kernels.router import route

ROWS = 64
"""An expert computes a multiple of so many tokens."""


@dataclass
class Extra:
    """What a pass tells beside the hidden states. ``router``: the mean squares of the routers' logits."""

    router: list[Tensor] = field(default_factory=list)


class Trained:
    """A frozen ``decoder`` with its ``changes``. ``recompute``: activations of a layer are computed again when its
    gradients are, which takes a third more time and far less memory. ``rounded``: updated weights are those that the
    engine makes of them in 4 bits."""

    def __init__(self, decoder: Decoder, changes: Changes, recompute: bool = False, rounded: bool = False) -> None:
        self.decoder, self.changes, self.recompute, self.rounded = decoder, changes, recompute, rounded

    def hidden(self, tokens: Tensor, extra: Extra | None = None) -> Tensor:
        """``tokens`` [sequences, length] int64 → [sequences, length, hidden] f32 after the final norm."""
        d, (count, length) = self.decoder, tokens.shape
        positions = torch.arange(length, device=tokens.device)
        inverse, amplitude = d.rotation
        cos, sin = tables(positions, inverse.to(tokens.device), amplitude)
        h = self._embed(tokens).view(count, length, -1) * d.embedded
        for i, block in enumerate(d.blocks):
            if self.recompute and torch.is_grad_enabled():
                h, squares = checkpoint(self._block, h, i, block, cos, sin, use_reentrant=False)
            else:
                h, squares = self._block(h, i, block, cos, sin)
            if extra is not None and squares is not None:
                extra.router.append(squares)
        return rms_norm(h, d.norm, d.args.rms_norm_eps, torch.float32)

    def _embed(self, tokens: Tensor) -> Tensor:
        table, changes = self.decoder.embedding, self.changes
        found = embed(tokens.flatten(), table)
        if changes.rows is None:
            return found
        place = torch.full((table.rows,), -1, device=tokens.device)
        place[changes.row_ids] = torch.arange(len(changes.row_ids), device=tokens.device)
        mine = place[tokens.flatten()]
        return torch.where((mine >= 0)[:, None], changes.rows[mine.clamp(min=0)].float(), found)

    def _linear(self, x: Tensor, weight: Weight, name: str) -> Tensor:
        update = self.changes.of(name)
        if update is None:
            return product(x, weight)
        if self.rounded:
            return F.linear(x, rounded(whole(weight, x.dtype) + update.update()).to(x.dtype), weight.bias)
        added: Tensor = update(x)
        return product(x, weight) + added

    def _block(self, h: Tensor, i: int, block: Block, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor | None]:
        x, mixing = rms_norm(h, block.attention_norm, block.eps, block.compute), block.attention
        if isinstance(mixing, LatentAttention):
            seen = self._latent(x, i, mixing, cos, sin)
        else:
            assert isinstance(mixing, Attention)
            seen = self._attention(x, i, mixing, cos, sin)
        h = _plus(h, seen, block.residual)
        x = rms_norm(h, block.mlp_norm, block.eps, block.compute).flatten(0, 1)
        added, squares = self._pointwise(x, i, block), None
        experts = self.changes.layer(i)
        if experts is not None:
            routed, squares = experts(x)
            added = added + routed
        return _plus(h, added.view(h.shape), block.residual), squares

    def _attention(self, x: Tensor, i: int, a: Attention, cos: Tensor, sin: Tensor) -> Tensor:
        count, length, _ = x.shape
        mixed = self._linear(x, a.qkv, f"{i}.qkv").view(count, length, a.heads + 2 * a.kv_heads, a.head_dim)
        q, k, v = torch.split(mixed, [a.heads, a.kv_heads, a.kv_heads], 2)
        if a.q_norm is not None and a.k_norm is not None:
            q, k = _normalised(q, a.q_norm, a.eps), _normalised(k, a.k_norm, a.eps)
        if a.clip is not None:
            q, k, v = (t.clamp(-a.clip, a.clip) for t in (q, k, v))
        q, k = (turned(t, cos, sin).transpose(1, 2) for t in (q, k))
        seen = _seen(q, k, v.transpose(1, 2), a, self.decoder.window if a.windowed else 0)
        return self._linear(seen.transpose(1, 2).reshape(count, length, -1), a.out, f"{i}.out")

    def _latent(self, x: Tensor, i: int, a: LatentAttention, cos: Tensor, sin: Tensor) -> Tensor:
        count, length, _ = x.shape
        heads, plain, rank = a.keys.shape
        if a.indexer is not None and length > a.indexer.count:
            raise InvalidRequest(f"This model is trained on sequences of at most {a.indexer.count} tokens.")
        first = a.latents.rows - rank - a.turned
        query, latent, key = torch.split(self._linear(x, a.latents, f"{i}.latents"), [first, rank, a.turned], 2)
        if a.queries is not None and a.query_norm is not None:
            query = self._linear(rms_norm(query, a.query_norm, LATENT_EPS, x.dtype), a.queries, f"{i}.queries")
        q = query.reshape(count, length, heads, -1)
        both = turned(torch.cat([q[..., plain:], key[:, :, None]], 2), cos, sin)
        latent = rms_norm(latent, a.kv_norm, LATENT_EPS, x.dtype)
        keys = torch.einsum("ntr,hpr->nhtp", latent, a.keys)
        values = torch.einsum("ntr,hvr->nhtv", latent, a.values)
        shared = both[:, :, heads:].transpose(1, 2).expand(-1, heads, -1, -1)
        queries = torch.cat([q[..., :plain], both[:, :, :heads]], -1).transpose(1, 2)
        seen = attention(queries, torch.cat([keys, shared], -1), values, a.scale)
        return self._linear(seen.transpose(1, 2).reshape(count, length, -1), a.out, f"{i}.out")

    def _pointwise(self, x: Tensor, i: int, block: Block) -> Tensor:
        if isinstance(block.mlp, MLP):
            return self._mlp(x, block.mlp, f"{i}.")
        assert isinstance(block.mlp, MoE)
        found = _mixture(x, block.mlp)
        return found if block.mlp.shared is None else found + self._mlp(x, block.mlp.shared, f"{i}.shared_")

    def _mlp(self, x: Tensor, mlp: MLP, name: str) -> Tensor:
        both = self._linear(x, mlp.gate_up, f"{name}gate_up")
        return self._linear(swiglu(both), mlp.down, f"{name}down")

    def loss(self, tokens: Tensor, targets: Tensor, extra: Extra | None = None) -> tuple[Tensor, Tensor]:
        """``tokens`` and ``targets`` [sequences, length]; a target below 0 does not count → the summed cross-entropy in
        nats, and how many targets count."""
        hidden = self.hidden(tokens, extra).flatten(0, 1)
        wanted = targets.flatten()
        counted = (wanted >= 0).nonzero().flatten()
        x = hidden[counted].to(self.decoder.compute)
        head, rows = self._head()
        return cross_entropy(x, rows, wanted[counted], head), torch.tensor(len(counted), device=tokens.device)

    def logits(self, hidden: Tensor) -> Tensor:
        """[rows, hidden] → [rows, vocabulary] f32."""
        head, rows = self._head()
        return head.logits(hidden.to(self.decoder.compute), rows)

    def _head(self) -> tuple[Head, Tensor | None]:
        d, changes = self.decoder, self.changes
        rows = changes.rows if d.head is d.embedding else None
        return Head(d.head, None if rows is None else changes.row_ids, d.head_scale), rows


def _plus(h: Tensor, added: Tensor, factor: float) -> Tensor:
    """``h`` f32 with what a layer adds."""
    return h + added if factor == 1 else h + added.float() * factor


def _normalised(heads: Tensor, weight: Tensor, eps: float) -> Tensor:
    flat = heads.reshape(*heads.shape[:2], -1, len(weight))
    return rms_norm(flat, weight, eps, heads.dtype).view(heads.shape)


def _seen(q: Tensor, k: Tensor, v: Tensor, a: Attention, window: int) -> Tensor:
    """[sequences, heads, length, D] each → the same for the queries."""
    length, group = q.shape[2], a.heads // a.kv_heads
    if a.sinks is None and not window:
        return attention(q, k, v, a.scale)
    ahead = torch.arange(length, device=q.device)[None] - torch.arange(length, device=q.device)[:, None]
    visible = (ahead <= 0) & (ahead > -window) if window else ahead <= 0
    keys, values = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = (q @ keys.transpose(2, 3)).float() * a.scale
    scores = scores.masked_fill(~visible, float("-inf"))
    if a.sinks is not None:
        sinks = a.sinks[None, :, None, None].expand(*scores.shape[:3], 1)
        scores = torch.cat([scores, sinks], -1)
    return scores.softmax(-1)[..., :length].to(v.dtype) @ values


def _mixture(x: Tensor, m: MoE) -> Tensor:
    """Frozen experts, each over the tokens that go to it, filled up to a multiple of :data:`ROWS` by one that weighs
    nothing there: so products come in few shapes, for each of which oneDNN compiles a program."""
    weights, experts, _ = route.reference(x, m.gate, m.rule, m.bias, m.correction)
    chosen = experts.flatten()
    none, *counts = torch.bincount(chosen + 1, minlength=len(m.gate_up.each) + 1).tolist()
    order = chosen.argsort(stable=True)[none:]
    rooms = [-(-count // ROWS) * ROWS for count in counts]
    shares, tokens = x.new_zeros(sum(rooms), dtype=torch.float32), order.new_zeros(sum(rooms))
    at = torch.cat([torch.arange(count) + sum(rooms[:e]) for e, count in enumerate(counts)]).to(x.device)
    shares = shares.index_copy(0, at, weights.flatten()[order])
    tokens[at] = order // experts.shape[1]
    made = _each(x[tokens], m.gate_up.each, rooms)
    clamp = m.clamp
    inner = swiglu(made) if clamp is None else clamped_swiglu.reference(made, clamp.alpha, clamp.limit)
    answers = _each(inner, m.down.each, rooms).float() * shares[:, None]
    return torch.zeros(x.shape, dtype=torch.float32, device=x.device).index_add(0, tokens, answers).to(x.dtype)


def _each(x: Tensor, weights: Sequence[Weight], counts: Sequence[int]) -> Tensor:
    """The first of ``counts`` rows of ``x`` times the first of ``weights``, and so on."""
    parts = zip(torch.split(x, list(counts)), weights, strict=True)
    return torch.cat([product(part, weight) for part, weight in parts if len(part)])
