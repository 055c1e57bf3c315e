"""The statistics of completions in figures: per language, and in total."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from famulus.lsp_server.completion.ledger import DAYS, reading

TOTAL = "all"
_QUERY = """
SELECT language, outcome, accepted, kept_soon, kept_later, latency_ms, how, source FROM suggestion
WHERE at >= ? AND outcome != 'brief'
"""


@dataclass
class Line:
    """Suggestions that were on screen long enough to be judged; ``characters``: how many of theirs were accepted.

    ``kept_soon`` and ``kept_later`` are characters still there after 30 seconds and five minutes; of ``known_soon``
    and ``known_later`` characters somebody could tell.
    """

    language: str
    shown: int = 0
    accepted: int = 0
    typed: int = 0
    characters: int = 0
    kept_soon: int = 0
    known_soon: int = 0
    kept_later: int = 0
    known_later: int = 0
    how: dict[str, int] = field(default_factory=lambda: {"word": 0, "line": 0, "all": 0})
    sources: dict[str, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list, repr=False)

    @property
    def share(self) -> float:
        """Accepted of shown, 0 to 1."""
        return self.accepted / self.shown if self.shown else 0.0

    def latency(self, quantile: float) -> float:
        """Milliseconds from the request to the answer, by nearest rank; ``quantile`` from 0 to 1."""
        ranked = sorted(self.latencies)
        return ranked[min(len(ranked) - 1, int(quantile * len(ranked)))] if ranked else 0.0

    def take(self, row: tuple[Any, ...]) -> None:
        """Count one suggestion."""
        _, outcome, accepted, soon, later, latency, how, source = row
        self.shown += 1
        self.accepted += outcome == "accepted"
        self.typed += outcome == "typed"
        self.characters += accepted
        if how:
            self.how[how] = self.how.get(how, 0) + 1
        self.sources[source] = self.sources.get(source, 0) + 1
        if soon is not None:
            self.kept_soon, self.known_soon = self.kept_soon + soon, self.known_soon + accepted
        if later is not None:
            self.kept_later, self.known_later = self.kept_later + later, self.known_later + accepted
        self.latencies.append(latency)

    def data(self) -> dict[str, Any]:
        """For ``--json``; milliseconds and characters."""
        return {
            "language": self.language,
            "shown": self.shown,
            "accepted": self.accepted,
            "accepted_share": round(self.share, 4),
            "typed_to_the_end": self.typed,
            "accepted_by": self.how,
            "accepted_characters": self.characters,
            "kept_after_30_s": {"characters": self.kept_soon, "of": self.known_soon},
            "kept_after_5_min": {"characters": self.kept_later, "of": self.known_later},
            "latency_ms": {"p50": self.latency(0.5), "p95": self.latency(0.95)},
            "sources": self.sources,
        }


def summary(days: int = DAYS, data: Path | None = None) -> list[Line]:
    """The lines of the languages, the most used first, and the total at the end; empty where nothing was shown yet.

    Raises :class:`famulus.engine.errors.StorageFailed` where the file cannot be read.
    """
    lines: dict[str, Line] = defaultdict(lambda: Line(""))
    total = Line(TOTAL)
    with reading(data) as database:
        if database is None:
            return []
        for row in database.execute(_QUERY, (int(time.time()) - days * 86_400,)):
            line = lines[row[0]]
            line.language = row[0] or "?"
            line.take(row)
            total.take(row)
    return [*sorted(lines.values(), key=lambda line: -line.shown), total] if total.shown else []
