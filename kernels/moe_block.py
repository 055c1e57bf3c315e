"""The half of a decoder layer that is a mixture of experts, as one operation:
``h += r * (mixture(norm(h)) + shared(norm(h)))``.

Bytes that bound decode: those of the chosen experts and of the shared one. With small experts everything else counts
as much: so norm, router, choice, both products and the sum are one call, and the shared expert is worked through with
the others, which fills the threads even where one token goes to one expert of 64 columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from famulus.kernels.activation import swiglu
from famulus.kernels.cpu import experts
from famulus.kernels.linear import linear, make_weight
from famulus.kernels.moe import Clamp, Experts, moe
from famulus.kernels.norm import rms_norm
from famulus.kernels.op import Case, op
from famulus.kernels.pack import Weight
from famulus.kernels.router import Rule, route


@dataclass(frozen=True)
class MoePart:
    """A mixture of experts with the norm before it; ``norm`` [hidden], ``gate`` [experts, hidden], ``bias`` and
    ``correction`` [experts] f32. The shared expert, if any, sees every token."""

    norm: Tensor
    gate: Tensor
    rule: Rule
    gate_up: Experts
    down: Experts
    eps: float
    bias: Tensor | None = None
    correction: Tensor | None = None
    shared_gate_up: Weight | None = None
    shared_down: Weight | None = None
    clamp: Clamp | None = None
    residual: float = 1.0

    @cached_property
    def fits(self) -> bool:
        """Whether the compiled library can compute it."""
        return experts.mixture_fits(self)

    @cached_property
    def compiled(self) -> experts.Mixture:
        """As the compiled library wants it."""
        return experts.Mixture(self)


def _cases(g: torch.Generator) -> Iterator[Case]:
    dtype = torch.bfloat16
    rules = (
        Rule(2),
        Rule(4, "sigmoid", True, 2.5, groups=4, kept_groups=2),
        Rule(4, "sigmoid", True, top_p=0.5),
        Rule(1, renormalise=True),
    )
    shapes = ((1, 64, 96, 8), (9, 96, 64, 16), (1, 576, 64, 16), (150, 64, 32, 4))
    for at, ((tokens, hidden, inner, count), rule) in enumerate(zip(shapes, rules, strict=True)):
        biased, shared = at in (1, 3), at in (2, 3)

        def made(rows: int, columns: int, biased: bool = biased) -> Weight:
            extra = torch.randn(rows, generator=g) if biased else None
            return make_weight(torch.randn(rows, columns, generator=g) * columns**-0.5, "tiles", dtype, extra)

        def stack(rows: int, columns: int, count: int = count) -> Experts:
            return Experts.of([made(rows, columns) for _ in range(count)])

        part = MoePart(
            torch.rand(hidden, generator=g) + 0.5,
            # Far apart, so that no rounding of the norm changes who is chosen.
            torch.randn(count, hidden, generator=g) * 4 * hidden**-0.5,
            rule,
            stack(2 * inner, hidden),
            stack(hidden, inner),
            1e-5,
            torch.randn(count, generator=g) if biased else None,
            torch.randn(count, generator=g) * 0.1 if rule.score == "sigmoid" else None,
            made(2 * 160, hidden) if shared else None,
            made(hidden, 160) if shared else None,
            Clamp(1.702, 3.0) if at == 1 else None,
            0.3 if at == 1 else 1.0,
        )
        yield Case(f"{tokens}x{hidden}x{inner}/{count}", (torch.randn(tokens, hidden, generator=g), part), 0.02)


def _bytes(h: Tensor, part: MoePart) -> int:
    used = min(len(h) * part.rule.top_k, len(part.gate))
    shared = sum(w.decode_bytes for w in (part.shared_gate_up, part.shared_down) if w is not None)
    return used * (part.gate_up.each[0].decode_bytes + part.down.each[0].decode_bytes) + shared + 2 * h.nbytes


@op(
    key=lambda h, part: (h.device.type, part.fits),
    cases=_cases,
    words=("in the layout of the compiled kernels",),
    made_of=("rms_norm", "route", "moe"),
    bytes_moved=_bytes,
)
def moe_block(h: Tensor, part: MoePart) -> Tensor:
    """``h`` [tokens, hidden] f32 plus what the experts make of it, in place → ``h``."""
    x = rms_norm.reference(h, part.norm, part.eps, torch.float32)
    chosen = route.reference(x, part.gate, part.rule, part.bias, part.correction)
    found = moe.reference(x, part.gate_up, part.down, *chosen, part.clamp)
    if part.shared_gate_up is not None and part.shared_down is not None:
        found = found + linear.reference(swiglu.reference(linear.reference(x, part.shared_gate_up)), part.shared_down)
    h += part.residual * found
    return h


if experts.ready():
    moe_block.implement(
        "compiled",
        rule=lambda k: k[0] == "cpu" and k[1],
        why="one call: only the chosen experts' rows are read, each once for all its tokens",
    )(experts.mixture)
