"""What the families are built from: declared parts, embedding, attention, gated MLP, experts. State is passed in.

A family declares its :class:`Part` s (which tensors of the checkpoint stand side by side in which weight); the
loader turns each into a :class:`~famulus.kernels.pack.Weight` of the planned precision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor

from famulus.engine.batch import Batch
from famulus.kernels.activation import swiglu
from famulus.kernels.attention import attention
from famulus.kernels.block import AttentionPart, MlpPart, attention_block, mlp_block
from famulus.kernels.cpu.blocks import store_fits
from famulus.kernels.cpu.library import ready
from famulus.kernels.layers import Layer
from famulus.kernels.linear import linear
from famulus.kernels.moe import Clamp, Experts, moe
from famulus.kernels.moe_block import MoePart, moe_block
from famulus.kernels.norm import quantized_rms_norm, rms_norm
from famulus.kernels.pack import Weight
from famulus.kernels.rope import rope_store
from famulus.kernels.router import Rule, route
from famulus.kernels.store import Quantized, Store
from famulus.kernels.w8a8 import PROMPT_ROWS, activations, linear_w8a8

if TYPE_CHECKING:
    from famulus.engine.offload import Residency

Between = Callable[[], None]
"""Called between layer groups; may raise to abandon the step."""


@dataclass(frozen=True)
class Part:
    """One weight of a model: rows of several checkpoint tensors stacked in order.

    ``shapes`` are those of ``sources`` [rows, columns] (norms: [columns]); ``biases`` belong to the sources.
    ``digits``: of the int8 form; 2 where one loses most (see :func:`famulus.kernels.pack.quantize_int8`).
    "norm": any small tensor that stays in f32. "dense": a matrix that stays in the compute dtype. "experts": as many
    matrices as ``experts`` says; their names and those of their biases hold a ``{}`` for the expert. ``shared``: the
    part that is ``shares`` further experts side by side; on a GPU they stand behind the others.
    """

    kind: Literal["linear", "embedding", "head", "norm", "dense", "experts"]
    sources: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    biases: tuple[str, ...] = ()
    digits: int = 1
    experts: int = 0
    shared: str = ""
    shares: int = 0

    @property
    def values(self) -> int:
        """How many weights and biases it has."""
        biases = sum(shape[0] for shape in self.shapes[: len(self.biases)])
        return max(1, self.experts) * (sum(map(prod, self.shapes)) + biases)


@dataclass(frozen=True)
class Loaded:
    """What the loader made of the parts, by our names; ``norms`` f32. ``residency``: where some experts are on the
    device and the others, as all of ``experts``, in the processor's memory. ``w8a8``: see :class:`Block`."""

    weights: Mapping[str, Weight]
    norms: Mapping[str, Tensor]
    experts: Mapping[str, Experts] = field(default_factory=dict)
    residency: Residency | None = None
    w8a8: bool = False


class Model(Protocol):
    """What the runner needs of a family. Hidden states are [tokens, hidden] f32.

    ``kv_shape``: rows and width of what a layer keeps of a token. ``rotation``: rotary frequencies and what cos and sin
    are multiplied with. ``window``: of the layers that have one, 0 where none has. ``fixed``: see :class:`Mixing`.
    ``residency``: of experts, where not all are on the device.
    """

    layers: int
    kv_shape: tuple[int, int]
    vocabulary: int
    rotation: tuple[Tensor, float]
    window: int
    compute: torch.dtype
    device: torch.device
    fixed: bool
    residency: Residency | None

    def forward(self, batch: Batch, kv: list[Store], between: Between) -> Tensor:
        """Last hidden states after the final norm; writes keys and values of the batch into ``kv``."""

    def linears(self) -> list[Weight]:
        """Every weight that a decoded token reads, the head included."""

    def logits(self, hidden: Tensor) -> Tensor:
        """[rows, hidden] → [rows, vocabulary] f32."""


class Linears(Protocol):
    """Something between two additions to the residual stream."""

    def linears(self) -> list[Weight]:
        """Every weight that a decoded token reads."""


class Mixing(Linears, Protocol):
    """Attention of any kind: tokens look at tokens, through what ``kv`` keeps."""

    @property
    def fixed(self) -> bool:
        """Whether a step over as many sequences always launches the same, so that it can be recorded."""

    def __call__(self, x: Tensor, batch: Batch, kv: Store) -> Tensor: ...


