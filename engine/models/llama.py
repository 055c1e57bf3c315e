"""Llama-like dense models: SmolLM2, Llama 2 and 3, Qwen2 and Qwen2.5-Coder (Touvron et al. 2023; Qwen 2024).

``h += attention(norm(h)); h += mlp(norm(h))``, rotary positions, grouped query heads, SwiGLU; Qwen2 adds a bias to
query, key and value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from famulus.engine.batch import Batch
from famulus.engine.errors import BadWeights
from famulus.engine.layers import MLP, Attention, Between, Block, Part, embed
from famulus.kernels.linear import linear
from famulus.kernels.norm import rms_norm
from famulus.kernels.pack import Weight
from famulus.kernels.rope import frequencies


@dataclass(frozen=True)
class Args:
    """The keys of ``config.json`` that shape the model."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    rms_norm_eps: float
    rope_theta: float
    rope_scaling: Mapping[str, Any] | None
    tie_word_embeddings: bool
    attention_bias: bool
    output_bias: bool
    mlp_bias: bool

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Args:
        """Raises :class:`BadWeights` for what this family does not compute (other activations, sliding windows, ways
        to stretch positions) and for keys that are missing or make no sense together."""
        if config.get("hidden_act", "silu") != "silu":
            raise BadWeights(f"Models with the activation {config['hidden_act']!r} cannot be run yet.")
        if config.get("use_sliding_window"):
            raise BadWeights("Models with a sliding attention window cannot be run yet.")
        optional = {
            "rms_norm_eps": 1e-6,
            "rope_scaling": None,
            # Qwen2 always has it and does not say so; only Llama's flag covers the output projection too.
            "attention_bias": config.get("model_type") == "qwen2",
            "output_bias": config.get("model_type") != "qwen2" and config.get("attention_bias", False),
            "mlp_bias": False,
        }
        given = {name: config[name] for name in cls.__annotations__ if config.get(name) is not None}
        missing = next((name for name in cls.__annotations__ if name not in given and name not in optional), None)
        if missing is not None:
            raise BadWeights(f"The model's config.json does not say {missing!r}.", fix="Fetch the model again.")
        args = cls(**{**optional, **given})
        args.check()
        return args

    def check(self) -> None:
        """Raises :class:`BadWeights` for numbers that no model can have."""
        if self.num_attention_heads % self.num_key_value_heads or self.head_dim % 2:
            raise BadWeights(
                f"The model's config.json has num_attention_heads {self.num_attention_heads}, num_key_value_heads "
                f"{self.num_key_value_heads} and head_dim {self.head_dim}, which do not go together.",
                fix="Fetch the model again.",
            )
        if not isinstance(self.rms_norm_eps, int | float) or not 0 <= self.rms_norm_eps < 1:
            raise BadWeights(f"The model's config.json has the rms_norm_eps {str(self.rms_norm_eps)[:50]!r}.")
        try:
            usable = self.frequencies().isfinite().all()
        except (KeyError, TypeError, ValueError, OverflowError, ZeroDivisionError, RuntimeError) as error:
            raise BadWeights(f"The model's rope_scaling cannot be computed: {error}.") from error
        if not usable:
            raise BadWeights(f"The model's rope_scaling cannot be computed: {str(self.rope_scaling)[:200]}.")

    def frequencies(self) -> Tensor:
        """Rotary frequencies [head_dim / 2] f32."""
        return frequencies(self.head_dim, self.rope_theta, self.rope_scaling)

    def attention_rows(self) -> tuple[int, int, int]:
        """Rows of the query, key and value projections."""
        kv = self.num_key_value_heads * self.head_dim
        return self.num_attention_heads * self.head_dim, kv, kv


