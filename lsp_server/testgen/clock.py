"""The time that the user gave: what is waited for beyond it is ended."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


class TimeIsUp(Exception):
    """Raised where something is waited for when its time is over; the process that was asked is ended."""


_ENDING = 0.3
"""Seconds in which processes are ended and copies removed."""


@dataclass
class Clock:
    """``seconds``: in all, from now on. ``asked``: called whenever the clock is looked at, to end the work earlier."""

    seconds: float
    asked: Callable[[], None] = lambda: None
    started: float = field(default_factory=time.monotonic)
    _limit: float = math.inf

    def __post_init__(self) -> None:
        self._limit = self.end

    @classmethod
    def of(cls, budget: float, asked: Callable[[], None] = lambda: None) -> Clock:
        """The clock of a whole command: a moment of ``budget`` is kept for its end."""
        return cls(max(budget - _ENDING, 0.5), asked)

    @property
    def end(self) -> float:
        """When the time is over, on the monotonic clock."""
        return self.started + self.seconds

    @property
    def left(self) -> float:
        """Seconds until what is under way has to end; negative if it should have."""
        return self._limit - time.monotonic()

    def check(self) -> None:
        """Raises :class:`TimeIsUp`, and what ``asked`` raises."""
        self.asked()
        if self.left < 0:
            raise TimeIsUp

    @contextlib.contextmanager
    def longer(self, seconds: float) -> Iterator[None]:
        """Inside the block there is more time: for what would be lost if it was not ended."""
        before = self._limit
        self._limit = before + seconds
        try:
            yield
        finally:
            self._limit = before

    @contextlib.contextmanager
    def until(self, limit: float) -> Iterator[None]:
        """Inside the block the time is over at ``limit``, or when it would be without it."""
        before = self._limit
        self._limit = min(limit, before)
        try:
            yield
        finally:
            self._limit = before
