"""Work that an interrupt ends at once: the kernel's own loop only notices it when the work comes back to it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

from famulus.jupyter_kernel.errors import Stopped

T = TypeVar("T")


async def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Awaits ``work``; SIGINT cancels it. Main thread only, where signals arrive.

    Raises :class:`Stopped` when interrupted. Without a handler of our own the signal would raise in the event loop
    and end the kernel.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    interrupted = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        loop.call_soon_threadsafe(task.cancel)

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        return await task
    except asyncio.CancelledError:
        if interrupted:
            raise Stopped("Interrupted. Nothing was run.") from None
        task.cancel()
        raise
    finally:
        signal.signal(signal.SIGINT, before)


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
