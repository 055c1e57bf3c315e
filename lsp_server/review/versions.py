"""The versions of a repository as trees: a commit, the index, the working tree.

Files that the policy refuses, links, submodules and files of git's filters are in no tree; the listing says why.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from famulus.engine import denied
from famulus.engine.policy import Policy
from famulus.lsp_server.review.git import Blobs, Repository, fields
from famulus.lsp_server.review.listing import listed

_LINK, _SUBMODULE = "120000", "160000"


@dataclass(frozen=True)
class Entry:
    """A file of a listing: git's mode and the name of its bytes; ``held``: the bytes, if they are on disk only."""

    mode: str
    name: str
    held: bytes | None = field(default=None, compare=False)


@dataclass
class Version:
    """One version of a repository: a :class:`~famulus.lsp_server.review.change.Tree` of what may be read.

    ``entries`` are all files; ``refused`` says of those that are not in the tree why.
    """

    blobs: Blobs
    entries: Mapping[str, Entry]
    refused: dict[str, str] = field(default_factory=dict)

    def paths(self) -> Sequence[str]:
        """See :class:`~famulus.lsp_server.review.change.Tree`."""
        return sorted(path for path in self.entries if path not in self.refused)

    def hide(self, refused: Mapping[str, str]) -> None:
        """Leaves out files that the other side refuses: half of a change would say something wrong."""
        self.refused |= {path: reason for path, reason in refused.items() if path in self.entries}

    def read(self, path: str) -> bytes | None:
        """See :class:`~famulus.lsp_server.review.change.Tree`."""
        entry = self.entries.get(path)
        if entry is None or path in self.refused:
            return None
        return entry.held if entry.held is not None else self.blobs.read(entry.name)

    def digest(self, path: str) -> str | None:
        """See :class:`~famulus.lsp_server.review.change.Tree`."""
        entry = self.entries.get(path)
        return None if entry is None or path in self.refused else entry.name

    def links(self) -> Mapping[str, str]:
        """Symbolic links of the version, with what they point to; no part of the tree."""
        found = {}
        for path, entry in self.entries.items():
            if entry.mode == _LINK and (target := self.blobs.read(entry.name)) is not None:
                found[path] = os.fsdecode(target)
        return found


@dataclass
class Versions:
    """Makes the versions of one repository. ``policy`` judges every path."""

    repository: Repository
    policy: Policy | None
    blobs: Blobs
    _verdicts: dict[str, str] = field(default_factory=dict)

    def nothing(self) -> Version:
        """Before the first commit."""
        return Version(self.blobs, {})

    def commit(self, name: str) -> Version:
        """The tree of a commit."""
        entries = {}
        for part in fields(self.repository.run("ls-tree", "-r", "-z", "--full-tree", name)):
            described, _, path = part.partition("\t")
            mode, _, blob = described.split(" ")
            entries[path] = Entry(mode, blob)
        return self._judged(Version(self.blobs, entries))

    def index(self) -> Version:
        """What is staged."""
        version = Version(self.blobs, {})
        entries: dict[str, Entry] = {}
        for file in listed(self.repository):
            if file.stage != "0":
                version.refused[file.path] = "has a conflict that is not resolved"
            if not file.intended:
                entries.setdefault(file.path, Entry(file.mode, file.name))
        version.entries = entries
        return self._judged(version)

    def working_tree(self) -> Version:
        """What is on disk: tracked files as they are now, and untracked ones that are not ignored."""
        from famulus.lsp_server.review.on_disk import OnDisk

        disk = OnDisk(self.repository, self._why_not)
        return Version(self.blobs, disk.entries(), disk.refused)

    def _judged(self, version: Version) -> Version:
        """The version without what may not be read."""
        for path, entry in version.entries.items():
            if path not in version.refused and (reason := self._why_not(path, entry)):
                version.refused[path] = reason
        return version

    def _why_not(self, path: str, entry: Entry) -> str:
        if entry.mode == _SUBMODULE:
            return "is a submodule, which is not looked into"
        if entry.mode == _LINK:
            return "is a symbolic link"
        if self.policy is None:
            return denied.why(path.split("/"))
        if path not in self._verdicts:
            verdict = self.policy.check_name(path, self.repository.top)
            self._verdicts[path] = verdict.reason.partition("` ")[2].rstrip(".") if not verdict else ""
        return self._verdicts[path]
