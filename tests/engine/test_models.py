"""The families compute what ``transformers`` computes, however a prompt is cut, in every precision and file form."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from famulus.engine.checkpoint import open_checkpoint
from famulus.engine.errors import BadWeights
from famulus.engine.loader import load
from famulus.engine.models import FAMILIES
from famulus.kernels.pack import dequantize_int4, quantize_int4, quantize_int8
from tests.engine import tiny_models as tiny

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama-tied": ("llama", {"tie_word_embeddings": True}),
    "llama-own-head": ("llama", {"tie_word_embeddings": False}),
    "llama-one-kv-head": ("llama", {"num_key_value_heads": 1}),
    "llama-every-head-its-own-kv": ("llama", {"num_key_value_heads": 4}),
    "llama-odd-group": ("llama", {"hidden_size": 96, "num_attention_heads": 3, "num_key_value_heads": 1}),
    "llama-attention-bias": ("llama", {"attention_bias": True}),
    "llama-mlp-bias": ("llama", {"mlp_bias": True}),
    "llama-both-biases": ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    "llama-wide-heads": ("llama", {"head_dim": 32}),
    "llama-narrow-heads": ("llama", {"head_dim": 8}),
    "llama-theta": ("llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0}}),
    "llama-linear-scaling": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 2.5}},
    ),
    "llama-3-scaling": ("llama", {"rope_parameters": LLAMA3}),
    "llama-eps": ("llama", {"rms_norm_eps": 0.1}),
    "qwen2-tied": ("qwen2", {"tie_word_embeddings": True}),
    "qwen2-own-head": ("qwen2", {"tie_word_embeddings": False}),
    "qwen2-one-layer": ("qwen2", {"num_hidden_layers": 1, "num_key_value_heads": 4}),
}

FP32 = 1e-5
"""Largest difference relative to the largest logit, in fp32; the promise is 1e-3."""


def made(folder: Path, variant: str) -> Any:
    kind, changes = VARIANTS[variant]
    seed = torch.seed() % (1 << 31)
    model = tiny.random_model(kind, seed, **changes)
    tiny.write_folder(folder, model)
    print(f"seed {seed}")  # shown when a test fails
    return model


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_equal_those_of_transformers_however_the_prompt_is_cut(tmp_path: Path, variant: str) -> None:
    model = made(tmp_path / "m", variant)
    ours = tiny.open_model(tmp_path / "m")
    tokens = tiny.prompt(75)
    wanted = tiny.reference(model, tokens)
    assert wanted.std() > 0.3, "a flat model proves nothing"
    for pieces in ((), (1, 16, 5, 30, 2), (1,) * 75):
        for scattered in (False, True):
            found = tiny.logits(ours, tokens, pieces, scattered)
            assert found.dtype == torch.float32
            assert tiny.error(found, wanted) < FP32, (pieces, scattered)


def test_positions_beyond_a_page_keep_their_angles(tmp_path: Path) -> None:
    """400 tokens: rotary positions and masks far from the start, where scaling bites."""
    model = made(tmp_path / "m", "llama-3-scaling")
    tokens = tiny.prompt(400)
    found = tiny.logits(tiny.open_model(tmp_path / "m"), tokens, (256, 100, 1))
    assert tiny.error(found, tiny.reference(model, tokens)) < FP32


@pytest.mark.parametrize("variant", ["llama-own-head", "qwen2-tied"])
def test_shards_give_the_same_model_as_one_file(tmp_path: Path, variant: str) -> None:
    model = made(tmp_path / "one", variant)
    tiny.write_folder(tmp_path / "many", model, max_shard_size="60kB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 2
    tokens = tiny.prompt(20)
    one, many = (tiny.logits(tiny.open_model(tmp_path / name), tokens) for name in ("one", "many"))
    assert torch.equal(one, many)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_checkpoint_in_half_precision_keeps_its_exact_values(tmp_path: Path, dtype: torch.dtype) -> None:
    model = tiny.random_model("qwen2")
    for value in model.parameters():
        value.data = value.data.to(dtype)  # ``model.to`` would round the rotary table as well
    tiny.write_folder(tmp_path / "m", model)
    assert {v.dtype for v in load_file(tmp_path / "m" / "model.safetensors").values()} == {dtype}
    for value in model.parameters():
        value.data = value.data.float()
    tokens = tiny.prompt(20)
    found = tiny.logits(tiny.open_model(tmp_path / "m"), tokens)
    assert tiny.error(found, tiny.reference(model, tokens)) < FP32


def rounded(model: Any, precision: str, many: bool) -> Any:
    """``model`` with its matrices rounded as ``precision`` stores them; ``many`` rows or one."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.dim() < 2:
                continue
            if "proj" in name and "int4" in precision and not (many and precision == "int4+int8"):
                value.copy_(dequantize_int4(*quantize_int4(value)))
            else:
                q, scale = quantize_int8(value)
                value.copy_(q.float() * scale[:, None])
    return model


