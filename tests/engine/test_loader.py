"""Packed weights: kept, mapped, keyed and verified; without room from memory; wrong files are refused."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from famulus.engine import loader, packed_room
from famulus.engine.checkpoint import open_checkpoint
from famulus.engine.errors import BadWeights
from famulus.engine.layers import Model
from famulus.engine.text import Tokenizer
from famulus.kernels.cpu import library
from tests.engine import tiny_models as tiny

MAPPED = "mapping the packed weights"
MEMORY = "running from memory, the packed weights could not be kept"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_folder(tmp_path_factory.mktemp("model") / "m", tiny.random_model(tie_word_embeddings=False))


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "packed"


def load(folder: Path, kept: Path, precision: str = "int4+int8") -> tuple[Model, list[str]]:
    said: list[str] = []
    checkpoint = open_checkpoint(folder, stamps=kept.parent / "stamps")
    return loader.load(checkpoint, precision, kept, said.append), said


def answer(model: Model) -> torch.Tensor:
    tokens = tiny.prompt(20)
    return torch.cat([tiny.logits(model, tokens), tiny.logits(model, tokens, (1,) * 20)])


def files(kept: Path) -> list[Path]:
    return sorted(kept.glob("*/packed.safetensors"))


def test_the_second_load_maps_what_the_first_one_packed(folder: Path, kept: Path) -> None:
    first, said = load(folder, kept)
    assert any("packing" in line for line in said)
    [file] = files(kept)
    before = file.stat()
    second, said = load(folder, kept)
    assert said == [MAPPED]
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert torch.equal(answer(first), answer(second))
    assert sorted(p.name for p in kept.iterdir()) == sorted(["verified", file.parent.name]), "nothing half-made is left"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc/self/maps")
def test_the_kept_weights_are_mapped_and_not_read(folder: Path, kept: Path) -> None:
    """The pages belong to the file, so several workers share them and memory that is short takes them back."""
    model, _ = load(folder, kept)
    [file] = files(kept)
    address = model.blocks[0].attention.qkv.int4.data_ptr()  # type: ignore[attr-defined]
    ranges = [
        line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines() if str(file) in line
    ]
    assert any(int(low, 16) <= address < int(high, 16) for low, high in ranges)


def test_full_precisions_leave_nothing_on_disk(folder: Path, kept: Path) -> None:
    for precision in ("bf16", "fp32"):
        load(folder, kept, precision)
    assert files(kept) == []


def test_other_weights_precisions_torches_and_processors_have_their_own_file(
    folder: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's int4 tiles that another instruction set packed are silently wrong: they must never be mapped."""
    load(folder, kept)
    other = tiny.write_folder(tmp_path / "other", tiny.random_model(seed=1, tie_word_embeddings=False))
    load(other, kept)
    assert len(files(kept)) == 2
    load(folder, kept, "int8")
    assert len(files(kept)) == 3
    capability = "AVX2" if torch.backends.cpu.get_cpu_capability() != "AVX2" else "DEFAULT"
    with monkeypatch.context() as patch:
        patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        _, said = load(folder, kept)
        assert any("packing" in line for line in said)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "2.99.0")
        load(folder, kept)
    assert len(files(kept)) == 5
    assert load(folder, kept)[1] == [MAPPED]


