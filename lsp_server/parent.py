"""Notice when the editor has died: its end of the pipe may live on in a child of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

POLL_SECONDS = 1.0


def watch(pid: int | None, gone: Callable[[], None]) -> Callable[[], None]:
    """Call ``gone`` on the running loop when process ``pid`` has ended; returns what ends the watch.

    A process that cannot be seen from here (another container's) is not watched: its pipe tells of its end.
    """
    if pid is None or pid <= 0 or not hasattr(os, "kill"):
        return _nothing
    loop = asyncio.get_running_loop()
    if hasattr(os, "pidfd_open"):
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            return _nothing

        def stop() -> None:
            if loop.remove_reader(descriptor):
                os.close(descriptor)

        def ended() -> None:
            stop()
            gone()

        loop.add_reader(descriptor, ended)
        return stop
    if os.name != "posix" or not _alive(pid):  # on Windows kill(pid, 0) would end the process
        return _nothing
    return _Poll(pid, gone).stop


class _Poll:
    """Looks from time to time, where the system has no better way."""

    def __init__(self, pid: int, gone: Callable[[], None]) -> None:
        self._pid, self._gone = pid, gone
        self._look()

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(POLL_SECONDS, self._look)
        if not _alive(self._pid):
            self.stop()
            self._gone()


def _alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        with contextlib.suppress(PermissionError):
            os.kill(pid, 0)
        return True
    return False


def _nothing() -> None:
    """Ends a watch that never was."""
