"""Delta debugging: the fewest parts of a change that make a test fail.

Like Zeller's ddmin it knows three outcomes, asks each subset once, and ends with a set from which nothing can be left
out. It looks for one part after the other by halving (Junker's QuickXplain) rather than by cutting into ever more
pieces: for one culprit among n that takes log2(n) runs, and where suspicions are given, as many as they are worth.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

Verdict = Literal["passes", "fails", "unresolved"]
_OFF_BOUNDARY = 0.12  # of the weight: how much a cut between two files may be worse balanced than one inside a file

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class Suspect(Generic[T]):
    """A part of the change. ``weight``: how likely it is to be the culprit, any positive number; ``group``: parts of
    one group belong together, and are rather not separated."""

    part: T
    weight: float = 1.0
    group: Hashable = None


@dataclass
class Narrowing(Generic[T]):
    """A search. ``ask`` says how the test fares with a subset; it is asked once for each. It passes with none, and
    fails with all that are searched."""

    ask: Callable[[frozenset[T]], Verdict]
    known: dict[frozenset[T], Verdict] = field(default_factory=dict)

    def verdict(self, parts: frozenset[T]) -> Verdict:
        """How the test fares with these parts."""
        if parts not in self.known:
            self.known[parts] = self.ask(parts)
        return self.known[parts]

    def fails(self, parts: Sequence[T] | frozenset[T]) -> bool:
        """Whether the test fails with these parts as it does with all."""
        return self.verdict(frozenset(parts)) == "fails"

    def culprits(self, suspects: Sequence[Suspect[T]]) -> list[T]:
        """A smallest set of parts with which the test fails; without any one of them it does not.

        The most likely suspects should stand first. The test must fail with all of them."""
        needed: list[T] = []
        rest = list(suspects)
        while rest and not (needed and self.fails(needed)):
            count = self._shortest(rest, needed)
            found = rest[count - 1].part
            if self.fails([found]):
                return [found]
            needed.append(found)
            rest = rest[: count - 1]
        return self._fewest(needed)

    def _shortest(self, suspects: Sequence[Suspect[T]], needed: Sequence[T]) -> int:
        """How many of the first suspects it takes to make the test fail, together with those that are needed."""
        low, high = 0, len(suspects)
        while high - low > 1:
            middle = _cut(suspects, low, high)
            if self.fails([*needed, *(suspect.part for suspect in suspects[:middle])]):
                high = middle
            else:
                low = middle
        return high

    def _fewest(self, needed: list[T]) -> list[T]:
        """Leave out what can be left out, until nothing can."""
        for part in needed:
            fewer = [other for other in needed if other != part]
            if fewer and self.fails(fewer):
                return self._fewest(fewer)
        return needed


def _cut(suspects: Sequence[Suspect[T]], low: int, high: int) -> int:
    """Where to cut between ``low`` and ``high``: both sides weigh alike, and groups stay whole if they can."""
    total = sum(suspect.weight for suspect in suspects[low:high])
    best, best_cost, left = low + 1, float("inf"), 0.0
    for place in range(low + 1, high):
        left += suspects[place - 1].weight
        cost = abs(2 * left - total) / total
        if suspects[place].group == suspects[place - 1].group:
            cost += _OFF_BOUNDARY
        if cost < best_cost:
            best, best_cost = place, cost
    return best
