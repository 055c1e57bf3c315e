"""Folders and files on disk as trees, where there is no git."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from famulus.engine.policy import Policy
from famulus.lsp_server.review.change import blob_name
from famulus.lsp_server.review.git import MOST_BYTES

_SKIPPED = frozenset((".git", ".hg", ".svn", "__pycache__", ".venv", "venv", "node_modules", ".tox", ".mypy_cache"))
MOST_FILES = 50_000


@dataclass
class Folder:
    """A folder as a :class:`~famulus.lsp_server.review.change.Tree`. Links are not followed.

    ``refused`` says of files that are not in it why; it is full once :meth:`paths` was called.
    """

    root: Path
    refused: dict[str, str] = field(default_factory=dict)
    _read: dict[str, bytes | None] = field(default_factory=dict)

    def paths(self) -> Sequence[str]:
        """See :class:`~famulus.lsp_server.review.change.Tree`."""
        return self._paths

    def read(self, path: str) -> bytes | None:
        """See :class:`~famulus.lsp_server.review.change.Tree`. What was read once stays as it was."""
        if path not in self._read:
            self._read[path] = plain_bytes(self.root / path) if path in self._known else None
        return self._read[path]

    def digest(self, path: str) -> str | None:
        """See :class:`~famulus.lsp_server.review.change.Tree`."""
        content = self.read(path)
        return None if content is None else blob_name(content)

    def hide(self, refused: Mapping[str, str]) -> None:
        """Leaves out files that the other side refuses: half of a change would say something wrong."""
        self._paths = [path for path in self.paths() if path not in refused]
        self._known = frozenset(self._paths)

    def links(self) -> Mapping[str, str]:
        """Symbolic links inside the folder, with what they point to; no part of the tree."""
        found = {}
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if name not in _SKIPPED]
            for full in (Path(folder, name) for name in (*folders, *names)):
                with contextlib.suppress(OSError):
                    found[full.relative_to(self.root).as_posix()] = os.readlink(full)
        return found

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self._paths)

    @cached_property
    def _paths(self) -> list[str]:
        policy = Policy((self.root,))
        found: list[str] = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if name not in _SKIPPED)
            for name in sorted(names):
                full = Path(folder, name)
                path = full.relative_to(self.root).as_posix()
                if reason := self._why_not(full, policy):
                    self.refused[path] = reason
                elif len(found) < MOST_FILES:
                    found.append(path)
                else:
                    self.refused[path] = f"is one of more than {MOST_FILES} files"
        return sorted(found)

    @staticmethod
    def _why_not(full: Path, policy: Policy) -> str:
        try:
            known = full.lstat()
        except OSError as error:
            return f"cannot be looked at ({error.strerror})"
        if stat.S_ISLNK(known.st_mode):
            return "is a symbolic link"
        if not stat.S_ISREG(known.st_mode):
            return "is no plain file"
        if known.st_size > MOST_BYTES:
            return f"is larger than {MOST_BYTES >> 20} MB"
        verdict = policy.check_name(full.relative_to(policy.roots[0]).as_posix()) if policy.roots else None
        return "" if verdict is None or verdict else verdict.reason.partition("` ")[2].rstrip(".")


def plain_bytes(path: Path) -> bytes | None:
    """The bytes of a plain file that is not too large; None for anything else. A last link is not followed."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            known = os.fstat(file.fileno())
            return file.read() if stat.S_ISREG(known.st_mode) and known.st_size <= MOST_BYTES else None
    except (OSError, ValueError):
        return None
