"""Which ignore files apply to a file, and what they say about it together. Standard library only.

``.gitignore`` of every folder from the repository's top down, ``.git/info/exclude`` and the user's global ignore file
decide in git's order; ``.famulusignore`` files, which have the same syntax, are asked first and win. What git does
not see is the index: a tracked file that a pattern matches counts as ignored.

Folders are remembered with the times of their ignore files, which every question compares anew.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from famulus.engine.ignore import MAX_BYTES, Rules, parse

OWN, GIT = ".famulusignore", ".gitignore"
FRESH = 2_000_000_000
"""Nanoseconds; a time this recent may be that of two changes, so what carries it is read again."""
MAX_FOLDERS = 20_000
"""Folders remembered before all are forgotten."""

_Stamp = tuple[int, int, int, int]
_FOLDS_CASE = sys.platform in ("darwin", "win32")
_EXCLUDES_FILE = re.compile(r"^\s*excludesfile\s*=\s*\"?([^\"\n]+?)\"?\s*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Answer:
    """What the ignore files say. ``reason`` is a sentence's rest: "is ignored by .gitignore line 3"."""

    reason: str = ""
    own: bool = False
    """It is ``.famulusignore`` that says so."""
    included: bool = False
    """``.famulusignore`` takes the file in again."""
    named: bool = False
    """It does so by its name, without wildcards."""


@dataclass(frozen=True)
class _Source:
    """One ignore file that exists."""

    path: str
    label: str
    stamp: _Stamp
    rules: Rules
    broken: str = ""


@dataclass(frozen=True, eq=False)
class _Folder:
    path: bytes
    parent: _Folder | None
    stamp: _Stamp
    own: _Source | None
    git: tuple[_Source, ...]
    exclude: str
    """Where git's own ``info/exclude`` of this repository is, or ""."""
    answer: Answer
    """What holds for everything in it."""

    def upwards(self) -> Iterator[_Folder]:
        folder: _Folder | None = self
        while folder is not None:
            yield folder
            folder = folder.parent


class Ignored:
    """The ignore files below one root (an existing folder's real path), and of the repository it lies in."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._above = _repository_above(root)
        self._folders: dict[str, _Folder] = {}
        self._users = _users_file()
        if self._above and self.ask(root, True).reason:
            # Who opens a folder that the repository around it ignores wants to work in it.
            self._above, self._folders = [], {}

    def ask(self, path: str, directory: bool) -> Answer:
        """About a file or folder below the root, by its real path. Raises :class:`OSError`."""
        if path == self._root:
            return self._folder(path).answer
        return self._judged(self._folder(os.path.dirname(path)), os.fsencode(path), directory)

    def _folder(self, path: str) -> _Folder:
        known = self._folders.get(path)
        if path == self._root:
            parent = None
            for above in self._above:
                parent = self._current(above, self._folders.get(above), parent)
        else:
            parent = self._folder(os.path.dirname(path))
        return self._current(path, known, parent)

    def _current(self, path: str, known: _Folder | None, parent: _Folder | None) -> _Folder:
        """``known``, if nothing has changed since; else the folder anew."""
        try:
            stamp = _stamp(os.stat(path))
        except (FileNotFoundError, NotADirectoryError):
            stamp = (0, 0, 0, 0)  # a file of an old commit may lie in a folder that is gone
        if known is not None and known.parent is parent and known.stamp == stamp and _holds(known):
            return known
        if len(self._folders) > MAX_FOLDERS:
            self._folders.clear()
        exclude = _exclude_file(path)
        own = self._source(os.path.join(path, OWN))
        git = (self._source(os.path.join(path, GIT)), self._source(exclude) if exclude else None)
        raw = os.fsencode(path)
        answer = Answer() if parent is None else self._judged(parent, raw, True)
        folder = _Folder(raw, parent, stamp, own, tuple(filter(None, git)), exclude, answer)
        if time.time_ns() - max(stamp[2:]) > FRESH:
            self._folders[path] = folder
        else:
            self._folders.pop(path, None)
        return folder

    def _source(self, path: str) -> _Source | None:
        label = os.path.relpath(path, self._root).replace(os.sep, "/")
        return _read(path, label)

    def _judged(self, folder: _Folder, path: bytes, directory: bool) -> Answer:
        before = folder.answer
        if before.own:
            return before
        own = self._own(folder, path, directory)
        if own is not None and (own.own or own.included):
            return own
        if before.included or before.reason:
            return replace(before, named=False)
        return self._by_git(folder, path, directory)

    def _own(self, folder: _Folder, path: bytes, directory: bool) -> Answer | None:
        for level in folder.upwards():
            if level.own is None:
                continue
            if level.own.broken:
                return Answer(f"is below {level.own.label}, which {level.own.broken}", own=True)
            if (found := level.own.rules.match(_below(level, path), directory)) is not None:
                if found.negative:
                    return Answer(included=True, named=found.literal)
                return Answer(f"is ignored by {level.own.label} line {found.line}", own=True)
        return None

    def _by_git(self, folder: _Folder, path: bytes, directory: bool) -> Answer:
        top = folder
        for top in folder.upwards():
            for source in top.git:
                if source.broken:
                    return Answer(f"is below {source.label}, which {source.broken}")
                if (found := source.rules.match(_below(top, path), directory)) is not None:
                    return Answer() if found.negative else Answer(f"is ignored by {source.label} line {found.line}")
        if self._users is not None and (found := self._users.rules.match(_below(top, path), directory)) is not None:
            return (
                Answer() if found.negative else Answer(f"is ignored by your global git ignore file line {found.line}")
            )
        return Answer()


def _below(folder: _Folder, path: bytes) -> bytes:
    relative = path[len(folder.path) :].lstrip(b"/\\" if os.sep == "\\" else b"/")
    return relative.replace(b"\\", b"/") if os.sep == "\\" else relative


def _stamp(found: os.stat_result) -> _Stamp:
    return found.st_ino, found.st_dev, found.st_mtime_ns, found.st_ctime_ns


def _holds(folder: _Folder) -> bool:
    """Are the folder's ignore files what they were? (A new one, but git's own, changes the folder's time.)"""
    sources = folder.git if folder.own is None else (folder.own, *folder.git)
    for source in sources:
        try:
            if _stamp(os.lstat(source.path)) != source.stamp or time.time_ns() - max(source.stamp[2:]) < FRESH:
                return False
        except OSError:
            return False
    return not folder.exclude or any(s.path == folder.exclude for s in sources) or not os.path.exists(folder.exclude)


