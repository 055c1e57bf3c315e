"""The project that targets belong to, as a tree that can be copied and run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from famulus.engine.policy import Policy
from famulus.lsp_server.review.change import Tree
from famulus.lsp_server.review.folders import Folder
from famulus.lsp_server.review.git import Blobs, NoRepository, Repository
from famulus.lsp_server.review.versions import Versions
from famulus.lsp_server.testgen.errors import UnknownTarget
from famulus.lsp_server.testgen.target import Target

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
        if not file.is_file():
            raise UnknownTarget(f"{target.path} is not there.", fix="Check the path.")
    with contextlib.ExitStack() as stack:
        root, tree = _tree(files[0].parent, folder, stack)
        inside = []
        for target, file in zip(targets, files, strict=True):
            if not file.is_relative_to(root):
                raise UnknownTarget(f"{target.path} is not in {root}.", fix="Name files of one project at a time.")
            inside.append(replace(target, path=file.relative_to(root).as_posix()))
        yield Project(root, tree, inside)


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
