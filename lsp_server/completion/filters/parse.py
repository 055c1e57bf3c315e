"""No suggestion makes a file that parsed stop parsing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from famulus.lsp_server.completion.filters.brackets import closed, is_open
from famulus.lsp_server.completion.filters.python import Part
from famulus.lsp_server.completion.filters.statements import bare_head
from famulus.lsp_server.completion.filters.suffix import overtaken
from famulus.lsp_server.documents import Change

if TYPE_CHECKING:
    from famulus.lsp_server.completion.situation import Situation
    from famulus.lsp_server.syntax import Tree

MOST_CUTS = 6
"""Lines that are taken away one after the other in search of a text that parses."""


class Judge:
    """Asks about the file with a text inserted: Python's own parser where it can tell, else the syntax tree."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._answers: dict[tuple[str, bool], bool] = {}

    def accepts(self, text: str, whole: bool = False) -> bool:
        """Whether the file parses with ``text``, or is at least as good as it was if it was broken before.

        ``whole``: being as good is not enough.
        """
        key = (text, whole)
        if key not in self._answers:
            if self._part is not None and self._part.judges:
                self._answers[key] = self._part.accepts(text, overtaken(text, self._situation))
            elif self._tree is not None:
                self._answers[key] = self._tree_accepts(text, whole)
            else:
                self._answers[key] = not whole
        return self._answers[key]

    @cached_property
    def demands(self) -> bool:
        """Whether the file must parse afterwards: it did before, or only the statement at the cursor was open."""
        if self._part is not None and self._part.judges:
            return True
        return self._tree is not None and not self._tree.root.has_error

    @property
    def _tree(self) -> Tree | None:
        return self._situation.tree

    @cached_property
    def _part(self) -> Part | None:
        situation = self._situation
        return Part(situation) if situation.language == "python" and not situation.huge else None

    def _tree_accepts(self, text: str, whole: bool) -> bool:
        after = self.edited(text)
        assert after is not None and self._tree is not None
        if not after.root.has_error:
            return True
        if whole or not self._tree.root.has_error:
            return False
        return len(after.errors()) <= self._errors_before

    @cached_property
    def _errors_before(self) -> int:
        return len(self._tree.errors()) if self._tree is not None else 0

    def edited(self, text: str) -> Tree | None:
        """The tree of the file with ``text`` inserted; None without a grammar."""
        if self._tree is None:
            return None
        start = self._situation.offset
        return self._tree.edited(Change(start, start + overtaken(text, self._situation), text))


def parsing(text: str, situation: Situation) -> str:
    """The longest beginning of the text with which the file parses, closed if that is what it lacks; else ""."""
    judge = situation.judge
    if not text.strip():
        return ""
    if judge.accepts(text, whole=True):
        return text
    for version in _versions(text, situation):
        if version.strip() and judge.accepts(version, whole=True):
            return version
    if judge.demands:
        return ""
    return next((version for version in (text, *_shorter(text)) if judge.accepts(version)), "")


def _versions(text: str, situation: Situation) -> Iterator[str]:
    """The text closed; where the file must parse also what is left when lines are cut, closed if that is needed."""
    yield from closed(text, situation)
    if situation.judge.demands:
        for shorter in (bare_head(lines, situation) for lines in _shorter(text)):
            yield next(iter(closed(shorter, situation)[:1]), shorter) if is_open(shorter, situation) else shorter


def _shorter(text: str) -> Iterator[str]:
    lines = text.split("\n")
    for count in range(len(lines) - 1, max(0, len(lines) - 1 - MOST_CUTS), -1):
        yield "\n".join(lines[:count]).rstrip()
