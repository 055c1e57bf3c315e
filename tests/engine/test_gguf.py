"""A GGUF file is read exactly, and whatever is wrong with one gives BadWeights and nothing else."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from famulus.engine.catalog import EMBEDDED, Catalog, installed_root
from famulus.engine.errors import BadWeights
from famulus.engine.ggml import FORMATS, dequantize
from famulus.engine.gguf import GGUF


def formats() -> list[tuple[int, str]]:
    return [(number, form.name) for number, form in FORMATS.items()]


def blocks(number: int, rows: int, per_row: int, seed: int) -> np.ndarray:
    """Random bytes: every scale, also infinite ones."""
    form = FORMATS[number]
    return np.random.default_rng(seed).integers(0, 256, (rows, per_row * form.bytes), dtype=np.uint8)


@pytest.mark.parametrize(("number", "name"), formats())
def test_every_format_decodes_as_the_gguf_package_does(number: int, name: str) -> None:
    kind = gguf.GGMLQuantizationType(number)
    form = FORMATS[number]
    assert kind.name == name
    assert gguf.GGML_QUANT_SIZES[kind] == (form.weights, form.bytes)
    for seed in range(5):
        raw = blocks(number, 7, 5, seed)
        plain = {"F32": np.float32, "F16": np.float16}.get(name)
        with np.errstate(all="ignore"):
            reference = gguf.quants.dequantize(raw.view(plain) if plain else raw, kind)
        np.testing.assert_array_equal(dequantize(form, raw), reference)


def test_large_tensors_are_decoded_in_pieces_without_a_seam() -> None:
    form = FORMATS[2]
    raw = blocks(2, 3000, 60, 0)  # 5.8 million weights: more than one piece
    whole = dequantize(form, raw)
    np.testing.assert_array_equal(whole[2500:2510], dequantize(form, raw[2500:2510]))
    assert whole.shape == (3000, 60 * 32)


def write(path: Path) -> None:
    """A small real file by the gguf package's own writer: every kind of metadata, three formats."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_uint32("a.u32", 7)
    writer.add_int32("a.i32", -7)
    writer.add_float32("a.f32", 0.5)
    writer.add_bool("a.bool", True)
    writer.add_uint64("a.u64", 1 << 40)
    writer.add_string("a.text", "größe ✓")
    writer.add_array("a.names", ["one", "zwei", "drei ✓"])
    writer.add_array("a.numbers", [1, 2, 3])
    rng = np.random.default_rng(0)
    writer.add_tensor("plain", rng.standard_normal((3, 4), dtype=np.float32))
    for name, kind in (("four", gguf.GGMLQuantizationType.Q4_1), ("eight", gguf.GGMLQuantizationType.Q8_0)):
        data = gguf.quants.quantize(rng.standard_normal((8, 64), dtype=np.float32), kind)
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "small.gguf"
    write(path)
    return path


def test_metadata_and_tensors_are_read(small: Path) -> None:
    file = GGUF(small)
    assert file.metadata["general.architecture"] == "llama"
    assert [file.metadata[f"a.{k}"] for k in ("u32", "i32", "f32", "bool", "u64")] == [
        7,
        -7,
        0.5,
        True,
        1 << 40,
    ]
    assert file.metadata["a.text"] == "größe ✓"
    assert file.metadata["a.names"] == ["one", "zwei", "drei ✓"]
    assert np.array_equal(file.metadata["a.numbers"], [1, 2, 3])
    for tensor in gguf.GGUFReader(str(small)).tensors:
        reference = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        np.testing.assert_array_equal(file.tensor(tensor.name), reference)
    assert file.raw("four").shape == (8, 2 * 20)
    assert not file.raw("four").flags.owndata


def test_the_embedded_model_is_read_as_the_gguf_package_reads_it() -> None:
    catalog = Catalog([installed_root(Path(sys.prefix))])
    folder = catalog.path(catalog.find(EMBEDDED))
    if folder is None:
        pytest.skip("the embedded model is not installed (make does it)")
    path = next(folder.glob("*.gguf"))
    file, reader = GGUF(path), gguf.GGUFReader(str(path))
    assert sorted(file.tensors) == sorted(t.name for t in reader.tensors)
    assert len(file.metadata["tokenizer.ggml.tokens"]) == 49152
    for tensor in reader.tensors[::40]:
        reference = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        np.testing.assert_array_equal(file.tensor(tensor.name), reference)