@pytest.mark.parametrize("at", [0, 12, -1, "middle"])
def test_a_flipped_bit_in_the_packed_file_is_noticed_and_it_is_packed_anew(
    folder: Path, kept: Path, at: int | str
) -> None:
    wanted = answer(load(folder, kept)[0])
    [file] = files(kept)
    content = bytearray(file.read_bytes())
    content[len(content) // 2 if at == "middle" else int(at)] ^= 1
    replace(file, bytes(content))
    model, said = load(folder, kept)
    assert any("packing" in line for line in said)
    assert torch.equal(answer(model), wanted)
    assert load(folder, kept)[1] == [MAPPED]


def replace(file: Path, content: bytes) -> None:
    """As a new file: the one that a test has mapped stays whole."""
    file.unlink()
    file.write_bytes(content)


def test_a_packed_file_that_is_short_or_gone_is_packed_anew(folder: Path, kept: Path) -> None:
    wanted = answer(load(folder, kept)[0])
    [file] = files(kept)
    content = file.read_bytes()
    replace(file, content[: len(content) // 2])
    assert torch.equal(answer(load(folder, kept)[0]), wanted)
    file.unlink()
    assert torch.equal(answer(load(folder, kept)[0]), wanted)
    (file.parent / "famulus-manifest.json").write_text("{")
    assert torch.equal(answer(load(folder, kept)[0]), wanted)
    (file.parent / "famulus-manifest.json").unlink()
    assert torch.equal(answer(load(folder, kept)[0]), wanted)
    assert load(folder, kept)[1] == [MAPPED]


def test_a_packed_file_of_another_layout_is_not_taken(
    folder: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(folder, kept)
    monkeypatch.setattr(loader, "LAYOUT", loader.LAYOUT + 1)
    assert any("packing" in line for line in load(folder, kept)[1])


def test_where_nothing_can_be_kept_it_runs_from_memory_and_says_so(folder: Path, kept: Path) -> None:
    """A file where the folder should be: no one, root included, can write below it."""
    kept.write_text("in the way")
    model, said = load(folder, kept)
    assert said[-1] == MEMORY
    kept.unlink()
    assert torch.equal(answer(model), answer(load(folder, kept)[0]))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_leaves_nothing_behind(folder: Path, kept: Path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))  # the packed file would be larger
    try:
        model, said = load(folder, kept)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert said[-1] == MEMORY
    assert files(kept) == []
    assert list(kept.glob("packing-*")) == []
    assert torch.equal(answer(model), answer(load(folder, kept)[0]))


def test_two_that_pack_at_once_end_with_one_whole_file(
    folder: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one was faster: its folder is there when ours is to be put in place."""
    real = loader.save_file

    def beaten(tensors: Iterable[tuple[str, torch.Tensor]], path: Path) -> None:
        real(tensors, path)
        monkeypatch.setattr(loader, "save_file", real)
        load(folder, kept)

    monkeypatch.setattr(loader, "save_file", beaten)
    model, said = load(folder, kept)
    assert MEMORY not in said
    assert len(files(kept)) == 1
    assert list(kept.glob("packing-*")) == []
    assert torch.equal(answer(model), answer(load(folder, kept)[0]))


def test_what_a_killed_process_left_half_made_goes(folder: Path, kept: Path) -> None:
    old, fresh = kept / "packing-old", kept / "packing-fresh"
    for left in (old, fresh):
        left.mkdir(parents=True)
        (left / "packed.safetensors").write_bytes(b"half")
    hours_ago = time.time() - 2 * packed_room.STALE
    os.utime(old, (hours_ago, hours_ago))
    load(folder, kept)
    assert not old.exists()
    assert fresh.exists(), "somebody may be writing it now"


def test_a_packed_file_that_nobody_used_for_long_goes(folder: Path, kept: Path) -> None:
    load(folder, kept, "int8")
    [used] = [f.parent for f in files(kept)]
    unused = shutil.copytree(used, kept / "of another torch")
    long_ago = time.time() - 2 * packed_room.UNUSED
    os.utime(used, (long_ago, long_ago))
    load(folder, kept, "int8")
    assert used.stat().st_mtime > long_ago, "a use counts"
    for old in (used, unused):
        os.utime(old, (long_ago, long_ago))
    load(folder, kept, "int4")
    assert not unused.exists()
    assert used.exists(), "this process has mapped it"
    assert len(files(kept)) == 2


def test_of_too_many_packed_files_the_one_goes_that_was_used_longest_ago(
    folder: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(folder, kept, "int8")
    [used] = [f.parent for f in files(kept)]
    size = sum(file.stat().st_size for file in used.iterdir())
    others = [shutil.copytree(used, kept / name) for name in ("older", "newer")]
    for hours, old in zip((3, 2, 1), (used, *others), strict=True):
        os.utime(old, (time.time() - hours * 3600, time.time() - hours * 3600))
    monkeypatch.setattr(packed_room, "MOST_BYTES", 2 * size + size // 2)
    load(folder, kept, "int4")
    assert [old.exists() for old in (used, *others)] == [True, False, True], "the oldest is in use"


def test_rows_are_padded_for_the_tiles_and_the_answer_does_not_show_it(tmp_path: Path, kept: Path) -> None:
    """36 + 12 + 12 = 60 rows of query, key and value, 2 * 90 of gate and up: neither fills tiles of 16."""
    model = tiny.random_model(
        hidden_size=96, num_attention_heads=3, num_key_value_heads=1, head_dim=12, intermediate_size=90
    )
    tiny.write_folder(tmp_path / "m", model)
    for precision in ("int4", "int4+int8"):
        ours, _ = load(tmp_path / "m", kept, precision)
        block = ours.blocks[0]  # type: ignore[attr-defined]
        assert block.attention.qkv.rows == 60
        assert block.attention.qkv.int4 is not None or block.attention.qkv.tiles is not None
        # 90 and 36 columns do not make groups of 32: these stay at 8 bits.
        assert (block.mlp.down.format, block.attention.out.format) == ("int8", "int8")
        assert answer(ours).shape == (40, tiny.VOCABULARY)
        assert answer(ours).isfinite().all()


def test_the_grid_of_4_bits_has_the_promised_size_on_disk(folder: Path, kept: Path) -> None:
    load(folder, kept, "int4")
    [file] = files(kept)
    with safe_open(file, framework="pt") as opened:
        shapes = {name: opened.get_slice(name).get_shape() for name in opened.keys() if name[:5] != "fill/"}  # noqa: SIM118
        kinds = {name.rpartition("/")[2] for name in shapes}
    form = {"tiles"} if library.ready() else {"int4", "int4_scales"}
    assert kinds == {*form, "int8", "int8_scales", "dense"}
    if library.ready():
        assert shapes["0.down/tiles"] == [64 // 16, 160 // 32, 16 * 16 + 64]
    else:
        assert shapes["0.down/int4_scales"] == [160 // 32, 64, 2]


def test_the_tokenizer_s_own_settings_are_heard(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    settings = {"add_bos_token": True, "bos_token": {"content": "<|endoftext|>"}, "eos_token": "<|im_start|>"}
    (copy / "tokenizer_config.json").write_text(json.dumps(settings))
    (copy / "config.json").write_text(
        json.dumps({**json.loads((copy / "config.json").read_text()), "bos_token_id": None})
    )
    tokenizer = Tokenizer.of(open_checkpoint(copy, stamps=tmp_path / "stamps"))
    assert tokenizer.adds_bos
    assert tokenizer.bos_id == tokenizer.special_id("<|endoftext|>")
    assert tokenizer.special_id("<|im_start|>") in tokenizer.eos_ids


def test_a_tokenizer_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    """Its ids reach beyond the embedding: an answer would end in an index error in the middle of a batch."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    tiny.write_tokenizer(copy / "tokenizer.json", spare=3)  # 272 ids: exactly as many as the embedding has rows
    assert Tokenizer.of(open_checkpoint(copy, stamps=tmp_path / "stamps")).vocab_size == tiny.VOCABULARY
    tiny.write_tokenizer(copy / "tokenizer.json", spare=4)
    with pytest.raises(BadWeights, match=r"tokenizer.*273.*272"):
        Tokenizer.of(open_checkpoint(copy, stamps=tmp_path / "stamps"))
