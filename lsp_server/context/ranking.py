"""Which pieces go along, and in which order: the best ones, each thing once, and no change without need.

An engine keeps what it has read as long as it stays the same. So a piece keeps its place while it stays, and gives it
up only to one that is clearly better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from famulus.engine.protocol import Piece
from famulus.lsp_server.context.words import similarity, words

MOST = 8
MOST_CHARACTERS = 6_000
SAME = 0.9
"""Similarity from which on two pieces are one."""
PARROT = 0.5
"""Similarity to the cursor's neighbourhood from which on a model would only repeat it."""
CLEARLY = 1.3
"""A newcomer must be so many times as good as the piece whose place it takes."""

ORDER = ("cells", "files", "imports", "edits", "definitions")
"""Sources; what changes most often stands last."""


@dataclass(frozen=True)
class Ranked:
    """A piece with its source (one of :data:`ORDER`) and how much it promises, 0 to 1. ``file``: where it was read, if
    that is to be asked about."""

    piece: Piece
    source: str
    score: float
    file: Path | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same piece."""
        return self.source, self.piece.path, self.piece.text


@dataclass(frozen=True)
class Limits:
    """How many pieces of each source, and how much altogether. ``mid_line``: what is typed in a line may change them
    within that line; else they change only where a line begins."""

    most: tuple[tuple[str, int], ...] = (("cells", 3), ("files", 2), ("imports", 2), ("edits", 3), ("definitions", 5))
    pieces: int = MOST
    characters: int = MOST_CHARACTERS
    mid_line: bool = True

    def of(self, source: str) -> int:
        """How many pieces of a source."""
        return dict(self.most).get(source, 0)


RICH = Limits()
FRUGAL = Limits(most=(("cells", 2), ("edits", 1), ("definitions", 3)), characters=1_500, mid_line=False)
"""For models without fill marks, which see pieces as comments in a quarter of a small budget: whatever changes there is
dear, and code that is only alike does not help (measured)."""


def choose(
    offered: Sequence[Ranked], before: Sequence[Ranked], neighbourhood: frozenset[str], limits: Limits
) -> list[Ranked]:
    """The pieces to send, where ``before`` were sent last. The same for the same arguments."""
    held = {ranked.key: place for place, ranked in enumerate(before)}
    known = {ranked.key: ranked for ranked in offered}
    ordered = sorted(
        known.values(),
        key=lambda r: (-r.score * (CLEARLY if r.key in held else 1.0), r.source, r.piece.path, r.piece.text),
    )
    chosen: list[tuple[Ranked, frozenset[str]]] = []
    room = limits.characters
    for ranked in ordered:
        size = len(ranked.piece.text) + len(ranked.piece.path)
        count = sum(other.source == ranked.source for other, _ in chosen)
        if len(chosen) == limits.pieces or count >= limits.of(ranked.source) or size > room:
            continue
        inside = words(ranked.piece.text)
        if ranked.source not in ("definitions", "cells") and similarity(inside, neighbourhood) > PARROT:
            continue
        if any(similarity(inside, other) > SAME for _, other in chosen):
            continue
        chosen.append((ranked, inside))
        room -= size
    kept = [ranked for ranked, _ in chosen]
    fresh = {ranked.key: number for number, ranked in enumerate(sorted(kept, key=lambda r: (r.score, r.key)))}
    return sorted(kept, key=lambda r: (ORDER.index(r.source), held.get(r.key, len(before) + fresh[r.key])))