def _read(path: str, label: str) -> _Source | None:
    """The ignore file at ``path``; None where git would see none: a link, a folder, nothing."""
    try:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                return None
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read(MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        # Nothing there, a link, a folder on the way that is a file: none, as for git.
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO):
            return None
        return _Source(path, label, (0, 0, 0, 0), Rules(), "cannot be read")
    try:
        return _Source(path, label, _stamp(found), _rules(content))
    except ValueError as error:
        return _Source(path, label, _stamp(found), Rules(), str(error))


@lru_cache(64)
def _rules(content: bytes) -> Rules:
    """What an ignore file says. Files that were just written are read at every question, mostly to find the same."""
    return parse(content, _FOLDS_CASE)


def _repository_above(root: str) -> list[str]:
    """The folders from the top of the repository down to the one above ``root``, if its top is above."""
    if os.path.lexists(os.path.join(root, ".git")):
        return []
    above: list[str] = []
    at = os.path.dirname(root)
    while True:
        above.insert(0, at)
        if os.path.lexists(os.path.join(at, ".git")):
            return above
        if os.path.dirname(at) == at:
            return []
        at = os.path.dirname(at)


def _exclude_file(folder: str) -> str:
    """The ``info/exclude`` of the repository whose top is ``folder``, also of a work tree or submodule; or ""."""
    git = os.path.join(folder, ".git")
    try:
        mode = os.stat(git).st_mode
        if stat.S_ISREG(mode):
            named = _first_line(git)
            if not named.startswith("gitdir:"):
                return ""
            git = os.path.join(folder, named.removeprefix("gitdir:").strip())
            if os.path.isfile(shared := os.path.join(git, "commondir")):
                git = os.path.join(git, _first_line(shared))
        elif not stat.S_ISDIR(mode):
            return ""
    except (OSError, ValueError):
        return ""
    return os.path.join(git, "info", "exclude")


def _first_line(path: str) -> str:
    with open(path, "rb") as file:
        return os.fsdecode(file.read(4096).split(b"\n")[0]).strip()


def _users_file() -> _Source | None:
    """The user's global ignore file, as far as it can be found without running git."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "git"
    chosen = settings / "ignore"
    for config in (settings / "config", home / ".gitconfig"):
        try:
            with open(config, encoding="utf-8", errors="surrogateescape") as file:
                if found := _EXCLUDES_FILE.findall(file.read(MAX_BYTES)):
                    chosen = Path(found[-1]).expanduser()
        except (OSError, RuntimeError):
            continue
    source = _read(os.path.realpath(chosen), "your global git ignore file")
    return None if source is None or source.broken else source
