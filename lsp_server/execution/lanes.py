"""Work on several pairs of versions at the same time: it waits for their processes most of the time."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from famulus.lsp_server.execution.errors import ExecutionFailed
from famulus.lsp_server.execution.pair import Pair

MOST = 3
"""More pairs wait for us: our own part of the work is done by one core. One more than there are cores keeps these
busy, since of each pair only one process works at a time."""
_AT_LEAST = 6
"""Items for which a pair is worth its start."""
_TICK = 0.05

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(ExecutionFailed):
    """The work is not wanted any more."""

    code, status = "stopped", 499


def many(items: int) -> int:
    """How many pairs are worth their start for so many items."""
    return max(1, min(MOST, (os.cpu_count() or 1) + 1, items // _AT_LEAST))


class Lanes(Generic[Item, Result]):
    """One thread for each pair. ``check`` is called again and again by all of them; what it raises ends them all."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._stop = threading.Event()

    def check(self) -> None:
        """For everything that waits in a lane. Raises :class:`Stopped` once the lanes end."""
        if self._stop.is_set():
            raise Stopped("The work is not wanted any more.")
        self._check()

    def each(
        self, pairs: Sequence[Pair], groups: Sequence[Sequence[Item]], work: Callable[[Pair, Item], Iterator[Result]]
    ) -> Iterator[Result]:
        """What ``work`` gives for all items, as it comes; items of a group are done by one pair, one after the other.

        Raises what the first lane raised that did not come to its end; the others are stopped then, and so they are
        when the generator is closed."""
        waiting = deque(groups)
        told: queue.SimpleQueue[Result | BaseException | None] = queue.SimpleQueue()

        def lane(pair: Pair, take: Callable[[], Sequence[Item]]) -> None:
            try:
                while waiting:
                    with contextlib.suppress(IndexError):
                        for item in take():
                            self.check()
                            for result in work(pair, item):
                                told.put(result)
                told.put(None)
            except BaseException as error:
                told.put(error)

        ends = (waiting.popleft, waiting.pop)  # neighbours import the same: each lane starts at an end of its own
        threads = [
            threading.Thread(target=lane, args=(pair, ends[number % 2]), daemon=True)
            for number, pair in enumerate(pairs)
        ]
        for thread in threads:
            thread.start()
        left = len(threads)
        ended = False
        try:
            while left:
                try:
                    said = told.get(timeout=_TICK)  # so that Ctrl-C is seen
                except queue.Empty:
                    continue
                if isinstance(said, BaseException):
                    raise said
                if said is None:
                    left -= 1
                else:
                    yield said
            ended = True
        finally:
            if not ended:
                self._stop.set()
                for pair in pairs:
                    pair.kill()
                _end(threads)
            for thread in threads:
                thread.join()


class _Ended(BaseException):
    """Raised in a lane that nobody waits for any more, wherever it is."""


def _end(threads: Sequence[threading.Thread]) -> None:
    """End threads that may be thinking: somebody waits for it after Ctrl-C."""
    import ctypes

    while alive := [thread for thread in threads if thread.is_alive()]:
        for thread in alive:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Ended))
        alive[0].join(_TICK / 5)
