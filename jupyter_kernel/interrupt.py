"""Work that an interrupt ends at once: the kernel's own loop only notices it when the work comes back to it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from famulus.jupyter_kernel.errors import Stopped

T = TypeVar("T")


class Interrupts:
    """Holds SIGINT while a cell is on its way, so that it never raises where nobody would answer the cell.

    Main thread only, where signals arrive. ``asked``: the user interrupted meanwhile.
    """

    def __init__(self) -> None:
        self.asked = False
        self._cancel: Callable[[], object] = lambda: None
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_error: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def check(self) -> None:
        """Raises :class:`Stopped` if the user interrupted."""
        if self.asked:
            raise Stopped("Interrupted. Nothing was run.")

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Awaits ``work``, which an interrupt cancels. Raises :class:`Stopped`."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            if self.asked:
                task.cancel()
            return await task
        except asyncio.CancelledError:
            self.check()
            task.cancel()
            raise
        finally:
            self._cancel = lambda: None

    @contextmanager
    def raising(self) -> Iterator[None]:
        """While this holds an interrupt raises :class:`KeyboardInterrupt`, as blocking work needs."""
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.check()
            yield
        finally:
            signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        self._cancel()


async def in_thread(work: Callable[[], T], stop: Callable[[], None] = lambda: None) -> T:
    """Runs ``work`` in a thread of its own; a cancelled wait calls ``stop`` and does not wait for the thread.

    The thread is a daemon and not of a pool: a request to a frozen engine must not keep the kernel from leaving.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def finish(set_result: Callable[[Any], None], value: object) -> None:
        if not done.done():
            set_result(value)

    def run() -> None:
        outcome: tuple[Callable[[Any], None], object]
        try:
            outcome = done.set_result, work()
        except BaseException as error:
            outcome = done.set_exception, error
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, *outcome)

    threading.Thread(target=run, name="famulus-request", daemon=True).start()
    try:
        return await done
    except asyncio.CancelledError:
        stop()
        raise
