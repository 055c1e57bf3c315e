"""The two halves of a decoder layer as one operation each.

``h += r * out(attention(norm(h)))`` and ``h += r * down(swiglu(gate_up(norm(h))))`` on the residual stream ``h``. At
decode the bytes of the weights are read once either way; what counts is everything between the products: calls from
Python, activations that are written and read again, threads that are woken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from famulus.kernels.activation import swiglu
from famulus.kernels.attention import Segment, attention, causal_mask
from famulus.kernels.cpu import blocks
from famulus.kernels.linear import linear, make_weight
from famulus.kernels.norm import rms_norm
from famulus.kernels.op import Case, op
from famulus.kernels.pack import Weight
from famulus.kernels.rope import frequencies, rope_store, tables
from famulus.kernels.store import Quantized, Store, quantize


@dataclass(frozen=True)
class AttentionPart:
    """Grouped-query attention with the norm before it; see :class:`famulus.engine.layers.Attention`.

    ``norm`` [hidden], ``sinks`` [heads], ``q_norm`` and ``k_norm`` of every head alone [head_dim] or of all heads
    together [heads * head_dim]: f32.
    """

    norm: Tensor
    qkv: Weight
    out: Weight
    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    scale: float
    q_norm: Tensor | None = None
    k_norm: Tensor | None = None
    sinks: Tensor | None = None
    residual: float = 1.0

    @cached_property
    def fits(self) -> bool:
        """Whether the compiled library can compute it."""
        return blocks.attention_fits(self)

    @property
    def normed_together(self) -> bool:
        """Whether all query heads, and all key heads, are one row for their norm."""
        q, k = self.q_norm, self.k_norm
        if q is None or k is None:
            return False
        return (q.numel(), k.numel()) == (self.heads * self.head_dim, self.kv_heads * self.head_dim)

    @cached_property
    def compiled(self) -> blocks.Attention:
        """As the compiled library wants it."""
        return blocks.Attention(self)


@dataclass(frozen=True)
class MlpPart:
    """A gated MLP with the norm before it; ``norm`` [hidden] f32."""

    norm: Tensor
    gate_up: Weight
    down: Weight
    eps: float
    residual: float = 1.0

    @cached_property
    def fits(self) -> bool:
        """Whether the compiled library can compute it."""
        return blocks.mlp_fits(self)

    @cached_property
    def compiled(self) -> blocks.Mlp:
        """As the compiled library wants it."""
        return blocks.Mlp(self)


@dataclass(frozen=True)
class Tokens:
    """Where a step's tokens stand. ``cos``, ``sin``: [tokens, 1, D] f32; ``slots`` [tokens] int64."""

    cos: Tensor
    sin: Tensor
    slots: Tensor
    segments: list[Segment]

    @cached_property
    def compiled(self) -> blocks.Step:
        """As the compiled library wants it."""
        return blocks.Step(self)


def _attention_cases(g: torch.Generator) -> Iterator[Case]:
    for hidden, heads, kv_heads, dim, normed, together, bias in (
        (96, 6, 2, 32, False, False, False),
        (128, 2, 1, 64, True, False, True),
        (64, 4, 2, 32, True, True, False),
    ):
        q_width, k_width = (heads * dim, kv_heads * dim) if together else (dim, dim)
        rows = (heads + 2 * kv_heads) * dim
        extra = torch.randn(rows, generator=g) if bias else None
        dtype = torch.bfloat16
        part = AttentionPart(
            torch.rand(hidden, generator=g) + 0.5,
            make_weight(torch.randn(rows, hidden, generator=g) * hidden**-0.5, "tiles", dtype, extra),
            make_weight(torch.randn(hidden, heads * dim, generator=g) * 0.1, "tiles", dtype),
            heads,
            kv_heads,
            dim,
            1e-5,
            dim**-0.5,
            torch.rand(q_width, generator=g) + 0.5 if normed else None,
            torch.rand(k_width, generator=g) + 0.5 if normed else None,
            torch.randn(heads, generator=g) * 2 if normed else None,
            0.7 if normed else 1.0,
        )
        scattered = torch.randperm(700, generator=g)
        segments = [
            Segment(0, 1, 300, 11),
            Segment(1, 5, 64, 500, mask=causal_mask(5, 64, dtype)),
            Segment(6, 1, 140, 0, slots=scattered[:140]),
        ]
        windowed = [Segment(0, 1, 16, 72, window=16), Segment(1, 3, 18, 144, None, causal_mask(3, 18, dtype, 16), 16)]
        one = [Segment(0, 1, 1, 5)]
        prompts = [
            Segment(0, 21, 90, 30, mask=causal_mask(21, 90, dtype)),
            Segment(21, 2, 33, 130, mask=causal_mask(2, 33, dtype)),
            Segment(23, 150, 150, 200, mask=causal_mask(150, 150, dtype)),
            Segment(173, 17, 270, 0, 400 + torch.randperm(300, generator=g)[:270], causal_mask(17, 270, dtype)),
        ]
        long = [Segment(0, 130, 145, 72, None, causal_mask(130, 145, dtype, 16), 16)]
        for name, chosen in (
            ("whole", segments),
            ("window", windowed),
            ("one", one),
            ("prompts", prompts),
            ("windowed-prompt", long),
        ):
            given = _attention_arguments(g, part, chosen)
            yield Case(f"{name}-{heads}/{kv_heads}x{dim}", given, 0.02)
            if name in ("whole", "prompts"):
                kept = Quantized(*quantize(given[-1], torch.int8))
                yield Case(f"{name}-int8-{heads}/{kv_heads}x{dim}", (*given[:-1], kept), 0.02)


