"""One view over GGUF files and Hugging Face folders; what does not fit together is refused by name."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from famulus.engine.catalog import EMBEDDED, Catalog, installed_root
from famulus.engine.checkpoint import Checkpoint, open_checkpoint
from famulus.engine.errors import BadWeights, ModelNotFound
from famulus.engine.shards import Shard, Tensor
from famulus.engine.stored import Stored, grid

SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 160,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
}


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES, eos_token_id=2, rope_theta=100_000.0)).to(torch.bfloat16)


def as_torch(tensor: Tensor) -> torch.Tensor:
    data = torch.from_numpy(tensor.data.copy())
    return data.view(torch.bfloat16) if tensor.dtype == "BF16" else data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sharded bfloat16 Llama as transformers writes it."""
    path = tmp_path_factory.mktemp("hf")
    model = llama()
    model.generation_config.eos_token_id = [2, 7]
    model.save_pretrained(path, max_shard_size="60kB")
    (path / "tokenizer.json").write_text("{}")
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    return path


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """The same folder, to be damaged."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_a_sharded_folder_gives_every_tensor_as_it_was_saved(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    assert len(list(folder.glob("*.safetensors"))) > 2
    expected = llama().state_dict()
    assert sorted(checkpoint.names()) == sorted(expected)
    for name, value in expected.items():
        found = checkpoint.tensor(name, tuple(value.shape))
        assert found.dtype == "BF16"
        assert not found.data.flags.owndata
        assert torch.equal(as_torch(found), value)


def test_the_configuration_of_a_folder_is_flat_and_complete(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    config = checkpoint.config
    assert {key: config[key] for key in SIZES} == SIZES
    assert config["model_type"] == "llama"
    assert config["rope_theta"] == 100_000.0
    assert config["rope_scaling"] is None
    assert config["head_dim"] == 16
    assert config["tie_word_embeddings"] is False
    assert config["eos_token_id"] == [2, 7]
    assert checkpoint.chat_template == "{{ messages }}"
    assert checkpoint.tokenizer == folder / "tokenizer.json"


def test_older_configurations_mean_the_same(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    for key in ("rope_parameters", "head_dim", "num_key_value_heads"):
        config.pop(key, None)
    config |= {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}
    (copy / "config.json").write_text(json.dumps(config))
    found = open_checkpoint(copy).config
    assert found["rope_theta"] == 5e5
    assert found["rope_scaling"]["factor"] == 8.0
    assert (found["head_dim"], found["num_key_value_heads"]) == (16, 4)


def test_one_unsharded_file_is_enough(tmp_path: Path) -> None:
    torch.manual_seed(0)
    Qwen2ForCausalLM(Qwen2Config(**SIZES, tie_word_embeddings=True)).save_pretrained(tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.config["model_type"] == "qwen2"
    assert checkpoint.config["tie_word_embeddings"] is True
    assert "model.layers.1.self_attn.q_proj.bias" in checkpoint.names()
    with pytest.raises(BadWeights, match=r"tokenizer\.json"):
        _ = checkpoint.tokenizer


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's convert_hf_to_gguf.py does to query and key rows (LlamaModel.permute)."""
    rows = weight.shape[0]
    halves = weight.reshape(heads, 2, rows // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


GGUF_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def gguf_name(name: str) -> str:
    outer = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    stem, _, kind = name.rpartition(".")
    if stem in outer:
        return f"{outer[stem]}.{kind}"
    _, _, layer, inner = stem.split(".", 3)
    return f"blk.{layer}.{GGUF_NAMES.get(inner, inner)}.{kind}"


def write_gguf(path: Path, weights: dict[str, torch.Tensor], family: str, **changes: Any) -> None:
    """A model as llama.cpp's converter would write it; matrices in Q4_1. ``changes``: metadata."""
    writer = gguf.GGUFWriter(str(path), family)
    numbers = {
        "block_count": 2,
        "context_length": 256,
        "embedding_length": 64,
        "feed_forward_length": 96,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
    }
    for key, value in numbers.items():
        writer.add_uint32(f"{family}.{key}", changes.get(key, value))
    writer.add_float32(f"{family}.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_float32(f"{family}.rope.freq_base", 100_000.0)
    writer.add_token_list([f"t{i}" for i in range(changes.get("tokens", 160))])
    writer.add_eos_token_id(2)
    writer.add_chat_template("{{ messages }}")
    for name, value in weights.items():
        data = value.float().numpy()
        if family == "llama" and ".self_attn.q_proj" in name:
            data = interleaved(data, 4)
        if family == "llama" and ".self_attn.k_proj" in name:
            data = interleaved(data, 2)
        if name.endswith("proj.weight"):
            kind = gguf.GGMLQuantizationType.Q4_1
            writer.add_tensor(gguf_name(name), gguf.quants.quantize(data, kind), raw_dtype=kind)
        else:
            writer.add_tensor(gguf_name(name), data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_gguf_file_gives_the_tensors_under_their_usual_names_and_in_their_usual_order(
    tmp_path: Path, family: str
) -> None:
    torch.manual_seed(1)
    kinds: dict[str, Any] = {
        "llama": (LlamaForCausalLM, LlamaConfig),
        "qwen2": (Qwen2ForCausalLM, Qwen2Config),
    }
    build, config = kinds[family]
    model = build(config(**SIZES))
    for value in model.parameters():
        torch.nn.init.normal_(value)  # also the biases, which start as zeros
    path = tmp_path / "tiny.gguf"
    write_gguf(path, model.state_dict(), family)
    checkpoint = open_checkpoint(path)
    expected = model.state_dict()
    assert sorted(checkpoint.names()) == sorted(expected)
    for name, value in expected.items():
        found = checkpoint.tensor(name, tuple(value.shape))
        assert found.dtype == "F32"
        step = 0.35 if name.endswith("proj.weight") else 0.0  # half a step of 4 bits over some 5 sigma
        assert np.abs(found.data - value.numpy()).max() <= step, name


def test_stored_grids_and_bytes_come_in_the_same_order_as_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(path, llama().state_dict(), "llama")
    checkpoint = open_checkpoint(path)
    for name in ("model.layers.1.self_attn.q_proj.weight", "model.layers.0.mlp.up_proj.weight"):
        weights, raw = checkpoint.tensor(name), checkpoint.raw(name)
        found = grid(checkpoint, Stored(name), weights.shape)
        assert found is not None
        np.testing.assert_allclose(found.dense().numpy(), weights.data, rtol=1e-6, atol=1e-7)
        assert (raw.dtype, raw.shape) == ("Q4_1", weights.shape)
        reference = gguf.quants.dequantize(raw.data, gguf.GGMLQuantizationType.Q4_1)
        np.testing.assert_array_equal(reference, weights.data)
    assert grid(checkpoint, Stored("model.norm.weight"), (SIZES["hidden_size"],)) is None


def test_gguf_metadata_becomes_the_same_configuration(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(path, llama().state_dict(), "llama")
    checkpoint = open_checkpoint(tmp_path)  # a folder that holds one GGUF file
    config = checkpoint.config
    assert {key: config[key] for key in SIZES} == SIZES
    assert (config["model_type"], config["rope_theta"]) == ("llama", 100_000.0)
    assert (config["head_dim"], config["tie_word_embeddings"]) == (16, False)
    assert (config["attention_bias"], config["eos_token_id"]) == (False, [2])
    assert checkpoint.chat_template == "{{ messages }}"
    assert not isinstance(checkpoint.tokenizer, Path)
    assert checkpoint.tokenizer["tokenizer.ggml.tokens"][3] == "t3"


def test_the_embedded_model_opens() -> None:
    catalog = Catalog([installed_root(Path(sys.prefix))])
    folder = catalog.path(catalog.find(EMBEDDED))
    if folder is None:
        pytest.skip("the embedded model is not installed (make does it)")
    checkpoint = open_checkpoint(folder)
    assert checkpoint.config["num_hidden_layers"] == 30
    assert checkpoint.config["tie_word_embeddings"] is True
    assert checkpoint.raw("model.layers.29.self_attn.k_proj.weight").shape == (192, 576)
    assert len(checkpoint.names()) == 272


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"attention.head_count": 0}, "head_count"),
        ({"block_count": 0}, "block_count"),
        ({"embedding_length": 128}, "model.embed_tokens.weight"),
        ({"tokens": 159}, "159 tokens"),
        ({"attention.head_count": 3}, "key_length"),
    ],
)
def test_gguf_metadata_that_contradicts_the_tensors_is_refused(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(path, llama().state_dict(), "llama", **changes)
    with pytest.raises(BadWeights, match=says) as caught:
        open_checkpoint(path)
    assert str(path) in str(caught.value)


def test_another_architecture_and_foreign_tensors_are_named(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(path, llama().state_dict(), "gemma3")
    with pytest.raises(BadWeights, match="'gemma3'"):
        open_checkpoint(path)
    odd = tmp_path / "odd.gguf"
    write_gguf(odd, llama().state_dict() | {"model.layers.0.strange.weight": torch.zeros(4)}, "llama")
    with pytest.raises(BadWeights, match=r"'blk\.0\.strange\.weight'"):
        open_checkpoint(odd)


def test_a_missing_tensor_and_a_wrong_shape_are_named(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(path, llama().state_dict(), "llama")
    opened: list[Checkpoint] = [open_checkpoint(folder), open_checkpoint(path)]
    for checkpoint in opened:
        with pytest.raises(BadWeights, match=r"model\.layers\.2\.mlp"):
            checkpoint.tensor("model.layers.2.mlp.up_proj.weight")
        with pytest.raises(BadWeights, match=r"model\.norm\.weight.*\(64,\).*\(65,\)"):
            checkpoint.tensor("model.norm.weight", (65,))


def refused(path: Path, *says: str) -> None:
    with pytest.raises(BadWeights) as caught:
        open_checkpoint(path)
    for text in says:
        assert text in str(caught.value)


def test_missing_and_truncated_shards_are_named(copy: Path) -> None:
    shard = sorted(copy.glob("*.safetensors"))[1]
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-10])
    refused(copy, str(shard), "truncated", "10 bytes of the tensor")
    shard.write_bytes(whole[:20])
    refused(copy, str(shard), "truncated or corrupt")
    shard.write_bytes(b"")
    refused(copy, str(shard), "is empty")
    shard.unlink()
    refused(copy, str(shard), "is missing")


def test_an_index_that_reaches_out_of_the_folder_is_refused(copy: Path) -> None:
    index = copy / "model.safetensors.index.json"
    fields = json.loads(index.read_text())
    name = next(iter(fields["weight_map"]))
    for place in ("../other.safetensors", "/etc/x.safetensors", "pytorch_model.bin", 7):
        index.write_text(json.dumps(fields | {"weight_map": fields["weight_map"] | {name: place}}))
        refused(copy, str(index), name)
    index.write_text(json.dumps({"weight_map": fields["weight_map"] | {"model.extra": fields["weight_map"][name]}}))
    refused(copy, "model.extra")
    index.write_text("[]")
    refused(copy, str(index))


def test_a_folder_with_only_pickles_is_refused_without_reading_them(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n.")
    refused(tmp_path, "pytorch_model.bin", "pickle")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hidden_size": 65}, "model.embed_tokens.weight"),
        ({"hidden_size": "64"}, "hidden_size"),
        ({"vocab_size": None}, "vocab_size"),
        ({"num_key_value_heads": "two"}, "num_key_value_heads"),
        ({"model_type": 3}, "model_type"),
        ({"rope_theta": float("nan"), "rope_parameters": None}, "rope_theta"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(copy: Path, change: dict[str, Any], says: str) -> None:
    path = copy / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    refused(copy, says)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000])
def test_a_configuration_that_is_no_json_object_is_refused(copy: Path, content: bytes) -> None:
    (copy / "config.json").write_bytes(content)
    refused(copy, str(copy / "config.json"))


def test_what_is_no_model_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="nothing"):
        open_checkpoint(tmp_path / "nothing")
    refused(tmp_path, "neither")
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    refused(tmp_path, "several")


