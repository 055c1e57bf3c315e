"""What llama.cpp calls tensors, in Hugging Face's words, and in which order it keeps their rows.

Experts are kept in stacks, one tensor for each of their three matrices: ``mlp.experts.gate_proj.weight``
[experts, rows, columns], which :func:`famulus.engine.source.located` finds. Source: llama.cpp
``gguf-py/gguf/constants.py`` and ``convert_hf_to_gguf.py``.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROPE_FACTORS = "rope_freqs.weight"
"""A table, not a weight: the divisors of the rotary frequencies (Llama 3.1 and later)."""

_OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_INNER = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_EXPERTS = {
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_exps": "mlp.experts.gate_proj",
    "ffn_up_exps": "mlp.experts.up_proj",
    "ffn_down_exps": "mlp.experts.down_proj",
}
_LATENT = {
    "attn_q_a": "self_attn.q_a_proj",
    "attn_q_a_norm": "self_attn.q_a_layernorm",
    "attn_q_b": "self_attn.q_b_proj",
    "attn_kv_a_mqa": "self_attn.kv_a_proj_with_mqa",
    "attn_kv_a_norm": "self_attn.kv_a_layernorm",
    "attn_kv_b": "self_attn.kv_b_proj",
    "attn_k_b": "self_attn.k_b_proj",
    "attn_v_b": "self_attn.v_b_proj",
    "ffn_gate_shexp": "mlp.shared_experts.gate_proj",
    "ffn_up_shexp": "mlp.shared_experts.up_proj",
    "ffn_down_shexp": "mlp.shared_experts.down_proj",
}
_OWN: dict[str, dict[str, str]] = {
    "qwen3_moe": _EXPERTS,
    "olmoe": _EXPERTS,
    "mixtral": _EXPERTS | {"ffn_gate_inp": "block_sparse_moe.gate"},
    "granitemoe": _EXPERTS | {"ffn_gate_inp": "block_sparse_moe.router.layer"},
    "gpt_oss": _EXPERTS | {"ffn_gate_inp": "mlp.router", "post_attention_norm": "post_attention_layernorm"},
    "deepseek_v2": _EXPERTS | _LATENT,
    "deepseek_v3": _EXPERTS | _LATENT,
}
"""What a family has beside the tensors that all have."""

_WHOLE = {
    ("gpt_oss", "attn_sinks.weight"): "self_attn.sinks",
    ("deepseek_v3", "exp_probs_b.bias"): "mlp.gate.e_score_correction_bias",
}
_NAME = re.compile(r"(?:blk\.(\d+)\.)?((\w+)\.(weight|bias))")

_INTERLEAVED = ("llama", "mixtral", "granitemoe")
"""Families whose rotation turns neighbours in llama.cpp, where ours, as Hugging Face's, turns halves."""


def rename(name: str, model_type: str) -> str | None:
    """The Hugging Face name of a tensor, None for one that the family does not have."""
    parts = _NAME.fullmatch(name)
    if parts is None:
        return None
    layer, whole, stem, kind = parts.groups()
    if layer is None:
        return f"{_OUTER[stem]}.{kind}" if stem in _OUTER else None
    known = _INNER | _OWN.get(model_type, {})
    inner = _WHOLE.get((model_type, whole)) or (f"{known[stem]}.{kind}" if stem in known else None)
    return None if inner is None else f"model.layers.{int(layer)}.{inner}"


def row_order(name: str, config: dict[str, Any]) -> NDArray[np.intp] | None:
    """Which stored row is row i of the tensor ``name`` (Hugging Face's), None where the order is the same: of some
    families llama.cpp interleaves the two halves of each head in the query and key projections."""
    if config["model_type"] not in _INTERLEAVED:
        return None
    if name.startswith("model.layers.") and ".self_attn.q_proj." in name:
        heads = config["num_attention_heads"]
    elif name.startswith("model.layers.") and ".self_attn.k_proj." in name:
        heads = config["num_key_value_heads"]
    else:
        return None
    half = config["head_dim"] // 2
    stored = np.arange(heads * half * 2, dtype=np.intp).reshape(heads, half, 2)
    return stored.swapaxes(1, 2).reshape(-1)
