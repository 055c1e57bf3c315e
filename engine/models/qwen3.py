"""Qwen3's dense models (Qwen 2025): as Llama, with an RMSNorm of every query and key head before it is turned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from famulus.engine import config, decoder
from famulus.engine.decoder import Decoder
from famulus.engine.layers import Loaded, Part
from famulus.engine.stored import Stored


@dataclass(frozen=True, kw_only=True)
class Args(config.Args):
    """The keys of ``config.json`` that shape the model."""

    intermediate_size: int
    attention_bias: bool = False

    SUPPORTED: ClassVar[dict[str, tuple[Any, ...]]] = {"use_sliding_window": (False,)}


def parts(args: Args) -> dict[str, Part]:
    """Every weight of the model by our name, with the checkpoint tensors it is made of."""
    found = decoder.outer_parts(args)
    for i in range(args.num_hidden_layers):
        found |= decoder.norm_parts(args, i)
        found |= decoder.attention_parts(args, i, args.attention_bias, args.attention_bias, norms=True)
        found |= decoder.mlp_parts(args, i, args.intermediate_size)
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
    """A ``config.json`` small enough for tests."""
    return {
        "model_type": "qwen3",
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "vocab_size": 512,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1_000_000.0,
        "rope_scaling": None,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "hidden_act": "silu",
    }
