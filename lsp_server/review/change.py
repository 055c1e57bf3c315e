"""What is reviewed: two trees of files, and how their files differ.

A tree gives bytes for paths and knows nothing of git; :mod:`.git` makes trees of revisions, of the index and of the
working tree, and two folders are trees as well.
"""

from __future__ import annotations

import ast
import bisect
import difflib
import io
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

Status = Literal["added", "deleted", "modified", "renamed"]
_BINARY_PROBE = 8000
"""Bytes in which a NUL makes a file binary, as git sees it."""
_CAREFUL_LINES = 4000
"""Up to so many changed lines the smallest difference is looked for."""


class Tree(Protocol):
    """One version of the project.

    A tree that knows of symbolic links, which are no files of it, has a method ``links`` as :class:`Memory` besides.
    """

    def paths(self) -> Sequence[str]:
        """All files, sorted; relative to the root, with ``/``."""
        ...

    def read(self, path: str) -> bytes | None:
        """The bytes of a file; None if there is none, or it is no regular file."""
        ...

    def digest(self, path: str) -> str | None:
        """A name for the bytes of a file, the same in both trees for the same bytes; None as :meth:`read`."""
        ...


@dataclass(frozen=True)
class Memory:
    """A tree in memory. ``linked``: its symbolic links, with what they say."""

    files: Mapping[str, bytes]
    linked: Mapping[str, str] = field(default_factory=dict)

    def paths(self) -> Sequence[str]:
        """See :class:`Tree`."""
        return sorted(self.files)

    def read(self, path: str) -> bytes | None:
        """See :class:`Tree`."""
        return self.files.get(path)

    def digest(self, path: str) -> str | None:
        """See :class:`Tree`."""
        content = self.files.get(path)
        return None if content is None else blob_name(content)

    def links(self) -> Mapping[str, str]:
        """Path and target of each symbolic link."""
        return self.linked


def blob_name(content: bytes) -> str:
    """The name that git (SHA-1) gives to these bytes: one cache serves every kind of tree."""
    import hashlib

    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines ``old_start`` … of the old side became lines ``new_start`` … of the new one; lines count from 1.

    A side without lines stands before its start. The lines have no line ends.
    """

    old_start: int
    old_lines: tuple[str, ...]
    new_start: int
    new_lines: tuple[str, ...]

    @property
    def old_end(self) -> int:
        """The first old line after it."""
        return self.old_start + len(self.old_lines)

    @property
    def new_end(self) -> int:
        """The first new line after it."""
        return self.new_start + len(self.new_lines)


@dataclass(frozen=True)
class FileChange:
    """One file that differs. A side that is not there has no path and no bytes."""

    old_path: str | None
    new_path: str | None
    old: bytes | None
    new: bytes | None

    @property
    def path(self) -> str:
        """The new path; the old one of a deleted file."""
        return self.new_path or self.old_path or ""

    @property
    def status(self) -> Status:
        """What happened to the file. A renamed one may be changed as well."""
        if self.old_path is None:
            return "added"
        if self.new_path is None:
            return "deleted"
        return "modified" if self.old_path == self.new_path else "renamed"

    @cached_property
    def binary(self) -> bool:
        """Whether one side is no text."""
        return any(b"\0" in side[:_BINARY_PROBE] for side in (self.old, self.new) if side is not None)

    @cached_property
    def old_text(self) -> str:
        """The old side as text with ``\\n`` only; empty if there is none or it is binary."""
        return "" if self.old is None or self.binary else decoded(self.old)

    @cached_property
    def new_text(self) -> str:
        """The new side as text with ``\\n`` only; empty if there is none or it is binary."""
        return "" if self.new is None or self.binary else decoded(self.new)

    @cached_property
    def old_tree(self) -> ast.Module | None:
        """The old side as Python; None if it is none. All rules share it: nobody changes it."""
        return parsed(self.old_text)

    @cached_property
    def new_tree(self) -> ast.Module | None:
        """The new side as Python; None if it is none. All rules share it: nobody changes it."""
        return parsed(self.new_text)

    @cached_property
    def hunks(self) -> tuple[Hunk, ...]:
        """The changed lines, in order, without context."""
        return tuple(difference(self.old_text.split("\n"), self.new_text.split("\n")))

    @cached_property
    def changed_new_lines(self) -> frozenset[int]:
        """Lines of the new side that are new or changed."""
        return frozenset(n for hunk in self.hunks for n in range(hunk.new_start, hunk.new_end))

    @cached_property
    def changed_old_lines(self) -> frozenset[int]:
        """Lines of the old side that are gone or changed."""
        return frozenset(n for hunk in self.hunks for n in range(hunk.old_start, hunk.old_end))

    @property
    def changed_lines(self) -> int:
        """How many lines there are to read: the new ones, and the old ones where nothing stands in their place."""
        return sum(len(hunk.new_lines) or len(hunk.old_lines) for hunk in self.hunks)

    def old_line(self, new_line: int) -> int | None:
        """The line of the old side that stands unchanged at ``new_line``; None for a changed one."""
        if self.old is None or new_line in self.changed_new_lines:
            return None
        before = bisect.bisect_right([hunk.new_start for hunk in self.hunks], new_line)
        return new_line + sum(len(h.old_lines) - len(h.new_lines) for h in self.hunks[:before])

    def new_line(self, old_line: int) -> int | None:
        """The line of the new side at which ``old_line`` stands unchanged; None for a changed one."""
        if self.new is None or old_line in self.changed_old_lines:
            return None
        before = bisect.bisect_right([hunk.old_start for hunk in self.hunks], old_line)
        return old_line + sum(len(h.new_lines) - len(h.old_lines) for h in self.hunks[:before])


@dataclass(frozen=True)
class Change:
    """Two versions of a project. ``title``: how the user called it, as ``HEAD~1..HEAD``."""

    old: Tree
    new: Tree
    files: tuple[FileChange, ...]
    title: str = ""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Paths that differ but were not looked at, with the reason (too large, no regular file, not allowed)."""
    unread_added: frozenset[str] = frozenset()
    """Those of them that the old side does not have."""

    @cached_property
    def _by_path(self) -> dict[str, FileChange]:
        return {file.path: file for file in self.files}

    def file(self, path: str) -> FileChange | None:
        """What happened to the file of this (new) path; None if nothing did."""
        return self._by_path.get(path)

    def python(self) -> Iterator[FileChange]:
        """The changed files that are Python."""
        return (file for file in self.files if file.path.endswith((".py", ".pyi")) and not file.binary)


