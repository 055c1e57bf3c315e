"""What was measured of several models on the same items, with bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95

Statistic = Literal["share", "ratio", "median"]


@dataclass
class Measure:
    """One row of the table. ``share``: of the items that are good (1.0 or 0.0); ``ratio``: what was summed over what it
    is divided by; ``median``: of the values. ``values`` [items][models]; ``sizes``: what a ratio divides by."""

    part: str
    what: str
    statistic: Statistic
    models: int
    digits: int = 3
    values: list[list[float]] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)

    def add(self, values: list[float], size: float = 1.0) -> None:
        """One item, measured of every model."""
        self.values.append(values)
        self.sizes.append(size)

    @property
    def items(self) -> int:
        """How many were measured."""
        return len(self.values)

    def found(self) -> NDArray[np.float64]:
        """[models] the statistic."""
        return np.asarray(self._of(np.arange(self.items)[None])[0], np.float64)

    def intervals(self) -> NDArray[np.float64]:
        """[models, 2] the percentile interval of each; the items are drawn anew."""
        return self._interval(self._drawn())

    def differences(self) -> NDArray[np.float64]:
        """[models, 3] less the first model's: the difference and its interval, on the same items."""
        drawn = self._drawn()
        found = self.found()
        return np.column_stack([found - found[0], self._interval(drawn - drawn[:, :1])])

    def _drawn(self) -> NDArray[np.float64]:
        picked = np.random.default_rng(0).integers(0, self.items, (RESAMPLES, self.items))
        return self._of(picked)

    def _of(self, picked: NDArray[np.int64]) -> NDArray[np.float64]:
        """[draws, items] places → [draws, models]."""
        values = np.asarray(self.values, np.float64)[picked]
        if self.statistic == "median":
            return np.asarray(np.median(values, axis=1), np.float64)
        sizes = np.asarray(self.sizes, np.float64)[picked]
        return np.asarray(values.sum(1) / sizes.sum(1)[:, None], np.float64)

    @staticmethod
    def _interval(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        edges = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        return np.asarray(edges.T, np.float64)

    def told(self) -> dict[str, Any]:
        """For programs: the figures, and the items' own values."""
        return {
            "part": self.part,
            "measure": self.what,
            "statistic": self.statistic,
            "items": self.items,
            "found": self.found().tolist(),
            "intervals": self.intervals().tolist(),
            "differences": self.differences().tolist(),
            "values": self.values,
            "sizes": self.sizes,
        }


def said(measure: Measure, value: float, low: float, high: float) -> str:
    """A figure with its interval as they stand in a table; shares in per cent."""
    if measure.statistic == "share":
        return f"{value:.1%} ({100 * low:.1f}…{100 * high:.1f})"
    return f"{value:.{measure.digits}f} ({low:.{measure.digits}f}…{high:.{measure.digits}f})"
