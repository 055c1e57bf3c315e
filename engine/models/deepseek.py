"""DeepSeek V2, V2-Lite, Coder-V2 (2024), V3 (2024) and V3.2 (2025).

Attention keeps one latent per token for all heads (MLA, absorbed: see :mod:`famulus.kernels.mla`); the experts of V2
are scored by a softmax, V3's by a sigmoid with a correction that balances their load, both within groups; one shared
expert sees every token. V3.2 reads only the tokens that its indexer chooses (:mod:`famulus.kernels.indexer`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from famulus.engine import config, decoder
from famulus.engine.decoder import Decoder
from famulus.engine.latent import Indexer, LatentAttention
from famulus.engine.layers import Loaded, Part, Pointwise
from famulus.engine.stored import Stored
from famulus.kernels.rope import amplitude, frequencies, yarn_amplitude
from famulus.kernels.router import Rule

_SPLIT = re.compile(
    r"(.*\.self_attn\.)(q_proj|q_b_proj|kv_a_proj_with_mqa|kv_b_proj\.keys|kv_b_proj\.values)(\.weight)"
)


@dataclass(frozen=True, kw_only=True)
class Args(config.Args):
    """The keys of ``config.json`` that shape the model."""

    model_type: str
    head_dim: int = 0  # means nothing here
    intermediate_size: int
    moe_intermediate_size: int
    n_routed_experts: int
    num_experts_per_tok: int
    n_shared_experts: int = 0
    routed_scaling_factor: float = 1.0
    n_group: int = 1
    topk_group: int = 1
    topk_method: str = ""
    norm_topk_prob: bool = False
    first_k_dense_replace: int = 0
    q_lora_rank: int = 0
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    rope_interleave: bool = True
    index_topk: int = 0
    index_head_dim: int = 0
    index_n_heads: int = 0
    num_nextn_predict_layers: int = 0

    SUPPORTED: ClassVar[dict[str, tuple[Any, ...]]] = {
        "attention_bias": (False,),
        "mlp_bias": (False,),
        "moe_layer_freq": (1,),
    }
    QUANTIZED: ClassVar[tuple[str, ...]] = ("fp8",)
    LAYERS: ClassVar[tuple[str, ...]] = ("full_attention", "indexed_attention")

    @classmethod
    def from_config(cls, config_: Mapping[str, Any]) -> Self:
        """See :meth:`config.Args.from_config`; what a version of the family alone has is checked here."""
        v2 = config_.get("model_type") == "deepseek_v2"
        allowed = {
            "topk_method": ("greedy", "group_limited_greedy") if v2 else ("noaux_tc",),
            "scoring_func": ("softmax",) if v2 else ("sigmoid",),
            "norm_topk_prob": (False,) if v2 else (False, True),
        }
        for key, values in allowed.items():
            if config_.get(key) is not None and config_[key] not in values:
                raise config.unsupported(key, config_[key])
        dense, layers = config_.get("first_k_dense_replace") or 0, config_.get("num_hidden_layers", 0)
        kinds = config_.get("mlp_layer_types")
        if kinds is not None and kinds != ["dense"] * min(dense, layers) + ["sparse"] * (layers - dense):
            raise config.unsupported("mlp_layer_types", kinds)
        return super().from_config(config_)

    def check(self) -> None:
        """Raises :class:`BadWeights` for numbers that no model can have."""
        super().check()
        config.check_experts(self.n_routed_experts, self.num_experts_per_tok)
        if self.groups > 1 and (self.n_routed_experts % self.groups or not 1 <= self.topk_group <= self.groups):
            raise config.unsupported("n_group", self.n_group)
        if self.sparse and (not self.index_topk or not self.q_lora_rank or self.index_head_dim < self.qk_rope_head_dim):
            raise config.unsupported("index_topk", self.index_topk)
        config.positive("qk_rope_head_dim", self.qk_rope_head_dim)

    @property
    def sparse(self) -> bool:
        """Whether an indexer chooses the tokens."""
        return self.model_type == "deepseek_v32"

    @property
    def groups(self) -> int:
        """Of the experts; V2 has them with one of its two methods only."""
        ungrouped = self.model_type == "deepseek_v2" and self.topk_method != "group_limited_greedy"
        return 1 if ungrouped else max(1, self.n_group)

    @property
    def head_rows(self) -> int:
        """Rows of one head's query."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    def rotation(self) -> tuple[Tensor, float]:
        """Rotary frequencies of the turned part, and what cos and sin are multiplied with."""
        inverse = frequencies(self.qk_rope_head_dim, self.rope_theta, self.rope_scaling)
        return inverse, amplitude(self.rope_scaling)

    def kv_shape(self) -> tuple[int, int]:
        """One row: latent, turned key, and for V3.2 the index key."""
        return 1, self.kv_lora_rank + self.qk_rope_head_dim + (self.index_head_dim if self.sparse else 0)

    def scale(self) -> float:
        """Of the products; YaRN's share of the latents' part is in it."""
        scaling = self.rope_scaling or {}
        grown = yarn_amplitude(scaling["factor"], scaling["mscale_all_dim"]) if scaling.get("mscale_all_dim") else 1.0
        return float(self.head_rows**-0.5 * grown * grown)

    def rule(self) -> Rule:
        """How experts are chosen."""
        return Rule(
            self.num_experts_per_tok,
            "softmax" if self.model_type == "deepseek_v2" else "sigmoid",
            self.norm_topk_prob,
            self.routed_scaling_factor,
            self.groups,
            self.topk_group if self.groups > 1 else 1,
        )


