"""Granite 3's mixtures of experts (IBM 2024): as Mixtral, with a factor on the embedding, on what every layer adds, on
the products of queries and keys and on the logits. Experts are stored in stacks, gate and up in one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch

from famulus.engine import config, decoder
from famulus.engine.decoder import Decoder
from famulus.engine.layers import Loaded, Part
from famulus.engine.stored import Stored
from famulus.kernels.router import Rule

_EXPERT = re.compile(r"(.*)\.mlp\.experts\.(\d+)\.(gate|up|down)_proj\.weight")


@dataclass(frozen=True, kw_only=True)
class Args(config.Args):
    """The keys of ``config.json`` that shape the model."""

    intermediate_size: int
    num_local_experts: int
    num_experts_per_tok: int = 2
    attention_bias: bool = False
    embedding_multiplier: float = 1.0
    residual_multiplier: float = 1.0
    attention_multiplier: float = 1.0
    logits_scaling: float = 1.0

    def check(self) -> None:
        """Raises :class:`BadWeights` for numbers that no model can have."""
        super().check()
        config.check_experts(self.num_local_experts, self.num_experts_per_tok)
        config.positive("logits_scaling", self.logits_scaling)


def parts(args: Args) -> dict[str, Part]:
    """Every weight of the model by our name, with the checkpoint tensors it is made of."""
    found = decoder.outer_parts(args)
    for i in range(args.num_hidden_layers):
        found |= decoder.norm_parts(args, i)
        found |= decoder.attention_parts(args, i, args.attention_bias, args.attention_bias)
        found |= decoder.moe_parts(args, i, args.num_local_experts, args.intermediate_size)
    return found


def rename(name: str, args: Args) -> Stored:
    """The router is ``block_sparse_moe.router.layer``; experts are entries of ``input_linear`` (gate rows, then up
    rows) and ``output_linear``."""
    found = _EXPERT.fullmatch(name)
    if found is None:
        return Stored(name.replace(".mlp.gate.", ".block_sparse_moe.router.layer."))
    at, expert, which = found.groups()
    if which == "down":
        return Stored(f"{at}.block_sparse_moe.output_linear.weight", int(expert))
    inner = args.intermediate_size
    rows = slice(0, inner) if which == "gate" else slice(inner, 2 * inner)
    return Stored(f"{at}.block_sparse_moe.input_linear.weight", int(expert), rows=rows)


def build(args: Args, loaded: Loaded, compute: torch.dtype) -> Decoder:
    """The model over loaded weights."""
    rule = Rule(args.num_experts_per_tok, renormalise=True)
    return Decoder(
        args,
        loaded,
        compute,
        lambda i: decoder.grouped_attention(args, loaded, i, scale=args.attention_multiplier),
        lambda i: decoder.mixture(loaded, i, rule),
        embedded=args.embedding_multiplier,
        head_scale=1 / args.logits_scaling,
        residual=args.residual_multiplier,
    )


def tiny() -> dict[str, Any]:
    """A ``config.json`` small enough for tests, with factors that matter."""
    return {
        "model_type": "granitemoe",
        "hidden_size": 64,
        "intermediate_size": 48,
        "num_local_experts": 8,
        "num_experts_per_tok": 3,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 512,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10_000.0,
        "rope_scaling": None,
        "max_position_embeddings": 2048,
        "embedding_multiplier": 3.0,
        "residual_multiplier": 0.5,
        "attention_multiplier": 0.3,
        "logits_scaling": 2.0,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
    }
