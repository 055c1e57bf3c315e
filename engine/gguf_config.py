"""The ``config.json`` that the metadata of a GGUF file amounts to (llama.cpp ``convert_hf_to_gguf.py``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from famulus.engine.gguf import GGUF, Value, bad
from famulus.engine.gguf_names import ROPE_FACTORS


def config_of(file: GGUF) -> dict[str, Any]:
    """The configuration of a file of one of :data:`ARCHITECTURES`. Raises :class:`BadWeights`."""
    name = file.metadata.get("general.architecture")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        what = f"has the architecture {name!r}; from GGUF, Famulus reads {', '.join(ARCHITECTURES)}"
        raise bad(file.path, what, fix="Take the model's Hugging Face folder, or another model.")
    said = _Said(file, name)
    embedding = file.info("token_embd.weight").shape
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    if len(embedding) != 2 or not isinstance(tokens, list) or len(tokens) != embedding[0]:
        count = len(tokens) if isinstance(tokens, list) else "no"
        raise bad(file.path, f"has an embedding of shape {embedding} and {count} tokens in its tokenizer")
    found: dict[str, Any] = {
        "hidden_size": said.count("embedding_length"),
        "num_hidden_layers": said.count("block_count"),
        "num_attention_heads": said.count("attention.head_count"),
        "intermediate_size": said.count("feed_forward_length", said.count("expert_feed_forward_length", 1)),
        "vocab_size": embedding[0],
        "max_position_embeddings": said.count("context_length"),
        "rms_norm_eps": said.real("attention.layer_norm_rms_epsilon", 1e-5),
        "rope_theta": said.real("rope.freq_base", 10_000.0),
        "rope_scaling": _scaling(said),
        "hidden_act": "silu",
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "attention_bias": "blk.0.attn_q.bias" in file.tensors,
        "mlp_bias": "blk.0.ffn_gate.bias" in file.tensors,
        "bos_token_id": _token(file, "bos"),
        "pad_token_id": _token(file, "padding"),
        "eos_token_id": sorted({t for k in ("eos", "eot", "eom") if (t := _token(file, k)) is not None}),
    }
    if name != "deepseek2":
        found |= _heads(said)
    return found | ARCHITECTURES[name](said)


@dataclass(frozen=True)
class _Said:
    """The metadata of one architecture."""

    file: GGUF
    name: str

    def count(self, key: str, default: int | None = None) -> int:
        """A number above 0. Raises :class:`BadWeights` for anything else."""
        key = f"{self.name}.{key}"
        value: Value | None = self.file.metadata.get(key, default)
        if type(value) is not int or not 0 < value < 1 << 31:
            raise bad(self.file.path, f"has no usable {key!r} in its metadata ({str(value)[:50]})")
        return value

    def some(self, key: str) -> int:
        """A number that may be 0 or absent."""
        return self.count(key) if self.file.metadata.get(f"{self.name}.{key}") else 0

    def real(self, key: str, default: float) -> float:
        """A number above 0. Raises :class:`BadWeights` for anything else."""
        key = f"{self.name}.{key}"
        value = self.file.metadata.get(key, default)
        if not isinstance(value, (int, float)) or not 0 < value < 1e12:
            raise bad(self.file.path, f"has no usable {key!r} in its metadata ({str(value)[:50]})")
        return float(str(np.float32(value)))  # stored as float32: 1e-05, not 9.99999974e-06

    def flag(self, key: str, default: bool) -> bool:
        """Yes or no."""
        return bool(self.file.metadata.get(f"{self.name}.{key}", default))


def _heads(said: _Said) -> dict[str, Any]:
    """Of attention with grouped heads, all of whose width is rotated."""
    heads, hidden = said.count("attention.head_count"), said.count("embedding_length")
    head = said.count("attention.key_length", hidden // heads if hidden % heads == 0 else None)
    rotated = said.count("rope.dimension_count", head)
    if head % 2 or rotated != head or said.count("attention.value_length", head) != head:
        what = f"has heads of {head} of which {rotated} are rotated, which Famulus does not read"
        raise bad(said.file.path, what, fix="Take another model.")
    return {"num_key_value_heads": said.count("attention.head_count_kv", heads), "head_dim": head}


def _scaling(said: _Said) -> dict[str, Any] | None:
    if ROPE_FACTORS in said.file.tensors:
        return {"rope_type": "factors", "factors": said.file.tensor(ROPE_FACTORS).reshape(-1).tolist()}
    kind = said.file.metadata.get(f"{said.name}.rope.scaling.type", "none")
    if kind in ("none", ""):
        return None
    found: dict[str, Any] = {
        "rope_type": kind,
        "factor": said.real("rope.scaling.factor", 1.0),
        "original_max_position_embeddings": said.count(
            "rope.scaling.original_context_length", said.count("context_length")
        ),
    }
    if kind == "yarn":
        found["beta_fast"] = said.real("rope.scaling.yarn_beta_fast", 32.0)
        found["beta_slow"] = said.real("rope.scaling.yarn_beta_slow", 1.0)
    return found


def _token(file: GGUF, which: str) -> int | None:
    value = file.metadata.get(f"tokenizer.ggml.{which}_token_id")
    return value if type(value) is int and value >= 0 else None


def _experts(said: _Said) -> dict[str, Any]:
    return {"num_experts": said.count("expert_count"), "num_experts_per_tok": said.count("expert_used_count")}


def _llama(said: _Said) -> dict[str, Any]:
    if not said.some("expert_count"):
        return {"model_type": "llama"}
    return {"model_type": "mixtral"} | _experts(said)


def _qwen3_moe(said: _Said) -> dict[str, Any]:
    inner = said.count("expert_feed_forward_length")
    return {"model_type": "qwen3_moe", "moe_intermediate_size": inner, "norm_topk_prob": True} | _experts(said)


def _olmoe(said: _Said) -> dict[str, Any]:
    clip = said.file.metadata.get("olmoe.attention.clamp_kqv")
    norm = said.flag("expert_weights_norm", False)
    return {"model_type": "olmoe", "clip_qkv": clip or None, "norm_topk_prob": norm} | _experts(said)


def _granite_moe(said: _Said) -> dict[str, Any]:
    return {
        "model_type": "granitemoe",
        "embedding_multiplier": said.real("embedding_scale", 1.0),
        "residual_multiplier": said.real("residual_scale", 1.0),
        "attention_multiplier": said.real("attention.scale", 1.0),
        "logits_scaling": said.real("logit_scale", 1.0),
    } | _experts(said)


def _gpt_oss(said: _Said) -> dict[str, Any]:
    scaling = _scaling(said)
    return {
        "model_type": "gpt_oss",
        "intermediate_size": said.count("expert_feed_forward_length"),
        "sliding_window": said.count("attention.sliding_window"),
        "rope_scaling": None if scaling is None else scaling | {"truncate": False},
    } | _experts(said)


def _deepseek(said: _Said) -> dict[str, Any]:
    """Keys and values have the lengths of the absorbed form where the file says ``…_mla`` beside them."""
    third = said.some("expert_gating_func") == 2
    turned = said.count("rope.dimension_count")
    key, value = (
        said.some(f"attention.{which}_length_mla") or said.count(f"attention.{which}_length")
        for which in ("key", "value")
    )
    experts = said.count("expert_count")
    # V3's first files did not say its groups.
    groups = said.some("expert_group_count") or (8 if third and experts == 256 else 1)
    kept = said.some("expert_group_used_count") or (4 if third and experts == 256 else 1)
    scaling = _scaling(said)
    if scaling is not None and f"{said.name}.rope.scaling.yarn_log_multiplier" in said.file.metadata:
        grown = 10 * said.real("rope.scaling.yarn_log_multiplier", 0.1)
        scaling |= {"mscale": grown, "mscale_all_dim": grown}
    grouped = "group_limited_greedy" if groups > 1 else "greedy"
    return {
        "model_type": "deepseek_v3" if third else "deepseek_v2",
        "num_key_value_heads": said.count("attention.head_count"),
        "head_dim": turned,
        "moe_intermediate_size": said.count("expert_feed_forward_length"),
        "n_shared_experts": said.some("expert_shared_count"),
        "routed_scaling_factor": said.real("expert_weights_scale", 1.0),
        "norm_topk_prob": said.flag("expert_weights_norm", False),
        "topk_method": "noaux_tc" if third else grouped,
        "n_group": groups,
        "topk_group": kept,
        "first_k_dense_replace": said.some("leading_dense_block_count"),
        "q_lora_rank": said.some("attention.q_lora_rank") or None,
        "kv_lora_rank": said.count("attention.kv_lora_rank"),
        "qk_nope_head_dim": key - turned,
        "qk_rope_head_dim": turned,
        "v_head_dim": value,
        "rope_scaling": scaling,
    } | _experts(said)


ARCHITECTURES: dict[str, Callable[[_Said], dict[str, Any]]] = {
    "llama": _llama,
    "qwen2": lambda said: {"model_type": "qwen2"},
    "qwen3": lambda said: {"model_type": "qwen3"},
    "qwen3moe": _qwen3_moe,
    "olmoe": _olmoe,
    "granitemoe": _granite_moe,
    "gpt-oss": _gpt_oss,
    "deepseek2": _deepseek,
}
"""``general.architecture`` of the files that are read → the keys of its own."""
