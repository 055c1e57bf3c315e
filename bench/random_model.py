"""Models of random weights in the exact shapes of published ones, made on the device: speed does not ask for values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from famulus.engine.decoder import Decoder
from famulus.engine.expert_usage import Usage
from famulus.engine.gpu_forms import gpu_format, gpu_weight
from famulus.engine.layers import Loaded, Part
from famulus.engine.models import family
from famulus.engine.offload import Residency
from famulus.kernels.moe import Experts
from famulus.kernels.pack import GROUP, Weight

QWEN3_30B: dict[str, Any] = {
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "norm_topk_prob": True,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "vocab_size": 151936,
    "rope_theta": 10_000_000.0,
    "max_position_embeddings": 262144,
}
"""Qwen3-Coder-30B-A3B's ``config.json``."""

V2_LITE: dict[str, Any] = {
    "model_type": "deepseek_v2",
    "hidden_size": 2048,
    "intermediate_size": 10944,
    "moe_intermediate_size": 1408,
    "n_routed_experts": 64,
    "num_experts_per_tok": 6,
    "n_shared_experts": 2,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "topk_method": "greedy",
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "vocab_size": 102400,
    "max_position_embeddings": 163840,
}
"""DeepSeek-Coder-V2-Lite's."""

QWEN25_7B: dict[str, Any] = {
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "rope_theta": 1_000_000.0,
    "max_position_embeddings": 32768,
}
"""Qwen2.5-Coder-7B's."""

SHAPES = {"qwen3-30b-a3b": QWEN3_30B, "deepseek-coder-v2-lite": V2_LITE, "qwen2.5-coder-7b": QWEN25_7B}


def random_model(config: Mapping[str, Any], precision: str, device: torch.device) -> Decoder:
    """The model of ``config`` on ``device``, in a precision of :mod:`famulus.engine.gpu_forms`."""
    return built(config, random_weights(config, precision, device), precision)


def built(config: Mapping[str, Any], loaded: Loaded, precision: str) -> Decoder:
    """The model over ``loaded``."""
    module = family(config["model_type"])
    compute = torch.float32 if precision == "fp32" else torch.bfloat16
    made: Decoder = module.build(module.Args.from_config(config), loaded, compute)
    return made


def random_weights(config: Mapping[str, Any], precision: str, device: torch.device, resident: int = 0) -> Loaded:
    """Weights for the model of ``config``; what stays in f32 has values of bf16, so that others can share it.

    ``resident``: how many experts of each layer are on the device (0: all), the others in the processor's memory.
    """
    module = family(config["model_type"])
    norms: dict[str, Tensor] = {}
    weights: dict[str, Weight] = {}
    experts: dict[str, Experts] = {}
    args, host = module.Args.from_config(config), torch.device("cpu")
    count = 0
    parts: dict[str, Part] = module.parts(args)
    behind = set() if resident else {part.shared for part in parts.values()}
    for name, part in parts.items():
        if part.kind == "norm":
            norms[name] = _small(part, device)
            continue
        if name in behind:
            continue
        further = part.shares if part.shared in behind else 0
        fields = _fields(replace(part, experts=part.experts + further), precision, device)
        if part.kind == "experts":
            if resident:
                fields = {n: _pinned(t) if device.type == "cuda" else t for n, t in fields.items()}
            experts[name] = Experts(gpu_weight(part, precision, fields, host if resident else device))
            count = max(count, part.experts)
        else:
            weights[name] = gpu_weight(part, precision, fields, device)
    residency = None
    if resident and count:
        residency = Residency(device, min(resident, count), Usage(args.num_hidden_layers, count))
    return Loaded(weights, norms, experts, residency)


def _pinned(tensor: Tensor) -> Tensor:
    return tensor.cpu().pin_memory()


def _small(part: Part, device: torch.device) -> Tensor:
    """Norms of about 1; routers and the like of the size that keeps what they make near 1."""
    shape = part.shapes[0]
    if len(shape) == 1:
        return torch.ones(shape, device=device)
    return (torch.randn(shape, device=device) * float(shape[-1] ** -0.5)).bfloat16().float()


def _fields(part: Part, precision: str, device: torch.device) -> dict[str, Tensor]:
    """Random tensors of a part in the form that the precision gives it."""
    rows, columns = sum(shape[0] for shape in part.shapes), part.shapes[0][1]
    stack = (part.experts,) if part.kind == "experts" else ()
    exact = torch.float32 if precision == "fp32" else torch.bfloat16
    found = {}
    if part.biases:
        found["bias"] = torch.zeros(*stack, rows, dtype=exact, device=device)
    form = gpu_format(part, precision)
    if form == "pairs":
        step = columns**-0.5 / 4  # nibbles spread by about four steps
        scales = torch.full((*stack, columns // GROUP, rows), step, dtype=torch.float16, device=device)
        pairs = torch.randint(0, 256, (*stack, rows, columns // 2), dtype=torch.uint8, device=device)
        return found | {"pairs": pairs, "pair_scales": scales, "pair_minimums": scales * -7.5}
    values = torch.empty(*stack, rows, columns, dtype=exact, device=device).normal_(std=columns**-0.5)
    if form == "dense":
        return found | {"dense": values}
    scales = torch.full((*stack, rows), columns**-0.5, dtype=torch.float32, device=device)
    if form == "int8":
        return found | {"int8": (values * (32 * columns**0.5)).to(torch.int8), "int8_scales": scales / 32}
    return found | {"fp8": (values * columns**0.5).to(torch.float8_e4m3fn), "fp8_scales": scales}