def spread(found: Tensor, wanted: Tensor) -> float:
    """Root mean square of the difference, relative to that of the logits around their mean."""
    return float((found - wanted).pow(2).mean().sqrt() / wanted.std())


@pytest.mark.parametrize("precision", ["bf16", "int8", "int4", "int4+int8"])
@pytest.mark.parametrize("variant", ["llama-both-biases", "llama-own-head", "qwen2-own-head"])
def test_small_precisions_stay_close(tmp_path: Path, variant: str, precision: str) -> None:
    """Against the rounded weights only activations differ (bf16: 8 bits of mantissa a step, so 3 %); against the exact
    ones int8 stays within 6 % of the logits' spread, int4 (to the nearest, no calibration, random weights) within half.
    """
    model = made(tmp_path / "m", variant)
    ours = tiny.open_model(tmp_path / "m", precision)
    tokens = tiny.prompt(40)
    exact = tiny.reference(model, tokens)
    whole, single = tiny.logits(ours, tokens), tiny.logits(ours, tokens, (1,) * 40)
    far = {"bf16": 0.03, "int8": 0.06, "int4": 0.5, "int4+int8": 0.06}[precision]
    assert spread(whole, exact) < far
    assert spread(single, exact) < (0.5 if "int4" in precision else far)
    if precision != "bf16":
        state = {name: value.clone() for name, value in model.state_dict().items()}
        for found, many in ((whole, True), (single, False)):
            model.load_state_dict(state)
            assert spread(found, tiny.reference(rounded(model, precision, many), tokens)) < 0.03, many


@pytest.mark.parametrize("kind", ["Q4_1", "Q4_0", "Q8_0", "F16", "F32"])
@pytest.mark.parametrize(("family", "changes"), [("llama", {}), ("llama", {"head_dim": 16}), ("qwen2", {})])
def test_a_gguf_file_gives_the_logits_of_the_values_it_stores(
    tmp_path: Path, kind: str, family: str, changes: dict[str, Any]
) -> None:
    model = tiny.random_model(family, tie_word_embeddings=kind in ("Q4_1", "F16"), **changes)
    stored = tiny.write_gguf(tmp_path / "m.gguf", model, kind)
    model.load_state_dict(stored, strict=False)
    tokens = tiny.prompt(40)
    wanted = tiny.reference(model, tokens)
    assert tiny.error(tiny.logits(tiny.open_model(tmp_path / "m.gguf"), tokens), wanted) < FP32


@pytest.mark.parametrize("kind", ["Q4_1", "Q4_0"])
def test_the_files_own_4_bit_grid_is_kept(tmp_path: Path, kind: str) -> None:
    """A second rounding would cost some tenths of the spread; only bf16 scales and activations may differ."""
    model = tiny.random_model(tie_word_embeddings=True)
    stored = tiny.write_gguf(tmp_path / "m.gguf", model, kind)
    model.load_state_dict(stored, strict=False)
    tokens = tiny.prompt(40)
    wanted = tiny.reference(model, tokens)
    ours = tiny.open_model(tmp_path / "m.gguf", "int4+int8")
    for pieces in ((), (1,) * 40):
        assert spread(tiny.logits(ours, tokens, pieces), wanted) < 0.05, pieces


