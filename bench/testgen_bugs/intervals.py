"""Stretches of numbers, the end of which does not belong to them."""

from __future__ import annotations

from collections.abc import Sequence

Interval = tuple[int, int]


def overlap(one: Interval, other: Interval) -> bool:
    """Whether two intervals share a number."""
    return one[0] < other[1] and other[0] < one[1]


def merge(intervals: Sequence[Interval]) -> list[Interval]:
    """Intervals that touch or overlap made one, in order."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def clamp(value: int, low: int, high: int) -> int:
    """The nearest number from ``low`` to ``high``. Raises ValueError if there is none."""
    if low > high:
        raise ValueError("low is above high")
    return max(low, min(value, high))


def gaps(taken: Sequence[Interval], start: int, end: int) -> list[Interval]:
    """What is free from ``start`` to ``end`` between sorted intervals."""
    free = []
    for first, last in taken:
        if start < first:
            free.append((start, first))
        start = max(start, last)
    if start < end:
        free.append((start, end))
    return free


def common(one: Interval, other: Interval) -> Interval | None:
    """What two intervals share, or None."""
    start, end = max(one[0], other[0]), min(one[1], other[1])
    return (start, end) if start < end else None


def covered(intervals: Sequence[Interval]) -> int:
    """How many numbers are in at least one of the intervals."""
    return sum(end - start for start, end in merge(intervals))


def grade(points: int, limits: Sequence[int] = (50, 65, 80, 90)) -> str:
    """E to A: one better for each limit that is reached."""
    letter = 0
    for limit in limits:
        if points >= limit:
            letter += 1
    return "EDCBA"[letter]


def chunks(items: Sequence[int], size: int) -> list[list[int]]:
    """The items in groups of ``size``, the last of which may be smaller. Raises ValueError for sizes below one."""
    if size < 1:
        raise ValueError("a group has at least one item")
    return [list(items[place : place + size]) for place in range(0, len(items), size)]


def averages(values: Sequence[float], window: int) -> list[float]:
    """The mean of each value and up to ``window - 1`` before it."""
    found = []
    for place in range(len(values)):
        part = values[max(0, place - window + 1) : place + 1]
        found.append(sum(part) / len(part))
    return found


def busiest(intervals: Sequence[Interval]) -> int:
    """How many intervals overlap at most; one may begin where another ends."""
    events = sorted([(start, 1) for start, _ in intervals] + [(end, -1) for _, end in intervals])
    most = now = 0
    for _, change in events:
        now += change
        most = max(most, now)
    return most
