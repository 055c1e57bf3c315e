"""A forked copy of the kernel, seen from the kernel."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import select
import signal
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from famulus.jupyter_kernel.candidate import Effect, Rehearsal
from famulus.jupyter_kernel.rehearse import child
from famulus.jupyter_kernel.rehearse.capture import MOST_TEXT

_MOST_REPORT = 4 << 20
_LOOK_EVERY = 0.05
_STUCK_LOOKS = 20
_GRACE = 0.2
_READY_SECONDS = 20.0
_PAGE = 4096
_FUTEX = {"x86_64": "202", "aarch64": "98"}


def anonymous_file(name: str) -> int:
    """A descriptor of a file without a place; in memory, unless a sandbox around the kernel refuses that."""
    try:
        return os.memfd_create(name)
    except OSError:
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())


@dataclass(frozen=True)
class Channels:
    """What a child writes to: its report (``theirs`` is its end), and two anonymous files for native output."""

    report: int
    theirs: int
    stdout: int
    stderr: int

    @classmethod
    def open(cls) -> Channels:
        """A pipe for reports, which is read without waiting, and files in memory for the output."""
        report, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(theirs, True)
        return cls(report, theirs, anonymous_file("stdout"), anonymous_file("stderr"))

    def close(self) -> None:
        """Closes all four."""
        for fd in (self.report, self.theirs, self.stdout, self.stderr):
            os.close(fd)


class Copy:
    """One child. :meth:`wait` for it, and :meth:`end` it in any case; then ask for :meth:`result`."""

    def __init__(self, pid: int, channels: Channels, memory: int, *, ended: int, collect: Callable[[], int]) -> None:
        """Owns ``channels``, and ``ended``, which can be read once the child has ended; ``collect`` then gives the
        status of ``waitpid``."""
        self.unsafe = ""
        self.hung = False
        self.broken = False
        self._pid = pid
        self._channels = channels
        self._ended, self._collect = ended, collect
        self._memory = memory
        self._said = bytearray()
        self._complete = False
        self._status: int | None = None
        self._verdict = ""
        self._started = time.monotonic()
        self._next_look = memory
        self._text = ("", "")
        os.close(channels.theirs)

    @classmethod
    def fork(cls, shell: Any, code: str, seconds: float, memory: int, allowed: tuple[Effect, ...]) -> Copy:
        """A copy of this process. Main thread only. Raises :class:`OSError` if the system has no room for it."""
        channels = Channels.open()
        task = child.Task(
            shell, code, channels.theirs, channels.stdout, channels.stderr, memory,
            int(seconds * (os.cpu_count() or 1)) + 2, allowed, os.getpid(), random.getstate(),
        )  # fmt: skip
        try:
            with warnings.catch_warnings():  # Python warns of threads; the child cuts itself off from them
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
                if pid == 0:
                    child.main(task)
        except OSError:
            channels.close()
            raise
        return cls(pid, channels, memory, ended=os.pidfd_open(pid), collect=lambda: os.waitpid(pid, os.WNOHANG)[1])

    async def wait(self, seconds: float) -> None:
        """Until it ended, or its time or memory is used up. ``seconds`` begin when it is ready to run the code."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._channels.report, self._read, ended)
        stuck = 0
        try:
            while not ended.done():
                left = self._started + (seconds if self._said else _READY_SECONDS) - time.monotonic()
                stuck = stuck + 1 if self._is_stuck() else 0
                if left <= 0 or stuck > _STUCK_LOOKS:
                    self._verdict = "timeout"
                    self.hung = stuck > 0 or not self._said
                    return
                await asyncio.wait([ended], timeout=min(left, _LOOK_EVERY))
                if not ended.done() and self._grew_too_large():
                    self._verdict = "memory"
                    return
        finally:
            loop.remove_reader(self._channels.report)

    def end(self) -> None:
        """Kill it with all its threads, reap it, and close what belongs to it."""
        self._reap(_GRACE if self._complete else 0)  # it leaves by itself once it has reported
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._reap(None)
        self._text = (_contents(self._channels.stdout), _contents(self._channels.stderr))
        # GNU OpenMP's guard in Numba, and the like: libraries that end a process because it was forked.
        self.broken = os.WIFSIGNALED(self._status or 0) and "fork()" in self._text[1]
        for fd in (self._channels.report, self._channels.stdout, self._channels.stderr, self._ended):
            os.close(fd)

    def result(self) -> Rehearsal:
        """What it reported, or how it ended."""
        seconds = time.monotonic() - self._started
        stdout, stderr = self._text
        answer = _read_report(bytes(self._said[1:]))
        if answer is not None and not self._verdict:
            return _rehearsal(answer, stdout)
        status, message = self._end(stderr)
        return Rehearsal(status, seconds, stdout=stdout, message=message)  # type: ignore[arg-type]

    def _read(self, ended: asyncio.Future[None]) -> None:
        try:
            part = os.read(self._channels.report, 1 << 16)
        except BlockingIOError:
            return
        if not self._said:
            self._started = time.monotonic()
        self._said += part
        self._complete = not part
        if not part or len(self._said) > _MOST_REPORT:
            if self._said.startswith(child.UNSAFE):
                self.unsafe = self._said[1:].decode(errors="replace")
            if not ended.done():
                ended.set_result(None)

    def _grew_too_large(self) -> bool:
        """Memory that it copied by writing to it is under no limit of the system, so look at its page faults, which
        are quickly read, and only where they are many at what it really has of its own."""
        try:
            with open(f"/proc/{self._pid}/stat", "rb") as file:
                faults = int(file.read().rpartition(b")")[2].split()[7]) * _PAGE
            if faults < self._next_look:
                return False
            self._next_look = faults + self._memory // 4
            with open(f"/proc/{self._pid}/smaps_rollup", "rb") as file:
                own = sum(int(line.split()[1]) << 10 for line in file if line.startswith(b"Private_Dirty:"))
        except (OSError, IndexError, ValueError):
            return False
        return own > self._memory

    def _is_stuck(self) -> bool:
        """Whether all its threads wait for locks, without end: the holder was a thread of the kernel."""
        try:
            threads = os.listdir(f"/proc/{self._pid}/task")
            return all(_waits_for_ever(f"/proc/{self._pid}/task/{thread}/syscall") for thread in threads)
        except OSError:  # it ended, or may not be looked at
            return False

    def _reap(self, seconds: float | None) -> None:
        poller = select.poll()
        poller.register(self._ended, select.POLLIN)
        if poller.poll(None if seconds is None else int(seconds * 1000)):
            try:
                self._status = self._collect()
            except ChildProcessError:  # code of the user's waits for any child
                self._status = 0

    def _end(self, stderr: str) -> tuple[str, str]:
        if self._verdict == "timeout":
            return "timeout", "it waited for ever" if self.hung else "it took too long"
        status = self._status or 0
        if self._verdict == "memory":
            return "memory", f"it needed more than {self._memory >> 20} MiB"
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGXCPU:
                return "timeout", "it used too much CPU time"
            if number == signal.SIGKILL:
                return "memory", "the system ended it, as it does when memory runs out"
            detail = stderr.strip().splitlines()
            return "died", f"it died of {signal.Signals(number).name}" + (f": {detail[0]}" if detail else "")
        code = os.waitstatus_to_exitcode(status)
        if code == child.LEFT_EARLY:
            return "died", f"it could not report: {stderr.strip()[-500:]}"
        return "died", f"it ended its process with exit status {code}"


