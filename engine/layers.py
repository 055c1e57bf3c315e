"""What the families are built from: declared parts, embedding, attention and gated MLP. State is passed in.

A family declares its :class:`Part` s (which tensors of the checkpoint stand side by side in which weight); the
loader turns each into a :class:`~famulus.kernels.pack.Weight` of the planned precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from famulus.engine.batch import Batch
from famulus.kernels.activation import swiglu
from famulus.kernels.attention import attention
from famulus.kernels.linear import linear
from famulus.kernels.norm import rms_norm
from famulus.kernels.pack import Weight
from famulus.kernels.rope import rope

Between = Callable[[], None]
"""Called between layer groups; may raise to abandon the step."""


@dataclass(frozen=True)
class Part:
    """One weight of a model: rows of several checkpoint tensors stacked in order.

    ``shapes`` are those of ``sources`` [rows, columns] (norms: [columns]); ``biases`` belong to the sources.
    ``digits``: of the int8 form; 2 where one loses most (see :func:`famulus.kernels.pack.quantize_int8`).
    """

    kind: Literal["linear", "embedding", "head", "norm"]
    sources: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    biases: tuple[str, ...] = ()
    digits: int = 1


class Model(Protocol):
    """What the runner needs of a family. Hidden states are [tokens, hidden] f32."""

    layers: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    inverse_frequencies: Tensor
    compute: torch.dtype

    def forward(self, batch: Batch, kv: list[Tensor], between: Between) -> Tensor:
        """Last hidden states after the final norm; writes keys and values of the batch into ``kv``."""

    def linears(self) -> list[Weight]:
        """Every weight that a decoded token reads, the head included."""

    def logits(self, hidden: Tensor) -> Tensor:
        """[rows, hidden] → [rows, vocabulary] f32."""


def embed(tokens: Tensor, w: Weight) -> Tensor:
    """``tokens`` [n] int64 → [n, hidden] f32, from the dense or the int8 rows of ``w``."""
    if w.dense is not None:
        return w.dense[tokens].float()
    assert w.int8 is not None and w.int8_scales is not None
    return w.int8[tokens] * w.int8_scales[tokens][:, None]


@dataclass(frozen=True)
class Attention:
    """Grouped-query attention with rotary positions; ``qkv`` stacks query, key and value heads."""

    qkv: Weight
    out: Weight
    heads: int
    kv_heads: int
    head_dim: int

    def __call__(self, x: Tensor, batch: Batch, kv: Tensor) -> Tensor:
        """``x`` [tokens, hidden] normalised → [tokens, hidden]; ``kv`` [2 * kv_heads, slots, D] is written."""
        mixed = linear(x, self.qkv).view(-1, self.heads + 2 * self.kv_heads, self.head_dim)
        turned = rope(mixed[:, : self.heads + self.kv_heads], batch.cos, batch.sin)
        kv[: self.kv_heads].index_copy_(1, batch.slots, turned[:, self.heads :].transpose(0, 1))
        kv[self.kv_heads :].index_copy_(1, batch.slots, mixed[:, self.heads + self.kv_heads :].transpose(0, 1))
        seen = attention(turned[:, : self.heads], kv, batch.segments, self.head_dim**-0.5)
        return linear(seen.reshape(-1, self.heads * self.head_dim), self.out)


@dataclass(frozen=True)
class MLP:
    """SwiGLU; ``gate_up`` stacks gate and up."""

    gate_up: Weight
    down: Weight

    def __call__(self, x: Tensor) -> Tensor:
        return linear(swiglu(linear(x, self.gate_up)), self.down)


@dataclass(frozen=True)
class Block:
    """Pre-norm residual block; the residual stream ``h`` [tokens, hidden] f32 is updated in place."""

    attention_norm: Tensor
    attention: Attention
    mlp_norm: Tensor
    mlp: MLP
    eps: float
    compute: torch.dtype

    def __call__(self, h: Tensor, batch: Batch, kv: Tensor) -> None:
        h += self.attention(rms_norm(h, self.attention_norm, self.eps, self.compute), batch, kv)
        h += self.mlp(rms_norm(h, self.mlp_norm, self.eps, self.compute))