def parts(args: Args) -> dict[str, Part]:
    """Every weight of the model by our name, with the checkpoint tensors it is made of."""
    found = decoder.outer_parts(args)
    for i in range(args.num_hidden_layers):
        found |= block_parts(args, i)
    return found


def block_parts(args: Args, i: int) -> dict[str, Part]:
    """The weights of block ``i``."""
    found = decoder.norm_parts(args, i) | _attention_parts(args, i)
    if args.sparse:
        found |= _index_parts(args, i)
    if i < args.first_k_dense_replace:
        return found | decoder.mlp_parts(args, i, args.intermediate_size)
    shares = args.n_shared_experts
    found |= decoder.moe_parts(args, i, args.n_routed_experts, args.moe_intermediate_size, shares=shares)
    if args.model_type != "deepseek_v2":
        correction = f"model.layers.{i}.mlp.gate.e_score_correction_bias"
        found[f"{i}.correction"] = Part("norm", (correction,), ((args.n_routed_experts,),))
    if shares:
        inner = args.moe_intermediate_size * shares
        found |= decoder.mlp_parts(args, i, inner, under="mlp.shared_experts", name="shared_")
    return found


def _attention_parts(args: Args, i: int) -> dict[str, Part]:
    at, hidden, heads, rank = (
        f"model.layers.{i}.self_attn",
        args.hidden_size,
        args.num_attention_heads,
        args.kv_lora_rank,
    )
    lora, queries = args.q_lora_rank, heads * args.head_rows
    first = (f"{at}.q_a_proj", lora) if lora else (f"{at}.q_proj", queries)
    kept = (f"{at}.kv_a_proj_with_mqa", rank + args.qk_rope_head_dim)
    out = (hidden, heads * args.v_head_dim)
    found = {
        f"{i}.latents": decoder.linear_part((first[0], kept[0]), ((first[1], hidden), (kept[1], hidden)), False, 2),
        f"{i}.kv_norm": Part("norm", (f"{at}.kv_a_layernorm.weight",), ((rank,),)),
        f"{i}.keys": Part("dense", (f"{at}.kv_b_proj.keys.weight",), ((heads * args.qk_nope_head_dim, rank),)),
        f"{i}.values": Part("dense", (f"{at}.kv_b_proj.values.weight",), ((heads * args.v_head_dim, rank),)),
        f"{i}.out": decoder.linear_part((f"{at}.o_proj",), (out,), False),
    }
    if lora:
        found[f"{i}.query_norm"] = Part("norm", (f"{at}.q_a_layernorm.weight",), ((lora,),))
        found[f"{i}.queries"] = decoder.linear_part((f"{at}.q_b_proj",), ((queries, lora),), False, 2)
    return found


def _index_parts(args: Args, i: int) -> dict[str, Part]:
    at, heads, width = f"model.layers.{i}.self_attn.indexer", args.index_n_heads, args.index_head_dim
    return {
        f"{i}.index_queries": decoder.linear_part((f"{at}.wq_b",), ((heads * width, args.q_lora_rank),), False, 2),
        f"{i}.index_key": decoder.linear_part((f"{at}.wk",), ((width, args.hidden_size),), False, 2),
        f"{i}.index_weights": Part("norm", (f"{at}.weights_proj.weight",), ((heads, args.hidden_size),)),
        f"{i}.index_norm": Part("norm", (f"{at}.k_norm.weight",), ((width,),)),
        f"{i}.index_norm_bias": Part("norm", (f"{at}.k_norm.bias",), ((width,),)),
    }


