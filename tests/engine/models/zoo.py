"""Tiny random checkpoints of every family, made and saved by ``transformers``' own classes."""

from __future__ import annotations

import json
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
    "famulus_moe": ("famulus_moe", {"router_top_p": 0.3}),
}
"""Name → ``model_type`` and what differs from the family's ``tiny()``."""


class SlowExperts(torch.nn.Module):
    """famulus_moe's MLP token by token, as its docstring says: ``mlp`` of the base beside as few of the routed experts
    as reach ``router_top_p`` of the scores, and no more than the cap. ``counts``: how many each token met."""

    def __init__(self, mlp: torch.nn.Module, said: Mapping[str, Any]) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = mlp.gate_proj, mlp.up_proj, mlp.down_proj
        hidden, inner = said["hidden_size"], said["moe_intermediate_size"]
        self.said, self.counts = said, set[int]()
        self.gate = torch.nn.Linear(hidden, said["num_experts"], bias=False)
        self.gate.e_score_correction_bias = torch.nn.Parameter(torch.zeros(said["num_experts"]))
        self.experts = torch.nn.ModuleList(torch.nn.Module() for _ in range(said["num_experts"]))
        for expert in self.experts:
            expert.gate_proj = torch.nn.Linear(hidden, inner, bias=False)
            expert.up_proj = torch.nn.Linear(hidden, inner, bias=False)
            expert.down_proj = torch.nn.Linear(inner, hidden, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = _gated(self, x)
        for row, out in zip(x.view(-1, x.shape[-1]), found.view(-1, x.shape[-1]), strict=True):
            scores = torch.sigmoid(self.gate(row))
            merit = scores + self.gate.e_score_correction_bias
            chosen: list[int] = []
            for e in merit.argsort(descending=True).tolist():
                enough = float(sum(scores[c] for c in chosen)) >= self.said["router_top_p"] * float(scores.sum())
                if len(chosen) == self.said["num_experts_per_tok"] or enough:
                    break
                chosen.append(e)
            self.counts.add(len(chosen))
            whole = sum(scores[c] for c in chosen)
            for e in chosen:
                out += self.said["routed_scaling_factor"] * scores[e] / whole * _gated(self.experts[e], row)
        return found


def _gated(mlp: Any, x: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = mlp.down_proj(torch.nn.functional.silu(mlp.gate_proj(x)) * mlp.up_proj(x))
    return found


def make(variant: str, **more: Any) -> Any:
    """A model in fp32 whose weights are large enough that every part of the maths matters; ``more``: other sizes."""
    from transformers import AutoConfig, AutoModelForCausalLM

    kind, changes = VARIANTS[variant]
    said = family(kind).tiny() | {
        "model_type": kind,
        "vocab_size": tiny.VOCABULARY,
        "max_position_embeddings": 512,
        **changes,
        **more,
    }
    said = {k: v for k, v in said.items() if v is not None}
    own = kind == "famulus_moe"  # transformers has its base, and not its experts
    config = AutoConfig.for_model(**(said | {"model_type": "llama"} if own else said))
    made = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    if own:
        for layer in made.model.layers:
            layer.mlp = SlowExperts(layer.mlp, said)
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


def write(folder: Path, variant: str, **more: Any) -> Any:
    """The variant's model, saved as its authors would."""
    model = make(variant, **more)
    tiny.write_folder(folder, model)
    if VARIANTS[variant][0] == "famulus_moe":
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | dict(model.model.layers[0].mlp.said)))
    return model
