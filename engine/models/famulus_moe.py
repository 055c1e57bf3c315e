"""famulus-16e: a Llama-like base whose MLP stays as the shared expert, with small routed experts beside it.

DeepSeekMoE's form (Dai et al. 2024) on a finished model: ``h += mlp(x) + Σ_k weight_k · expert_k(x)`` with
``x = norm(h)``. Experts are scored by a sigmoid and chosen with a correction that balances their load (DeepSeek-V3
§2.1.2), as few of them as reach ``router_top_p`` of the scores, at most ``num_experts_per_tok``. Down projections
start at zero: untrained, the model is its base.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from famulus.engine import config, decoder
from famulus.engine.decoder import Decoder
from famulus.engine.errors import BadWeights
from famulus.engine.layers import Loaded, Part
from famulus.engine.stored import Stored
from famulus.kernels.router import Rule


@dataclass(frozen=True, kw_only=True)
class Args(config.Args):
    """The keys of ``config.json`` that shape the model. ``moe_intermediate_size``: width of a routed expert."""

    intermediate_size: int
    moe_intermediate_size: int
    num_experts: int
    num_experts_per_tok: int = 4
    router_top_p: float = 1.0
    routed_scaling_factor: float = 1.0

    def check(self) -> None:
        """Raises :class:`BadWeights` for numbers that no model can have."""
        super().check()
        config.check_experts(self.num_experts, self.num_experts_per_tok)
        if not 0 < self.router_top_p <= 1:
            raise BadWeights(f"The model's config.json has the router_top_p {self.router_top_p}.")

    @property
    def rule(self) -> Rule:
        """How experts are chosen."""
        return Rule(
            self.num_experts_per_tok, "sigmoid", True, scale=self.routed_scaling_factor, top_p=self.router_top_p
        )


def parts(args: Args) -> dict[str, Part]:
    """Every weight of the model by our name, with the checkpoint tensors it is made of."""
    found = decoder.outer_parts(args)
    for i in range(args.num_hidden_layers):
        found |= decoder.norm_parts(args, i)
        found |= decoder.attention_parts(args, i, False, False)
        found |= decoder.mlp_parts(args, i, args.intermediate_size, name="shared_")
        found |= decoder.moe_parts(args, i, args.num_experts, args.moe_intermediate_size)
        correction = f"model.layers.{i}.mlp.gate.e_score_correction_bias"
        found[f"{i}.correction"] = Part("norm", (correction,), ((args.num_experts,),))
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
        lambda i: decoder.mixture(loaded, i, args.rule, shared=decoder.gated_mlp(loaded, i, "shared_")),
    )


def tiny() -> dict[str, Any]:
    """A ``config.json`` small enough for tests."""
    return {
        "model_type": "famulus_moe",
        "hidden_size": 64,
        "intermediate_size": 160,
        "moe_intermediate_size": 32,
        "num_experts": 8,
        "num_experts_per_tok": 4,
        "router_top_p": 0.5,
        "routed_scaling_factor": 1.0,
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
