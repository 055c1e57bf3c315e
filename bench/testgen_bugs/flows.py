"""Generators, coroutines and functions that call themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any


def neighbours(values: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Each value with the one after it."""
    before = None
    for value in values:
        if before is not None:
            yield before, value
        before = value


def running(values: Iterable[int]) -> Iterator[int]:
    """The sum so far, for each value."""
    total = 0
    for value in values:
        total += value
        yield total


def until(values: Iterable[str], stop: str) -> Iterator[str]:
    """The values before ``stop``."""
    for value in values:
        if value == stop:
            return
        yield value


def woven(one: Sequence[int], other: Sequence[int]) -> Iterator[int]:
    """In turn of one and of the other, and then what the longer one has left."""
    short = min(len(one), len(other))
    for left, right in zip(one, other, strict=False):
        yield left
        yield right
    yield from one[short:]
    yield from other[short:]


def runs(text: str) -> Iterator[tuple[str, int]]:
    """Each letter with how often it stands in a row."""
    last, count = "", 0
    for sign in text:
        if sign != last and count:
            yield last, count
            count = 0
        last = sign
        count += 1
    if count:
        yield last, count


async def totals(batches: Sequence[Sequence[int]]) -> list[int]:
    """The sum of each batch, in their order."""

    async def total(batch: Sequence[int]) -> int:
        await asyncio.sleep(0)
        return sum(batch)

    return list(await asyncio.gather(*(total(batch) for batch in batches)))


async def first_even(values: Sequence[int]) -> int | None:
    """The first even number, or None."""
    for value in values:
        await asyncio.sleep(0)
        if value % 2 == 0:
            return value
    return None


def orders(items: Sequence[int]) -> list[list[int]]:
    """All orders of different items."""
    if not items:
        return [[]]
    found = []
    for place, item in enumerate(items):
        rest = [*items[:place], *items[place + 1 :]]
        found += [[item, *order] for order in orders(rest)]
    return found


def depth(value: Any) -> int:
    """How deep lists are nested in each other; 0 for what is no list."""
    if not isinstance(value, list):
        return 0
    return 1 + max((depth(item) for item in value), default=0)


def power(base: int, exponent: int) -> int:
    """A whole number to a power that is not negative. Raises ValueError for one that is."""
    if exponent < 0:
        raise ValueError("negative exponent")
    if exponent == 0:
        return 1
    half = power(base, exponent // 2)
    return half * half * (base if exponent % 2 else 1)


def flat(value: Any) -> list[Any]:
    """Everything in nested lists and tuples."""
    if isinstance(value, (list, tuple)):
        return [inner for item in value for inner in flat(item)]
    return [value]


def ways(steps: int, most: int = 2) -> int:
    """In how many ways stairs can be climbed with up to ``most`` steps at once."""
    if steps <= 0:
        return 1 if steps == 0 else 0
    return sum(ways(steps - taken, most) for taken in range(1, most + 1))


def found(values: Sequence[int], wanted: int, low: int = 0, high: int | None = None) -> int:
    """The place of a number in sorted values, or -1."""
    high = len(values) if high is None else high
    if low >= high:
        return -1
    middle = (low + high) // 2
    if values[middle] == wanted:
        return middle
    if values[middle] < wanted:
        return found(values, wanted, middle + 1, high)
    return found(values, wanted, low, middle)
