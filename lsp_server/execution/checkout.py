"""Versions of a project as files in a private folder, removed at the end; the user's own files are never run."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Self

from famulus.lsp_server.execution.errors import ExecutionFailed
from famulus.lsp_server.review.links import links_of
from famulus.sandbox import trees

if TYPE_CHECKING:
    from famulus.lsp_server.review.change import Tree

MOST_BYTES = 256 << 20
LARGEST_DATA = 4 << 20
"""Files other than Python's that are larger are left out."""

_PREFIX = "famulus-run-"
_WHEN = 1577836800  # 2020-01-01, in seconds since 1970
_AT_ONCE = 4
_STALE = 3600.0  # seconds; a process of another container may have the number of none here


def sweep() -> None:
    """Remove what processes left that were killed: folders of ours, an hour old, whose process is gone."""
    if sys.platform == "win32":
        return  # there is no harmless way to ask for a process by its number
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        number = folder.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            known = folder.lstat()
            mine = stat.S_ISDIR(known.st_mode) and known.st_uid == os.geteuid() and number.isdigit()
            if mine and time.time() - known.st_mtime > _STALE and not _runs(int(number)):
                trees.remove(str(folder))


class Checkouts:
    """Writes versions. Equal files of two versions are one file, so code must be shown them read-only.

    Use it in a ``with`` block."""

    def __init__(self) -> None:
        sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")).resolve()
        self._written: dict[str, Path] = {}
        self._bytes = 0

    def write(self, tree: Tree, name: str, check: Callable[[], None] = lambda: None) -> Path:
        """Write ``tree`` into a new folder and return it. ``check`` is called now and then, and may raise.

        Raises :class:`ExecutionFailed` for a project that is too large."""
        top = self.folder / name
        top.mkdir()
        made = {""}
        for number, path in enumerate(tree.paths()):
            if number % 50 == 0:
                check()
            parts = PurePosixPath(path).parts
            if path.startswith("/") or ".." in parts or "\0" in path or ".git" in parts:
                continue
            folder = os.path.dirname(path)
            if folder not in made:
                (top / folder).mkdir(parents=True, exist_ok=True)
                made.add(folder)
            self._write(tree, path, top / path)
        for path, target in links_of(tree).items():
            self._link(top, path, target)
        return top

    @staticmethod
    def _link(top: Path, path: str, target: str) -> None:
        """Make a symbolic link that stays inside the version; packages may be put together with them."""
        inside = os.path.normpath(os.path.join(os.path.dirname(path), target))
        parts = PurePosixPath(path).parts
        if path.startswith("/") or ".." in parts or ".git" in parts or "\0" in path + target:
            return
        if target.startswith("/") or inside.startswith("..") or ".git" in PurePosixPath(inside).parts:
            return
        place = top / path
        if os.path.realpath(place.parent).startswith(str(top)) and not os.path.lexists(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(target, place)

    def elsewhere(self, top: Path) -> tuple[Path, Callable[[], None]]:
        """Another, still empty folder for the files of ``top``, and what puts them there."""
        other = self.folder / "elsewhere" / top.name / "files"
        other.mkdir(parents=True)
        return other, lambda: _linked(top, other)

    def same_age(self) -> None:
        """Give all that was written one time: how old a file or a folder is must not tell versions apart."""
        for top, _, names in os.walk(self.folder):
            for path in (top, *(os.path.join(top, name) for name in names)):
                with contextlib.suppress(OSError, NotImplementedError):
                    os.utime(path, (_WHEN, _WHEN), follow_symlinks=False)

    def _write(self, tree: Tree, path: str, target: Path) -> None:
        digest = tree.digest(path)
        if digest is None:
            return
        known = self._written.get(digest)
        if known is not None:
            os.link(known, target)
            return
        content = tree.read(path)
        if content is None or (len(content) > LARGEST_DATA and not path.endswith(".py")):
            return
        self._bytes += len(content)
        if self._bytes > MOST_BYTES:
            raise ExecutionFailed("The project is too large to be run from a copy.", fix="Review fewer folders.")
        target.write_bytes(content)
        self._written[digest] = target

    def close(self) -> None:
        """Remove all folders. Safe to call twice."""
        if self.folder.exists():
            with ThreadPoolExecutor(_AT_ONCE) as pool:  # somebody may wait for it after Ctrl-C
                list(pool.map(trees.remove, map(str, self.folder.iterdir())))
            trees.remove(str(self.folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _linked(source: Path, target: Path) -> None:
    """Make ``target`` a copy of ``source``, in which what only this version has are files of their own."""

    def put(file: str, place: str) -> None:
        if os.lstat(file).st_nlink > 1:
            os.link(file, place)
        else:
            shutil.copy2(file, place)

    shutil.copytree(source, target, copy_function=put, dirs_exist_ok=True)


def _runs(number: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