class Pointwise(Linears, Protocol):
    """What happens to every token alone."""

    def __call__(self, x: Tensor) -> Tensor: ...


def embed(tokens: Tensor, w: Weight) -> Tensor:
    """``tokens`` [n] int64 → [n, hidden] f32, from the dense or the int8 rows of ``w``."""
    if w.dense is not None:
        return w.dense[tokens].float()
    assert w.int8 is not None and w.int8_scales is not None
    return w.int8[tokens] * w.int8_scales[tokens][:, None]


def _linear(x: Tensor | Quantized, w: Weight) -> Tensor:
    """Of what a block's norm gave; weights in 8 bits are computed with in bf16."""
    return linear(x, w) if isinstance(x, Tensor) else linear_w8a8(x, w, torch.bfloat16)


@dataclass(frozen=True)
class Attention:
    """Grouped-query attention with rotary positions; ``qkv`` stacks query, key and value heads.

    ``scale``: of the products, by default ``head_dim ** -0.5``. ``q_norm``, ``k_norm`` f32: RMSNorm of query and key
    before they are turned, of every head alone ([head_dim], Qwen3) or of all heads together (OLMoE), with ``eps``.
    ``clip``: the largest size of a query, key or value. ``windowed``: the layer sees the model's window only. ``sinks``
    [heads] f32.
    """

    qkv: Weight
    out: Weight
    heads: int
    kv_heads: int
    head_dim: int
    scale: float
    q_norm: Tensor | None = None
    k_norm: Tensor | None = None
    eps: float = 0.0
    clip: float | None = None
    windowed: bool = False
    sinks: Tensor | None = None

    def __call__(self, x: Tensor | Quantized, batch: Batch, kv: Store) -> Tensor:
        """``x`` [tokens, hidden] normalised → [tokens, hidden]; ``kv`` [2 * kv_heads, slots, D] is written."""
        mixed = _linear(x, self.qkv).view(-1, self.heads + 2 * self.kv_heads, self.head_dim)
        if self.q_norm is not None and self.k_norm is not None:
            self._normalise(mixed[:, : self.heads], self.q_norm)
            self._normalise(mixed[:, self.heads : self.heads + self.kv_heads], self.k_norm)
        if self.clip is not None:
            mixed.clamp_(-self.clip, self.clip)
        queries, _ = rope_store(mixed, batch.cos, batch.sin, batch.slots, kv)
        segments = batch.windowed if self.windowed else batch.segments
        seen = attention(queries, kv, segments, self.scale, self.sinks)
        return linear(seen.reshape(-1, self.heads * self.head_dim), self.out)

    def _normalise(self, heads: Tensor, weight: Tensor) -> None:
        flat = heads.reshape(-1, len(weight))
        heads.copy_(rms_norm(flat.float(), weight, self.eps, heads.dtype).view(heads.shape))

    def linears(self) -> list[Weight]:
        """Every weight that a decoded token reads."""
        return [self.qkv, self.out]

    @property
    def fixed(self) -> bool:
        """Always."""
        return True


@dataclass(frozen=True)
class MLP:
    """SwiGLU; ``gate_up`` stacks gate and up."""

    gate_up: Weight
    down: Weight

    def __call__(self, x: Tensor | Quantized) -> Tensor:
        return linear(swiglu(_linear(x, self.gate_up)), self.down)

    def linears(self) -> list[Weight]:
        """Every weight that a decoded token reads."""
        return [self.gate_up, self.down]


@dataclass(frozen=True)
class MoE:
    """A mixture of experts: each token goes to those that the ``rule`` chooses, and to the ``shared`` one if it stands
    beside them.

    ``gate`` [experts, hidden], ``bias`` and ``correction`` [experts], all f32; see
    :func:`famulus.kernels.router.route`.
    """

    gate: Tensor
    rule: Rule
    gate_up: Experts
    down: Experts
    bias: Tensor | None = None
    correction: Tensor | None = None
    shared: MLP | None = None
    clamp: Clamp | None = None

    def __call__(self, x: Tensor) -> Tensor:
        weights, experts, order = route(x, self.gate, self.rule, self.bias, self.correction)
        found = moe(x, self.gate_up, self.down, weights, experts, order, self.clamp)
        return found if self.shared is None else found + self.shared(x)

    def linears(self) -> list[Weight]:
        """Every weight that a decoded token reads: of as many experts as one token goes to."""
        k = self.rule.places
        shared = [] if self.shared is None else self.shared.linears()
        return [*self.gate_up.each[:k], *self.down.each[:k], *shared]


