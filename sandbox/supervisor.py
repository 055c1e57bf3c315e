"""The trusted process between the caller and the untrusted code: it starts, measures, stops and sweeps up.

It is a process of its own, with one thread, so that limits hold however busy the caller is, so that forking
is safe in a caller with threads, and so that everything ends when the caller is killed: the control socket
then closes. It speaks with the caller in frames (4 bytes of length, then JSON): a plan comes in, then single
bytes ask it to stop; a ``started`` frame and a ``done`` frame go out.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn, cast

from . import frames, landlock, seccomp, trees
from .frames import Plan
from .watch import Descendants, Namespace, Process, folder_usage, shared_fairly, user_threads

_SUBREAPER, _PDEATHSIG, _KEEPCAPS, _AMBIENT, _AMBIENT_RAISE = 36, 1, 8, 47, 2
_DAC_READ_SEARCH = 2
_CPU_GRACE = 1  # seconds between SIGXCPU and SIGKILL
_BUSY_POLL, _IDLE_POLL = 0.02, 0.2
_START_SECONDS, _SWEEP_SECONDS = 20.0, 10.0
_IGNORED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)
_STOPPED = {b"k": ("killed", "stopped by the caller"), b"o": ("output", "more output than allowed")}


class StartFailed(Exception):
    """The backend could not start the program; the text says why."""


class Supervisor:
    """One run. ``plan`` holds what :mod:`launch` put together."""

    def __init__(self, plan: Plan, control: int) -> None:
        self.plan = plan
        self.limits = plan["limits"]
        self.control = control
        self.scratch = ""
        self.main = 0
        self.first: int | None = None  # a pidfd of the namespace's first process
        self.uid = plan["uid"]
        self.exit_status: int | None = None
        self.cpu = 0.0
        self.peak = 0
        self.started = time.monotonic()
        self._processes: Namespace | Descendants = Descendants(os.getpid())
        self._folder_due = 0.0
        self._workspace = (0, 0)

    # --- starting -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the code. Raises :class:`StartFailed`."""
        workspace = self.plan["write"]
        if workspace:
            self._workspace = folder_usage(workspace[0], most_files=1_000_000)
            if self.uid:
                _give(workspace[0], self.uid)
        if self.plan["backend"] == "bubblewrap":
            self._start_bubblewrap()
        else:
            self._start_landlock()

    def _limit(self, processes: int | None) -> None:
        """Set the limits that one process carries, in the process that becomes the code."""
        limits = self.limits
        fixed = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_DATA: limits["memory_bytes"],
            resource.RLIMIT_FSIZE: limits["file_bytes"],
            resource.RLIMIT_NOFILE: limits["open_files"],
            resource.RLIMIT_MEMLOCK: 65536,
            resource.RLIMIT_MSGQUEUE: 0,
        }
        if processes is not None:
            fixed[resource.RLIMIT_NPROC] = processes
        for kind, value in fixed.items():
            _, hard = resource.getrlimit(kind)
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (value, value))
        if limits["cpu_seconds"] is not None:
            seconds = max(1, round(limits["cpu_seconds"]))
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + _CPU_GRACE))
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")  # when memory runs out the kernel takes this first, not the user's editor

    def _start_bubblewrap(self) -> None:
        status_out, status_in = os.pipe()
        wait_out, wait_in = os.pipe()
        options = "\0".join(self.plan["options"]).encode(errors="surrogateescape") + b"\0"
        filter_code = seccomp.program(os.uname().machine, landlock=None)
        given = {
            "--args": _memory_file(options),
            "--seccomp": _memory_file(filter_code),
            "--json-status-fd": status_in,
            "--block-fd": wait_out,
        }
        command = [self.plan["bwrap"]]
        for name, fd in given.items():
            command += [name, str(fd)]
        command += ["--", *self.plan["argv"]]

        def become() -> None:
            self._limit(None)
            for fd in given.values():
                os.set_inheritable(fd, True)
            os.execve(command[0], command, {})

        self.main = _fork(become)
        for fd in given.values():
            os.close(fd)
        line = _read_line(status_out, _START_SECONDS)
        if not line:
            raise StartFailed("bubblewrap could not set up its namespaces")
        first = int(json.loads(line)["child-pid"])
        self.first = os.pidfd_open(first)
        # The kernel counts within the new user namespace (or the new user id, if the caller is root), so this
        # binds the run alone. Bubblewrap's own first process counts in the former and not in the latter.
        processes = self.limits["processes"] + (not self.uid)
        resource.prlimit(first, resource.RLIMIT_NPROC, (processes, processes))
        self._processes = Namespace(first)
        self._status = status_out
        os.write(wait_in, b".")
        os.close(wait_in)

    def _start_landlock(self) -> None:
        abi = self.plan["abi"]
        self.scratch = f"/tmp/famulus-scratch-{os.urandom(8).hex()}"
        home, tmp = f"{self.scratch}/home", f"{self.scratch}/tmp"
        for folder in (self.scratch, home, tmp):
            os.mkdir(folder, 0o700)
        env = {"HOME": home, "TMPDIR": tmp, **self.plan["env"]}
        write = [self.scratch, *self.plan["write"]]
        if self.uid:
            _give(self.scratch, self.uid)
        processes = self.limits["processes"] + (0 if self.uid else user_threads(os.getuid()))
        problem_out, problem_in = os.pipe()

        def become() -> None:
            try:
                os.setsid()
                landlock.prctl(_PDEATHSIG, signal.SIGKILL)
                self._limit(processes)
                rules = landlock.ruleset(
                    abi,
                    read=[*self.plan["read"], f"/proc/{os.getpid()}"],
                    write=write,
                    devices=self.plan["devices"],
                )
                if self.uid:
                    _drop_root(self.uid)
                os.chdir(self.plan["cwd"] or home)
                landlock.restrict(rules, abi)
                os.execve(self.plan["argv"][0], self.plan["argv"], env)
            except OSError as error:
                os.write(problem_in, str(error).encode())
                raise

        self.main = _fork(become)
        os.close(problem_in)
        problem = os.read(problem_out, 4096)
        os.close(problem_out)
        if problem:
            raise StartFailed(problem.decode(errors="replace"))

    # --- watching -------------------------------------------------------------------------------------------

    def watch(self) -> tuple[str, str] | None:
        """Wait for the end of the code. The answer is None if it ended by itself, else (status, reason)."""
        poller = select.poll()
        poller.register(self.control, select.POLLIN)
        poller.register(os.pidfd_open(self.main), select.POLLIN)
        pause = _BUSY_POLL
        while True:
            ready = {fd for fd, _ in poller.poll(pause * 1000)}
            if self.control in ready:
                return _STOPPED.get(os.read(self.control, 1), ("killed", "the caller ended"))
            self._reap()
            if self.exit_status is not None:
                return None
            before = self.cpu
            excess = self._excess()
            if excess:
                return excess
            idle = self.cpu == before
            pause = min(pause * 2, _IDLE_POLL) if idle else _BUSY_POLL

    def _excess(self) -> tuple[str, str] | None:
        limits = self.limits
        if limits["wall_seconds"] is not None and time.monotonic() - self.started > limits["wall_seconds"]:
            return "timeout", f"longer than {limits['wall_seconds']:g} seconds"
        processes = self._processes.processes()
        if not self._processes.proc and time.monotonic() - self.started > _START_SECONDS:
            return "killed", "its processes could not be watched"
        self.cpu = max(self.cpu, sum(process.cpu for process in processes))
        if limits["cpu_seconds"] is not None and self.cpu > limits["cpu_seconds"]:
            return "timeout", f"more than {limits['cpu_seconds']:g} seconds of CPU time"
        # bubblewrap's own first process is in the namespace and not the code's.
        threads = sum(process.threads for process in processes) - (self.first is not None)
        if threads > limits["processes"]:
            return "killed", f"more than {limits['processes']} processes"
        memory = self._memory(processes)
        self.peak = max(self.peak, memory)
        if memory > limits["memory_bytes"]:
            return "memory", f"more than {limits['memory_bytes']} bytes of memory"
        return self._folder_excess()

    def _memory(self, processes: list[Process]) -> int:
        resident = sum(process.resident for process in processes)
        if resident <= self.limits["memory_bytes"]:
            return resident
        # Forked children share most pages with their parent: look closer before calling it too much.
        return sum(shared_fairly(self._processes.proc, process.pid) for process in processes)

    def _folder_excess(self) -> tuple[str, str] | None:
        now = time.monotonic()
        if now < self._folder_due:
            return None
        limits = self.limits
        used: list[tuple[int, int]] = []
        if isinstance(self._processes, Namespace):  # the kernel bounds its bytes, but not the number of files
            used.append((0, self._processes.file_count()))
        if self.scratch:
            used.append(folder_usage(self.scratch, most_files=limits["tmp_files"]))
        for path in self.plan["write"]:
            size, files = folder_usage(path, most_files=self._workspace[1] + limits["tmp_files"])
            used.append((size - self._workspace[0], files - self._workspace[1]))
        self._folder_due = time.monotonic() + max(0.1, 10 * (time.monotonic() - now))
        if any(size > limits["tmp_bytes"] for size, _ in used):
            return "killed", f"more than {limits['tmp_bytes']} bytes of files"
        if any(files > limits["tmp_files"] for _, files in used):
            return "killed", f"more than {limits['tmp_files']} files"
        return None

    # --- ending ---------------------------------------------------------------------------------------------

    def _reap(self) -> bool:
        """Collect whoever ended. False if no process of the run is left at all."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            self.cpu = max(self.cpu, usage.ru_utime + usage.ru_stime)
            if pid == self.main:
                code = os.waitstatus_to_exitcode(status)
                self.exit_status = code if code >= 0 else 128 - code

    def sweep(self) -> int:
        """Kill whatever is left, daemons included. The answer is how many survive: 0.

        Every process of the run is a descendant of this one, which adopts the orphans; so when there is no
        child left to wait for, nothing is left.
        """
        deadline = time.monotonic() + _SWEEP_SECONDS
        while self._reap():
            if time.monotonic() > deadline:
                return len(Descendants(os.getpid()).processes())
            if self.first is not None:  # the kernel ends the whole namespace with its first process
                _signal_pidfd(self.first)
            elif self.uid:
                self._kill_user()
            else:
                self._kill_descendants()
            time.sleep(0.001)
        return 0

    def _kill_user(self) -> None:
        """Kill every process of the run's own user id in one step of the kernel."""

        def become() -> None:
            os.setresuid(self.uid, self.uid, self.uid)
            os.kill(-1, signal.SIGKILL)

        os.waitpid(_fork(become), 0)

    def _kill_descendants(self) -> None:
        """Stop all first, so that none can fork while the others die."""
        stopped: set[int] = set()
        while new := {process.pid for process in Descendants(os.getpid()).processes()} - stopped:
            for pid in new:
                _signal(pid, signal.SIGSTOP)
            stopped |= new
        for pid in stopped:
            _signal(pid, signal.SIGKILL)

    def report(self, verdict: tuple[str, str] | None, survivors: int) -> dict[str, object]:
        """The last frame. ``ran`` is false if bubblewrap failed before it reached the program."""
        ran = self.first is None or verdict is not None or b"exit-code" in _read_all(self._status)
        return {
            "done": True,
            "ran": ran,
            "exit": self.exit_status,
            "verdict": verdict,
            "cpu": self.cpu,
            "wall": time.monotonic() - self.started,
            "peak": self.peak,
            "survivors": survivors,
        }


