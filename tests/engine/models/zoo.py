"""Tiny random checkpoints of every family, made and saved by ``transformers``' own classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from famulus.engine.models import family
from tests.engine import tiny_models as tiny

PLAIN = {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}}
V3 = {
    "q_lora_rank": 48,
    "topk_method": "noaux_tc",
    "n_group": 4,
    "topk_group": 2,
    "norm_topk_prob": True,
    "n_shared_experts": 1,
}

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama-yarn": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 10_000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
    ),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {}),
    "qwen3-tied-biased": ("qwen3", {"tie_word_embeddings": True, "attention_bias": True}),
    "qwen3_moe": ("qwen3_moe", {}),
    "qwen3_moe-every-second": ("qwen3_moe", {"mlp_only_layers": [], "decoder_sparse_step": 2, "norm_topk_prob": False}),
    "mixtral": ("mixtral", {}),
    "mixtral-window": ("mixtral", {"sliding_window": 13}),
    "olmoe": ("olmoe", {}),
    "olmoe-clipped": ("olmoe", {"clip_qkv": 0.7, "norm_topk_prob": True, "attention_bias": True}),
    "granite_moe": ("granitemoe", {}),
    "granite_moe-own-head": ("granitemoe", {"tie_word_embeddings": False, "attention_bias": True}),
    "gpt_oss": ("gpt_oss", {}),
    "deepseek-v2-lite": ("deepseek_v2", {}),
    "deepseek-v2": (
        "deepseek_v2",
        {"q_lora_rank": 48, "topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2},
    ),
    "deepseek-v3": ("deepseek_v3", V3),
    "deepseek-v3-plain": ("deepseek_v3", V3 | {"rope_interleave": False, "norm_topk_prob": False, **PLAIN}),
    "deepseek-v3.2": (
        "deepseek_v32",
        V3 | {"topk_method": None, "index_topk": 24, "index_head_dim": 16, "index_n_heads": 8},
    ),
}
"""Name → ``model_type`` and what differs from the family's ``tiny()``."""


def make(variant: str) -> Any:
    """A model in fp32 whose weights are large enough that every part of the maths matters."""
    from transformers import AutoConfig, AutoModelForCausalLM

    kind, changes = VARIANTS[variant]
    said = family(kind).tiny() | {
        "model_type": kind,
        "vocab_size": tiny.VOCABULARY,
        "max_position_embeddings": 512,
        **changes,
    }
    said = {k: v for k, v in said.items() if v is not None}
    config = AutoConfig.for_model(**said)
    made = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    fill(dict(made.named_parameters()) | {n: b for n, b in made.named_buffers() if "correction" in n})
    with torch.no_grad():
        made.model.embed_tokens.weight.mul_(4)  # also the head where it is tied: logits with a spread
    return made


def fill(tensors: Mapping[str, torch.Tensor], seed: int = 0) -> None:
    """Random values; the seed is fixed, for a router jumps where two experts are nearly equal."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in tensors.items():
            noise = torch.randn(value.shape, generator=g)
            if "norm" in name:
                value.copy_(1 + 0.3 * noise)
            elif name.endswith(("bias", "sinks")):
                value.copy_(0.3 * noise)
            else:
                value.copy_(noise * value.shape[-1] ** -0.5)


def write(folder: Path, variant: str) -> Any:
    """The variant's model, saved as its authors would."""
    model = make(variant)
    tiny.write_folder(folder, model)
    return model
