"""What a module is called when it runs, and which folders must then be on ``sys.path``: one answer for each file.

Which files an ``import`` may mean, to a reader of code that does not run, is asked of
:mod:`famulus.lsp_server.review.index.imports`.
"""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Iterable
from typing import TYPE_CHECKING

from famulus.lsp_server.review.declared import declared_folders
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
        return declared_folders(self._tree, also=() if "src" in self._packages else ("src",))

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
