"""Llama-like dense models: SmolLM2, Llama 2 and 3, Qwen2 and Qwen2.5-Coder (Touvron et al. 2023; Qwen 2024).

``h += attention(norm(h)); h += mlp(norm(h))``, rotary positions, grouped query heads, SwiGLU; Qwen2 adds a bias to
query, key and value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch

from famulus.engine import config, decoder
from famulus.engine.decoder import Decoder
from famulus.engine.layers import Loaded, Part
from famulus.engine.stored import Stored


@dataclass(frozen=True, kw_only=True)
class Args(config.Args):
    """The keys of ``config.json`` that shape the model; ``output_bias`` is ours."""

    intermediate_size: int
    attention_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False

    SUPPORTED: ClassVar[dict[str, tuple[Any, ...]]] = {"use_sliding_window": (False,)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Qwen2 always has the biases and does not say so; only Llama's flag covers the output projection too."""
        qwen = config.get("model_type") == "qwen2"
        biased = qwen if config.get("attention_bias") is None else config["attention_bias"]
        return super().from_config({**config, "attention_bias": biased, "output_bias": biased and not qwen})


def parts(args: Args) -> dict[str, Part]:
    """Every weight of the model by our name, with the checkpoint tensors it is made of."""
    found = decoder.outer_parts(args)
    for i in range(args.num_hidden_layers):
        found |= decoder.norm_parts(args, i)
        found |= decoder.attention_parts(args, i, args.attention_bias, args.output_bias)
        found |= decoder.mlp_parts(args, i, args.intermediate_size, args.mlp_bias)
    return found


def rename(name: str, args: Args) -> Stored:
    """The family's names are ours."""
    return Stored(name)


def build(args: Args, loaded: Loaded, compute: torch.dtype) -> Decoder:
    """The model over loaded weights."""
    return Decoder(
        args,
        loaded,
        compute,
        lambda i: decoder.grouped_attention(args, loaded, i),
        lambda i: decoder.gated_mlp(loaded, i),
    )


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
