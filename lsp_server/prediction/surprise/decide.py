"""From evidence to hints: for which model the rule is on, and from which gain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from famulus.lsp_server.prediction.surprise.scoring import Evidence

MOST = 3
"""Hints of one function."""

Weigh = Callable[[Evidence], float]
"""How much speaks for an alternative, in nats or a ratio of them; minus infinity: nothing."""


@dataclass(frozen=True)
class Hint:
    """An alternative that is worth a hint. ``weight``: how much speaks for it."""

    evidence: Evidence
    weight: float


def choose(evidence: Sequence[Evidence], weigh: Weigh, threshold: float, most: int = MOST) -> list[Hint]:
    """The alternatives whose weight reaches ``threshold``, heaviest first; places do not overlap."""
    ranked = sorted((Hint(e, weigh(e)) for e in evidence), key=lambda hint: -hint.weight)
    chosen: list[Hint] = []
    for hint in ranked:
        new = hint.evidence.alternative
        apart = all(new.end < c.evidence.alternative.start or new.start > c.evidence.alternative.end for c in chosen)
        if hint.weight >= threshold and apart and len(chosen) < most:
            chosen.append(hint)
    return chosen


@dataclass(frozen=True)
class Rule:
    """From ``threshold`` on there is a hint, from ``sure`` on it is a sure one. ``measured``: what
    ``famulus bench surprise`` found on packages that the threshold was not tuned on."""

    weigh: Weigh
    threshold: float
    sure: float
    measured: str


RULES: dict[str, Rule] = {}
"""By model id; a model that is not here gives no hints."""


def rule_of(model: str) -> Rule | None:
    """The rule for a model; None: it was not measured, or it misses the bar."""
    return RULES.get(model)
