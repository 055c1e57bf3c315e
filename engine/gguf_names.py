"""What llama.cpp calls things, in Hugging Face's words: ``config.json`` keys, tensor names, order of rows.

Source: llama.cpp ``gguf-py/gguf/constants.py`` and ``convert_hf_to_gguf.py``.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from famulus.engine.gguf import GGUF, Value, bad

FAMILIES = ("llama", "qwen2", "qwen3")
"""Architectures (``general.architecture``) whose GGUF files are read."""

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
_NAME = re.compile(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)")


def rename(name: str) -> str | None:
    """The Hugging Face name of a tensor, None for one that these families do not have."""
    parts = _NAME.fullmatch(name)
    if parts is None:
        return None
    layer, stem, kind = parts.groups()
    if layer is None:
        return f"{_OUTER[stem]}.{kind}" if stem in _OUTER else None
    return f"model.layers.{int(layer)}.{_INNER[stem]}.{kind}" if stem in _INNER else None


def row_order(name: str, config: dict[str, Any]) -> NDArray[np.intp] | None:
    """Which stored row is row i of the tensor ``name`` (Hugging Face's), None where the order is the same.

    For the llama architecture llama.cpp interleaves the two halves of each head in the query and key
    projections, because its rotary embedding turns neighbours; ours, as Hugging Face's, turns halves.
    """
    if config["model_type"] != "llama":
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


def config_of(file: GGUF) -> dict[str, Any]:
    """The ``config.json`` that the metadata amounts to. Raises :class:`BadWeights`."""
    family = file.metadata.get("general.architecture")
    if not isinstance(family, str) or family not in FAMILIES:
        what = f"has the architecture {family!r}; from GGUF, Famulus reads {', '.join(FAMILIES)}"
        raise bad(file.path, what, fix="Take the model's Hugging Face folder, or another model.")
    embedding = file.info("token_embd.weight").shape
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    if len(embedding) != 2 or not isinstance(tokens, list) or len(tokens) != embedding[0]:
        count = len(tokens) if isinstance(tokens, list) else "no"
        raise bad(file.path, f"has an embedding of shape {embedding} and {count} tokens in its tokenizer")
    heads = _count(file, f"{family}.attention.head_count")
    hidden = _count(file, f"{family}.embedding_length")
    default_head = hidden // heads if hidden % heads == 0 else None
    head = _count(file, f"{family}.attention.key_length", default_head)
    rotated = _count(file, f"{family}.rope.dimension_count", head)
    if head % 2 or rotated != head or _count(file, f"{family}.attention.value_length", head) != head:
        what = f"has heads of {head} of which {rotated} are rotated, which Famulus does not read"
        raise bad(file.path, what, fix="Take another model.")
    return {
        "model_type": family,
        "hidden_size": hidden,
        "num_hidden_layers": _count(file, f"{family}.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _count(file, f"{family}.attention.head_count_kv", heads),
        "head_dim": head,
        "intermediate_size": _count(file, f"{family}.feed_forward_length"),
        "vocab_size": embedding[0],
        "max_position_embeddings": _count(file, f"{family}.context_length"),
        "rms_norm_eps": _real(file, f"{family}.attention.layer_norm_rms_epsilon", 1e-5),
        "rope_theta": _real(file, f"{family}.rope.freq_base", 10_000.0),
        "rope_scaling": _scaling(file, family),
        "hidden_act": "silu",
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "attention_bias": "blk.0.attn_q.bias" in file.tensors,
        "mlp_bias": "blk.0.ffn_gate.bias" in file.tensors,
        "bos_token_id": _token(file, "bos"),
        "pad_token_id": _token(file, "padding"),
        "eos_token_id": sorted({t for k in ("eos", "eot", "eom") if (t := _token(file, k)) is not None}),
    }


def _scaling(file: GGUF, family: str) -> dict[str, Any] | None:
    if ROPE_FACTORS in file.tensors:
        return {"rope_type": "factors", "factors": file.tensor(ROPE_FACTORS).reshape(-1).tolist()}
    kind = file.metadata.get(f"{family}.rope.scaling.type", "none")
    if kind in ("none", ""):
        return None
    original = f"{family}.rope.scaling.original_context_length"
    return {
        "rope_type": kind,
        "factor": _real(file, f"{family}.rope.scaling.factor", 1.0),
        "original_max_position_embeddings": _count(file, original, _count(file, f"{family}.context_length")),
    }


def _count(file: GGUF, key: str, default: int | None = None) -> int:
    value: Value | None = file.metadata.get(key, default)
    if type(value) is not int or not 0 < value < 1 << 31:
        raise bad(file.path, f"has no usable {key!r} in its metadata ({str(value)[:50]})")
    return value


def _real(file: GGUF, key: str, default: float) -> float:
    value = file.metadata.get(key, default)
    if not isinstance(value, (int, float)) or not 0 < value < 1e12:
        raise bad(file.path, f"has no usable {key!r} in its metadata ({str(value)[:50]})")
    return float(str(np.float32(value)))  # stored as float32: 1e-05, not 9.99999974e-06


def _token(file: GGUF, which: str) -> int | None:
    value = file.metadata.get(f"tokenizer.ggml.{which}_token_id")
    return value if type(value) is int and value >= 0 else None