def between(old: Tree, new: Tree, *, renames: Mapping[str, str] | None = None, title: str = "") -> Change:
    """How two trees differ. ``renames``: new path → old path, for files that are known to be the same ones."""
    renamed = dict(renames or {})
    gone = set(renamed.values())
    was, now = set(old.paths()), set(new.paths())
    found = []
    for path in sorted(was | now):
        if path in renamed:
            found.append(FileChange(renamed[path], path, old.read(renamed[path]), new.read(path)))
        elif path in was and path in now:
            if old.digest(path) != new.digest(path):
                found.append(FileChange(path, path, old.read(path), new.read(path)))
        elif path in now:
            found.append(FileChange(None, path, None, new.read(path)))
        elif path not in gone:
            found.append(FileChange(path, None, old.read(path), None))
    return Change(old, new, tuple(found), title)


def parsed(text: str) -> ast.Module | None:
    """Python as a tree; None if this Python cannot read it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def decoded(content: bytes) -> str:
    """Text of a file: by its byte order mark or its coding line, else UTF-8, else Latin-1; line ends become ``\\n``."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = content.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        text = content.decode("utf-8-sig" if content.startswith(b"\xef\xbb\xbf") else "latin-1", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def difference(old: Sequence[str], new: Sequence[str]) -> Iterator[Hunk]:
    """The hunks that make ``new`` of ``old``, lines without ends."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    tail = 0
    while tail < min(len(old), len(new)) - start and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    left, right = old[start : len(old) - tail], new[start : len(new) - tail]
    i = k = 0
    large = len(left) + len(right) > _CAREFUL_LINES
    for j, m in [*(_landmarks(left, right) if large else ()), (len(left), len(right))]:
        yield from _between(left[i:j], right[k:m], start + i, start + k)
        i, k = j, m


def _between(left: Sequence[str], right: Sequence[str], old_start: int, new_start: int) -> Iterator[Hunk]:
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=len(left) + len(right) > _CAREFUL_LINES)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag != "equal":
            yield Hunk(old_start + i + 1, tuple(left[i:j]), new_start + k + 1, tuple(right[k:m]))


def _landmarks(left: Sequence[str], right: Sequence[str]) -> list[tuple[int, int]]:
    """Where lines stand that both sides have once, as many as keep their order (patience diff).

    They cut a large difference into small ones, since the search for it takes the square of the lines."""
    once = [{line: at for at, line in enumerate(side) if count[line] == 1} for side, count in
            ((left, Counter(left)), (right, Counter(right)))]  # fmt: skip
    pairs = [(i, once[1][line]) for line, i in once[0].items() if line in once[1]]
    ends: list[int] = []
    before: list[int] = []
    last: list[int] = []
    for number, (_, k) in enumerate(pairs):
        length = bisect.bisect_left(ends, k)
        before.append(last[length - 1] if length else -1)
        if length == len(ends):
            ends.append(k)
            last.append(number)
        else:
            ends[length], last[length] = k, number
    found = []
    at = last[-1] if last else -1
    while at >= 0:
        found.append(pairs[at])
        at = before[at]
    return found[::-1]
