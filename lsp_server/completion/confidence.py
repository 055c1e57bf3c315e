"""How likely would the user have typed this? From the model's own log-probabilities, calibrated by replay.

``famulus bench lsp --calibrate`` types real functions, notes for every candidate whether it was what came next, and
fits the logistic curves of :data:`CURVES`; docs/performance.md has the numbers. A candidate is shown from a threshold
on, and a longer one is cut at the line end behind which it becomes unlikely.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from famulus.lsp_server.completion.candidates import Scored, worst


@dataclass(frozen=True)
class Curve:
    """``p = sigmoid(bias + mean·m + worst·w + length·log(1 + tokens) + first·f)`` for one model; ``threshold``: show
    from this probability on. m, w, f: mean, least and first log-probability of the tokens."""

    bias: float
    mean: float
    worst: float
    length: float
    first: float
    threshold: float

    def probability(self, part: Scored) -> float:
        """Of being exactly what the user types next, 0 to 1."""
        return self._squashed(features(part))

    def bound(self, part: Scored, tokens: int) -> float:
        """The most that :meth:`probability` can still become when ``tokens`` more come, all of them certain."""
        more = Scored(part.text, part.logprobs + (0.0,) * tokens)
        return max(self.probability(part), self.probability(more))

    def _squashed(self, values: tuple[float, ...]) -> float:
        weights = (self.mean, self.worst, self.length, self.first)
        total = self.bias + sum(w * v for w, v in zip(weights, values, strict=True))
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))


def features(part: Scored) -> tuple[float, float, float, float]:
    """What the curves look at: mean, worst, log(1 + tokens), first."""
    first = part.logprobs[0] if part.logprobs else 0.0
    return part.mean, worst(part.logprobs), math.log1p(len(part.logprobs)), first


UNKNOWN = Curve(bias=1.5, mean=2.0, worst=0.2, length=-0.6, first=0.2, threshold=0.15)
"""For models that nobody has calibrated: monotone in every log-probability, and quiet where all of them are low."""

CURVES: dict[str, Curve] = {}
"""By model id."""


def curve(model: str) -> Curve:
    """The curve of a model, or the careful one for unknown models."""
    return CURVES.get(model, UNKNOWN)