@dataclass(frozen=True)
class Block:
    """Pre-norm residual block; the residual stream ``h`` [tokens, hidden] f32 is updated in place.

    ``residual``: what is added is multiplied with it (Granite). ``w8a8``: in a prompt the norms are rounded to 8 bits
    where a matrix of 8 bits follows, that of query, key and value or of gate and up.
    """

    attention_norm: Tensor
    attention: Mixing
    mlp_norm: Tensor
    mlp: Pointwise
    eps: float
    compute: torch.dtype
    residual: float = 1.0
    w8a8: bool = False

    def __call__(self, h: Tensor, batch: Batch, kv: Store) -> None:
        part, windowed = self.attention_part, isinstance(self.attention, Attention) and self.attention.windowed
        tokens = batch.placed_windowed if windowed else batch.placed
        if part is not None and store_fits(kv):
            attention_block(h, part, tokens, kv)
        else:
            a = self.attention
            if isinstance(a, Attention):
                seen = a(self._normalised(h, self.attention_norm, a.qkv), batch, kv)
            else:
                seen = a(rms_norm(h, self.attention_norm, self.eps, self.compute), batch, kv)
            h.add_(seen, alpha=self.residual)
        if self.mlp_part is not None:
            mlp_block(h, self.mlp_part)
        elif self.moe_part is not None:
            moe_block(h, self.moe_part)
        elif isinstance(self.mlp, MLP):
            h.add_(self.mlp(self._normalised(h, self.mlp_norm, self.mlp.gate_up)), alpha=self.residual)
        else:
            h.add_(self.mlp(rms_norm(h, self.mlp_norm, self.eps, self.compute)), alpha=self.residual)

    def _normalised(self, h: Tensor, norm: Tensor, w: Weight) -> Tensor | Quantized:
        """The norm of ``h`` as ``w`` takes it."""
        form = activations(w) if self.w8a8 and len(h) > PROMPT_ROWS else None
        if form is None:
            return rms_norm(h, norm, self.eps, self.compute)
        return quantized_rms_norm(h, None, norm, self.eps, *form)[1]

    @cached_property
    def whole(self) -> Layer | None:
        """Both halves, where they were compiled for this processor."""
        rest = self.mlp_part or self.moe_part
        if self.attention_part is None or rest is None:
            return None
        return Layer(self.attention_part, rest, isinstance(self.attention, Attention) and self.attention.windowed)

    @cached_property
    def attention_part(self) -> AttentionPart | None:
        """The attention as one operation, where it was compiled for this processor."""
        a = self.attention
        if not ready() or not isinstance(a, Attention) or a.clip is not None or self.compute != torch.bfloat16:
            return None
        shape = (a.heads, a.kv_heads, a.head_dim, self.eps, a.scale)
        part = AttentionPart(
            self.attention_norm, a.qkv, a.out, *shape, a.q_norm, a.k_norm, a.sinks, residual=self.residual
        )
        return part if part.fits else None

    @cached_property
    def mlp_part(self) -> MlpPart | None:
        """The MLP as one operation, where it was compiled for this processor."""
        if not ready() or not isinstance(self.mlp, MLP):
            return None
        part = MlpPart(self.mlp_norm, self.mlp.gate_up, self.mlp.down, self.eps, self.residual)
        return part if part.fits else None

    @cached_property
    def moe_part(self) -> MoePart | None:
        """The experts as one operation, where it was compiled for this processor."""
        m = self.mlp
        if not ready() or not isinstance(m, MoE) or m.gate.device.type != "cpu" or m.rule.shared:
            return None
        shared = (None, None) if m.shared is None else (m.shared.gate_up, m.shared.down)
        options = (m.bias, m.correction, *shared, m.clamp, self.residual)
        part = MoePart(self.mlp_norm, m.gate, m.rule, m.gate_up, m.down, self.eps, *options)
        return part if part.fits else None