def parts(args: Args) -> dict[str, Part]:
    """Every weight of the model by our name, with the checkpoint tensors it is made of."""
    hidden, inner = args.hidden_size, args.intermediate_size
    table = (args.vocab_size, hidden)
    found = {
        "embedding": Part("embedding", ("model.embed_tokens.weight",), (table,)),
        "norm": Part("norm", ("model.norm.weight",), ((hidden,),)),
    }
    if not args.tie_word_embeddings:
        found["head"] = Part("head", ("lm_head.weight",), (table,))
    for i in range(args.num_hidden_layers):
        at = f"model.layers.{i}"
        rows = args.attention_rows()

        def linear_part(
            names: tuple[str, ...], shapes: tuple[tuple[int, int], ...], bias: bool, digits: int = 1, at: str = at
        ) -> Part:
            weights = tuple(f"{at}.{n}.weight" for n in names)
            return Part("linear", weights, shapes, tuple(f"{at}.{n}.bias" for n in names) if bias else (), digits)

        qkv = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        found |= {
            f"{i}.attention_norm": Part("norm", (f"{at}.input_layernorm.weight",), ((hidden,),)),
            f"{i}.qkv": linear_part(qkv, tuple((r, hidden) for r in rows), args.attention_bias, digits=2),
            f"{i}.out": linear_part(("self_attn.o_proj",), ((hidden, rows[0]),), args.output_bias),
            f"{i}.mlp_norm": Part("norm", (f"{at}.post_attention_layernorm.weight",), ((hidden,),)),
            f"{i}.gate_up": linear_part(("mlp.gate_proj", "mlp.up_proj"), ((inner, hidden),) * 2, args.mlp_bias),
            f"{i}.down": linear_part(("mlp.down_proj",), ((hidden, inner),), args.mlp_bias, digits=2),
        }
    return found


class Llama:
    """The model over loaded weights; see :class:`famulus.engine.layers.Model`."""

    def __init__(
        self, args: Args, weights: Mapping[str, Weight], norms: Mapping[str, Tensor], compute: torch.dtype
    ) -> None:
        self.args, self.compute = args, compute
        self.layers, self.kv_heads, self.head_dim = (
            args.num_hidden_layers,
            args.num_key_value_heads,
            args.head_dim,
        )
        self.vocabulary = args.vocab_size
        self.inverse_frequencies = args.frequencies()
        self.embedding = weights["embedding"]
        self.head = weights.get("head", self.embedding)
        self.norm = norms["norm"]
        self.blocks = [self._block(i, weights, norms) for i in range(self.layers)]

    def _block(self, i: int, weights: Mapping[str, Weight], norms: Mapping[str, Tensor]) -> Block:
        a = self.args
        return Block(
            attention_norm=norms[f"{i}.attention_norm"],
            attention=Attention(
                weights[f"{i}.qkv"],
                weights[f"{i}.out"],
                a.num_attention_heads,
                a.num_key_value_heads,
                a.head_dim,
            ),
            mlp_norm=norms[f"{i}.mlp_norm"],
            mlp=MLP(weights[f"{i}.gate_up"], weights[f"{i}.down"]),
            eps=a.rms_norm_eps,
            compute=self.compute,
        )

    def forward(self, batch: Batch, kv: list[Tensor], between: Between) -> Tensor:
        """[tokens, hidden] f32 after the final norm."""
        h = embed(batch.tokens, self.embedding)
        for block, store in zip(self.blocks, kv, strict=True):
            between()
            block(h, batch, store)
        return rms_norm(h, self.norm, self.args.rms_norm_eps, torch.float32)

    def linears(self) -> list[Weight]:
        """Every weight that a decoded token reads, the head included."""
        inner = [(b.attention.qkv, b.attention.out, b.mlp.gate_up, b.mlp.down) for b in self.blocks]
        return [self.head, *(w for layer in inner for w in layer)]

    def logits(self, hidden: Tensor) -> Tensor:
        """[rows, hidden] → [rows, vocabulary] f32."""
        return (
            linear(hidden.to(torch.float32), self.head)
            if self.head.dense is None
            else linear(hidden.to(self.head.dense.dtype), self.head).float()
        )


def build(args: Args, weights: Mapping[str, Weight], norms: Mapping[str, Tensor], compute: torch.dtype) -> Llama:
    """The family's constructor, as the loader calls it."""
    return Llama(args, weights, norms, compute)


def tiny() -> dict[str, Any]:
    """A ``config.json`` small enough for tests, with every feature of the family that a flag can switch on."""
    return {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
    }
