"""Neighbouring decoder layers as one operation: each the two halves of :mod:`famulus.kernels.block` or, with experts,
of :mod:`famulus.kernels.moe_block`.

The bytes are those of the halves. What is saved is the way back to Python between them: the weights of a layer sweep
the processor's caches, and everything that Python needs must be fetched again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from famulus.kernels.attention import Segment, causal_mask
from famulus.kernels.block import AttentionPart, MlpPart, Tokens, attention_block, mlp_block
from famulus.kernels.cpu import layers as compiled
from famulus.kernels.cpu.blocks import store_fits
from famulus.kernels.linear import make_weight
from famulus.kernels.moe import Experts
from famulus.kernels.moe_block import MoePart, moe_block
from famulus.kernels.op import Case, op
from famulus.kernels.pack import Weight
from famulus.kernels.rope import frequencies, tables
from famulus.kernels.router import Rule
from famulus.kernels.store import Quantized, Store, quantize


@dataclass(frozen=True)
class Layer:
    """A decoder layer; a ``windowed`` one sees the model's window only."""

    attention: AttentionPart
    rest: MlpPart | MoePart
    windowed: bool = False

    @property
    def mixes(self) -> bool:
        """Whether it has experts."""
        return isinstance(self.rest, MoePart)


@dataclass(frozen=True)
class Layers:
    """All layers of a model, in order."""

    each: tuple[Layer, ...]

    @cached_property
    def fits(self) -> bool:
        """Whether the compiled library can compute all of them."""
        return all(layer.attention.fits and layer.rest.fits for layer in self.each)

    @cached_property
    def compiled(self) -> compiled.Compiled:
        """As the compiled library wants them."""
        return compiled.Compiled(self)


def _cases(g: torch.Generator) -> Iterator[Case]:
    hidden, heads, dim, inner, experts = 64, 2, 32, 96, 4

    def made(rows: int, columns: int) -> Weight:
        return make_weight(torch.randn(rows, columns, generator=g) * columns**-0.5, "tiles", torch.bfloat16)

    def norm() -> Tensor:
        return torch.rand(hidden, generator=g) + 0.5

    def attention() -> AttentionPart:
        shape = (heads, heads, dim, 1e-5, dim**-0.5)
        return AttentionPart(norm(), made(3 * heads * dim, hidden), made(hidden, heads * dim), *shape)

    mlp = MlpPart(norm(), made(2 * inner, hidden), made(hidden, inner), 1e-5)
    gate_up, down = (Experts.of([made(*s) for _ in range(experts)]) for s in ((2 * inner, hidden), (hidden, inner)))
    # All experts are chosen: which they are must not hang on the rounding of what came before.
    moe = MoePart(norm(), torch.randn(experts, hidden, generator=g) * 0.1, Rule(experts), gate_up, down, 1e-5)
    parts = Layers((Layer(attention(), mlp), Layer(attention(), moe, windowed=True), Layer(attention(), mlp)))
    for count, form, first, last in ((1, None, 0, 3), (1, torch.int8, 1, 2), (40, None, 0, 2)):
        whole = 60 if count == 1 else count
        positions = torch.arange(whole - count, whole)
        cos, sin = tables(positions, frequencies(dim, 1e4))
        seen = min(whole, count + 15)
        segments = [Segment(0, count, whole, 7, mask=causal_mask(count, whole, torch.bfloat16))]
        mask = causal_mask(count, seen, torch.bfloat16, 16)
        windowed = [Segment(0, count, seen, 7 + whole - seen, mask=mask, window=16)]
        placed = [Tokens(cos, sin, positions + 7, s) for s in (segments, windowed)]
        rows = [torch.randn(2 * heads, 80, dim, generator=g).bfloat16() for _ in parts.each]
        kv = rows if form is None else [Quantized(*quantize(row, form)) for row in rows]
        h = torch.randn(count, hidden, generator=g)
        yield Case(f"{count}-{first}:{last}-{form or 'bf16'}", (h, parts, *placed, kv, first, last), 0.04)


def _bytes(h: Tensor, parts: Layers, tokens: Tokens, windowed: Tokens, kv: list[Store], first: int, last: int) -> int:
    found = 0
    for layer, store in zip(parts.each[first:last], kv[first:last], strict=True):
        rest = moe_block if layer.mixes else mlp_block
        found += attention_block.bytes_moved(h, layer.attention, windowed if layer.windowed else tokens, store)
        found += rest.bytes_moved(h, layer.rest)
    return found


@op(
    key=lambda h, parts, tokens, windowed, kv, first, last: (h.device.type, parts.fits and store_fits(kv[first])),
    cases=_cases,
    words=("in the layout of the compiled kernels",),
    made_of=("attention_block", "mlp_block", "moe_block"),
    bytes_moved=_bytes,
)
def layers(
    h: Tensor, parts: Layers, tokens: Tokens, windowed: Tokens, kv: list[Store], first: int, last: int
) -> Tensor:
    """``h`` [tokens, hidden] f32 through the layers from ``first`` up to ``last`` (exclusive), in place; ``kv``: the
    stores of all layers; ``windowed``: where the tokens stand for layers that have a window → ``h``."""
    for layer, store in zip(parts.each[first:last], kv[first:last], strict=True):
        attention_block.reference(h, layer.attention, windowed if layer.windowed else tokens, store)
        if isinstance(layer.rest, MoePart):
            moe_block.reference(h, layer.rest)
        else:
            mlp_block.reference(h, layer.rest)
    return h


if compiled.ready():
    layers.implement(
        "compiled",
        rule=lambda k: k[0] == "cpu" and k[1],
        why="one call: nothing but layers between the embedding and the head",
    )(compiled.layers)
