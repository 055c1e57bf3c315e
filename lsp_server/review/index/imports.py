"""Which files of a tree an ``import`` may mean, and by which names: what a reader of code that does not run asks.

All roots that are likely are tried, for nobody knows what will be on ``sys.path``; what a module is called when it
really runs is asked of :mod:`famulus.lsp_server.execution.layout`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from functools import cached_property

from famulus.lsp_server.review.links import Links

_ROOT_MARKS = ("pyproject.toml", "setup.py", "setup.cfg")


class Imports:
    """Names of modules from paths and back.

    A file is named from the folder above its outermost package; a folder is a package if it has an ``__init__.py``, and
    a namespace package if it lies under a root and holds modules. ``declared``: roots that the project names. A file
    that a link makes part of a package is called as in that package. Nobody imports ``notebooks``.
    """

    def __init__(self, paths: Sequence[str], links: Links | None = None, declared: Sequence[str] = ()) -> None:
        self._links = links or Links({})
        self._declared = tuple("" if folder == "." else folder for folder in declared)
        self.files = {path for path in paths if path.endswith((".py", ".pyi"))}
        self.notebooks = {path for path in paths if path.endswith(".ipynb")}
        self._marks = {posixpath.dirname(p) for p in paths if posixpath.basename(p) in _ROOT_MARKS}

    @cached_property
    def packages(self) -> set[str]:
        """Folders with an ``__init__.py``."""
        return {posixpath.dirname(p) for p in self.files if posixpath.basename(p) in ("__init__.py", "__init__.pyi")}

    @cached_property
    def folders(self) -> set[str]:
        """Every folder that holds a Python file somewhere."""
        found: set[str] = set()
        for path in self.files:
            folder = posixpath.dirname(path)
            while folder and folder not in found:
                found.add(folder)
                folder = posixpath.dirname(folder)
        return found | {""}

    def base(self, path: str) -> str:
        """The folder above the outermost package of a file: where ``import`` begins for it."""
        folder = posixpath.dirname(self._seen(path))
        while folder and self._links.real(folder) in self.packages:
            folder = posixpath.dirname(folder)
        return folder

    def _seen(self, path: str) -> str:
        """The path by which a file is imported."""
        return self._links.in_packages(path, self.packages)

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """Folders from which absolute imports may begin, the likely ones first."""
        found = ["", *self._declared, "src", "lib", "python"]
        for mark in sorted(self._marks):
            found += [mark, posixpath.join(mark, "src")]
        found += sorted({posixpath.dirname(p) for p in self.packages if posixpath.dirname(p) not in self.packages})
        return tuple(dict.fromkeys(root for root in found if root in self.folders))

    def name(self, path: str) -> str:
        """The dotted name of a file."""
        base, path = self.base(path), self._seen(path)
        if base not in self.packages and posixpath.dirname(path) == base:
            root = max((r for r in self.roots if _under(base, r) and self._namespace(r, base)), key=len, default=base)
            base = root
        inner = path[len(base) + 1 :] if base else path
        return dotted(inner)

    def _namespace(self, root: str, folder: str) -> bool:
        """Whether ``folder`` is reached from ``root`` as a namespace package: only below what the project
        names, and below ``src`` and its like."""
        return (root in self._declared or posixpath.basename(root) in ("src", "lib")) and folder != root

    def find(self, name: str, importer: str) -> str | None:
        """The file, or the folder of a namespace package, that ``import name`` finds from the file ``importer``."""
        tail = name.replace(".", "/")
        for root in dict.fromkeys((self.base(importer), posixpath.dirname(importer), *self.roots)):
            if root in self.packages and root == posixpath.dirname(importer):
                continue
            if found := self.at(posixpath.join(root, tail)):
                return found
        first, _, rest = tail.partition("/")
        if rest and self._package_of_links(first):
            return self.at(rest)
        return None

    def _package_of_links(self, first: str) -> bool:
        """A package at the root whose parts stand beside it (links, or ``package_dir``)."""
        return first in self.packages

    def at(self, stem: str) -> str | None:
        """The module file of a path without suffix; the folder itself for a namespace package."""
        stem = self._links.real(stem)
        for candidate in (f"{stem}/__init__.py", f"{stem}.py", f"{stem}/__init__.pyi", f"{stem}.pyi"):
            if candidate in self.files:
                return candidate
        return stem if stem and stem in self.folders else None

    def relative(self, importer: str, level: int, name: str) -> str | None:
        """What ``from ..name import`` means in ``importer``."""
        folder = posixpath.dirname(self._seen(importer))
        for _ in range(level - 1):
            if not folder:
                return None
            folder = posixpath.dirname(folder)
        return self.at(posixpath.join(folder, name.replace(".", "/")) if name else folder)


def dotted(path: str) -> str:
    """``a/b/__init__.py`` → ``a.b``."""
    stem = path.rpartition(".")[0] if path.endswith((".py", ".pyi")) else path
    if posixpath.basename(stem) == "__init__":
        stem = posixpath.dirname(stem)
    return stem.replace("/", ".")


def _under(folder: str, root: str) -> bool:
    return not root or folder == root or folder.startswith(root + "/")
