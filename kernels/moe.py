"""A mixture of experts behind its router: ``y = Σ_k weight_k · down_k(act(gate_up_k(x)))`` over a token's experts.

Bytes that bound decode: the weights of the distinct experts of the batch, ``E (1 - (1 - k/E)^M)`` for M tokens routed
evenly, three matrices each; activations do not count beside them. So every expert is read once for all its tokens: the
pairs (token, expert) come sorted from :func:`famulus.kernels.router.route`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from famulus.kernels.activation import clamped_swiglu, swiglu
from famulus.kernels.cpu import experts as compiled
from famulus.kernels.linear import linear, make_fp8, make_pairs, make_weight
from famulus.kernels.op import Case, op
from famulus.kernels.pack import Weight, quantize_fp8
from famulus.kernels.router import sorted_pairs


@dataclass(frozen=True)
class Clamp:
    """gpt-oss's variant of SwiGLU; see :func:`famulus.kernels.activation.clamped_swiglu`."""

    alpha: float
    limit: float


@dataclass(frozen=True)
class Experts:
    """The same matrix of all experts. ``stacked``: a :class:`Weight` of one expert's rows and columns whose tensors
    have one more dimension, the expert, in front."""

    stacked: Weight

    def __len__(self) -> int:
        """How many there are."""
        tensors = (getattr(self.stacked, f.name) for f in dataclasses.fields(Weight))
        return len(next(t for t in tensors if isinstance(t, Tensor)))

    @cached_property
    def each(self) -> list[Weight]:
        """One weight for every expert: views."""
        fields = {f.name: getattr(self.stacked, f.name) for f in dataclasses.fields(Weight)}
        tensors: dict[str, Any] = {name: value for name, value in fields.items() if isinstance(value, Tensor)}
        assert all(len(t) == len(self) for t in tensors.values()), "every tensor has all experts"
        return [dataclasses.replace(self.stacked, **{n: t[e] for n, t in tensors.items()}) for e in range(len(self))]

    @staticmethod
    def of(weights: list[Weight]) -> Experts:
        """Stack the experts' weights."""
        names = [f.name for f in dataclasses.fields(Weight) if isinstance(getattr(weights[0], f.name), Tensor)]
        stacks: dict[str, Any] = {name: torch.stack([getattr(w, name) for w in weights]) for name in names}
        return Experts(dataclasses.replace(weights[0], **stacks))


def _cases(g: torch.Generator) -> Iterator[Case]:
    for form, dtype, tolerance in (
        ("dense", torch.float32, 1e-5),
        ("dense", torch.bfloat16, 3e-2),
        ("int8", torch.bfloat16, 3e-2),
        ("int8", torch.float16, 5e-3),
        ("int8", torch.float32, 2e-4),
        ("int4", torch.bfloat16, 3e-2),
        ("tiles", torch.bfloat16, 4e-2),
        ("tiles", torch.float32, 4e-2),
        ("pairs", torch.float16, 5e-3),
        ("e2m1", torch.float16, 5e-3),
        ("fp8", torch.float16, 5e-3),
    ):
        sizes = ((1, 8, 2, None), (5, 4, 3, Clamp(1.702, 7.0)), (18, 6, 2, None), (70, 3, 2, None))
        for tokens, experts, top_k, clamp in sizes:
            hidden = 512 if tokens == 1 and dtype != torch.bfloat16 else 64  # a GPU's programs share such columns
            inner = 64 if form in ("pairs", "e2m1") else 96

            def stack(
                rows: int, columns: int, bias: bool, form: str = form, dtype: torch.dtype = dtype, count: int = experts
            ) -> Experts:
                return Experts.of([_made(g, rows, columns, bias, form, dtype) for _ in range(count)])

            gate_up, down = stack(2 * inner, hidden, clamp is not None), stack(hidden, inner, clamp is not None)
            x = torch.randn(tokens, hidden, generator=g).to(dtype)
            chosen = (
                torch.rand(tokens, experts, generator=g).sort(-1).indices[:, :top_k]
            )  # rows with gaps, as routers give
            weights = torch.rand(tokens, top_k, generator=g)
            if tokens > 1:  # a router with top-p leaves places free; the experts of a token may all be elsewhere
                chosen[0, 1:], weights[0, 1:] = -1, 0
                chosen[2], weights[2] = -1, 0
            order = sorted_pairs(chosen)
            name = f"{form}-{tokens}x{experts}/{top_k}-{dtype}"
            yield Case(name, (x, gate_up, down, weights, chosen, order, clamp), tolerance)


