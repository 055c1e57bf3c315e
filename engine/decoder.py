"""The frame that all families share: embedding, pre-norm blocks, final norm, head; and the parts they are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from famulus.engine.batch import Batch
from famulus.engine.config import Args
from famulus.engine.layers import MLP, Attention, Between, Block, Loaded, Mixing, MoE, Part, Pointwise, embed
from famulus.engine.offload import OffloadedMoE
from famulus.kernels.cpu.blocks import store_fits
from famulus.kernels.layers import Layers, layers
from famulus.kernels.linear import linear
from famulus.kernels.moe import Clamp
from famulus.kernels.norm import rms_norm
from famulus.kernels.pack import Weight
from famulus.kernels.router import Rule
from famulus.kernels.store import Store

AT_ONCE = 24 << 20
"""Bytes of weights times tokens that layers are worked through at once for: a few milliseconds, after which a step may
be abandoned."""


def outer_parts(args: Args) -> dict[str, Part]:
    """Embedding, final norm and head."""
    table = (args.vocab_size, args.hidden_size)
    found = {
        "embedding": Part("embedding", ("model.embed_tokens.weight",), (table,)),
        "norm": Part("norm", ("model.norm.weight",), ((args.hidden_size,),)),
    }
    if not args.tie_word_embeddings:
        found["head"] = Part("head", ("lm_head.weight",), (table,))
    return found


def linear_part(names: tuple[str, ...], shapes: tuple[tuple[int, int], ...], bias: bool, digits: int = 1) -> Part:
    """One or more linear layers side by side."""
    weights = tuple(f"{n}.weight" for n in names)
    return Part("linear", weights, shapes, tuple(f"{n}.bias" for n in names) if bias else (), digits)


def norm_parts(args: Args, i: int) -> dict[str, Part]:
    """The two norms of block ``i``."""
    at = f"model.layers.{i}"
    return {
        f"{i}.attention_norm": Part("norm", (f"{at}.input_layernorm.weight",), ((args.hidden_size,),)),
        f"{i}.mlp_norm": Part("norm", (f"{at}.post_attention_layernorm.weight",), ((args.hidden_size,),)),
    }


def attention_parts(args: Args, i: int, bias: bool, output_bias: bool, norms: bool = False) -> dict[str, Part]:
    """Grouped-query attention of block ``i``; ``norms``: each query and key head is normalised."""
    at, rows, hidden = f"model.layers.{i}.self_attn", args.attention_rows(), args.hidden_size
    qkv = (f"{at}.q_proj", f"{at}.k_proj", f"{at}.v_proj")
    found = {
        f"{i}.qkv": linear_part(qkv, ((rows[0], hidden), (rows[1], hidden), (rows[2], hidden)), bias, digits=2),
        f"{i}.out": linear_part((f"{at}.o_proj",), ((hidden, rows[0]),), output_bias),
    }
    if norms:
        for name in ("q_norm", "k_norm"):
            found[f"{i}.{name}"] = Part("norm", (f"{at}.{name}.weight",), ((args.head_dim,),))
    return found


def mlp_parts(
    args: Args, i: int, inner: int, bias: bool = False, under: str = "mlp", name: str = ""
) -> dict[str, Part]:
    """A gated MLP of block ``i``; ``name`` tells a second one apart."""
    at, hidden = f"model.layers.{i}.{under}", args.hidden_size
    pair = ((inner, hidden), (inner, hidden))
    return {
        f"{i}.{name}gate_up": linear_part((f"{at}.gate_proj", f"{at}.up_proj"), pair, bias),
        f"{i}.{name}down": linear_part((f"{at}.down_proj",), ((hidden, inner),), bias, digits=2),
    }


def moe_parts(args: Args, i: int, experts: int, inner: int, bias: bool = False, *, shares: int = 0) -> dict[str, Part]:
    """Router and experts of block ``i``; ``bias``: of all three. ``shares``: experts that the MLP ``shared_`` is."""
    at, hidden = f"model.layers.{i}.mlp", args.hidden_size
    ends = ("gate_proj", "up_proj")
    biases = tuple(f"{at}.experts.{{}}.{end}.bias" for end in (*ends, "down_proj")) if bias else ()
    found = {
        f"{i}.gate": Part("norm", (f"{at}.gate.weight",), ((experts, hidden),)),
        f"{i}.experts_gate_up": Part(
            "experts",
            tuple(f"{at}.experts.{{}}.{end}.weight" for end in ends),
            ((inner, hidden), (inner, hidden)),
            biases[:2],
            experts=experts,
            shared=f"{i}.shared_gate_up" if shares else "",
            shares=shares,
        ),
        f"{i}.experts_down": Part(
            "experts",
            (f"{at}.experts.{{}}.down_proj.weight",),
            ((hidden, inner),),
            biases[2:],
            digits=2,
            experts=experts,
            shared=f"{i}.shared_down" if shares else "",
            shares=shares,
        ),
    }
    if bias:
        found[f"{i}.gate_bias"] = Part("norm", (f"{at}.gate.bias",), ((experts,),))
    return found


def grouped_attention(
    args: Args, loaded: Loaded, i: int, scale: float | None = None, clip: float | None = None, windowed: bool = False
) -> Attention:
    """The attention that the parts of :func:`attention_parts` make."""
    return Attention(
        loaded.weights[f"{i}.qkv"],
        loaded.weights[f"{i}.out"],
        args.num_attention_heads,
        args.num_key_value_heads,
        args.head_dim,
        args.head_dim**-0.5 if scale is None else scale,
        loaded.norms.get(f"{i}.q_norm"),
        loaded.norms.get(f"{i}.k_norm"),
        args.rms_norm_eps,
        clip,
        windowed,
        loaded.norms.get(f"{i}.sinks"),
    )


def gated_mlp(loaded: Loaded, i: int, name: str = "") -> MLP:
    """The MLP that the parts of :func:`mlp_parts` make."""
    return MLP(loaded.weights[f"{i}.{name}gate_up"], loaded.weights[f"{i}.{name}down"])


def mixture(
    loaded: Loaded, i: int, rule: Rule, shared: MLP | None = None, clamp: Clamp | None = None
) -> MoE | OffloadedMoE:
    """The experts that the parts of :func:`moe_parts` make, the ``shared`` one beside them or behind the others."""
    gate, bias, correction = (loaded.norms.get(f"{i}.{name}") for name in ("gate", "gate_bias", "correction"))
    assert gate is not None
    gate_up, down = loaded.experts[f"{i}.experts_gate_up"], loaded.experts[f"{i}.experts_down"]
    if loaded.residency is not None:
        return OffloadedMoE(gate, rule, loaded.residency.store(i, gate_up, down), bias, correction, shared, clamp)
    rule = replace(rule, shared=len(gate_up) - len(gate))
    return MoE(gate, rule, gate_up, down, bias, correction, shared, clamp)


class Decoder:
    """A model over loaded weights; see :class:`famulus.engine.layers.Model`.

    ``embedded`` multiplies the embedding and ``head_scale`` the logits (Granite); ``residual``: of the blocks.
    """

    def __init__(
        self,
        args: Args,
        loaded: Loaded,
        compute: torch.dtype,
        attention: Callable[[int], Mixing],
        mlp: Callable[[int], Pointwise],
        *,
        window: int = 0,
        embedded: float = 1.0,
        head_scale: float = 1.0,
        residual: float = 1.0,
    ) -> None:
        self.args, self.compute, self.window = args, compute, window
        self.layers, self.vocabulary = args.num_hidden_layers, args.vocab_size
        self.kv_shape, self.rotation = args.kv_shape(), args.rotation()
        self.embedded, self.head_scale = embedded, head_scale
        self.embedding = loaded.weights["embedding"]
        self.head = loaded.weights.get("head", self.embedding)
        self.norm = loaded.norms["norm"]
        self.device = self.norm.device
        self.blocks = [
            Block(
                loaded.norms[f"{i}.attention_norm"],
                attention(i),
                loaded.norms[f"{i}.mlp_norm"],
                mlp(i),
                args.rms_norm_eps,
                compute,
                residual,
                loaded.w8a8,
            )
            for i in range(self.layers)
        ]
        self.residency = loaded.residency
        self.fixed = self.residency is None and all(block.attention.fixed for block in self.blocks)
        apart = [block.mlp for block in self.blocks if isinstance(block.mlp, OffloadedMoE)]
        for one, following in pairwise(apart):
            one.following = following

    def forward(self, batch: Batch, kv: list[Store], between: Between) -> Tensor:
        """[tokens, hidden] f32 after the final norm."""
        h = embed(batch.tokens, self.embedding)
        if self.embedded != 1:
            h *= self.embedded
        if self.together is not None and self.together.fits and store_fits(kv[0]):
            windowed = batch.placed_windowed if self.window else batch.placed
            at_once = max(1, AT_ONCE * self.layers // (len(h) * self._layer_bytes))
            for first in range(0, self.layers, at_once):
                between()
                layers(h, self.together, batch.placed, windowed, kv, first, min(first + at_once, self.layers))
        else:
            for block, store in zip(self.blocks, kv, strict=True):
                between()
                block(h, batch, store)
        return rms_norm(h, self.norm, self.args.rms_norm_eps, torch.float32)

    @cached_property
    def together(self) -> Layers | None:
        """All layers as one operation, where each of them is compiled for this processor."""
        found = [block.whole for block in self.blocks]
        return None if None in found else Layers(tuple(layer for layer in found if layer is not None))

    @cached_property
    def _layer_bytes(self) -> int:
        """Of all layers, as one token reads them."""
        return sum(w.decode_bytes for b in self.blocks for w in (*b.attention.linears(), *b.mlp.linears()))

    def linears(self) -> list[Weight]:
        """Every weight that a decoded token reads, the head included."""
        return [self.head, *(w for b in self.blocks for w in (*b.attention.linears(), *b.mlp.linears()))]

    def logits(self, hidden: Tensor) -> Tensor:
        """[rows, hidden] → [rows, vocabulary] f32."""
        if self.head.dense is None:
            exact = torch.float32 if self.head.fp8 is None else self.compute
            found = linear(hidden.to(exact), self.head).float()
        else:
            found = linear(hidden.to(self.head.dense.dtype), self.head).float()
        return found if self.head_scale == 1 else found * self.head_scale
