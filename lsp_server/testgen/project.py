"""The project that targets belong to, as a tree that can be copied and run."""

from __future__ import annotations

import ast
import contextlib
import difflib
import io
import os
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from famulus.engine.policy import Policy
from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.review.change import Tree
from famulus.lsp_server.review.folders import Folder
from famulus.lsp_server.review.git import Blobs, NoRepository, Repository
from famulus.lsp_server.review.versions import Versions
from famulus.lsp_server.testgen.errors import UnknownTarget
from famulus.lsp_server.testgen.target import Target, parse

_MARKS = ("pyproject.toml", "setup.py", "setup.cfg", "tox.ini", "pytest.ini")


@dataclass(frozen=True)
class Project:
    """``targets`` have paths relative to ``root``."""

    root: Path
    tree: Tree
    targets: Sequence[Target]


@contextlib.contextmanager
def opened(targets: Sequence[Target], folder: Path) -> Iterator[Project]:
    """The project around the targets, whose paths are relative to ``folder``: its git repository, else the nearest
    folder above with a project file, else ``folder``.

    Raises :class:`UnknownTarget` for files that are not there or in different projects."""
    files = [Path(os.path.abspath(folder / target.path)) for target in targets]
    for target, file in zip(targets, files, strict=True):
        _readable(target, file)
    with contextlib.ExitStack() as stack:
        root, tree = _tree(files[0].parent, folder, stack)
        inside = []
        for target, file in zip(targets, files, strict=True):
            if not file.is_relative_to(root):
                raise UnknownTarget(f"{target.path} is not in {root}.", fix="Name files of one project at a time.")
            inside.append(replace(target, path=file.relative_to(root).as_posix()))
        yield Project(root, tree, inside)


def named(texts: Sequence[str], folder: Path) -> list[Target]:
    """The targets that a user wrote. Raises :class:`UnknownTarget`."""
    for text in texts:
        if text and (folder / text).is_dir():
            raise UnknownTarget(f"{text} is a folder.", fix="Name a file in it.")
    return [parse(text) for text in texts]


def _readable(target: Target, file: Path) -> None:
    """Raises :class:`UnknownTarget` for what is no file of Python that can be parsed."""
    try:
        if file.is_dir():
            raise UnknownTarget(f"{target.path} is a folder.", fix="Name a file in it.")
        if not file.is_file():
            near = _neighbours(file)
            raise UnknownTarget(
                f"{target.path} is not there.", fix=f"Did you mean {near}?" if near else "Check the path."
            )
        content = file.read_bytes()
    except OSError as error:
        raise UnknownTarget(f"{target.path} cannot be read ({error.strerror}).", fix="Name another file.") from error
    if not content.strip():
        raise UnknownTarget(f"{target.path} is empty.", fix="Name a file with functions.")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        content.decode(encoding)
    except (SyntaxError, UnicodeError, LookupError):
        raise UnknownTarget(
            f"{target.path} is no UTF-8 text, and says no other encoding.", fix="Save it as UTF-8."
        ) from None
    try:
        with warnings.catch_warnings(action="ignore"):
            ast.parse(content)
    except SyntaxError as error:
        line = f" in line {error.lineno}" if error.lineno else ""
        raise UnknownTarget(f"{target.path} has a syntax error{line} ({error.msg}).", fix="Mend it first.") from None
    except (ValueError, RecursionError, MemoryError):
        raise UnknownTarget(f"{target.path} cannot be parsed as Python.", fix="Name another file.") from None


def _neighbours(file: Path) -> str:
    """A file beside it with nearly its name."""
    try:
        names = [name for name in os.listdir(file.parent) if name.endswith(".py")]
    except OSError:
        return ""
    return next(iter(difflib.get_close_matches(file.name, names, n=1, cutoff=0.6)), "")


def _tree(folder: Path, here: Path, stack: contextlib.ExitStack) -> tuple[Path, Tree]:
    try:
        repository = Repository.around(folder)
        if repository.top is not None:
            blobs = stack.enter_context(contextlib.closing(Blobs(repository)))
            return repository.top, Versions(repository, Policy((repository.top,)), blobs).working_tree()
    except NoRepository:
        pass
    marked = [top for top in (folder, *folder.parents) if any((top / name).is_file() for name in _MARKS)]
    root = marked[0] if marked else here if folder.is_relative_to(here) else folder
    return root, Folder(root)


def relative(paths: Sequence[str], folder: Path, root: Path) -> frozenset[str]:
    """Paths of files, given from ``folder``, as the project has them. Raises :class:`UnknownTarget`."""
    found = set()
    for path in paths:
        file = Path(os.path.abspath(folder / path))
        if not file.is_relative_to(root):
            raise UnknownTarget(f"{path} is not in {root}.", fix="Name files of one project at a time.")
        found.add(file.relative_to(root).as_posix())
    return frozenset(found)


@contextlib.contextmanager
def suites(paths: Sequence[str], folder: Path) -> Iterator[tuple[Path, Tree, list[str]]]:
    """The project around files and folders of tests: its root, its tree and the test files.

    Raises :class:`UnknownTarget` where there are none."""
    places = [Path(os.path.abspath(folder / path)) for path in paths]
    for path, place in zip(paths, places, strict=True):
        if not place.exists():
            raise UnknownTarget(f"{path} is not there.", fix="Name a folder or a file of tests.")
    with contextlib.ExitStack() as stack:
        root, tree = _tree(places[0] if places[0].is_dir() else places[0].parent, folder, stack)
        known = sorted(relative(paths, folder, root))
        inside = [
            path
            for path in tree.paths()
            if is_test(path) and any(path == top or top == "." or path.startswith(top + "/") for top in known)
        ]
        if not inside:
            raise UnknownTarget(f"{', '.join(paths)} holds no tests.", fix="Tests are in files test_….py.")
        yield root, tree, inside