def rename(name: str, args: Args) -> Stored:
    """The names are the family's. Neighbours that are turned together become halves, as our rotation wants them; the
    rows of ``kv_b_proj`` are told apart into those for keys and for values of each head."""
    found = _SPLIT.fullmatch(name)
    if found is None:
        return Stored(name)
    at, which, end = found.groups()
    heads, plain, turned = range(args.num_attention_heads), args.qk_nope_head_dim, args.qk_rope_head_dim
    both = plain + args.v_head_dim
    order = [*range(0, turned, 2), *range(1, turned, 2)] if args.rope_interleave else list(range(turned))
    if which == "kv_b_proj.keys":
        return Stored(f"{at}kv_b_proj{end}", rows=[h * both + n for h in heads for n in range(plain)])
    if which == "kv_b_proj.values":
        return Stored(f"{at}kv_b_proj{end}", rows=[h * both + n for h in heads for n in range(plain, both)])
    if which == "kv_a_proj_with_mqa":
        return Stored(name, rows=[*range(args.kv_lora_rank), *(args.kv_lora_rank + n for n in order)])
    if which == "q_proj" and args.q_lora_rank:
        return Stored(name)
    in_head = [*range(plain), *(plain + n for n in order)]
    return Stored(name, rows=[h * args.head_rows + n for h in heads for n in in_head])


def build(args: Args, loaded: Loaded, compute: torch.dtype) -> Decoder:
    """The model over loaded weights."""
    return Decoder(args, loaded, compute, lambda i: attention(args, loaded, i), lambda i: mlp(args, loaded, i))


def attention(args: Args, loaded: Loaded, i: int) -> LatentAttention:
    """The attention of block ``i``."""
    keys, values = loaded.weights[f"{i}.keys"].dense, loaded.weights[f"{i}.values"].dense
    assert keys is not None and values is not None
    return LatentAttention(
        loaded.weights[f"{i}.latents"],
        loaded.norms[f"{i}.kv_norm"],
        keys.view(args.num_attention_heads, -1, args.kv_lora_rank),
        values.view(args.num_attention_heads, -1, args.kv_lora_rank),
        loaded.weights[f"{i}.out"],
        args.qk_rope_head_dim,
        args.scale(),
        loaded.weights.get(f"{i}.queries"),
        loaded.norms.get(f"{i}.query_norm"),
        _indexer(args, loaded, i) if args.sparse else None,
    )


def mlp(args: Args, loaded: Loaded, i: int) -> Pointwise:
    """What follows the attention of block ``i``: one MLP, or experts, with shared ones beside or behind them."""
    if i < args.first_k_dense_replace:
        return decoder.gated_mlp(loaded, i)
    shared = decoder.gated_mlp(loaded, i, "shared_") if f"{i}.shared_down" in loaded.weights else None
    return decoder.mixture(loaded, i, args.rule(), shared)


def _indexer(args: Args, loaded: Loaded, i: int) -> Indexer:
    return Indexer(
        loaded.weights[f"{i}.index_queries"],
        loaded.weights[f"{i}.index_key"],
        loaded.norms[f"{i}.index_weights"],
        loaded.norms[f"{i}.index_norm"],
        loaded.norms[f"{i}.index_norm_bias"],
        args.index_n_heads,
        args.index_head_dim,
        args.qk_rope_head_dim,
        args.index_topk,
    )


def tiny() -> dict[str, Any]:
    """A ``config.json`` small enough for tests: V2-Lite's shape, with YaRN."""
    return {
        "model_type": "deepseek_v2",
        "hidden_size": 64,
        "intermediate_size": 160,
        "moe_intermediate_size": 32,
        "n_routed_experts": 16,
        "num_experts_per_tok": 4,
        "n_shared_experts": 2,
        "routed_scaling_factor": 1.5,
        "topk_method": "greedy",
        "norm_topk_prob": False,
        "first_k_dense_replace": 1,
        "q_lora_rank": None,
        "kv_lora_rank": 32,
        "qk_nope_head_dim": 16,
        "qk_rope_head_dim": 8,
        "v_head_dim": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "vocab_size": 512,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 10_000.0,
            "factor": 4.0,
            "beta_fast": 32,
            "beta_slow": 1,
            "mscale": 0.707,
            "mscale_all_dim": 0.9,
            "original_max_position_embeddings": 64,
        },
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
        "hidden_act": "silu",
    }
