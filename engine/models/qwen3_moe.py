"""Qwen3's mixtures of experts: Qwen3-30B-A3B and Qwen3-Coder (Qwen 2025).

Attention as in Qwen3; instead of one MLP many small ones, of which a softmax router chooses ``num_experts_per_tok`` for
each token. Layers of ``mlp_only_layers``, and those that ``decoder_sparse_step`` passes over, keep one MLP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from famulus.engine import config, decoder
from famulus.engine.decoder import Decoder
from famulus.engine.layers import Loaded, Part, Pointwise
from famulus.engine.stored import Stored
from famulus.kernels.router import Rule


@dataclass(frozen=True, kw_only=True)
class Args(config.Args):
    """The keys of ``config.json`` that shape the model."""

    intermediate_size: int
    moe_intermediate_size: int
    num_experts: int
    num_experts_per_tok: int
    norm_topk_prob: bool = False
    decoder_sparse_step: int = 1
    mlp_only_layers: list[int] | tuple[int, ...] = ()
    attention_bias: bool = False

    SUPPORTED: ClassVar[dict[str, tuple[Any, ...]]] = {"use_sliding_window": (False,)}
    QUANTIZED: ClassVar[tuple[str, ...]] = ("fp8",)

    def check(self) -> None:
        """Raises :class:`BadWeights` for numbers that no model can have."""
        super().check()
        config.check_experts(self.num_experts, self.num_experts_per_tok)
        config.positive("decoder_sparse_step", self.decoder_sparse_step)

    def sparse(self, i: int) -> bool:
        """Whether block ``i`` has experts."""
        return i not in self.mlp_only_layers and (i + 1) % self.decoder_sparse_step == 0


def parts(args: Args) -> dict[str, Part]:
    """Every weight of the model by our name, with the checkpoint tensors it is made of."""
    found = decoder.outer_parts(args)
    for i in range(args.num_hidden_layers):
        found |= decoder.norm_parts(args, i)
        found |= decoder.attention_parts(args, i, args.attention_bias, args.attention_bias, norms=True)
        if args.sparse(i):
            found |= decoder.moe_parts(args, i, args.num_experts, args.moe_intermediate_size)
        else:
            found |= decoder.mlp_parts(args, i, args.intermediate_size)
    return found


def rename(name: str, args: Args) -> Stored:
    """The family's names are ours."""
    return Stored(name)


def build(args: Args, loaded: Loaded, compute: torch.dtype) -> Decoder:
    """The model over loaded weights."""
    rule = Rule(args.num_experts_per_tok, renormalise=args.norm_topk_prob)

    def mlp(i: int) -> Pointwise:
        return decoder.mixture(loaded, i, rule) if args.sparse(i) else decoder.gated_mlp(loaded, i)

    return Decoder(args, loaded, compute, lambda i: decoder.grouped_attention(args, loaded, i), mlp)


def tiny() -> dict[str, Any]:
    """A ``config.json`` small enough for tests: one layer with experts, one without, one with."""
    return {
        "model_type": "qwen3_moe",
        "hidden_size": 64,
        "intermediate_size": 160,
        "moe_intermediate_size": 32,
        "num_experts": 8,
        "num_experts_per_tok": 3,
        "norm_topk_prob": True,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [1],
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "vocab_size": 512,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1_000_000.0,
        "rope_scaling": None,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
        "hidden_act": "silu",
    }