def test_the_digest_follows_the_weights(copy: Path) -> None:
    first = open_checkpoint(copy).digest
    assert open_checkpoint(copy).digest == first
    shard = sorted(copy.glob("*.safetensors"))[0]
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    assert open_checkpoint(copy).digest != first


def one_shard(path: Path, header: Any, data: bytes = b"\0" * 8) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


FLOATS = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"w": FLOATS | {"dtype": "F31"}}, "'w'"),
        ({"w": FLOATS | {"dtype": ["F32"]}}, "'w'"),
        ({"w": FLOATS | {"shape": [3]}}, "'w'"),
        ({"w": FLOATS | {"shape": [-2]}}, "'w'"),
        ({"w": FLOATS | {"shape": [2.0]}}, "'w'"),
        ({"w": FLOATS | {"shape": [True, 2]}}, "'w'"),
        ({"w": FLOATS | {"shape": [1 << 62, 1 << 62]}}, "'w'"),
        ({"w": FLOATS | {"shape": [0, 1 << 62], "data_offsets": [0, 0]}}, "'w'"),
        ({"w": FLOATS | {"shape": [1] * 99 + [2]}}, "'w'"),
        ({"w": FLOATS | {"data_offsets": [8, 0]}}, "'w'"),
        ({"w": FLOATS | {"data_offsets": [4, 12]}}, "'w'"),
        ({"w": FLOATS | {"data_offsets": [0]}}, "'w'"),
        ({"w": FLOATS, "v": FLOATS}, "overlaps"),
        ({"w": None}, "'w'"),
        ([], "table"),
        (b"{", "not valid"),
        (b"\xff\xff", "not valid"),
        (b'{"w":1,"w":2}', "twice"),
        (b'{"w":' + b"9" * 5000 + b"}", "not valid"),
        (b"[" * 200_000, "not valid"),
    ],
)
def test_each_lie_of_a_safetensors_header_has_its_sentence(tmp_path: Path, header: Any, says: str) -> None:
    path = one_shard(tmp_path / "lie.safetensors", header)
    with pytest.raises(BadWeights, match=says) as caught:
        Shard(path)
    assert str(path) in str(caught.value)


def test_a_safetensors_header_beyond_the_limit_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "wide.safetensors"
    path.write_bytes(struct.pack("<Q", 9 << 20))
    with path.open("r+b") as file:
        file.truncate(10 << 20)
    with pytest.raises(BadWeights, match="claims"):
        Shard(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_shard_never_does_more_than_raise_bad_weights(
    folder: Path, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(sorted(folder.glob("*.safetensors"))[0].read_bytes())
    size = 8 + struct.unpack("<Q", content[:8])[0]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, size - 1))
        kind = data.draw(st.sampled_from(["flip", "byte", "insert", "delete", "cut"]))
        if kind == "flip":
            content[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "byte":
            content[at] = data.draw(st.sampled_from(b'0123456789{}[]",:\\'))
        elif kind == "insert":
            content[at:at] = data.draw(st.binary(min_size=1, max_size=8))
        elif kind == "delete":
            del content[at : at + data.draw(st.integers(1, 8))]
        else:
            del content[data.draw(st.integers(0, len(content))) :]
        if len(content) < size:
            break
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    try:
        shard = Shard(path)
        for name in shard.entries:
            shard.tensor(name)
    except BadWeights as error:
        assert str(path) in str(error)  # noqa: PT017
