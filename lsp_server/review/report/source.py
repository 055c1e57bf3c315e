"""Source as a report shows it: single lines of a change, in which nothing hides."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from famulus.lsp_server.review.change import Change, FileChange, decoded
from famulus.lsp_server.review.finding import Finding, Place

CONTEXT_LINES = 3
"""Unchanged lines around a change that a hosting service shows, and on which it takes comments."""


def visible(text: str) -> str:
    """The text with what no reader sees, and what a terminal would obey, written out: ``\\u202e``, ``\\x1b``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in "\n\t" or _space(character) else _escape(character)
        for character in text
    )


def _space(character: str) -> bool:
    return unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


class Lines:
    """The lines of both sides of a change, read when first asked for."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self._known: dict[tuple[str, str], list[str]] = {}

    def at(self, place: Place) -> str:
        """The line at a place, visible and without its indentation's tabs; "" if there is none."""
        lines = self._of(place.side, place.path)
        return visible(lines[place.line - 1].expandtabs(4)).rstrip() if 0 < place.line <= len(lines) else ""

    def of(self, finding: Finding) -> str:
        """The line of a finding; a secret in it is covered, because reports are read by more people than code."""
        place = finding.place
        if not finding.proof.data.get("masked") or place.end_column is None:
            return self.at(place)
        lines = self._of(place.side, place.path)
        if not 0 < place.line <= len(lines):
            return ""
        line = lines[place.line - 1]
        covered = line[: place.column - 1] + "…" * 3 + line[place.end_column - 1 :]
        return visible(covered.expandtabs(4)).rstrip()

    def _of(self, side: str, path: str) -> list[str]:
        if (side, path) not in self._known:
            content = (self._change.old if side == "old" else self._change.new).read(path)
            text = "" if content is None or b"\0" in content[:8000] else decoded(content)
            self._known[side, path] = text.split("\n")
        return self._known[side, path]


def in_the_diff(change: Change, place: Place, context: int = CONTEXT_LINES) -> bool:
    """Whether a reader of the diff sees the place: on a changed line, or in the context around one."""
    file = _file(change, place)
    if file is None:
        return False
    if place.side == "old":
        return any(h.old_start - context <= place.line < h.old_end + context for h in file.hunks)
    return any(h.new_start - context <= place.line < h.new_end + context for h in file.hunks)


def seen_places(change: Change, finding: Finding) -> Iterator[Place]:
    """Where a finding can be shown in the diff, the best first: where it stands, else the change that causes it."""
    for place in (finding.place, *(related.place for related in finding.related), finding.old_place):
        if place is not None and in_the_diff(change, place):
            yield place
    for place in (finding.place, *(related.place for related in finding.related)):
        file = _file(change, place)
        if file is None or not file.hunks:
            continue
        nearest = min(file.hunks, key=lambda hunk: abs(hunk.new_start - place.line))
        if nearest.new_lines:
            yield Place(path=file.path, line=nearest.new_start)
        elif nearest.old_lines:
            yield Place(path=file.path, line=nearest.old_start, side="old")


def _file(change: Change, place: Place) -> FileChange | None:
    if place.side == "new":
        return change.file(place.path)
    return next((file for file in change.files if file.old_path == place.path), None)
