"""Folders follow each system's rules, FAMULUS_HOME moves all of them, and nobody else can look inside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from famulus.engine import folders as module
from famulus.engine.errors import StorageFailed
from famulus.engine.folders import MAX_SOCKET_PATH, SOCKET, folders, private, system_folders

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")


def test_the_module_needs_the_standard_library_only() -> None:
    script = (
        "import sys;"
        "sys.path.insert(0, sys.argv[1]);"
        "from famulus.engine.folders import folders; print(folders().runtime)"
    )
    root = Path(module.__file__).parents[2]
    environment = {"FAMULUS_HOME": "/nowhere", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(root)], env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(Path("/nowhere/run")), done.stderr


def test_famulus_home_moves_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAMULUS_HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, "/elsewhere")
    found = folders()
    assert {found.config, found.data, found.cache, found.runtime} == {
        tmp_path / name for name in ("config", "data", "cache", "run")
    }
    assert folders(tmp_path / "other").data == tmp_path / "other" / "data"
    assert tmp_path not in system_folders().data.parents


@pytest.mark.skipif(sys.platform != "linux", reason="XDG is Linux")
def test_xdg_folders_are_honoured_and_relative_ones_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAMULUS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    found = folders()
    assert found.config == tmp_path / "c" / "famulus"
    assert found.data == tmp_path / ".local" / "share" / "famulus"
    assert found.cache == tmp_path / ".cache" / "famulus"
    assert found.runtime == tmp_path / "famulus"


@posix
def test_a_socket_path_is_never_too_long_and_always_the_same(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    found = folders(deep).runtime
    assert len(os.fsencode(found / SOCKET)) <= MAX_SOCKET_PATH
    assert found == folders(deep).runtime
    assert found != folders(deep / "other").runtime
    assert folders(deep).data == deep / "data"


@posix
def test_private_folders_are_ours_alone(tmp_path: Path) -> None:
    folder = private(tmp_path / "a" / "b")
    for path in (folder, folder.parent):
        assert path.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    assert private(folder).stat().st_mode & 0o777 == 0o700


@posix
def test_a_link_laid_in_the_shared_temporary_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "target").mkdir()
    (tmp_path / "famulus-0").symlink_to(tmp_path / "target")
    with pytest.raises(StorageFailed, match="famulus-0 is not a folder"):
        private(tmp_path / "famulus-0")


@posix
def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = private(tmp_path / "theirs")
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(StorageFailed, match="belongs to another user"):
        private(folder)


def test_what_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailed, match="file"):
        private(tmp_path / "file")
    with pytest.raises(StorageFailed, match="inside"):
        private(tmp_path / "file" / "inside")