def read_everything(path: Path) -> None:
    """What a load does; returns, or raises BadWeights, and must do nothing else."""
    file = GGUF(path)
    for name in file.tensors:
        file.tensor(name)


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(BadWeights) as caught:
        read_everything(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_truncated_file_is_refused_wherever_it_ends(small: Path, tmp_path: Path) -> None:
    whole = small.read_bytes()
    assert "is empty" in refused(tmp_path / "cut", b"")
    for end in range(1, len(whole)):
        refused(tmp_path / "cut", whole[:end])
    assert "'eight'" in refused(tmp_path / "cut", whole[:-40])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_header_never_does_more_than_raise_bad_weights(
    small: Path, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(small.read_bytes())
    header = len(content) - 3 * 4 * 4
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, header - 8))
        kind = data.draw(st.sampled_from(["flip", "byte", "word", "insert", "delete"]))
        if kind == "flip":
            content[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "byte":
            content[at] = data.draw(st.integers(0, 255))
        elif kind == "word":
            content[at : at + 8] = data.draw(st.sampled_from([b"\xff" * 8, b"\0" * 8, struct.pack("<Q", 1 << 62)]))
        elif kind == "insert":
            content[at:at] = data.draw(st.binary(min_size=1, max_size=16))
        else:
            del content[at : at + data.draw(st.integers(1, 16))]
    path = tmp_path / "damaged"
    path.write_bytes(content)
    try:
        read_everything(path)
    except BadWeights as error:
        assert str(path) in str(error)  # noqa: PT017


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tail=st.binary(max_size=300), version=st.sampled_from([2, 3]))
def test_arbitrary_bytes_are_refused(tmp_path: Path, tail: bytes, version: int) -> None:
    path = tmp_path / "noise"
    path.write_bytes(b"GGUF" + struct.pack("<I", version) + tail)
    try:
        read_everything(path)
    except BadWeights as error:
        assert str(path) in str(error)  # noqa: PT017


def header(tensors: int = 0, keys: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def tensor(name: bytes, shape: list[int], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK\x03\x04" + bytes(60), "is not a GGUF file"),
        (header(version=1) + bytes(64), "version 1"),
        (struct.pack(">4sIQQ", b"GGUF", 3, 0, 0), "version 50331648"),
        (header(tensors=1 << 40), "claims"),
        (header(keys=1 << 40), "claims"),
        (header(keys=1) + text(b"k") + struct.pack("<IIQ", 9, 8, 1 << 61), "strings"),
        (header(keys=1) + text(b"k") + struct.pack("<IIQ", 9, 4, 1 << 61), "runs over the end"),
        (header(keys=1) + text(b"k") + struct.pack("<IIQ", 9, 9, 1), "unusable type"),
        (header(keys=1) + text(b"k") + struct.pack("<I", 99), "unknown type"),
        (header(keys=1) + struct.pack("<Q", 1 << 63), "runs over the end"),
        (header(keys=1) + text(b"\xff\xfe") + struct.pack("<IB", 0, 1), "UTF-8"),
        (header(keys=2) + (text(b"k") + struct.pack("<IB", 0, 1)) * 2, "twice"),
        (header(tensors=1) + tensor(b"w", [32, 2], 3, 0), "'w'"),
        (header(tensors=1) + tensor(b"w", [33, 2], 3, 0) + bytes(999), "'w'"),
        (header(tensors=1) + tensor(b"w", [32, 0], 3, 0) + bytes(999), "'w'"),
        (header(tensors=1) + tensor(b"w", [1 << 60, 1 << 60], 0, 0) + bytes(999), "'w'"),
        (header(tensors=1) + tensor(b"w", [32], 3, 8) + bytes(999), "'w'"),
        (header(tensors=1) + tensor(b"w", [32], 3, 1 << 63) + bytes(999), "'w'"),
        (header(tensors=1) + tensor(b"w", [32] * 5, 3, 0) + bytes(999), "5 dimensions"),
        (header(tensors=1) + tensor(b"w", [256], 10, 0) + bytes(999), "Q2_K"),
        (header(tensors=1) + tensor(b"w", [256], 4711, 0) + bytes(999), "4711"),
        (header(tensors=2) + tensor(b"w", [32], 3, 0) + tensor(b"w", [32], 3, 32) + bytes(999), "twice"),
        (header(tensors=2) + tensor(b"w", [64], 3, 0) + tensor(b"v", [32], 3, 32) + bytes(999), "overlaps"),
    ],
)
def test_each_lie_of_a_header_has_its_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    assert says in refused(tmp_path / "lie.gguf", content)


def test_more_strings_than_any_vocabulary_has_are_not_read(tmp_path: Path) -> None:
    many = header(keys=1) + text(b"k") + struct.pack("<IIQ", 9, 8, 2_000_001) + bytes(8 * 2_000_001)
    assert "claims 2000001 strings" in refused(tmp_path / "many.gguf", many)


def test_a_header_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.gguf"
    path.write_bytes(header(keys=1) + text(b"k") + struct.pack("<IIQ", 9, 0, 65 << 20))
    with path.open("r+b") as file:
        file.truncate(80 << 20)  # sparse: nothing is written
    with pytest.raises(BadWeights, match="64 MiB"):
        GGUF(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"missing\.gguf"):
        GGUF(tmp_path / "missing.gguf")
    with pytest.raises(BadWeights, match="cannot be read"):
        GGUF(tmp_path)
