"""The new version of a review beside those of earlier ones: what of it differs, and whether code can tell.

A result of running code is kept with the state of the project at that time, which is a digest for each Python file. It
holds as long as the files that the code can come to, over however many imports, differ only in functions that none of
them names, and everything else that counts is the same (:attr:`States.everywhere`).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from famulus import sandbox
from famulus.lsp_server.execution.layout import Layout
from famulus.lsp_server.review.importers import imported_by
from famulus.lsp_server.review.kept import Kept, digest_of
from famulus.lsp_server.review.links import links_of
from famulus.lsp_server.review.outline import Outline, Piece, outline, outlines

if TYPE_CHECKING:
    from famulus.lsp_server.review.change import Tree
    from famulus.lsp_server.review.index.project import Project
    from famulus.lsp_server.review.rule import Context

_INHERITED = ("LANG", "LANGUAGE", "TZ", "LC_ALL", "LC_CTYPE", "LC_COLLATE", "LC_NUMERIC", "LC_TIME")
"""What the sandbox hands on of our environment."""
_BY_NAME = re.compile(
    rb"\b(import_module|__import__|exec_module|load_module|iter_modules|walk_packages|entry_points|runpy|pytest_plugins)\b"
)
"""By these, files come to others that they do not name."""
_ALL_OF_IT = re.compile(rb"\b(getmembers|getmodule|sys\.modules)\b|(?<![.\w])(globals|locals|vars|dir|eval|exec)\(")
"""By these, code comes to whatever a module defines."""
_WORD = re.compile(rb"[^\W\d]\w*")


class States:
    """Those that one review compares with. ``python``: what runs the code."""

    def __init__(self, context: Context, python: Path) -> None:
        self._change, self._old, self._new = context.change, context.old, context.new
        self.mark = _mark()
        """Names our own code: another one might find something else."""
        self._states: Kept[dict[str, str]] = Kept(f"states-{self.mark}", dict[str, str])
        self._outlines = outlines()
        tree = context.change.new
        self._now = {path: tree.digest(path) or "" for path in sorted(context.new.imports.files)}
        self.state = named(f"{path} {digest}" for path, digest in self._now.items())
        """Names the files of the new version."""
        self.everywhere = _everywhere(context, python)
        """Names what counts for all code that is run."""
        self._differing: dict[str, dict[str, list[Piece] | None] | None] = {}
        self._files: dict[tuple[frozenset[str], frozenset[str]], frozenset[str]] = {}
        self._imported: dict[tuple[bool, str], frozenset[str]] = {}
        self._idling: dict[tuple[str, frozenset[tuple[str, str]], frozenset[str]], bool] = {}
        self._naming: dict[tuple[str, str, frozenset[tuple[str, str]]], bool] = {}
        self._texts: dict[str, bytes] = {}
        self._by_name: dict[str, bool] = {}
        self._tops: dict[str, frozenset[str]] = {}

    @property
    def paths(self) -> frozenset[str]:
        """The Python files of the new version."""
        return frozenset(self._now)

    def end(self) -> None:
        """Keeps what later reviews compare with."""
        if self._states.get(self.state) is None:
            self._states.put(self.state, self._now)
            for file in self._change.python():
                if file.new is not None and file.new_path in self._now:
                    self._outline(self._change.new, file.new_path, self._now[file.new_path])
        for store in (self._states, self._outlines):
            store.sweep()

    def differences(self, state: str) -> dict[str, list[Piece] | None] | None:
        """By path, the pieces of files that differ from an earlier state; None for a file if that is not known, and if
        that state is not known."""
        if state not in self._differing:
            before = {} if state == self.state else self._states.get(state)
            if state == self.state:
                self._differing[state] = {}
            elif before is None or before.keys() - self._now.keys():
                self._differing[state] = None
            else:
                paths = [path for path, digest in self._now.items() if before.get(path) != digest]
                self._differing[state] = {path: self._pieces(path, before.get(path)) for path in paths}
        return self._differing[state]

    def _pieces(self, path: str, before: str | None) -> list[Piece] | None:
        if before is None:
            return None
        was = self._outlines.get(before)
        if was is None and self._change.old.digest(path) == before:
            was = self._outline(self._change.old, path, before)
        now = self._outline(self._change.new, path, self._now[path])
        if was is None or now is None:
            return None
        found = was.beside(now)
        others = frozenset(piece.digest for piece in found)
        return found if was.in_order(others) == now.in_order(others) else None

    def _outline(self, tree: Tree, path: str, digest: str) -> Outline | None:
        known = self._outlines.get(digest)
        if known is None and (known := outline(tree.read(path) or b"")) is not None:
            self._outlines.put(digest, known)
        return known

    def idle(self, pieces: list[Piece] | None, path: str, reached: frozenset[str]) -> bool:
        """Whether the pieces are functions that none of these files can come to."""
        if pieces is None or not all(piece.name for piece in pieces):
            return False
        names = frozenset((piece.name, piece.digest) for piece in pieces)
        key = (path, names, reached)
        if key not in self._idling:
            self._idling[key] = not any(self._names(other, path, names) for other in reached)
        return self._idling[key]

    def _names(self, other: str, path: str, pieces: frozenset[tuple[str, str]]) -> bool:
        key = (other, path, pieces)
        if key not in self._naming:
            self._naming[key] = self._may_name(other, path, {name for name, _ in pieces}, {own for _, own in pieces})
        return self._naming[key]

    def _may_name(self, other: str, path: str, names: set[str], ours: set[str]) -> bool:
        """Whether code of the file ``other``, besides ``ours``, can come to functions of ``path`` with these names."""
        text = self._text(other)
        whole = other == path or re.search(rb"import\s[^\n]*\b" + re.escape(_stem(path).encode()) + rb"\b", text)
        if whole and _ALL_OF_IT.search(text):
            return True
        if not any(name.encode() in text for name in names):
            return False
        known = self._outline(self._change.new, other, self._now[other])
        return known is None or any(not names.isdisjoint(p.words) for p in known.pieces if p.digest not in ours)

    def _text(self, path: str) -> bytes:
        if path not in self._texts:
            self._texts[path] = self._change.new.read(path) or b""
        return self._texts[path]

    def reached(self, old: Iterable[str], new: Iterable[str]) -> frozenset[str]:
        """Files of the new version that may be imported with these. Code that imports by computed names may come to all
        packages that any of the files mentions."""
        key = (frozenset(old), frozenset(new))
        if key not in self._files:
            found = (self._closure(self._old, key[0]) | self._closure(self._new, key[1])) & self._now.keys()
            computed = [path for path in found if self._imports_by_name(path)]
            if computed:
                tops = {_top(path) for path in computed}.union(*(self._mentioned(path) for path in found))
                found |= {path for path in self._now if _top(path) in tops}
            self._files[key] = frozenset(found)
        return self._files[key]

    def _imports_by_name(self, path: str) -> bool:
        if path not in self._by_name:
            self._by_name[path] = _BY_NAME.search(self._text(path)) is not None
        return self._by_name[path]

    def _mentioned(self, path: str) -> frozenset[str]:
        """Top packages and modules of the project whose name stands anywhere in a file."""
        if path not in self._tops:
            words = set(_WORD.findall(self._text(path)))
            self._tops[path] = frozenset(
                top for top in self._packages if not top.isascii() or top.removesuffix(".py").encode() in words
            )
        return self._tops[path]

    @cached_property
    def _packages(self) -> frozenset[str]:
        return frozenset(map(_top, self._now))

    def _closure(self, project: Project, roots: Iterable[str]) -> set[str]:
        seen = set(roots)
        waiting = list(seen)
        for path in waiting:  # it grows
            new = self._imports(project, path) - seen
            waiting += new
            seen |= new
        return seen

    def _imports(self, project: Project, path: str) -> frozenset[str]:
        key = (project is self._old, path)
        if key not in self._imported:
            module = project.module(path)
            folders = path.split("/")[:-1]
            new = {"/".join([*folders[:n], "__init__.py"]) for n in range(1, len(folders) + 1)}
            new |= {target for _, target, _ in imported_by(project, module)} if module is not None else set()
            self._imported[key] = frozenset(new)
        return self._imported[key]


def _top(path: str) -> str:
    """The folder or file at the top of the project that a path belongs to; below ``src``, the one there."""
    return path.removeprefix("src/").partition("/")[0]


def _stem(path: str) -> str:
    """The last part of a module's name."""
    parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
    return parts[-1]


