"""A manifest tells a whole model from anything else, and an unchanged one costs no reading."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from famulus.engine import manifest
from famulus.engine.errors import BadWeights, StorageFailed
from famulus.engine.manifest import FileDigest, Manifest


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    contents = {"a.safetensors": b"weights" * 1000, "config.json": b"{}"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    files = {n: FileDigest(len(c), manifest.sha256_of(folder / n)) for n, c in contents.items()}
    manifest.write(folder, Manifest("tiny", "here", "1", "MIT", files))
    return folder


def test_what_is_written_is_read(model: Path) -> None:
    found = manifest.read(model)
    assert found is not None
    assert (found.id, found.source, found.revision, found.licence) == ("tiny", "here", "1", "MIT")
    assert found.files["config.json"].size == 2
    assert manifest.read(model.parent) is None
    assert manifest.check(model.parent, model.parent / "stamps") is None


def test_verify_reports_progress_over_all_files(model: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    manifest.verify(model, lambda *call: calls.append(call))
    assert calls[-1][1:] == (7002, 7002)
    assert {name for name, _, _ in calls} == {"a.safetensors", "config.json"}


def test_an_unchanged_model_is_read_once_and_a_changed_one_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps = tmp_path / "stamps"
    read: list[str] = []
    real = manifest.sha256_of
    monkeypatch.setattr(manifest, "sha256_of", lambda path, *a: (read.append(path.name), real(path, *a))[1])
    manifest.check(model, stamps)
    assert sorted(read) == ["a.safetensors", "config.json"]
    manifest.check(model, stamps)
    assert len(read) == 2
    os.utime(model / "config.json")
    manifest.check(model, stamps)
    assert len(read) == 4


def test_a_file_that_changes_while_it_is_verified_is_verified_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps, file, real = tmp_path / "stamps", model / "a.safetensors", manifest.sha256_of

    def written_meanwhile(path: Path, *rest: object) -> str:
        found = real(path)
        if path == file:
            file.write_bytes(b"WEIGHTS" * 1000)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "sha256_of", written_meanwhile)
        manifest.check(model, stamps)
    with pytest.raises(BadWeights, match=r"a\.safetensors"):
        manifest.check(model, stamps)


def test_a_change_that_restores_size_and_time_is_still_found(model: Path, tmp_path: Path) -> None:
    stamps, file = tmp_path / "stamps", model / "a.safetensors"
    manifest.check(model, stamps)
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[77] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(BadWeights, match=r"a\.safetensors is damaged.*famulus models pull tiny"):
        manifest.check(model, stamps)


def test_a_torn_or_foreign_stamp_does_no_harm(model: Path, tmp_path: Path) -> None:
    stamps = tmp_path / "stamps"
    manifest.check(model, stamps)
    stamp = next(stamps.iterdir())
    for content in (b"", b"{", b"[" * 100_000, b"\xff", b'{"files": {}}'):
        stamp.write_bytes(content)
        assert manifest.check(model, stamps) is not None
        (model / "config.json").write_bytes(b"[]")
        stamp.write_bytes(content)
        with pytest.raises(BadWeights, match=r"config\.json"):
            manifest.check(model, stamps)
        (model / "config.json").write_bytes(b"{}")


def test_without_room_for_stamps_the_model_still_loads(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert manifest.check(model, tmp_path / "file" / "stamps") is not None


def test_missing_and_shortened_files_are_named(model: Path, tmp_path: Path) -> None:
    (model / "a.safetensors").write_bytes(b"weights")
    with pytest.raises(BadWeights, match=r"a\.safetensors .*7 bytes instead of 7000"):
        manifest.check(model, tmp_path / "stamps")
    (model / "a.safetensors").unlink()
    with pytest.raises(BadWeights, match=r"a\.safetensors .*is missing"):
        manifest.check(model, tmp_path / "stamps")
    with pytest.raises(BadWeights, match="no manifest"):
        manifest.verify(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"files": {}}',
        b'{"id":1,"source":1,"revision":1,"licence":1,"files":{"a":{"size":"x","sha256":""}}}',
        b'{"id":1,"source":1,"revision":1,"licence":1,"files":{"../a":{"size":1,"sha256":""}}}',
        b'{"id":1,"source":1,"revision":1,"licence":1,"files":{"/etc/passwd":{"size":1,"sha256":""}}}',
    ],
)
def test_a_broken_manifest_is_bad_weights(model: Path, content: bytes) -> None:
    (model / manifest.NAME).write_bytes(content)
    with pytest.raises(BadWeights, match=r"manifest\.json is corrupt"):
        manifest.read(model)


def test_an_interrupted_write_leaves_the_old_content(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (model / manifest.NAME).read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(manifest.os, "fsync", full)
    with pytest.raises(StorageFailed, match="no space left"):
        manifest.write_json(model / manifest.NAME, {})
    assert (model / manifest.NAME).read_bytes() == before
    assert len(list(model.iterdir())) == 3


def test_the_digest_depends_on_contents_only(model: Path) -> None:
    first = manifest.read(model)
    assert first is not None
    fields = json.loads((model / manifest.NAME).read_text())
    fields["files"] = dict(reversed(fields["files"].items()))
    manifest.write_json(model / manifest.NAME, fields | {"id": "renamed"})
    again = manifest.read(model)
    assert again is not None
    assert again.digest == first.digest
    fields["files"]["config.json"]["sha256"] = "0" * 64
    manifest.write_json(model / manifest.NAME, fields)
    other = manifest.read(model)
    assert other is not None
    assert other.digest != first.digest