def _waits_for_ever(syscall: str) -> bool:
    """Whether a thread is in a ``futex`` without a timeout, the fourth argument (proc(5), /proc/pid/syscall)."""
    with open(syscall) as file:
        fields = file.read().split()
    return len(fields) > 4 and fields[0] == _FUTEX.get(os.uname().machine) and int(fields[4], 16) == 0


def _contents(fd: int) -> str:
    return os.pread(fd, MOST_TEXT * 4, 0).decode(errors="replace")[:MOST_TEXT]


def _read_report(data: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(data)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and "status" in answer else None


def _rehearsal(answer: dict[str, Any], stdout: str) -> Rehearsal:
    """The code could have written to the pipe as well, so every field is read as what it must be."""

    def names(key: str) -> tuple[str, ...]:
        return tuple(str(name) for name in answer.get(key, ()))

    return Rehearsal(
        status=answer["status"],
        seconds=float(answer.get("seconds", 0.0)),
        bound=names("bound"),
        rebound=names("rebound"),
        changed=names("changed"),
        deleted=names("deleted"),
        value=answer.get("value"),
        value_type=str(answer.get("value_type", "")),
        stdout=stdout,
        displays=int(answer.get("displays", 0)),
        figures=int(answer.get("figures", 0)),
        effects=tuple(Effect(kind, str(what)) for kind, what in answer.get("effects", ())),
        error=str(answer.get("error", "")),
        message=str(answer.get("message", "")),
        traceback=str(answer.get("traceback", "")),
        unchecked=names("unchecked"),
    )
