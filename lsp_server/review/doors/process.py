"""``famulus review`` and its like as processes: they never hold the server up, and can be ended at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

from famulus.engine.errors import FamulusError

GRACE = 3.0
"""Seconds in which a review that is not wanted any more removes its copies, before it is killed."""
LAST_GRACE = 0.4
"""The same at the end of a session, which as a whole may take a second."""
LONGEST_LINE = 64 << 20
_NICENESS = 5

REVIEW = ("review", "--format", "stream", "--all")

Process = asyncio.subprocess.Process


class ReviewFailed(FamulusError):
    """The review could not begin, or did not end well."""

    code, status = "review_failed", 500


class Processes:
    """The runs of one command in a session, and those that are being ended.

    ``command``: a command that says events, one in each line, of which the last is ``end``."""

    def __init__(self, command: Sequence[str] = REVIEW) -> None:
        self._command = tuple(command)
        self._ending: set[asyncio.Task[None]] = set()
        self._running: set[Process] = set()

    async def events(self, folder: Path, arguments: Sequence[str]) -> AsyncGenerator[dict[str, Any], None]:
        """What the command says, as it says it; the last event is its ``end``.

        Closing the generator does not wait until the process has ended. Raises :class:`ReviewFailed`.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "famulus", *self._command, *arguments),
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        self._running.add(process)
        said = asyncio.ensure_future(process.stderr.read())
        try:
            if hasattr(os, "setpriority"):
                with contextlib.suppress(OSError):  # typing goes first
                    os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
            ended = False
            async for line in process.stdout:
                event = json.loads(line)
                ended = event["event"] == "end"
                yield event
            if not ended:
                status = await process.wait()
                sentence = _sentence((await said).decode(errors="replace"))
                raise ReviewFailed(sentence or f"famulus {self._command[0]} ended with status {status}.")
        except (ValueError, KeyError, TypeError) as error:
            raise ReviewFailed(f"famulus {self._command[0]} said something that cannot be read.") from error
        finally:
            _ask_to_end(process)
            task = asyncio.ensure_future(self._see_off(process, said))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """End all of them; what is not gone in a moment is killed."""
        running = list(self._running)
        for process in running:
            _ask_to_end(process)
        if running:
            await asyncio.wait([asyncio.ensure_future(process.wait()) for process in running], timeout=LAST_GRACE)
        for process in running:
            _kill(process)
        if self._ending:
            await asyncio.wait(self._ending, timeout=LAST_GRACE)

    async def _see_off(self, process: Process, said: asyncio.Task[bytes]) -> None:
        """Wait until a process has ended, and see to it that it does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await process.wait()
        _kill(process)
        await process.wait()
        said.cancel()
        self._running.discard(process)


def _ask_to_end(process: Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()


def _kill(process: Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)  # a group of its own, because of start_new_session
            else:
                process.kill()


def _sentence(said: str) -> str:
    """The error that a command prints, without its name in front."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if "famulus:" in line), lines[-1] if lines else "")
    return last.partition("famulus:")[2].strip() if "famulus:" in last else last