def _made(g: torch.Generator, rows: int, columns: int, bias: bool, form: str, dtype: torch.dtype) -> Weight:
    """One expert's matrix with random values."""
    extra = torch.randn(rows, generator=g).to(dtype) if bias else None
    if form in ("pairs", "e2m1"):
        values = torch.randint(0, 16, (rows, columns), generator=g, dtype=torch.uint8)
        scales = (torch.rand(rows, columns // 32, generator=g) * 0.02 + 0.01).half()
        if form == "e2m1":
            return make_pairs(values, scales, None, 32, e2m1=True, bias=extra)
        return make_pairs(values, scales, (scales * -7.5).half(), 32, bias=extra)
    dense = torch.randn(rows, columns, generator=g) * columns**-0.5
    return (
        make_fp8(*quantize_fp8(dense, blocks=True), extra) if form == "fp8" else make_weight(dense, form, dtype, extra)
    )


def _format(gate_up: Experts, down: Experts) -> str:
    one, other = (
        w.format + " in two digits" if w.int8 is not None and w.int8.shape[-2] != w.rows else w.format
        for w in (gate_up.stacked, down.stacked)
    )
    return one if one == other else f"{one}, {other}"


def _bytes(
    x: Tensor, gate_up: Experts, down: Experts, weights: Tensor, experts: Tensor, order: Tensor, clamp: Clamp | None
) -> int:
    used = len(set(experts.flatten().tolist()) - {-1})
    return used * (gate_up.each[0].decode_bytes + down.each[0].decode_bytes) + 2 * x.nbytes


@op(
    key=lambda x, gate_up, down, weights, experts, order, clamp=None: (x.device.type, _format(gate_up, down)),
    cases=_cases,
    bytes_moved=_bytes,
    words=("format",),
)
def moe(
    x: Tensor,
    gate_up: Experts,
    down: Experts,
    weights: Tensor,
    experts: Tensor,
    order: Tensor,
    clamp: Clamp | None = None,
) -> Tensor:
    """``x`` [tokens, hidden] and what :func:`famulus.kernels.router.route` answered for it → [tokens, hidden] in the
    dtype of ``x``; the sum over a token's experts is taken in f32, and is 0 for a token that has none."""
    out = torch.zeros(x.shape, dtype=torch.float32)
    for token, (row, chosen) in enumerate(zip(weights.tolist(), experts.tolist(), strict=True)):
        for weight, expert in zip(row, chosen, strict=True):
            if expert >= 0:
                both = linear.reference(x[token : token + 1].float(), gate_up.each[expert])
                inner = swiglu.reference(both) if clamp is None else clamped_swiglu.reference(both, *_numbers(clamp))
                out[token] += weight * linear.reference(inner, down.each[expert])[0]
    return out.to(x.dtype)


def _numbers(clamp: Clamp) -> tuple[float, float]:
    return clamp.alpha, clamp.limit


if compiled.ready():
    moe.implement(
        "compiled",
        rule=lambda k: k[0] == "cpu" and k[1] == "tiles",
        why="int4 experts and int8 activations in one call: only the chosen experts' rows are read",
    )(compiled.moe)


@moe.implement("by-expert", rule=lambda k: k[0] == "cpu", why="every expert's weights are read once for all its tokens")
def _by_expert(
    x: Tensor,
    gate_up: Experts,
    down: Experts,
    weights: Tensor,
    experts: Tensor,
    order: Tensor,
    clamp: Clamp | None = None,
) -> Tensor:
    out = torch.zeros(x.shape, dtype=torch.float32)
    top_k = experts.shape[1]
    sorted_experts = experts.flatten()[order]
    used, counts = torch.unique_consecutive(sorted_experts, return_counts=True)
    tokens, shares, rows = order // top_k, weights.flatten()[order][:, None], x[order // top_k]
    at = 0
    for expert, count in zip(used.tolist(), counts.tolist(), strict=True):
        if expert >= 0:
            part = slice(at, at + count)
            both = linear(rows[part], gate_up.each[expert])
            inner = swiglu(both) if clamp is None else clamped_swiglu(both, *_numbers(clamp))
            out.index_add_(0, tokens[part], linear(inner, down.each[expert]) * shares[part])
        at += count
    return out.to(x.dtype)
