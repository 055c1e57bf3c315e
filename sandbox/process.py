"""Starts the supervisor with a plan and stands for the running code in the caller's process."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self

from . import bubblewrap, frames, landlock
from .errors import LaunchFailed, SandboxError
from .frames import Budget, Plan
from .limits import Limits
from .output import Drain, Output
from .view import DEVICES, ETC, PROC, SYSTEM, View, environment, view
from .workspace import Workspace

Backend = Literal["bubblewrap", "landlock"]
Status = Literal["ok", "failed", "timeout", "memory", "killed", "output"]

# The supervisor imports its neighbours by their folder, so it needs neither an installed package nor a
# sys.path.
_BOOT = (
    "import sys, types; package = types.ModuleType('famulus_sandbox'); package.__path__ = [sys.argv.pop(1)]; "
    "sys.modules['famulus_sandbox'] = package; from famulus_sandbox.supervisor import main; main()"
)
_OUT_OF_MEMORY = (b"MemoryError", b"std::bad_alloc", b"JavaScript heap out of memory")


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended.

    ``ok``: exit code 0. ``failed``: another exit code. ``timeout``: wall or CPU time used up. ``memory``:
    over the memory limit, or ended by a failed allocation. ``output``: wrote too much. ``killed``: died of a
    signal, used too many processes or files, or was stopped by the caller. ``reason`` is empty for ``ok``.
    ``returncode`` is the exit code, or 128 + the signal's number.
    """

    status: Status
    reason: str
    returncode: int
    stdout: Output
    stderr: Output
    cpu_seconds: float
    wall_seconds: float
    peak_memory_bytes: int
    level: Backend

    @property
    def ok(self) -> bool:
        """Whether the code ended by itself with exit code 0."""
        return self.status == "ok"