def test_rows_that_fill_no_tile_and_columns_that_fill_no_group(tmp_path: Path) -> None:
    """Odd shapes: 3 heads of 12 (36 columns, no group of 32), an MLP of 90, and 108 + 90 rows that pad to 16."""
    sizes = {"hidden_size": 96, "num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 12}
    model = tiny.random_model("llama", intermediate_size=90, **sizes)
    tiny.write_folder(tmp_path / "m", model)
    tokens = tiny.prompt(30)
    wanted = tiny.reference(model, tokens)
    assert tiny.error(tiny.logits(tiny.open_model(tmp_path / "m"), tokens), wanted) < FP32
    for precision in ("int8", "int4", "int4+int8"):
        ours = tiny.open_model(tmp_path / "m", precision)
        for pieces in ((), (1,) * 30):
            assert spread(tiny.logits(ours, tokens, pieces), wanted) < (0.06 if precision == "int8" else 0.5)


def test_a_prompt_of_one_and_the_batch_around_it_change_nothing(tmp_path: Path) -> None:
    model = made(tmp_path / "m", "llama-own-head")
    ours = tiny.open_model(tmp_path / "m")
    assert tiny.error(tiny.logits(ours, [7]), tiny.reference(model, [7])) < FP32


def test_an_unknown_family_is_refused_by_name(tmp_path: Path) -> None:
    made(tmp_path / "m", "llama-tied")
    rewrite(tmp_path / "m", model_type="mamba")
    with pytest.raises(BadWeights, match="'mamba'"):
        tiny.open_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hidden_act": "gelu"}, "gelu"),
        ({"use_sliding_window": True}, "sliding"),
        ({"rope_parameters": None, "rope_scaling": {"rope_type": "dynamic", "factor": 4.0}}, "dynamic"),
        ({"rope_parameters": None, "rope_scaling": {"rope_type": "llama3", "factor": 4.0}}, "original_max_position"),
        ({"rope_parameters": None, "rope_scaling": {"rope_type": "linear", "factor": "two"}}, "two"),
        ({"rope_parameters": None, "rope_scaling": {"rope_type": "linear", "factor": 0}}, "rope_scaling"),
        ({"intermediate_size": None}, "intermediate_size"),
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"head_dim": 15, "num_attention_heads": 4}, "head_dim"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps"),
    ],
)
def test_a_configuration_that_cannot_be_computed_is_refused_in_words(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    made(tmp_path / "m", "llama-tied")
    rewrite(tmp_path / "m", **change)
    with pytest.raises(BadWeights, match=says):
        tiny.open_model(tmp_path / "m")


def rewrite(folder: Path, **change: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def test_a_missing_and_a_misshaped_tensor_are_named(tmp_path: Path) -> None:
    made(tmp_path / "m", "qwen2-own-head")
    file = tmp_path / "m" / "model.safetensors"
    whole = load_file(file)
    name = "model.layers.1.mlp.down_proj.weight"
    for damaged in (
        {k: v for k, v in whole.items() if k != name},
        whole | {name: whole[name].t().contiguous()},
        whole | {name: whole[name][:-1].clone()},
    ):
        save_file(damaged, file)
        for precision in ("fp32", "int4+int8"):
            with pytest.raises(BadWeights) as caught:
                tiny.open_model(tmp_path / "m", precision)
            assert name in str(caught.value)
            assert str(tmp_path / "m") in str(caught.value)


def test_a_tensor_of_integers_is_no_weight(tmp_path: Path) -> None:
    made(tmp_path / "m", "llama-tied")
    file = tmp_path / "m" / "model.safetensors"
    whole = load_file(file)
    name = "model.layers.0.mlp.up_proj.weight"
    save_file(whole | {name: torch.ones(whole[name].shape, dtype=torch.int32)}, file)
    with pytest.raises(BadWeights, match=name):
        tiny.open_model(tmp_path / "m")


@pytest.mark.parametrize("name", sorted(set(FAMILIES.values())))
def test_each_family_has_a_tiny_configuration_that_its_own_reader_takes(name: str) -> None:
    module = importlib.import_module(f"famulus.engine.models.{name}")
    assert FAMILIES[module.tiny()["model_type"]] == name
    args = module.Args.from_config(module.tiny())
    assert {part.shapes[0][-1] for part in module.parts(args).values() if part.kind == "embedding"} == {64}


def test_progress_is_told_in_words(tmp_path: Path) -> None:
    made(tmp_path / "m", "llama-tied")
    said: list[str] = []
    load(open_checkpoint(tmp_path / "m", stamps=tmp_path / "s"), "bf16", tmp_path / "kept", said.append)
    assert any("1 of" in line for line in said)
