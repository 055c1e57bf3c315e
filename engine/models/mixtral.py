"""Mixtral (Jiang et al. 2024): Llama's attention, and in every layer experts of which a softmax router chooses two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from famulus.engine import config, decoder
from famulus.engine.decoder import Decoder
from famulus.engine.layers import Loaded, Part
from famulus.engine.stored import Stored
from famulus.kernels.router import Rule

_STORED = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}


@dataclass(frozen=True, kw_only=True)
class Args(config.Args):
    """The keys of ``config.json`` that shape the model; ``sliding_window`` as in Mistral's first model."""

    intermediate_size: int
    num_local_experts: int
    num_experts_per_tok: int = 2
    sliding_window: int = 0

    def check(self) -> None:
        """Raises :class:`BadWeights` for numbers that no model can have."""
        super().check()
        config.check_experts(self.num_local_experts, self.num_experts_per_tok)


def parts(args: Args) -> dict[str, Part]:
    """Every weight of the model by our name, with the checkpoint tensors it is made of."""
    found = decoder.outer_parts(args)
    for i in range(args.num_hidden_layers):
        found |= decoder.norm_parts(args, i)
        found |= decoder.attention_parts(args, i, bias=False, output_bias=False)
        found |= decoder.moe_parts(args, i, args.num_local_experts, args.intermediate_size)
    return found


def rename(name: str, args: Args) -> Stored:
    """``mlp.experts.3.up_proj`` is ``block_sparse_moe.experts.3.w3``."""
    name = name.replace(".mlp.", ".block_sparse_moe.")
    for ours, theirs in _STORED.items():
        name = name.replace(f".{ours}.", f".{theirs}.")
    return Stored(name)


def build(args: Args, loaded: Loaded, compute: torch.dtype) -> Decoder:
    """The model over loaded weights."""
    rule = Rule(args.num_experts_per_tok, renormalise=True)
    windowed = args.sliding_window > 0
    return Decoder(
        args,
        loaded,
        compute,
        lambda i: decoder.grouped_attention(args, loaded, i, windowed=windowed),
        lambda i: decoder.mixture(loaded, i, rule),
        window=args.sliding_window,
    )


def tiny() -> dict[str, Any]:
    """A ``config.json`` small enough for tests."""
    return {
        "model_type": "mixtral",
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1_000_000.0,
        "rope_scaling": None,
        "max_position_embeddings": 2048,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "hidden_act": "silu",
    }
