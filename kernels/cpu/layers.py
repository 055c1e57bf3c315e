"""Neighbouring layers by the compiled library; see :mod:`famulus.kernels.layers` for their meaning."""

from __future__ import annotations

from ctypes import Structure, addressof, c_int64, c_void_p, sizeof
from typing import TYPE_CHECKING

from torch import Tensor

from famulus.kernels.cpu.library import library, ready, scratch
from famulus.kernels.store import Store

if TYPE_CHECKING:
    from famulus.kernels.block import Tokens
    from famulus.kernels.layers import Layers

__all__ = ["Compiled", "layers", "ready"]


class CLayer(Structure):
    """See :class:`famulus.kernels.layers.Layer`; one of ``mlp`` and ``mixture`` is null."""

    _fields_ = (
        ("attention", c_void_p),
        ("mlp", c_void_p),
        ("mixture", c_void_p),
        ("kv", c_void_p),
        ("scales", c_void_p),
        ("slots", c_int64),
        ("windowed", c_int64),
    )


class Compiled:
    """The addresses of layers, and of the stores that they were last computed over."""

    def __init__(self, parts: Layers) -> None:
        self._parts = parts
        self._kv: list[Store] | None = None
        self._each = (CLayer * len(parts.each))()

    def at(self, first: int, kv: list[Store]) -> int:
        """The address of layer ``first`` over its store."""
        if self._kv is not kv:
            self._each = (CLayer * len(kv))(*map(self._described, range(len(kv)), kv))
            self._kv = kv
        return addressof(self._each) + first * sizeof(CLayer)

    def _described(self, i: int, kv: Store) -> CLayer:
        layer = self._parts.each[i]
        rest = layer.rest.compiled.at
        values, scales = (kv, None) if isinstance(kv, Tensor) else (kv.values, kv.scales)
        assert values.is_contiguous()
        return CLayer(
            layer.attention.compiled.at,
            None if layer.mixes else rest,
            rest if layer.mixes else None,
            values.data_ptr(),
            None if scales is None else scales.data_ptr(),
            kv.shape[1],
            layer.windowed,
        )


def layers(
    h: Tensor, parts: Layers, tokens: Tokens, windowed: Tokens, kv: list[Store], first: int, last: int
) -> Tensor:
    """See :func:`famulus.kernels.layers.layers`."""
    found = library()
    assert found is not None and h.is_contiguous()
    at, count = parts.compiled.at(first, kv), last - first
    steps = (c_void_p * 2)(tokens.compiled.at, windowed.compiled.at)
    room = scratch(found.famulus_layers_scratch(at, count, steps))
    found.famulus_layers(at, count, steps, h.data_ptr(), room.data_ptr())
    return h