def _fork(become: Callable[[], None]) -> int:
    """Run ``become`` in a child, which never returns from here."""
    pid = os.fork()
    if pid:
        return pid
    try:
        for number in _IGNORED_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        become()
    except OSError:
        pass  # told through the pipe of whoever asked
    finally:
        os._exit(127)


def _memory_file(data: bytes) -> int:
    fd = os.memfd_create("famulus")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _read_line(fd: int, seconds: float) -> bytes:
    """One line, or nothing if the stream ends or takes too long."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    data = b""
    while not data.endswith(b"\n"):
        chunk = os.read(fd, 1) if poller.poll(seconds * 1000) else b""
        if not chunk:
            return b""
        data += chunk
    return data


def _read_all(fd: int) -> bytes:
    data = b""
    while chunk := os.read(fd, 4096):
        data += chunk
    return data


def _give(folder: str, uid: int) -> None:
    for path, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            os.chown(os.path.join(path, name), uid, uid, follow_symlinks=False)


def _drop_root(uid: int) -> None:
    """Become a user id that nobody else has, and so owns nothing, can signal nobody and has its own process
    limit; the one right that is kept is to read what root can read, which Landlock narrows to the view."""
    landlock.prctl(_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    landlock.keep_capabilities(1 << _DAC_READ_SEARCH)
    landlock.prctl(_AMBIENT, _AMBIENT_RAISE, _DAC_READ_SEARCH)


def _signal_pidfd(fd: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(fd, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def main() -> NoReturn:
    """Entry point; the one argument is the number of the control socket."""
    control = int(sys.argv[1])
    os.set_inheritable(control, False)
    for number in _IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    landlock.prctl(_SUBREAPER, 1)
    plan = frames.receive(control)
    if plan is None:
        os._exit(1)
    supervisor = Supervisor(cast(Plan, plan), control)
    try:
        supervisor.start()
        _let_go_of_streams(plan["fds"])
        frames.send(control, {"started": supervisor.main})
        verdict = supervisor.watch()
        survivors = supervisor.sweep()
        _tell(control, supervisor.report(verdict, survivors))
    except (StartFailed, OSError) as error:
        supervisor.sweep()
        _tell(control, {"done": True, "error": str(error)})
    finally:
        if supervisor.scratch:
            trees.remove(supervisor.scratch)
    os._exit(0)


def _let_go_of_streams(fds: list[int]) -> None:
    """Close this process's copies, so that the caller sees the end of the code's streams."""
    nothing = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    for fd in fds:
        os.close(fd)


def _tell(control: int, message: dict[str, object]) -> None:
    try:
        frames.send(control, message)
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ECONNRESET):  # a caller that is gone wants no answer
            raise
