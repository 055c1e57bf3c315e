"""How many tokens of a draft are worth computing, 0 included, by what drafts were worth and what rows cost so far.

A step of ``rows`` tokens takes about ``base + rows * (row + context * look)``: the weights are read once, every token
is multiplied with them, and looks at its context. The three are fitted to the steps of this machine. A drafted token is
kept with the chance that tokens on the same evidence had, times that of those before it in the draft. What is added to
a step is what makes the tokens that it yields for its time the most.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

GAIN = 1.04
"""A step with drafts must yield more for its time by this factor: making drafts is not free either."""
DELAY = 1.15
"""How much longer a step of several sequences may take for drafts: most of them get nothing from it."""

LENGTHS = 1, 2, 3, 4, 6, 9, 16, 32
"""The least length of a match in each class of evidence."""
_SIZES = tuple(sum(length >= least for least in LENGTHS) for length in range(LENGTHS[-1] + 1))
NEWS = 0.98
"""What an old observation counts for when a new one of the same class comes."""

Kind = Literal["same", "near", "forced"]


class Evidence(NamedTuple):
    """What speaks for a token: the ``same`` text stands before it (``size``: a class of its length), a rewriting is
    ``near``, or a grammar has ``forced`` it."""

    kind: Kind
    size: int = 0

    @classmethod
    def of(cls, kind: Kind, length: int) -> Evidence:
        """The class of a match of ``length`` tokens."""
        return cls(kind, _SIZES[length] if length < len(_SIZES) else _SIZES[-1])


_USUAL: dict[Kind, tuple[float, ...]] = {
    "same": (0.0, 0.15, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    "near": (0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.9, 0.9),
    "forced": (0.95,),
}
"""Chances before anything was measured, by size."""


@dataclass
class Acceptance:
    """How often tokens were right, by evidence. ``usual``: of all sequences, where one of its own has seen little.

    Every expected token is compared with the one that came, whether it was computed as a draft or not: a budget of 0
    is measured on too, and ends when drafts would be right.
    """

    usual: Acceptance | None = None
    weight: float = 8.0
    _seen: dict[Evidence, tuple[float, float]] = field(default_factory=dict)

    def rate(self, evidence: Evidence) -> float:
        """The chance that a token is right."""
        right, seen = self._seen.get(evidence, (0.0, 0.0))
        usual = _USUAL[evidence.kind][evidence.size] if self.usual is None else self.usual.rate(evidence)
        return (right + self.weight * usual) / (seen + self.weight)

    def observe(self, evidence: Evidence, right: bool) -> None:
        """A token was ``right`` or not."""
        old_right, seen = self._seen.get(evidence, (0.0, 0.0))
        self._seen[evidence] = NEWS * old_right + right, NEWS * seen + 1
        if self.usual is not None:
            self.usual.observe(evidence, right)


Three = tuple[float, float, float]

USUAL: Three = (0.85, 0.15, 0.0003)
"""Base, row and look before anything was measured, in units of a step of one token without context."""
LEAST: Three = (0.1, 0.05, 0.0)
"""Parts of them below which a fit is not believed."""
TRUST = 0.1
"""The usual cost counts like this share of a step of each of these (tokens, context) that took exactly so long."""
TRUSTED = tuple((rows, context) for rows in (1, 4, 16) for context in (0, 1000))
KEPT = 0.99
"""What an older step counts for, with every new one."""
CALM = 2.0
"""A step that took longer than this times what was expected waited for other programs, and counts as one that took so
long."""


@dataclass
class Costs:
    """What a step takes, fitted to those that were seen: least squares of relative errors. ``parts``: base, row and
    look, in seconds once a step was seen. (Plain numbers: a step of a small model is too short for arrays.)"""

    parts: Three = USUAL
    _seen: int = 0
    _squares: list[float] = field(default_factory=lambda: [0.0] * 6)  # of 1, rows, looks: 11 12 13 22 23 33
    _sums: list[float] = field(default_factory=lambda: [0.0] * 3)

    def of(self, rows: int, looks: int) -> float:
        """A step of ``rows`` tokens that have ``looks`` tokens of context together."""
        base, row, look = self.parts
        return base + rows * row + looks * look

    def observe(self, rows: int, looks: int, seconds: float) -> None:
        """A step took ``seconds``."""
        if not self._seen:
            scale = seconds / self.of(rows, looks)
            self.parts = tuple(p * scale for p in self.parts)  # type: ignore[assignment]
        self._seen += 1
        expected = self.of(rows, looks)
        self._squares = [KEPT * v for v in self._squares]
        self._sums = [KEPT * v for v in self._sums]
        _add(
            self._squares, self._sums, (1 / expected, rows / expected, looks / expected), min(seconds / expected, CALM)
        )
        if rows > 1 or self._seen % 8 == 0:  # steps of one token are many, and say little about rows
            self._fit()

    def _fit(self) -> None:
        squares, sums = list(self._squares), list(self._sums)
        unit = self.parts[0] + self.parts[1]
        for rows, context in TRUSTED:
            usual = unit * (USUAL[0] + rows * USUAL[1] + rows * context * USUAL[2])
            weighed = TRUST**0.5 / usual
            _add(squares, sums, (weighed, rows * weighed, rows * context * weighed), TRUST**0.5)
        base, row, look = _solved(squares, sums)
        self.parts = (
            max(base, LEAST[0] * USUAL[0] * unit),
            max(row, LEAST[1] * USUAL[1] * unit),
            max(look, LEAST[2] * USUAL[2] * unit),
        )


def _add(squares: list[float], sums: list[float], x: Three, y: float) -> None:
    """One more equation ``x · parts = y`` for the normal equations."""
    a, b, c = x
    for i, value in enumerate((a * a, a * b, a * c, b * b, b * c, c * c)):
        squares[i] += value
    for i, value in enumerate((a * y, b * y, c * y)):
        sums[i] += value


def _solved(squares: Sequence[float], sums: Sequence[float]) -> Three:
    """The normal equations by Cramer's rule."""
    a, b, c, d, e, f = squares
    x, y, z = sums
    first, second, third = d * f - e * e, c * e - b * f, b * e - c * d
    whole = a * first + b * second + c * third
    return (
        (x * first + y * second + z * third) / whole,
        (x * second + y * (a * f - c * c) + z * (b * c - a * e)) / whole,
        (x * third + y * (b * c - a * e) + z * (a * d - b * b)) / whole,
    )