def _everywhere(context: Context, python: Path) -> str:
    """Names what counts for all functions: the old version, all files that are no Python, where modules are imported
    from, the Python and its packages, and what our own environment hands on."""
    change = context.change
    said = [f"{path} {change.old.digest(path)}" for path in change.old.paths()]
    said += [f"{path} {change.new.digest(path)}" for path in change.new.paths() if not path.endswith(".py")]
    for tree, paths in (
        (change.old, [file.old_path or "" for file in change.python()]),
        (change.new, [file.new_path or "" for file in change.python()]),
    ):
        said += [f"{path} -> {target}" for path, target in sorted(links_of(tree).items())]
        said += ["", *Layout(tree).folders(paths), ""]
    for path in (python, python.resolve(), *sorted(python.parent.parent.glob("lib*/python*/site-packages"))):
        with contextlib.suppress(OSError):
            known = path.stat()
            said.append(f"{path} {known.st_mtime_ns} {known.st_size}")
    said += [f"{name}={os.environ.get(name, '')}" for name in _INHERITED]
    return named(said)


def _mark() -> str:
    own, around = Path(__file__).parents[1], Path(sandbox.__file__).parent
    files = [*(own / "review").rglob("*.py"), *(own / "execution").rglob("*.py"), *around.rglob("*.py")]
    return digest_of(*(file.read_bytes() for file in sorted(files)))[:16]


def named(said: Iterable[str]) -> str:
    """A name for texts."""
    return digest_of(*(text.encode(errors="surrogatepass") for text in said))
