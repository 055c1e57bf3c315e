"""What of a working tree is as git knows it, and what is not: found out without git's filters and without its locks.

``git status`` would run the filters that a repository's configuration names, on files whose time has changed. So the
index is listed with the times that it holds, and the files that differ from them are read here.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from famulus.lsp_server.review.git import MOST_BYTES, Repository, fields
from famulus.lsp_server.review.listing import Listed, listed
from famulus.lsp_server.review.versions import Entry

MOST_UNTRACKED = 2000
"""Untracked files that are read; more are no work of a person."""

_CONFLICT = re.compile(rb"^<{7}( |\r?$)", re.MULTILINE)
_OPEN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_LINK, _SUBMODULE = "120000", "160000"


@dataclass
class OnDisk:
    """The files of a working tree. ``why_not`` says why a path may not be read, "" if it may."""

    repository: Repository
    why_not: Callable[[str, Entry], str]
    refused: dict[str, str] = field(default_factory=dict)
    """Files that are not read, with the reason."""

    def entries(self) -> dict[str, Entry]:
        """All files, tracked and untracked. Those that git does not hold in this form come with their bytes."""
        found: dict[str, Entry] = {}
        changed: dict[str, Entry] = {}
        conflicts = set()
        for file in listed(self.repository):
            path, entry, same = file.path, self._known(file), self._same(file)
            if path in found or path in changed:
                continue
            if file.stage != "0":
                conflicts.add(path)
            if reason := self.why_not(path, entry):
                self.refused[path] = reason
                if same or os.path.lexists(os.path.join(self._top, path)):
                    found[path] = entry if same else self._unread(path, entry)
            elif same:
                found[path] = entry
            else:
                changed[path] = entry
        filtered = self._filtered(list(changed))
        for path, entry in changed.items():
            if (now := self._read(path)) is not None:
                found[path] = self._unless_line_ends(entry, now)
                if path in filtered and found[path] != entry:
                    self.refused[path] = f"goes through a filter of git ({filtered[path]}), which a review does not run"
                elif path in conflicts and _CONFLICT.search(now):
                    self.refused[path] = "has a conflict that is not resolved"
            elif path in self.refused:
                found[path] = self._unread(path, entry)
                if found[path] == entry:
                    del self.refused[path]  # git has the same bytes
        return found | self._untracked(found)

    def _known(self, file: Listed) -> Entry:
        """What git knows of a file; of a submodule the commit at which it stands now."""
        inner = self.repository.submodule(file.path) if file.mode == _SUBMODULE and not file.skipped else None
        return Entry(file.mode, inner or file.name)

    def _same(self, file: Listed) -> bool:
        """Whether a file on disk is as git last saw it."""
        if file.skipped or file.mode == _SUBMODULE:
            return True
        if file.stat is None or file.stage != "0" or file.intended:
            return False
        try:
            now = os.lstat(os.path.join(self._top, file.path))
        except (OSError, ValueError):
            return False
        written, _, _ = file.stat
        return (
            stat.S_ISREG(now.st_mode)
            and (now.st_mtime_ns, now.st_ctime_ns, now.st_size % 2**32) == file.stat
            and written < self._listed  # what was written while git looked may have changed once more
        )

    def _read(self, path: str) -> bytes | None:
        """The bytes on disk, None if there is no such file or it may not be read; links are not followed."""
        full = os.path.join(self._top, path)
        if os.path.realpath(os.path.dirname(full)) != os.path.join(self._real_top, os.path.dirname(path)).rstrip("/"):
            return None  # a folder on the way is a link now: for git, the file is gone
        try:
            descriptor = os.open(full, _OPEN)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        except OSError as error:
            link = os.path.islink(full)
            self.refused[path] = "is a symbolic link" if link else f"cannot be opened ({error.strerror})"
            return None
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                if not stat.S_ISDIR(found.st_mode):
                    self.refused[path] = "is no plain file"
                return None
            if found.st_nlink > 1:  # as for every file that Famulus reads, see famulus.engine.policy
                self.refused[path] = "has several names (hard links), and one of them may be excluded"
                return None
            if found.st_size > MOST_BYTES:
                self.refused[path] = f"is larger than {MOST_BYTES >> 20} MB"
                return None
            return file.read(MOST_BYTES)

    def _unread(self, path: str, entry: Entry) -> Entry:
        """The entry of a file that nobody may read: only whether it is still what it was is found out."""
        full = os.path.join(self._top, path)
        try:
            if os.path.islink(full):
                return Entry(_LINK, self._named(os.fsencode(os.readlink(full))))
            with open(os.open(full, _OPEN), "rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    return Entry(entry.mode, "")
                digest = hashlib.new(self.repository.algorithm, b"blob %d\0" % found.st_size)
                while part := file.read(1 << 20):
                    digest.update(part)
        except OSError:
            return Entry(entry.mode, "")
        return Entry(entry.mode, digest.hexdigest())

    def _unless_line_ends(self, entry: Entry, now: bytes) -> Entry:
        """The entry of a file with these bytes; git's own if they differ in line ends that git converts anyway."""
        name = self._named(now)
        if name != entry.name and self._converts and b"\r\n" in now:
            plain = now.replace(b"\r\n", b"\n")
            if self._named(plain) == entry.name:
                return entry
        return entry if name == entry.name else Entry(entry.mode, name, now)

    def _named(self, content: bytes) -> str:
        return hashlib.new(self.repository.algorithm, b"blob %d\0" % len(content) + content).hexdigest()

    def _untracked(self, tracked: dict[str, Entry]) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        listed = self.repository.run("ls-files", "-z", "--others", "--exclude-standard", "--full-name")
        for path in fields(listed):
            if path.endswith("/") or path in tracked:  # a repository inside this one
                continue
            entry = Entry("100644", "")
            if len(found) >= MOST_UNTRACKED:
                self.refused[path] = f"is one of more than {MOST_UNTRACKED} untracked files"
            elif reason := self.why_not(path, entry):
                self.refused[path] = reason
            elif (now := self._read(path)) is not None:
                entry = Entry("100644", self._named(now), now)
            found[path] = entry
        return found

    def _filtered(self, paths: list[str]) -> dict[str, str]:
        """Paths whose bytes git would change by a program when it takes them, with the filter's name."""
        if not paths:
            return {}
        asked = b"\0".join(map(os.fsencode, paths)) + b"\0"
        said = list(fields(self.repository.run("check-attr", "-z", "--stdin", "filter", stdin=asked)))
        answers = zip(said[::3], said[2::3], strict=True)
        return {path: value for path, value in answers if value not in ("unspecified", "unset", "set")}

    @cached_property
    def _top(self) -> str:
        assert self.repository.top is not None
        return str(self.repository.top)

    @cached_property
    def _real_top(self) -> str:
        return os.path.realpath(self._top)

    @cached_property
    def _listed(self) -> int:
        """When the index was written, in ns."""
        try:
            return Path(self.repository.index).stat().st_mtime_ns
        except OSError:
            return 0

    @cached_property
    def _converts(self) -> bool:
        """Whether git converts line ends here."""
        return (
            self.repository.setting("core.autocrlf") not in ("", "false")
            or os.path.exists(os.path.join(self._top, ".gitattributes"))
            or self.repository.path("rev-parse", "--git-path", "info/attributes").exists()
        )
