"""Where modules live, and which Python runs them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from famulus.lsp_server.execution import interpreter
from famulus.lsp_server.execution.checkout import Checkouts
from famulus.lsp_server.execution.errors import NoInterpreter
from famulus.lsp_server.execution.layout import Layout
from famulus.lsp_server.review.change import Memory


def layout(*paths: str, **texts: str) -> Layout:
    files = dict.fromkeys(paths, b"") | {
        name.replace("__", "/").replace("_toml", ".toml"): t.encode() for name, t in texts.items()
    }
    return Layout(Memory(files))


@pytest.mark.parametrize(
    ("paths", "path", "module"),
    [
        (["shop.py"], "shop.py", ("shop", "")),
        (["a/__init__.py", "a/b.py"], "a/b.py", ("a.b", "")),
        (["a/__init__.py", "a/b.py"], "a/__init__.py", ("a", "")),
        (["src/a/__init__.py", "src/a/b.py"], "src/a/b.py", ("a.b", "src")),
        (["src/a/b.py"], "src/a/b.py", ("a.b", "src")),
        (["libs/x/pkg/__init__.py", "libs/x/pkg/m.py"], "libs/x/pkg/m.py", ("pkg.m", "libs/x")),
        (["scripts/tool.py"], "scripts/tool.py", ("tool", "scripts")),
        (["my-app/tool.py"], "my-app/tool.py", ("tool", "my-app")),
        (["no-name.py"], "no-name.py", None),
    ],
)
def test_names_of_modules(paths: list[str], path: str, module: tuple[str, str] | None) -> None:
    assert layout(*paths).module(path) == module


def test_what_the_project_declares_counts() -> None:
    declared = layout("lib/pkg/m.py", pyproject_toml='[tool.setuptools.packages.find]\nwhere = ["lib"]\n')
    assert declared.module("lib/pkg/m.py") == ("pkg.m", "lib")
    assert declared.folders() == ("lib", "")
    assert layout("a.py", pyproject_toml="[tool.broken").module("a.py") == ("a", "")


def test_a_folder_without_init_is_a_package_if_it_is_imported_as_one() -> None:
    files = {"app/views.py": b"", "main.py": b"from app.views import x\n"}
    assert Layout(Memory(files)).module("app/views.py") == ("app.views", "")


def test_imports_are_followed() -> None:
    tree = layout("a/__init__.py", "a/b.py", "a/c/__init__.py", "a/c/d.py", "e.py")
    assert tree.found("..b", "a/c/d.py") == ("a/b.py", "a.b")
    assert tree.found(".d", "a/c/__init__.py") == ("a/c/d.py", "a.c.d")
    assert tree.found("a.c", "e.py") == ("a/c/__init__.py", "a.c")
    assert tree.found("os", "e.py") is None


def test_the_projects_own_environment_comes_before_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.delenv("CONDA_DEFAULT_ENV", raising=False)
    assert interpreter.find(tmp_path).origin == "own"
    assert "--python" in interpreter.find(tmp_path).note
    inner = tmp_path / "pkg"
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    inner.mkdir()
    os.symlink(sys.executable, tmp_path / ".venv" / "bin" / "python")
    found = interpreter.find(inner)
    assert (found.origin, found.path) == ("folder", tmp_path / ".venv" / "bin" / "python")
    assert found.version == sys.version_info[:3]
    assert not found.note
    assert "pytest" in interpreter.find(tmp_path, Path(sys.executable)).has
    with pytest.raises(NoInterpreter, match="is no Python"):
        interpreter.find(tmp_path, tmp_path / "nothing")


def test_versions_are_written_apart_and_removed() -> None:
    old, new = (
        Memory({"a/b.py": b"1", "same.txt": b"s"}),
        Memory({"a/b.py": b"2", "same.txt": b"s", "../up.py": b"", ".git/x": b""}),
    )
    with Checkouts() as checkouts:
        first, second = checkouts.write(old, "old"), checkouts.write(new, "new")
        assert [(top / "a/b.py").read_bytes() for top in (first, second)] == [b"1", b"2"]
        assert (first / "same.txt").stat().st_ino == (second / "same.txt").stat().st_ino
        assert not (second / ".git").exists()
        assert sorted(os.listdir(checkouts.folder)) == ["new", "old"]
    assert not checkouts.folder.exists()