def _attention_arguments(
    g: torch.Generator, part: AttentionPart, segments: list[Segment]
) -> tuple[Tensor, AttentionPart, Tokens, Tensor]:
    kv = torch.randn(2 * part.kv_heads, 700, part.head_dim, generator=g).bfloat16()
    positions: list[int] = []
    slots: list[int] = []
    for s in segments:
        run = torch.arange(s.start, s.start + s.context) if s.slots is None else s.slots
        slots += run[s.context - s.count :].tolist()
        positions += range(s.context - s.count, s.context)
    cos, sin = tables(torch.tensor(positions), frequencies(part.head_dim, 1e4))
    h = torch.randn(len(positions), len(part.norm), generator=g)
    return h, part, Tokens(cos, sin, torch.tensor(slots), segments), kv


@op(
    key=lambda h, part, tokens, kv: (h.device.type, part.fits and blocks.store_fits(kv)),
    cases=_attention_cases,
    words=("in the layout of the compiled kernels",),
    made_of=("rms_norm", "linear", "rope_store", "attention", "linear"),
    bytes_moved=lambda h, part, tokens, kv: (
        part.qkv.decode_bytes
        + part.out.decode_bytes
        + sum(s.context for s in tokens.segments) * (kv.nbytes // kv.shape[1])
    ),
)
def attention_block(h: Tensor, part: AttentionPart, tokens: Tokens, kv: Store) -> Tensor:
    """``h`` [tokens, hidden] f32 plus what attention finds, in place; keys and values go into ``kv``
    [2 * kv_heads, slots, D] → ``h``."""
    width = part.heads + 2 * part.kv_heads
    mixed = linear.reference(rms_norm.reference(h, part.norm, part.eps, torch.float32), part.qkv)
    mixed = mixed.view(-1, width, part.head_dim)
    for norm, heads in ((part.q_norm, slice(0, part.heads)), (part.k_norm, slice(part.heads, -part.kv_heads))):
        if norm is not None:
            rows = mixed[:, heads].reshape(-1, len(norm))
            mixed[:, heads] = rms_norm.reference(rows, norm, part.eps, torch.float32).view_as(mixed[:, heads])
    queries, _ = rope_store.reference(mixed, tokens.cos, tokens.sin, tokens.slots, kv)
    seen = attention.reference(queries, kv, tokens.segments, part.scale, part.sinks)
    h += part.residual * linear.reference(seen.flatten(1), part.out)
    return h


if blocks.ready():
    attention_block.implement(
        "compiled",
        rule=lambda k: k[0] == "cpu" and k[1],
        why="one call: integer products, rotation, the store and the attention, nothing in between leaves the cache",
    )(blocks.attention)


def _mlp_cases(g: torch.Generator) -> Iterator[Case]:
    for rows, hidden, inner, residual, bias in (
        (1, 64, 96, 1.0, False),
        (7, 96, 160, 0.3, True),
        (150, 64, 64, 1.0, True),
    ):
        dtype = torch.bfloat16
        extra = [torch.randn(n, generator=g) for n in (2 * inner, hidden)] if bias else [None, None]
        gate_up = make_weight(torch.randn(2 * inner, hidden, generator=g) * 0.2, "tiles", dtype, extra[0])
        down = make_weight(torch.randn(hidden, inner, generator=g) * 0.1, "tiles", dtype, extra[1])
        part = MlpPart(torch.rand(hidden, generator=g) + 0.5, gate_up, down, 1e-5, residual)
        yield Case(f"{rows}x{hidden}x{inner}", (torch.randn(rows, hidden, generator=g), part), 0.02)


@op(
    key=lambda h, part: (h.device.type, part.fits),
    cases=_mlp_cases,
    words=("in the layout of the compiled kernels",),
    made_of=("rms_norm", "linear", "swiglu", "linear"),
    bytes_moved=lambda h, part: part.gate_up.decode_bytes + part.down.decode_bytes + 2 * h.nbytes,
)
def mlp_block(h: Tensor, part: MlpPart) -> Tensor:
    """``h`` [tokens, hidden] f32 plus what the MLP makes of it, in place → ``h``."""
    inner = swiglu.reference(linear.reference(rms_norm.reference(h, part.norm, part.eps, torch.float32), part.gate_up))
    h += part.residual * linear.reference(inner, part.down)
    return h


if blocks.ready():
    mlp_block.implement(
        "compiled",
        rule=lambda k: k[0] == "cpu" and k[1],
        why="one call: both products in integers, what lies between them never leaves the cache",
    )(blocks.mlp)
