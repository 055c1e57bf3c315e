"""Routers and mixtures of experts by the compiled library; see :mod:`famulus.kernels.router` and
:mod:`famulus.kernels.moe` for their meaning."""

from __future__ import annotations

from ctypes import Structure, addressof, c_float, c_int64, c_void_p
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from famulus.kernels.cpu.library import CLinear, library, ready, scratch
from famulus.kernels.pack import Weight, symmetric

if TYPE_CHECKING:
    from famulus.kernels.moe import Clamp, Experts
    from famulus.kernels.moe_block import MoePart
    from famulus.kernels.router import Rule

__all__ = ["Mixture", "mixture", "mixture_fits", "moe", "ready", "route"]

MOST_GROUPS = 256
"""Of experts: what the library's buffers on the stack hold."""


class CRouter(Structure):
    """See :class:`famulus.kernels.router.Rule`."""

    _fields_ = (
        ("gate", c_void_p),
        ("bias", c_void_p),
        ("correction", c_void_p),
        ("experts", c_int64),
        ("columns", c_int64),
        ("top_k", c_int64),
        ("groups", c_int64),
        ("kept_groups", c_int64),
        ("sigmoid", c_int64),
        ("renormalise", c_int64),
        ("scale", c_float),
        ("top_p", c_float),
    )


class CExperts(Structure):
    """The first expert's matrices, how many experts there are, and the clamp of gpt-oss (0: none)."""

    _fields_ = (
        ("gate_up", CLinear),
        ("down", CLinear),
        ("count", c_int64),
        ("alpha", c_float),
        ("limit", c_float),
    )


class CMixture(Structure):
    """See :class:`famulus.kernels.moe_block.MoePart`."""

    _fields_ = (
        ("router", CRouter),
        ("experts", CExperts),
        ("shared_gate_up", CLinear),
        ("shared_down", CLinear),
        ("norm", c_void_p),
        ("eps", c_float),
        ("residual", c_float),
    )


class _Kept:
    """Tensors whose addresses a structure holds."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []

    def address(self, tensor: Tensor | None) -> int | None:
        """Of its values in f32, side by side."""
        if tensor is None:
            return None
        self.tensors.append(tensor.float().contiguous())
        return self.tensors[-1].data_ptr()

    def linear(self, w: Weight | None) -> CLinear:
        """A weight in tiles, of one layer or of all experts."""
        if w is None:
            return CLinear()
        assert w.tiles is not None
        self.tensors.append(w.tiles.contiguous())
        return CLinear(self.tensors[-1].data_ptr(), self.address(w.bias), w.rows, w.columns, symmetric(w.tiles))

    def router(self, gate: Tensor, rule: Rule, bias: Tensor | None, correction: Tensor | None) -> CRouter:
        """A router, ``gate`` [experts, hidden]."""
        assert rule.groups <= MOST_GROUPS
        return CRouter(
            *map(self.address, (gate, bias, correction)),
            *gate.shape,
            rule.top_k,
            rule.groups,
            rule.kept_groups,
            rule.score == "sigmoid",
            rule.renormalise,
            rule.scale,
            rule.top_p,
        )

    def experts(self, gate_up: Experts, down: Experts, clamp: Clamp | None) -> CExperts:
        """All experts of a layer."""
        assert down.stacked.tiles is not None
        numbers = (0.0, 0.0) if clamp is None else (clamp.alpha, clamp.limit)
        return CExperts(self.linear(gate_up.stacked), self.linear(down.stacked), len(down.stacked.tiles), *numbers)


def route(
    x: Tensor, gate: Tensor, rule: Rule, bias: Tensor | None = None, correction: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`famulus.kernels.router.route`."""
    found, kept = library(), _Kept()
    assert found is not None
    c, at = kept.router(gate, rule, bias, correction), kept.address(x)
    tokens, k = len(x), rule.top_k
    weights, experts = torch.empty(tokens, k), torch.empty(tokens, k, dtype=torch.int64)
    order = torch.empty(tokens * k, dtype=torch.int64)
    room = scratch(found.famulus_route_scratch(addressof(c), tokens))
    outputs = weights.data_ptr(), experts.data_ptr(), order.data_ptr()
    found.famulus_route(addressof(c), at, tokens, *outputs, room.data_ptr())
    return weights, experts, order


def moe(
    x: Tensor,
    gate_up: Experts,
    down: Experts,
    weights: Tensor,
    experts: Tensor,
    order: Tensor,
    clamp: Clamp | None = None,
) -> Tensor:
    """See :func:`famulus.kernels.moe.moe`."""
    found, kept = library(), _Kept()
    assert found is not None
    narrow = x.dtype == torch.bfloat16
    given = x.contiguous() if narrow else x.float().contiguous()
    c = kept.experts(gate_up, down, clamp)
    tokens, k = experts.shape
    y = torch.empty(given.shape, dtype=given.dtype)
    room = scratch(found.famulus_experts_scratch(addressof(c), tokens, k))
    chosen = experts.contiguous(), order.contiguous()
    found.famulus_experts(
        addressof(c),
        given.data_ptr(),
        narrow,
        tokens,
        k,
        kept.address(weights),
        *(t.data_ptr() for t in chosen),
        y.data_ptr(),
        room.data_ptr(),
    )
    return y.to(x.dtype)


def mixture_fits(part: MoePart) -> bool:
    """Whether the library can compute it."""
    matrices = [part.gate_up.stacked, part.down.stacked, part.shared_gate_up, part.shared_down]
    return part.rule.groups <= MOST_GROUPS and all(w is None or w.format == "tiles" for w in matrices)


class Mixture:
    """The addresses of a part's tensors, and what they are the addresses of."""

    def __init__(self, part: MoePart) -> None:
        self._kept = _Kept()
        self.c = CMixture(
            self._kept.router(part.gate, part.rule, part.bias, part.correction),
            self._kept.experts(part.gate_up, part.down, part.clamp),
            self._kept.linear(part.shared_gate_up),
            self._kept.linear(part.shared_down),
            self._kept.address(part.norm),
            part.eps,
            part.residual,
        )
        self.at = addressof(self.c)


def mixture(h: Tensor, part: MoePart) -> Tensor:
    """See :func:`famulus.kernels.moe_block.moe_block`."""
    found = library()
    assert found is not None and h.is_contiguous()
    mine, count = part.compiled.at, h.shape[0]
    room = scratch(found.famulus_mixture_scratch(mine, count))
    found.famulus_mixture(mine, h.data_ptr(), count, room.data_ptr())
    return h
