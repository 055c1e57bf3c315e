"""Which examples are enough: the smallest set that kills what can be killed, then a few that differ from those."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

T = TypeVar("T")


def cover(
    kills: Sequence[Collection[int]], *, known: Collection[int] = (), cost: Sequence[float] | None = None
) -> list[int]:
    """Positions of a small set that kills what all together kill, beyond ``known``; greedy, cheapest first among
    equals, without those that the others make superfluous."""
    price = cost or [0.0] * len(kills)
    left = set().union(*kills) - set(known) if kills else set()
    chosen: list[int] = []
    while left:
        best = max(range(len(kills)), key=lambda n: (len(left & set(kills[n])), -price[n], -n))
        chosen.append(best)
        left -= set(kills[best])
    for position in sorted(chosen, key=lambda n: -price[n]):
        others = set(known).union(*(kills[n] for n in chosen if n != position))
        if not set(kills[position]) - others:
            chosen.remove(position)
    return chosen


def diverse(chosen: Sequence[int], traits: Sequence[Collection[T]], most: int) -> list[int]:
    """``chosen`` and further positions, up to ``most``, each with a trait that none before it has."""
    found = list(chosen)
    seen: set[T] = set().union(*(traits[n] for n in found)) if found else set()
    for position in range(len(traits)):
        if len(found) >= most:
            break
        if position not in found and set(traits[position]) - seen:
            found.append(position)
            seen |= set(traits[position])
    return found
