"""Checkpoints as they are published: MXFP4, blocks of fp8, 8 and 4 bits made from them, and configurations that ask for
what nobody has written yet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from famulus.commands.models import opened
from famulus.engine.checkpoint import open_checkpoint
from famulus.engine.errors import BadWeights
from famulus.engine.models import FAMILIES, family
from famulus.engine.served import model_size
from tests.engine import tiny_models as tiny
from tests.engine.models import zoo

FP32 = 1e-5


def rewrite(folder: Path, **change: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def spread(found: Tensor, wanted: Tensor) -> float:
    """Root mean square of the difference, relative to that of the logits around their mean."""
    return float((found - wanted).pow(2).mean().sqrt() / wanted.std())


def test_experts_in_mxfp4_are_read_as_transformers_reads_them(tmp_path: Path) -> None:
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    model = zoo.make("gpt_oss")
    packed: dict[str, Tensor] = {}
    g = torch.Generator().manual_seed(0)
    for name, value in dict(model.named_parameters()).items():
        if name.endswith(("gate_up_proj", "down_proj")):
            experts, columns, rows = value.shape
            blocks = torch.randint(0, 256, (experts, rows, columns // 32, 16), generator=g, dtype=torch.uint8)
            scales = torch.randint(120, 126, blocks.shape[:-1], generator=g, dtype=torch.uint8)
            value.data.copy_(convert_moe_packed_tensors(blocks, scales, dtype=torch.float32))
            packed |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
    folder = tiny.write_folder(tmp_path / "m", model)
    file = folder / "model.safetensors"
    dense = {k: v for k, v in load_file(file).items() if not k.endswith(("gate_up_proj", "down_proj"))}
    save_file(dense | packed, file)
    rewrite(folder, quantization_config={"quant_method": "mxfp4"})
    tokens = tiny.prompt(50)
    assert tiny.error(tiny.logits(tiny.open_model(folder), tokens), tiny.reference(model, tokens)) < FP32
    save_file(dense | {k: v for k, v in packed.items() if not k.endswith("1.mlp.experts.down_proj_scales")}, file)
    with pytest.raises(BadWeights, match=r"1\.mlp\.experts\.down_proj_scales"):
        tiny.open_model(folder)


def test_blocks_of_fp8_are_read_with_their_scales(tmp_path: Path) -> None:
    model = zoo.make("deepseek-v3")
    folder = tiny.write_folder(tmp_path / "m", model)
    file = folder / "model.safetensors"
    stored: dict[str, Tensor] = {}
    for name, value in load_file(file).items():
        if "proj" not in name:
            stored[name] = value
            continue
        rows, columns = (-(-n // 128) for n in value.shape)
        digits, scales = torch.empty(value.shape, dtype=torch.float8_e4m3fn), torch.empty(rows, columns)
        for r in range(rows):
            for c in range(columns):
                block = (slice(128 * r, 128 * r + 128), slice(128 * c, 128 * c + 128))
                scales[r, c] = value[block].abs().max() / 448
                digits[block] = (value[block] / scales[r, c]).to(torch.float8_e4m3fn)
        stored |= {name: digits, f"{name}_scale_inv": scales}
    assert any(s.shape == (2, 1) for n, s in stored.items() if n.endswith("scale_inv")), "more than one block"
    save_file(stored, file)
    rewrite(folder, quantization_config={"quant_method": "fp8", "weight_block_size": [128, 128]})
    tokens = tiny.prompt(50)
    wanted = tiny.reference(model, tokens)
    # e4m3 keeps four bits of every weight: near, and not the same.
    assert 1e-3 < spread(tiny.logits(tiny.open_model(folder), tokens), wanted) < 0.4
    name = "model.layers.0.mlp.gate_proj.weight"
    exact = stored[name].float() * stored[f"{name}_scale_inv"].repeat_interleave(128, 0)[:160]
    ours = tiny.open_model(folder).blocks[0].mlp.gate_up.dense  # type: ignore[attr-defined]
    assert torch.equal(ours[:160], exact)


@pytest.mark.parametrize("precision", ["bf16", "int8", "int4", "int4+int8"])
@pytest.mark.parametrize("variant", ["qwen3_moe", "granite_moe", "gpt_oss", "deepseek-v2-lite"])
def test_experts_in_small_precisions_stay_close(tmp_path: Path, variant: str, precision: str) -> None:
    """Within a tenth of the logits' spread in 8 bits and half of it in 4 (to the nearest, random weights); most of it
    is a router that turns one token elsewhere."""
    model = zoo.write(tmp_path / "m", variant)
    tokens = tiny.prompt(60)
    wanted = tiny.reference(model, tokens)
    ours = tiny.open_model(tmp_path / "m", precision)
    assert spread(tiny.logits(ours, tokens), wanted) < (0.5 if precision == "int4" else 0.1)
    assert spread(tiny.logits(ours, tokens, (1,) * 60), wanted) < (0.5 if "int4" in precision else 0.1)
    dense = tiny.open_model(tmp_path / "m", "fp32")
    read, whole = (sum(w.decode_bytes for w in model.linears()) for model in (ours, dense))
    assert read < whole * {"bf16": 0.55, "int8": 0.6, "int4": 0.5, "int4+int8": 0.5}[precision]


@pytest.mark.parametrize("variant", ["qwen3_moe", "gpt_oss", "deepseek-v2-lite", "llama"])
def test_the_size_is_that_of_the_checkpoint_and_what_one_token_meets_is_less(tmp_path: Path, variant: str) -> None:
    model = zoo.write(tmp_path / "m", variant)
    size = model_size(open_checkpoint(tmp_path / "m", stamps=tmp_path / "s"))
    stored = sum(v.numel() for v in load_file(tmp_path / "m" / "model.safetensors").values())
    assert size.parameters + size.embedding == stored
    assert (0 < size.active < size.parameters) == (variant != "llama")
    said = dict(opened(tmp_path / "m"))
    assert said["runs"] == f"yes, as {model.config.model_type}"
    assert ("experts" in said) == (variant != "llama")


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    *((name, {"hidden_act": "gelu"}, "hidden_act") for name in sorted(FAMILIES)),
    *((name, {"quantization_config": {"quant_method": "hqq"}}, "quant_method = 'hqq'") for name in sorted(FAMILIES)),
    *((name, {"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, "longrope") for name in sorted(FAMILIES)),
    (
        "deepseek_v3",
        {"quantization_config": {"quant_method": "fp8", "weight_block_size": [64, 64]}},
        "quantization_config.weight_block_size",
    ),
    ("qwen3", {"use_sliding_window": True}, "use_sliding_window"),
    ("qwen3", {"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
    ("qwen3", {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
    ("llama", {"layer_types": 7}, "layer_types"),
    ("qwen3_moe", {"num_experts_per_tok": 9}, "num_experts_per_tok 9 of 8"),
    ("qwen3_moe", {"num_experts": None}, "num_experts"),
    ("qwen3_moe", {"router_top_p": 0.7}, "router_top_p"),
    ("qwen3_moe", {"decoder_sparse_step": 0}, "decoder_sparse_step"),
    ("qwen3_moe", {"moe_intermediate_size": "many"}, "moe_intermediate_size"),
    ("mixtral", {"num_local_experts": 1}, "num_experts_per_tok 2 of 1"),
    ("olmoe", {"norm_topk_prob": 1}, "norm_topk_prob"),
    ("granitemoe", {"logits_scaling": 0}, "logits_scaling"),
    ("gpt_oss", {"layer_types": ["linear_attention"] * 3}, "layer_types"),
    ("gpt_oss", {"sliding_window": 0}, "sliding_window"),
    ("deepseek_v2", {"topk_method": "noaux_tc"}, "topk_method"),
    ("deepseek_v2", {"norm_topk_prob": True}, "norm_topk_prob"),
    ("deepseek_v2", {"moe_layer_freq": 2}, "moe_layer_freq"),
    ("deepseek_v2", {"attention_bias": True}, "attention_bias"),
    ("deepseek_v2", {"kv_lora_rank": None}, "kv_lora_rank"),
    ("deepseek_v3", {"scoring_func": "softmax"}, "scoring_func"),
    ("deepseek_v3", {"n_group": 3}, "n_group"),
    ("deepseek_v3", {"mlp_layer_types": ["sparse"] * 3}, "mlp_layer_types"),
    ("deepseek_v32", {"index_topk": 0}, "index_topk"),
]


def test_what_a_checkpoint_says_of_its_positions_alone_is_named_too(tmp_path: Path) -> None:
    zoo.write(tmp_path / "m", "qwen3")
    rewrite(tmp_path / "m", rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5})
    with pytest.raises(BadWeights, match="partial_rotary_factor"):
        tiny.open_model(tmp_path / "m")


@pytest.mark.parametrize(("name", "change", "says"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_a_configuration_asks_for_in_vain_is_named(name: str, change: dict[str, Any], says: str) -> None:
    module = family(name)
    deeper = {"index_topk": 8, "index_head_dim": 16, "index_n_heads": 2} if name == "deepseek_v32" else {}
    changes = {**zoo.V3, **deeper} if name in ("deepseek_v3", "deepseek_v32") else {}
    config = module.tiny() | changes | {"model_type": name}
    module.Args.from_config(config)
    with pytest.raises(BadWeights, match=says):
        module.Args.from_config(config | change)
