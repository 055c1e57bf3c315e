"""Folders that a project's configuration names as places of its packages."""

from __future__ import annotations

import posixpath
import tomllib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from famulus.lsp_server.review.change import Tree


def declared_folders(tree: Tree, also: Iterable[str] = ()) -> tuple[str, ...]:
    """The folders that ``pyproject.toml`` names, with ``/``, after those of ``also``; ``.`` is the top.

    Folders without a file of the tree are left out.
    """
    text = tree.read("pyproject.toml")
    try:
        data = tomllib.loads((text or b"").decode("utf-8", "replace"))
    except tomllib.TOMLDecodeError:
        data = {}
    found = [posixpath.normpath(folder) for folder in (*also, *_named(data))]
    inside = {folder for path in tree.paths() for folder in _above(path)}
    return tuple(dict.fromkeys(folder for folder in found if folder in inside or folder == "."))


def _above(path: str) -> Iterable[str]:
    while path := posixpath.dirname(path):
        yield path


def _named(data: dict[str, Any]) -> Iterable[str]:
    """Folders in the tables of the known tools."""
    tool = data.get("tool", {})
    setuptools = _at(tool, "setuptools")
    directories = setuptools.get("package-dir", {})
    if isinstance(directories, dict) and isinstance(directories.get(""), str):
        yield directories[""]
    yield from _texts(_at(setuptools, "packages", "find").get("where"))
    for package in _at(tool, "poetry").get("packages", []) or []:
        if isinstance(package, dict):
            yield from _texts(package.get("from"))
    for package in _texts(_at(tool, "hatch", "build", "targets", "wheel").get("packages")):
        yield posixpath.dirname(package) or "."
    yield from _texts(_at(tool, "pytest", "ini_options").get("pythonpath"))


def _at(table: Any, *names: str) -> dict[str, Any]:
    for name in names:
        table = table.get(name, {}) if isinstance(table, dict) else {}
    return table if isinstance(table, dict) else {}


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else str(value).split() if isinstance(value, str) else []
    return [text for text in values if isinstance(text, str) and not text.startswith(("/", ".."))]