class Process:
    """A sandboxed program that runs. Leaving the ``with`` block, or losing the object, kills all of it.

    ``stdin`` and ``stdout`` are unbuffered pipes, or None where :func:`spawn` was not asked for them.
    Standard error is always read in the background, so that the program never blocks on it.
    """

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        control: socket.socket,
        *,
        level: Backend,
        limits: Limits,
        keep: bool,
    ) -> None:
        self.level = level
        self.stdin: BinaryIO | None = popen.stdin  # type: ignore[assignment]  # typeshed: IO[bytes]
        self.stdout: BinaryIO | None = None if keep else popen.stdout  # type: ignore[assignment]
        self._popen = popen
        self._control = control
        self._limits = limits
        self._lock = threading.Lock()
        self._output_left = limits.output_bytes
        self._result: Result | None = None
        self._failure: SandboxError | None = None
        assert popen.stderr is not None
        weak = weakref.WeakMethod(self._count)  # the threads must not keep a lost object alive

        def seen(size: int) -> None:
            if count := weak():
                count(size)

        self._stderr = Drain(_detach(popen.stderr), seen)
        self._kept = Drain(_detach(popen.stdout), seen) if keep and popen.stdout else None

    def _count(self, size: int) -> None:
        self._output_left -= size  # two drains may race here; the limit is exact to one chunk
        if self._output_left < 0:
            self._ask(b"o")

    @property
    def stderr(self) -> Output:
        """What the program wrote to standard error so far."""
        return self._stderr.output()

    def kill(self) -> None:
        """Stop the program and everything that it started. Safe from any thread, and when it already
        ended."""
        self._ask(b"k")

    def _ask(self, what: bytes) -> None:
        with contextlib.suppress(OSError):  # it already ended; `wait` says how
            self._control.send(what, socket.MSG_NOSIGNAL)

    def poll(self) -> Result | None:
        """The result if the program ended, else None."""
        try:
            return self.wait(0)
        except TimeoutError:
            return None

    def wait(self, timeout: float | None = None) -> Result:
        """Wait for the end and sweep; after it no process of the run is left.

        Raises :class:`TimeoutError` after ``timeout`` seconds (the program goes on), :class:`LaunchFailed` if
        it could not be started, and :class:`SandboxError` if the supervisor was lost or something survived.
        """
        with self._lock:
            if self._failure:
                raise self._failure
            if self._result is None:
                poller = select.poll()
                poller.register(self._control, select.POLLIN)
                if not poller.poll(None if timeout is None else timeout * 1000):
                    raise TimeoutError(f"The program still runs after {timeout} seconds.")
                try:
                    self._result = self._finish(frames.receive(self._control.fileno()))
                except SandboxError as failure:
                    self._failure = failure
                    raise
            return self._result

    def _finish(self, done: dict[str, Any] | None) -> Result:
        self._popen.wait()
        self._control.close()
        if self.stdin:
            self.stdin.close()
        if done is None:
            raise SandboxError("The sandbox's supervisor was killed.", fix="Run it again.")
        if done.get("survivors"):
            raise SandboxError(f"{done['survivors']} sandboxed processes could not be killed.", fix="Restart.")
        self._stderr.join()
        if self._kept:
            self._kept.join()
        stderr = self.stderr
        if "error" in done or not done["ran"]:
            detail = done.get("error") or stderr.text.strip()
            raise LaunchFailed(
                f"The program could not be started in the sandbox: {detail}.", fix="See `famulus doctor`."
            )
        status, reason = _judge(done, self._limits, stderr)
        return Result(
            status,
            reason,
            done["exit"],
            self._kept.output() if self._kept else Output(),
            stderr,
            done["cpu"],
            done["wall"],
            done["peak"],
            self.level,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        try:
            self.wait()
        except SandboxError:
            if error is None:
                raise
        finally:
            if self.stdout:
                self.stdout.close()


def _detach(pipe: Any) -> int:
    """The pipe's file descriptor, owned by the caller from now on."""
    fd = os.dup(pipe.fileno())
    pipe.close()
    return fd


def _judge(done: dict[str, Any], limits: Limits, stderr: Output) -> tuple[Status, str]:
    if done["verdict"]:
        status, reason = done["verdict"]
        return status, reason
    code = done["exit"]
    if code == 0:
        return "ok", ""
    out_of_time = limits.cpu_seconds is not None and done["cpu"] >= limits.cpu_seconds
    if code == 128 + signal.SIGXCPU or (code == 128 + signal.SIGKILL and out_of_time):
        return "timeout", f"more than {limits.cpu_seconds:g} seconds of CPU time"
    lines = stderr.data.rstrip().splitlines()
    if lines and any(word in lines[-1] for word in _OUT_OF_MEMORY):
        return "memory", f"an allocation failed under the limit of {limits.memory_bytes} bytes"
    if code > 128:
        return "killed", f"died of signal {code - 128}"
    return "failed", f"exit code {code}"


def start(
    backend: Backend,
    argv: Sequence[str],
    *,
    project: Path | Workspace | None,
    readable: Iterable[Path],
    cwd: Path | None,
    stdin: bytes | int | None,
    keep_stdout: bool,
    env: Mapping[str, str] | None,
    limits: Limits,
    pass_fds: Sequence[int],
) -> Process:
    """Start ``argv`` under ``backend``; :func:`launch.spawn` documents the arguments."""
    if not argv:
        raise LaunchFailed("There is no program to run.", fix="Name one.")
    extra = dict(env or {})
    folder = os.path.dirname(os.path.abspath(argv[0])) if os.sep in argv[0] else None
    variables = environment(extra, program_folder=folder)
    seen = view(
        argv[0],
        search=variables["PATH"],
        project=None if isinstance(project, Workspace) else project,
        workspace=project.path if isinstance(project, Workspace) else None,
        readable=readable,
        cwd=cwd,
    )
    plan = _plan(backend, seen, argv, variables, limits, pass_fds)
    ours, theirs = socket.socketpair()
    source = _memory_file(stdin) if isinstance(stdin, bytes) else subprocess.DEVNULL if stdin is None else stdin
    try:
        popen = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOT, os.path.dirname(__file__), str(theirs.fileno())],
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env={},
            start_new_session=True,
            pass_fds=[theirs.fileno(), *pass_fds],
        )
    finally:
        theirs.close()
        if isinstance(stdin, bytes):
            os.close(source)
    process = Process(popen, ours, level=backend, limits=limits, keep=keep_stdout)
    with contextlib.suppress(BrokenPipeError):  # a supervisor that did not start has nothing to answer either
        frames.send(ours.fileno(), plan)
    answer = frames.receive(ours.fileno())
    if answer is None or "started" not in answer:
        process._finish(answer)
    return process


def _plan(
    backend: Backend,
    seen: View,
    argv: Sequence[str],
    variables: dict[str, str],
    limits: Limits,
    fds: Sequence[int],
) -> Plan:
    bubble = backend == "bubblewrap"
    # A user id that nobody has: it owns nothing, can signal nobody, and its process limit is its own.
    uid = 0x60000000 + int.from_bytes(os.urandom(4), "big") % 0x10000000 if os.getuid() == 0 else 0
    command = [seen.program, *argv[1:]]
    return Plan(
        backend=backend,
        argv=bubblewrap.drop_root(uid) + command if bubble and uid else command,
        uid=uid,
        limits=Budget(**asdict(limits)),  # type: ignore[typeddict-item]  # the same names, held by a test
        write=list(seen.write),
        fds=list(fds),
        bwrap=bubblewrap.find() or "",
        options=bubblewrap.options(seen, env=variables, tmp_bytes=limits.tmp_bytes, uid=uid) if bubble else [],
        abi=0 if bubble else landlock.version(),
        env=variables,
        cwd=seen.cwd,
        read=[*SYSTEM, *ETC, *PROC, *seen.read],
        devices=list(DEVICES),
    )


def _memory_file(data: bytes) -> int:
    """Standard input as an anonymous file: never blocks, and needs no thread to feed it."""
    fd = os.memfd_create("stdin")
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd
