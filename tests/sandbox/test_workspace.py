"""A workspace is a faithful copy, and reading it back cannot be turned against its owner."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.sandbox import Workspace, WorkspaceError
from famulus.sandbox.workspace import is_protected


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "a.py").write_text("a = 1\n")
    (tmp_path / "pkg" / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "pkg" / "run.sh").chmod(0o755)
    (tmp_path / "pkg" / "link").symlink_to("a.py")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("[core]")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def test_copy(project: Path) -> None:
    with Workspace(project) as workspace:
        assert (workspace.path / "pkg" / "a.py").read_text() == "a = 1\n"
        assert os.access(workspace.path / "pkg" / "run.sh", os.X_OK)
        assert os.readlink(workspace.path / "pkg" / "link") == "a.py"
        assert not (workspace.path / ".git").exists()
        assert not (workspace.path / "pipe").exists()
        assert workspace.path.stat().st_mode & 0o077 == 0
        assert workspace.changes() == []
    assert not workspace.path.exists()
    workspace.close()


def test_changes(project: Path) -> None:
    with Workspace(project) as workspace:
        (workspace.path / "pkg" / "a.py").write_text("a = 2\n")
        (workspace.path / "pkg" / "run.sh").chmod(0o644)
        (workspace.path / "pkg" / "link").unlink()
        (workspace.path / ".vscode").mkdir()
        (workspace.path / ".vscode" / "settings.json").write_text("{}")
        (workspace.path / "out").symlink_to("/etc/passwd")
        found = [(change.path, change.kind, change.link, change.protected) for change in workspace.changes()]
    assert found == [
        (".vscode/settings.json", "added", False, True),
        ("out", "added", True, False),
        ("pkg/a.py", "modified", False, False),
        ("pkg/link", "deleted", False, False),
        ("pkg/run.sh", "modified", False, False),
    ]


def test_a_change_with_forged_times_is_seen(project: Path) -> None:
    with Workspace(project) as workspace:
        path = workspace.path / "pkg" / "a.py"
        status = path.stat()
        path.write_text("a = 2\n")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert [change.path for change in workspace.changes()] == ["pkg/a.py"]


def test_reading_follows_no_link(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("secret")
    with Workspace(project) as workspace:
        (workspace.path / "file").symlink_to(outside / "secret")
        (workspace.path / "folder").symlink_to(outside)
        os.mkfifo(workspace.path / "pipe")
        for path in ("file", "folder/secret", "../x", "/etc/passwd", "", "pkg", "pipe", "missing", "pkg/../a"):
            with pytest.raises(WorkspaceError):
                workspace.read(path)
        assert workspace.read("pkg/a.py") == b"a = 1\n"


def test_closed_and_deep_folders_are_removed(project: Path) -> None:
    workspace = Workspace(project)
    (workspace.path / "closed" / "inner").mkdir(parents=True)
    (workspace.path / "closed" / "inner").chmod(0)
    (workspace.path / "closed").chmod(0)
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(workspace.path)
        for _ in range(1000):
            os.mkdir("deep")
            os.chdir("deep")
    finally:
        os.fchdir(here)
        os.close(here)
    with pytest.raises(WorkspaceError, match="cannot be read"):
        workspace.changes()
    workspace.close()
    assert not workspace.path.exists()


def test_removal_follows_no_link(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "kept").write_text("kept")
    workspace = Workspace(project)
    (workspace.path / "folder").symlink_to(outside)
    workspace.close()
    assert (outside / "kept").read_text() == "kept"


def test_too_large(project: Path) -> None:
    with pytest.raises(WorkspaceError, match="too large"):
        Workspace(project, max_bytes=3)
    with pytest.raises(WorkspaceError, match="too large"):
        Workspace(project, max_files=1)


@given(
    st.sampled_from([".git", ".vscode", ".envrc", "conftest.py", "sitecustomize.py", "pyproject.toml", "Makefile"]),
    st.lists(st.sampled_from(["a", "src", "b.c"]), max_size=3),
    st.data(),
)
def test_protected_in_any_place_and_case(name: str, above: list[str], data: st.DataObject) -> None:
    spelled = "".join(data.draw(st.sampled_from([letter.lower(), letter.upper()])) for letter in name)
    assert is_protected("/".join([*above, spelled]))
    assert is_protected("/".join([*above, spelled, "below"]))
    assert not is_protected("/".join([*above, "plain.py"]))
