"""How likely would the user have typed just this? From the model's own log-probabilities, calibrated by replay.

``famulus bench confidence`` asks for the rest of the line at random keys of real functions, notes whether it was what
the author wrote, and fits the curve; docs/performance.md has the numbers. What tells most is the surprisal of the whole
text in one sum, on a logarithmic scale; the first token is weighed by itself, because a piece of it may stand before
the cursor already. More text is never likelier than less, so a suggestion that has become unlikely stays so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from famulus.lsp_server.completion.candidates import Scored


@dataclass(frozen=True)
class Curve:
    """``p = sigmoid(bias - first·log(1 + s₁) - rest·log(1 + s₂ + … + sₙ))`` for one model, s: surprisals of the tokens
    in nats. ``threshold``: suggestions are shown from this probability on."""

    bias: float
    first: float
    rest: float
    threshold: float

    def probability(self, part: Scored) -> float:
        """Of being exactly what the user types next, 0 to 1."""
        first, rest = features(part)
        total = self.bias - self.first * first - self.rest * rest
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))


def features(part: Scored) -> tuple[float, float]:
    """What a curve looks at: log(1 + surprisal) of the first token, and of all others together."""
    return math.log1p(-sum(part.logprobs[:1])), math.log1p(-sum(part.logprobs[1:]))


UNKNOWN = Curve(bias=1.7, first=1.05, rest=2.75, threshold=0.4)
"""For models that nobody has calibrated: the shape of the smallest one, with a careful threshold, for better models are
surer of themselves and more often right."""

EMBEDDED = Curve(bias=1.73, first=0.7, rest=3.74, threshold=0.1)
"""For the model that comes with Famulus. From 0.1 on more than half of what is shown is right to the last character,
and nearly all of what the model gets right is shown."""

CURVES: dict[str, Curve] = {
    "famulus-16e": EMBEDDED,
    "smollm2-135m-instruct": Curve(bias=1.7, first=1.05, rest=2.75, threshold=0.1),
}
"""By model id."""


def curve(model: str) -> Curve:
    """The curve of a model, the careful one for unknown models; "" (the engine has not said) is the embedded one."""
    return CURVES.get(model, UNKNOWN) if model else EMBEDDED
