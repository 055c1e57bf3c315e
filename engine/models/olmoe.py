"""OLMoE (Muennighoff et al. 2024): queries and keys are normalised over all heads together, 8 of 64 small experts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from famulus.engine import config, decoder
from famulus.engine.decoder import Decoder
from famulus.engine.layers import Loaded, Part
from famulus.engine.stored import Stored
from famulus.kernels.router import Rule


@dataclass(frozen=True, kw_only=True)
class Args(config.Args):
    """The keys of ``config.json`` that shape the model."""

    intermediate_size: int
    num_experts: int
    num_experts_per_tok: int = 8
    norm_topk_prob: bool = False
    attention_bias: bool = False
    clip_qkv: float | None = None

    def check(self) -> None:
        """Raises :class:`BadWeights` for numbers that no model can have."""
        super().check()
        config.check_experts(self.num_experts, self.num_experts_per_tok)


def parts(args: Args) -> dict[str, Part]:
    """Every weight of the model by our name, with the checkpoint tensors it is made of."""
    queries, keys, _ = args.attention_rows()
    found = decoder.outer_parts(args)
    for i in range(args.num_hidden_layers):
        found |= decoder.norm_parts(args, i)
        found |= decoder.attention_parts(args, i, args.attention_bias, args.attention_bias, norms=True)
        for name, width in (("q_norm", queries), ("k_norm", keys)):
            found[f"{i}.{name}"] = replace(found[f"{i}.{name}"], shapes=((width,),))
        found |= decoder.moe_parts(args, i, args.num_experts, args.intermediate_size)
    return found


def rename(name: str, args: Args) -> Stored:
    """The family's names are ours."""
    return Stored(name)


def build(args: Args, loaded: Loaded, compute: torch.dtype) -> Decoder:
    """The model over loaded weights."""
    rule = Rule(args.num_experts_per_tok, renormalise=args.norm_topk_prob)
    return Decoder(
        args,
        loaded,
        compute,
        lambda i: decoder.grouped_attention(args, loaded, i, clip=args.clip_qkv),
        lambda i: decoder.mixture(loaded, i, rule),
    )


def tiny() -> dict[str, Any]:
    """A ``config.json`` small enough for tests."""
    return {
        "model_type": "olmoe",
        "hidden_size": 64,
        "intermediate_size": 32,
        "num_experts": 16,
        "num_experts_per_tok": 4,
        "norm_topk_prob": False,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "rope_scaling": None,
        "max_position_embeddings": 2048,
        "clip_qkv": None,
        "tie_word_embeddings": False,
        "hidden_act": "silu",
    }
