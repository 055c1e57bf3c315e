"""From evidence to hints: for which model the rule is on, and from which gain."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from famulus.lsp_server.prediction.surprise.candidates import KINDS, Kind
from famulus.lsp_server.prediction.surprise.scoring import FOLLOWING, Evidence

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
    """From ``threshold`` on there is a hint, from ``sure`` on it is a sure one; only for ``kinds`` of changes."""

    threshold: float
    sure: float
    kinds: frozenset[Kind] = frozenset(KINDS)


LEAST = 3.0
"""Nats; what gains less is not asked about in the other context."""
DOUBT = 0.5
"""Nats; lines after a change that lose less than this do not speak against it: four-bit products round by as much."""
_CALM = 0.5
"""Nats a token; a function that the model knows by heart counts as this surprising."""

RULES: dict[str, Rule] = dict.fromkeys(
    # Both are surprised by every long attribute name; their hints about them were mostly wrong.
    ("famulus-16e", "smollm2-135m-instruct"),
    Rule(4.0, 8.0, frozenset(KINDS) - {"attribute"}),
)
"""By model id: the models that reach the bar of ``famulus bench surprise`` (docs/error-prediction.md has the numbers).
Any other gives no hints."""


def rule_of(model: str) -> Rule | None:
    """The rule for a model; None: it was not measured, or it misses the bar."""
    return RULES.get(model)


def first_weight(evidence: Evidence) -> float:
    """The most that the weight can be, before the other context was asked: the gain of the line and the lines after it,
    in units of the function's usual surprisal; nothing where the lines after it speak against it."""
    gain = evidence.gain(FOLLOWING)
    against = gain < LEAST or sum(evidence.after) < -DOUBT
    return -math.inf if against else gain / max(evidence.usual, _CALM)


def weight(evidence: Evidence, elsewhere: float) -> float:
    """The weight in the context that speaks less for it. ``elsewhere``: the gain in the other context."""
    return min(first_weight(evidence), elsewhere / max(evidence.usual, _CALM))
