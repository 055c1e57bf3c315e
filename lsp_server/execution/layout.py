"""What the modules of a project are called, and from which folders they are imported."""

from __future__ import annotations

import functools
import posixpath
import tomllib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from famulus.lsp_server.review.links import Links, links_of

if TYPE_CHECKING:
    from famulus.lsp_server.review.change import Tree


class Layout:
    """The layout of one version. Paths are relative, with ``/``; the top folder is the empty text.

    A file that a link makes part of a package is called as in that package.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._paths = frozenset(tree.paths())
        self._links = Links(links_of(tree))
        self._modules: dict[str, tuple[str, str] | None] = {}

    @functools.cached_property
    def _packages(self) -> frozenset[str]:
        return frozenset(posixpath.dirname(path) for path in self._paths if posixpath.basename(path) == "__init__.py")

    @functools.cached_property
    def declared(self) -> tuple[str, ...]:
        """Folders that the project names as places of its packages, and ``src`` where there is one."""
        found = [] if "src" in self._packages else ["src"]
        text = self._tree.read("pyproject.toml")
        try:
            data = tomllib.loads((text or b"").decode("utf-8", "replace"))
        except tomllib.TOMLDecodeError:
            data = {}
        found += list(_named(data))
        inside = {folder for path in self._paths for folder in _above(path)}
        return tuple(dict.fromkeys(f for f in (posixpath.normpath(f) for f in found) if f in inside or f == "."))

    def module(self, path: str) -> tuple[str, str] | None:
        """Dotted name of the module at ``path``, and the folder it is imported from; None if it has none."""
        if path not in self._modules:
            self._modules[path] = self._module(path)
        return self._modules[path]

    def _module(self, path: str) -> tuple[str, str] | None:
        if not path.endswith(".py") or path not in self._paths:
            return None
        path = self._links.in_packages(path, self._packages)
        folder = self._folder(path)
        inner = posixpath.relpath(path, folder or ".")[: -len(".py")]
        parts = inner.split("/")
        if parts[-1] == "__init__" and len(parts) > 1:
            parts.pop()
        if not all(part.isidentifier() for part in parts):
            return None
        return ".".join(parts), folder

    def _folder(self, path: str) -> str:
        for folder in sorted(self.declared, key=len, reverse=True):
            if folder != "." and path.startswith(folder + "/"):
                return folder
        folder = posixpath.dirname(path)
        package = folder
        while package and self._links.real(package) in self._packages:
            package = posixpath.dirname(package)
        if package != folder or not folder:
            return package
        return "" if self._is_namespace(folder) else folder

    def _is_namespace(self, folder: str) -> bool:
        """Whether files of the project import from ``folder`` by its dotted name from the top."""
        dotted = folder.replace("/", ".").encode()
        for path in self._paths:
            if path.endswith(".py"):
                content = self._tree.read(path) or b""
                if b"from " + dotted in content or b"import " + dotted in content:
                    return True
        return False

    def found(self, name: str, importer: str) -> tuple[str, str] | None:
        """Path and absolute name of the module that the file ``importer`` calls ``name``; None if it is not ours."""
        dots = len(name) - len(name.lstrip("."))
        if dots:
            own = self.module(importer)
            if own is None:
                return None
            parts = own[0].split(".")
            keep = len(parts) - dots + (posixpath.basename(importer) == "__init__.py")
            name = ".".join([*parts[:keep], *filter(None, [name.lstrip(".")])])
        inner = name.replace(".", "/")
        for folder in self.folders([importer]):
            for end in (".py", "/__init__.py"):
                path = self._links.real(posixpath.join(folder, inner + end))
                if path in self._paths:
                    return path, name
        return None

    def folders(self, paths: Iterable[str] = ()) -> tuple[str, ...]:
        """Where modules are imported from: the folders of the modules at ``paths``, those declared, the top."""
        own = [found[1] for found in map(self.module, paths) if found]
        rest = ["" if folder == "." else folder for folder in self.declared]
        return tuple(dict.fromkeys([*own, *rest, ""]))

    def tests(self) -> list[str]:
        """Files that pytest would collect by their name."""
        return sorted(path for path in self._paths if is_test(path))


def is_test(path: str) -> bool:
    """Whether pytest takes the file for tests by its name."""
    name = posixpath.basename(path)
    return name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py"))


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