@dataclass
class Budget:
    """Chooses. ``most``: tokens of a step, drafted ones included."""

    most: int
    costs: Costs = field(default_factory=Costs)

    def choose(self, rates: Mapping[int, Sequence[float]], contexts: Mapping[int, int]) -> dict[int, int]:
        """How many tokens of each sequence's draft to compute.

        ``rates``: the chances of its tokens, each if those before it are right; ``contexts``: of every sequence of the
        step, in tokens, whether it has a draft or not.
        """
        rows, looks, kept = len(contexts), sum(contexts.values()), 0.0
        alone = self.costs.of(rows, looks)
        best, chosen, counts = rows / alone * GAIN, {}, dict.fromkeys(rates, 0)
        chances = [(-chain[0], key) for key, chain in rates.items() if chain]
        heapq.heapify(chances)
        while chances and rows < self.most:
            chance, key = heapq.heappop(chances)
            rows, looks, kept = rows + 1, looks + contexts[key], kept - chance
            counts[key] += 1
            cost = self.costs.of(rows, looks)
            if len(contexts) > 1 and cost > DELAY * alone:
                break
            if (len(contexts) + kept) / cost > best:
                best, chosen = (len(contexts) + kept) / cost, {k: n for k, n in counts.items() if n}
            if counts[key] < len(rates[key]):
                heapq.heappush(chances, (chance * rates[key][counts[key]], key))
        return chosen
