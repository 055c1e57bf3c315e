"""GGUF files of mixtures of experts, written as llama.cpp's converter does, give the logits of what they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from famulus.engine.checkpoint import Checkpoint, open_checkpoint
from famulus.engine.errors import BadWeights
from famulus.engine.layers import Part
from famulus.engine.models import family
from famulus.engine.source import Rename, Source, located
from famulus.engine.stored import Stored
from tests.engine import tiny_models as tiny
from tests.engine.models import zoo

FP32 = 1e-5

ARCHITECTURES = {
    "qwen3_moe": gguf.MODEL_ARCH.QWEN3MOE,
    "olmoe": gguf.MODEL_ARCH.OLMOE,
    "mixtral": gguf.MODEL_ARCH.LLAMA,
    "granitemoe": gguf.MODEL_ARCH.GRANITE_MOE,
    "gpt_oss": gguf.MODEL_ARCH.GPT_OSS,
    "deepseek_v2": gguf.MODEL_ARCH.DEEPSEEK2,
    "deepseek_v3": gguf.MODEL_ARCH.DEEPSEEK2,
}
STACKED = ("gate_proj", "up_proj", "down_proj")
MIXTRAL = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}
Array = NDArray[Any]


class File:
    """A GGUF file in the making; what it will mean is in ``meant``, by Hugging Face's names."""

    def __init__(self, path: Path, model: Any, split: bool) -> None:
        self.config, self.meant = model.config, {}
        self.family = model.config.model_type
        self.split = split
        arch = ARCHITECTURES[self.family]
        self.writer = gguf.GGUFWriter(str(path), gguf.MODEL_ARCH_NAMES[arch])
        self.names = gguf.get_tensor_name_map(arch, self.config.num_hidden_layers)

    def metadata(self) -> None:
        c, w = self.config, self.writer
        w.add_block_count(c.num_hidden_layers)
        w.add_context_length(c.max_position_embeddings)
        w.add_embedding_length(c.hidden_size)
        w.add_feed_forward_length(c.intermediate_size)
        w.add_head_count(c.num_attention_heads)
        w.add_layer_norm_rms_eps(c.rms_norm_eps)
        rope = c.rope_parameters
        w.add_rope_freq_base(rope["rope_theta"])
        if rope["rope_type"] == "yarn":
            w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
            w.add_rope_scaling_factor(rope["factor"])
            w.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        w.add_expert_count(
            getattr(c, "n_routed_experts", None) or getattr(c, "num_local_experts", None) or c.num_experts
        )
        w.add_expert_used_count(c.num_experts_per_tok)
        w.add_tokenizer_model("gpt2")
        w.add_token_list([f"t{i}" for i in range(c.vocab_size)])
        if self.family.startswith("deepseek"):
            self._latent()
        else:
            w.add_head_count_kv(c.num_key_value_heads)
            w.add_key_length(c.head_dim if hasattr(c, "head_dim") else c.hidden_size // c.num_attention_heads)
            w.add_value_length(c.head_dim if hasattr(c, "head_dim") else c.hidden_size // c.num_attention_heads)
        if self.family == "qwen3_moe":
            w.add_expert_feed_forward_length(c.moe_intermediate_size)
        if self.family == "gpt_oss":
            w.add_expert_feed_forward_length(c.intermediate_size)
            w.add_sliding_window(c.sliding_window)
        if self.family == "granitemoe":
            w.add_attention_scale(c.attention_multiplier)
            w.add_embedding_scale(c.embedding_multiplier)
            w.add_residual_scale(c.residual_multiplier)
            w.add_logit_scale(c.logits_scaling)

    def _latent(self) -> None:
        c, w = self.config, self.writer
        absorbed = c.kv_lora_rank + c.qk_rope_head_dim
        key = c.qk_nope_head_dim + c.qk_rope_head_dim
        w.add_head_count_kv(1 if self.split else c.num_attention_heads)
        w.add_key_length(absorbed if self.split else key)
        w.add_value_length(c.kv_lora_rank if self.split else c.v_head_dim)
        if self.split:
            w.add_key_length_mla(key)
            w.add_value_length_mla(c.v_head_dim)
        w.add_kv_lora_rank(c.kv_lora_rank)
        if c.q_lora_rank:
            w.add_q_lora_rank(c.q_lora_rank)
        w.add_rope_dimension_count(c.qk_rope_head_dim)
        w.add_leading_dense_block_count(c.first_k_dense_replace)
        w.add_expert_feed_forward_length(c.moe_intermediate_size)
        w.add_expert_shared_count(c.n_shared_experts)
        w.add_expert_weights_scale(c.routed_scaling_factor)
        w.add_expert_weights_norm(c.norm_topk_prob)
        third = self.family == "deepseek_v3"
        w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID if third else gguf.ExpertGatingFuncType.SOFTMAX)
        if third:
            w.add_expert_group_count(c.n_group)
            w.add_expert_group_used_count(c.topk_group)
        if c.rope_parameters["rope_type"] == "yarn":
            w.add_rope_scaling_yarn_log_mul(0.1 * c.rope_parameters["mscale_all_dim"])

    def add(self, name: str, value: Array, kind: str) -> Array:
        """Write one tensor by its name in the checkpoint; returns what it means."""
        stem, _, end = name.rpartition(".")
        if name.endswith("sinks"):
            stem, end = name, "weight"
        if name.endswith("e_score_correction_bias"):
            stem, end = name.replace("e_score_correction_bias", "e_score_correction"), "bias"
        known = self.names.get_name(stem)
        assert known is not None, name
        form = gguf.GGMLQuantizationType[kind if value.ndim > 1 and "router" not in name else "F32"]
        if ".gate.weight" in name or "router" in name or value.shape[-1] % 32:
            form = gguf.GGMLQuantizationType.F32
        if form == gguf.GGMLQuantizationType.Q4_K:
            blocks = q4_k(value)
        else:
            blocks = gguf.quants.quantize(np.ascontiguousarray(value, dtype=np.float32), form)
        self.writer.add_tensor(f"{known}.{end}", blocks, raw_dtype=form)
        meant: Array = gguf.quants.dequantize(blocks, form).reshape(value.shape)
        return meant

    def close(self) -> None:
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def q4_k(value: Array) -> Array:
    """Some blocks of Q4_K of the size of ``value``: the package reads the form and does not write it."""
    blocks = np.random.default_rng(0).integers(0, 256, (value.size // 256, 144), dtype=np.uint8)
    size = np.float16(value.std() / 140)
    blocks[:, :4] = np.array([size, size * 7], dtype=np.float16).view(np.uint8)
    return blocks.reshape(*value.shape[:-1], -1)


def interleaved(rows: Array, heads: int) -> Array:
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def deinterleaved(rows: Array, heads: int) -> Array:
    pairs = rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def write(folder: Path, variant: str, kind: str, split: bool = False, **more: Any) -> None:
    """``folder``/m.gguf, and ``folder``/meant in Hugging Face's form with the same weights."""
    model = zoo.write(folder / "meant", variant, **more)
    file = File(folder / "m.gguf", model, split)
    file.metadata()
    given = {k: v.float().numpy() for k, v in load_file(folder / "meant" / "model.safetensors").items()}
    meant: dict[str, Array] = {}
    for layer in range(model.config.num_hidden_layers):
        experts(file, given, meant, f"model.layers.{layer}", kind)
    permuted = file.family in ("mixtral", "granitemoe")
    for name, value in given.items():
        heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}.get(name.split(".")[-2])
        if permuted and heads:
            count = getattr(model.config, heads)
            meant[name] = deinterleaved(file.add(name, interleaved(value, count), kind), count)
        elif split and "kv_b_proj" in name:
            meant[name] = split_latent(file, name, value)
        else:
            meant[name] = file.add(name, value, kind)
    file.close()
    save_file(
        {k: torch.from_numpy(v.astype(np.float32)) for k, v in meant.items()}, folder / "meant" / "model.safetensors"
    )


def experts(file: File, given: dict[str, Array], meant: dict[str, Array], at: str, kind: str) -> None:
    """Move the experts of a layer from ``given`` into stacks."""
    for which in STACKED:
        one = next((k for k, v in MIXTRAL.items() if v == which and file.family == "mixtral"), which)
        names = [n for n in given if n.startswith(at + ".") and ".experts." in n and n.endswith(f".{one}.weight")]
        names.sort(key=lambda n: int(n.split(".experts.")[1].split(".")[0]))
        if names:
            found = file.add(f"{at}.mlp.experts.{which}.weight", np.stack([given.pop(n) for n in names]), kind)
            meant.update(zip(names, found, strict=True))
    both, down = f"{at}.block_sparse_moe.input_linear.weight", f"{at}.block_sparse_moe.output_linear.weight"
    if both in given:
        gate, up = np.split(given.pop(both), 2, 1)
        halves = [file.add(f"{at}.mlp.experts.{n}_proj.weight", v, kind) for n, v in (("gate", gate), ("up", up))]
        meant[both] = np.concatenate(halves, 1)
        meant[down] = file.add(f"{at}.mlp.experts.down_proj.weight", given.pop(down), kind)
    both, down = f"{at}.mlp.experts.gate_up_proj", f"{at}.mlp.experts.down_proj"
    if both in given:  # gpt-oss: columns first, gate and up alternate
        whole, biases = given.pop(both).swapaxes(1, 2), given.pop(f"{both}_bias")
        stored, offsets = np.empty_like(whole), np.empty_like(biases)
        for i, n in enumerate(("gate", "up")):
            stored[:, i::2] = file.add(f"{at}.mlp.experts.{n}_proj.weight", whole[:, i::2], kind)
            offsets[:, i::2] = file.add(f"{at}.mlp.experts.{n}_proj.bias", biases[:, i::2], "F32")
        meant[both], meant[f"{both}_bias"] = stored.swapaxes(1, 2).copy(), offsets
        meant[down] = file.add(f"{at}.mlp.experts.down_proj.weight", given.pop(down).swapaxes(1, 2), kind)
        meant[down] = meant[down].swapaxes(1, 2).copy()
        meant[f"{down}_bias"] = file.add(f"{at}.mlp.experts.down_proj.bias", given.pop(f"{down}_bias"), "F32")


def split_latent(file: File, name: str, value: Array) -> Array:
    """Keys, transposed, and values of each head in tensors of their own."""
    c = file.config
    both = value.reshape(c.num_attention_heads, c.qk_nope_head_dim + c.v_head_dim, -1)
    keys, values = both[:, : c.qk_nope_head_dim], both[:, c.qk_nope_head_dim :]
    keys = file.add(name.replace("kv_b", "k_b"), keys.swapaxes(1, 2).copy(), "Q8_0").swapaxes(1, 2)
    values = file.add(name.replace("kv_b", "v_b"), values.copy(), "Q8_0")
    return np.concatenate([keys, values], 1).reshape(value.shape)


@pytest.mark.parametrize(
    ("variant", "kind", "more"),
    [
        (
            "qwen3_moe",
            "Q4_K",
            {"hidden_size": 256, "moe_intermediate_size": 256, "head_dim": 64, "mlp_only_layers": []},
        ),
        ("olmoe", "Q4_1", {}),
        ("mixtral", "Q4_0", {}),
        ("granite_moe", "Q8_0", {"intermediate_size": 64}),
        ("gpt_oss", "MXFP4", {"swiglu_limit": 7.0}),
        ("deepseek-v2-lite", "Q4_1", {}),
        ("deepseek-v3", "Q8_0", {"split": True, "qk_nope_head_dim": 32}),
    ],
)
def test_a_gguf_file_of_experts_gives_the_logits_of_its_weights(
    tmp_path: Path, variant: str, kind: str, more: dict[str, Any]
) -> None:
    more = dict(more)
    split = more.pop("split", False)
    if variant.startswith("deepseek"):  # llama.cpp keeps one of the two, which are the same in what was published
        more["rope_parameters"] = family("deepseek_v2").tiny()["rope_parameters"] | {"mscale": 0.9}
    write(tmp_path, variant, kind, split, **more)
    tokens = tiny.prompt(40)
    wanted = tiny.logits(tiny.open_model(tmp_path / "meant"), tokens)
    assert wanted.std() > 0.3
    ours = tiny.open_model(tmp_path / "m.gguf")
    assert tiny.error(tiny.logits(ours, tokens), wanted) < FP32
    assert tiny.error(tiny.logits(ours, tokens, (30, *[1] * 10)), wanted) < FP32
    # What is read is not rounded again: experts are on the file's grid.
    given = Source(*_opened(tmp_path / "m.gguf"))
    part = next(n for n in given.checkpoint.names() if n.endswith("mlp.experts.up_proj.weight"))
    one = part.replace("experts.up", "experts.1.up")
    grid = given.grid(_part(given, one))
    assert (grid is not None) == (kind in ("Q4_0", "Q4_1", "Q4_K"))
    assert (given.codes(_part(given, one)) is not None) == (kind == "MXFP4")
    if grid is not None:
        assert torch.allclose(grid.dense(), given.dense(_part(given, one)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kind", "size"), [("Q4_0", 288), ("Q4_1", 320)])
def test_tiles_keep_the_minimums_that_a_file_has(tmp_path: Path, kind: str, size: int) -> None:
    """None in Q4_0; in Q4_1 an expert of zeros among others needs them as little, and gets them all the same."""
    write(tmp_path, "mixtral", kind, False)
    for tensor in gguf.GGUFReader(tmp_path / "m.gguf", "r+").tensors:
        if "_exps" in tensor.name:
            tensor.data[0] = 0
    tokens = tiny.prompt(40)
    ours = tiny.open_model(tmp_path / "m.gguf", "int4")
    tiles = ours.blocks[0].mlp.gate_up.stacked.tiles
    assert tiles is None or tiles.shape[-1] == size  # None: nothing is compiled here
    wanted = tiny.logits(tiny.open_model(tmp_path / "m.gguf"), tokens)
    assert (tiny.logits(ours, tokens) - wanted).std() < 0.1 * wanted.std()


def _opened(path: Path) -> tuple[Checkpoint, Rename]:
    checkpoint = open_checkpoint(path, stamps=path.parent / "s")
    return checkpoint, located(checkpoint, Stored)


def _part(given: Source, name: str) -> Part:
    where = given.rename(name)
    return Part("linear", (name,), (given.checkpoint.raw(where.name).shape[1:],))


def test_a_tensor_that_a_family_does_not_have_is_named(tmp_path: Path) -> None:
    """Granite's shared experts: silently left out, they would change every answer."""
    model = zoo.write(tmp_path / "meant", "granite_moe")
    file = File(tmp_path / "m.gguf", model, False)
    file.metadata()
    given = load_file(tmp_path / "meant" / "model.safetensors")
    file.writer.add_tensor("token_embd.weight", given["model.embed_tokens.weight"].numpy())
    file.writer.add_tensor("blk.0.ffn_gate_shexp.weight", np.zeros((8, 64), dtype=np.float32))
    file.close()
    with pytest.raises(BadWeights, match=r"ffn_gate_shexp"):
        open_checkpoint(tmp_path / "m.gguf", stamps=tmp_path / "s")
