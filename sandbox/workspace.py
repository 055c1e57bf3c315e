"""A private copy of a project: the only place where untrusted code may write.

The project itself is never writable. A list of protected paths (``.git/hooks``, ``.vscode``, ``conftest.py``
...) cannot be kept safe inside a writable folder: paths that do not exist yet, renamed parents, links and
other spellings all get around it, and then the user's own tools run what was planted. So the code writes to a
copy, the caller reads what changed, and a user applies it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Literal, Self

from . import trees
from .errors import WorkspaceError
from .limits import GiB, MiB

IGNORED = frozenset(
    str.split(
        """
    .git .hg .svn .venv venv node_modules __pycache__ .mypy_cache .ruff_cache .pytest_cache .tox
    .nox .ipynb_checkpoints
    """
    )
)
# What the user's own tools run or obey when they merely open, test or enter a folder.
_PROTECTED = frozenset(
    str.split(
        """
    .git .hg .svn .vscode .idea .fleet .zed .envrc .direnv .venv venv pyvenv.cfg conftest.py
    sitecustomize.py usercustomize.py setup.py setup.cfg pyproject.toml tox.ini noxfile.py
    pytest.ini makefile gnumakefile justfile taskfile.yml package.json .npmrc .yarnrc .yarnrc.yml
    .husky .githooks .gitmodules .gitattributes .gitconfig .pre-commit-config.yaml .github
    .gitlab-ci.yml .devcontainer dockerfile .bashrc .bash_profile .zshrc .profile .pypirc .pdbrc
    .pylintrc .tool-versions .mise.toml .claude .codex .cursor .mcp.json
    """
    )
)
_LARGEST_READ = 16 * MiB


@dataclass(frozen=True, slots=True)
class Change:
    """One path (relative, with ``/``) that differs from the project as it was copied.

    ``link``: it is now a symbolic link. ``protected``: the user's own tools run or obey it, so it needs a
    second look, however it came about.
    """

    path: str
    kind: Literal["added", "modified", "deleted"]
    link: bool
    protected: bool


class Workspace:
    """A copy of ``project`` in a private temporary folder, removed by :meth:`close` or the ``with`` block.

    Folders named in ``ignore`` are left out (the code may still be shown them with ``readable=``), as are
    sockets, pipes and devices; links are copied as links. Raises :class:`WorkspaceError` if the project
    cannot be read or is larger than ``max_bytes`` or ``max_files``.
    """

    def __init__(
        self,
        project: Path | None = None,
        *,
        ignore: Iterable[str] = IGNORED,
        max_bytes: int = GiB,
        max_files: int = 100_000,
    ) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="famulus-work-")).resolve()
        self._ignore = frozenset(ignore)
        self._bytes_left, self._files_left = max_bytes, max_files
        self._original: dict[str, str] = {}
        if project is None:
            return
        try:
            self._copy(project, self.path, "")
        except OSError as error:
            self.close()
            raise WorkspaceError(f"{project} cannot be copied: {error}.", fix="Check its permissions.") from error
        except WorkspaceError:
            self.close()
            raise

    def _copy(self, source: Path, target: Path, prefix: str) -> None:
        with os.scandir(source) as listing:
            for entry in listing:
                if entry.name in self._ignore:
                    continue
                name, copy = prefix + entry.name, target / entry.name
                if entry.is_symlink():
                    os.symlink(os.readlink(entry.path), copy)
                elif entry.is_dir(follow_symlinks=False):
                    copy.mkdir()
                    self._copy(Path(entry.path), copy, name + "/")
                    continue
                elif entry.is_file(follow_symlinks=False):
                    self._bytes_left -= entry.stat(follow_symlinks=False).st_size
                    self._files_left -= 1
                    if self._bytes_left < 0 or self._files_left < 0:
                        raise WorkspaceError(
                            f"The project around {source} is too large to copy.",
                            fix="Name folders to ignore.",
                        )
                    shutil.copy2(entry.path, copy, follow_symlinks=False)
                else:
                    continue
                self._original[name] = _digest(copy)

    def changes(self) -> list[Change]:
        """What was added, modified or deleted since the copy was made, in path order; links are not followed.

        Raises :class:`WorkspaceError` if the code made a tree that cannot be read."""
        try:
            now = dict(_walk(self.path))
        except OSError as error:  # a tree too deep to name, for instance
            raise WorkspaceError(f"The workspace cannot be read: {error.strerror}.", fix="Discard it.") from error
        found: list[Change] = []
        for name in sorted(now.keys() | self._original.keys()):
            if name not in now:
                found.append(Change(name, "deleted", False, is_protected(name)))
                continue
            before = self._original.get(name)
            if before != _digest(now[name]):
                kind: Literal["added", "modified"] = "added" if before is None else "modified"
                found.append(Change(name, kind, now[name].is_symlink(), is_protected(name)))
        return found

    def read(self, path: str) -> bytes:
        """The bytes of a file of the copy. Raises :class:`WorkspaceError` for a path that leaves the copy or
        goes through a link, is not a regular file, or is larger than 16 MiB."""
        parts = PurePosixPath(path).parts
        if not parts or ".." in parts or path.startswith("/"):
            raise WorkspaceError(f"{path!r} does not lie in the workspace.", fix="Use a path from changes().")
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in parts[:-1]:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
            fd = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError as error:
            raise WorkspaceError(f"{path!r} cannot be read: {error.strerror}.", fix="It may be a link.") from error
        finally:
            os.close(folder)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_READ:
            os.close(fd)
            raise WorkspaceError(f"{path!r} is no regular file of at most 16 MiB.", fix="Leave it out.")
        with os.fdopen(fd, "rb") as file:
            return file.read(_LARGEST_READ)

    def close(self) -> None:
        """Remove the copy. Safe to call twice."""
        if self.path.exists():
            trees.remove(str(self.path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_protected(path: str) -> bool:
    """Whether the user's own tools run or obey a file of this relative path, in any spelling of its case."""
    return any(part.lower() in _PROTECTED for part in PurePosixPath(path).parts)


def _walk(top: Path) -> Iterator[tuple[str, Path]]:
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            listing = list(os.scandir(folder))
        except PermissionError:
            os.chmod(folder, 0o700)  # ours, whatever the code set on it
            listing = list(os.scandir(folder))
        for entry in listing:
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            else:
                yield path.relative_to(top).as_posix(), path


def _digest(path: Path) -> str:
    """What stands at the path, as text that differs for different contents and kinds."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return "link:" + os.readlink(path)
    if not stat.S_ISREG(status.st_mode):
        return "special"
    if not os.access(path, os.R_OK):
        os.chmod(path, 0o600)  # ours, whatever the code set on it
    with open(path, "rb") as file:
        return f"file:{status.st_mode & 0o111:o}:" + hashlib.file_digest(file, "blake2b").hexdigest()
