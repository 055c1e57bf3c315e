"""The halves of a decoder layer by the compiled library; see :mod:`famulus.kernels.block` for their meaning."""

from __future__ import annotations

from ctypes import addressof
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from famulus.kernels.cpu.compiled import described
from famulus.kernels.cpu.library import CAttention, CMlp, CSegment, CStep, library, ready, scratch
from famulus.kernels.pack import GROUP, TILE, Weight
from famulus.kernels.store import Store

if TYPE_CHECKING:
    from famulus.kernels.block import AttentionPart, MlpPart, Tokens

__all__ = ["Attention", "Mlp", "Step", "attention", "attention_fits", "mlp", "mlp_fits", "ready", "store_fits"]

MOST_DIM, MOST_GROUP = 256, 16
"""Of a head, and of query heads that share keys: what the library's buffers on the stack hold."""


def attention_fits(part: AttentionPart) -> bool:
    """Whether the library can compute it. The residual stream has no room for a last tile that is not full."""
    return (
        _tiled(part.qkv, part.out)
        and part.out.rows % TILE == 0
        and part.head_dim % GROUP == 0
        and part.head_dim <= MOST_DIM
        and part.heads // part.kv_heads <= MOST_GROUP
        and (part.q_norm is None) == (part.k_norm is None)
        and (part.normed_together or all(n is None or n.numel() == part.head_dim for n in (part.q_norm, part.k_norm)))
    )


def store_fits(kv: Store) -> bool:
    """Whether the library reads and writes it."""
    return kv.dtype == torch.bfloat16 if isinstance(kv, Tensor) else kv.values.dtype == torch.int8


def mlp_fits(part: MlpPart) -> bool:
    """Whether the library can compute it."""
    return _tiled(part.gate_up, part.down) and part.down.rows % TILE == 0


def _tiled(*weights: Weight) -> bool:
    return all(w.format == "tiles" for w in weights)


class Attention:
    """The addresses of a part's tensors, and what they are the addresses of."""

    def __init__(self, part: AttentionPart) -> None:
        self.kept = [_exact(t) for t in (part.qkv.bias, part.out.bias, part.norm, part.q_norm, part.k_norm, part.sinks)]
        qkv, out, *rest = self.kept
        self.c = CAttention(
            described(part.qkv, qkv),
            described(part.out, out),
            *(_address(t) for t in rest),
            part.heads,
            part.kv_heads,
            part.head_dim,
            part.eps,
            part.scale,
            part.residual,
            part.normed_together,
        )
        self.at = addressof(self.c)


class Mlp:
    """The addresses of a part's tensors, and what they are the addresses of."""

    def __init__(self, part: MlpPart) -> None:
        self.kept = [_exact(t) for t in (part.gate_up.bias, part.down.bias, part.norm)]
        first, second, norm = self.kept
        weights = described(part.gate_up, first), described(part.down, second)
        self.c = CMlp(*weights, _address(norm), part.eps, part.residual)
        self.at = addressof(self.c)


class Step:
    """The addresses of a step's tables."""

    def __init__(self, tokens: Tokens) -> None:
        segments = tokens.segments
        self.kept = [tokens.cos.contiguous(), tokens.sin.contiguous(), tokens.slots.contiguous()]
        self.slots = [None if s.slots is None else s.slots.contiguous() for s in segments]
        self.each = (CSegment * len(segments))(
            *(
                CSegment(s.row, s.count, s.context, s.start, s.window, _address(slots))
                for s, slots in zip(segments, self.slots, strict=True)
            )
        )
        self.c = CStep(len(tokens.slots), len(segments), self.each, *(t.data_ptr() for t in self.kept))
        self.at = addressof(self.c)


def _exact(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.float().contiguous()


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def attention(h: Tensor, part: AttentionPart, tokens: Tokens, kv: Store) -> Tensor:
    """See :func:`famulus.kernels.block.attention_block`."""
    found = library()
    values, scales = (kv, None) if isinstance(kv, Tensor) else (kv.values, kv.scales)
    assert found is not None and h.is_contiguous() and values.is_contiguous()
    mine, step = part.compiled.at, tokens.compiled.at
    room = scratch(found.famulus_attention_scratch(mine, step))
    found.famulus_attention(mine, step, h.data_ptr(), values.data_ptr(), _address(scales), kv.shape[1], room.data_ptr())
    return h


def mlp(h: Tensor, part: MlpPart) -> Tensor:
    """See :func:`famulus.kernels.block.mlp_block`."""
    found = library()
    assert found is not None and h.is_contiguous()
    mine, count = part.compiled.at, h.shape[0]
    room = scratch(found.famulus_mlp_scratch(mine, count))
    found.famulus_mlp(mine, h.data_ptr(), count, room.data_ptr())
    return h
