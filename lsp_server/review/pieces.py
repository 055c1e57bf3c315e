"""A change taken apart: hunks, and files that came, went or moved, any of which can be applied without the others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import Literal

from famulus.lsp_server.review.change import Change, FileChange, Hunk

Kind = Literal["hunk", "content", "added", "deleted", "renamed"]

_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True)
class Piece:
    """One part of a change.

    ``content`` is the whole of a file that cannot be cut (binary, or in another encoding), ``renamed`` the new path of
    a file whose hunks are pieces of their own.
    """

    number: int
    kind: Kind
    file: FileChange = field(repr=False)
    hunk: Hunk | None = None

    @property
    def path(self) -> str:
        """The path on the new side; the old one of a deleted file."""
        return self.file.path

    @property
    def lines(self) -> range:
        """Its lines on the new side; the lines at the gap, if it only takes lines away."""
        if self.hunk is None:
            return range(1, (self.file.new or b"").count(b"\n") + 2)
        if self.hunk.new_lines:
            return range(self.hunk.new_start, self.hunk.new_end)
        return range(max(1, self.hunk.new_start - 1), self.hunk.new_start + 1)

    def __str__(self) -> str:
        if self.hunk is not None:
            return f"{self.path}:{self.hunk.new_start}"
        return {
            "content": f"the new content of {self.path}",
            "added": f"the new file {self.path}",
            "deleted": f"the removal of {self.path}",
            "renamed": f"the move of {self.file.old_path} to {self.path}",
        }[self.kind]


class Pieces:
    """The pieces of a change, and what its files are with some of them."""

    def __init__(self, change: Change) -> None:
        self.change = change
        self.all: list[Piece] = []
        for file in change.files:
            for kind, hunk in _cut(file):
                self.all.append(Piece(len(self.all), kind, file, hunk))
        self._by_file: dict[str, list[Piece]] = {}
        for piece in self.all:
            self._by_file.setdefault(piece.path, []).append(piece)

    def files(self, chosen: Set[int]) -> dict[str, bytes | None]:
        """Every path that the change touches, with its bytes when the pieces of these numbers are applied to the old
        side; None where there is no such file."""
        found: dict[str, bytes | None] = {}
        for pieces in self._by_file.values():
            file = pieces[0].file
            for path in (file.old_path, file.new_path):
                if path is not None:
                    found.setdefault(path, None)
            path, content = _mixed(file, [piece for piece in pieces if piece.number in chosen], pieces)
            if path is not None:
                found[path] = content
        return found

    def of(self, path: str) -> Sequence[Piece]:
        """The pieces of one file, by its new path."""
        return self._by_file.get(path, ())


def _cut(file: FileChange) -> Iterable[tuple[Kind, Hunk | None]]:
    if file.status in ("added", "deleted"):
        yield ("added" if file.status == "added" else "deleted"), None
        return
    if file.status == "renamed":
        yield "renamed", None
    if file.old == file.new:
        return
    hunks = () if file.binary else file.hunks
    sides = [(file.old or b"", file.old_text), (file.new or b"", file.new_text)]
    if not hunks or any(len(_split(content)) != text.count("\n") + 1 for content, text in sides):
        yield "content", None
        return
    for hunk in hunks:
        yield "hunk", hunk


def _mixed(file: FileChange, chosen: Sequence[Piece], pieces: Sequence[Piece]) -> tuple[str | None, bytes | None]:
    """Path and bytes of a file with some of its pieces; no path if it is not there."""
    if len(chosen) == len(pieces):
        return file.new_path, file.new
    if not chosen:
        return file.old_path, file.old
    moved = any(piece.kind == "renamed" for piece in chosen)
    path = file.new_path if moved else file.old_path
    if any(piece.kind == "content" for piece in chosen):
        return path, file.new
    old, new = _split(file.old or b""), _split(file.new or b"")
    lines: list[tuple[bytes, bytes]] = []
    at = 0
    for hunk in (piece.hunk for piece in chosen if piece.hunk is not None):
        lines += old[at : hunk.old_start - 1] + new[hunk.new_start - 1 : hunk.new_end - 1]
        at = hunk.old_end - 1
    lines += old[at:]
    usual = next((end for _, end in lines if end), b"\n")
    whole = b"".join(text + (end or usual) for text, end in lines[:-1])
    return path, whole + (lines[-1][0] if lines else b"")


def _split(content: bytes) -> list[tuple[bytes, bytes]]:
    """Lines with their ends; the last one has none, and may be empty."""
    found, start = [], 0
    for end in _END.finditer(content):
        found.append((content[start : end.start()], end[0]))
        start = end.end()
    return [*found, (content[start:], b"")]
