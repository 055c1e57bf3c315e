"""Three kinds of process stand behind each other, so that whatever a call does, it costs itself only.

The *server* runs no code of the project. A *host* has imported modules and never calls anything in them. A *child* of a
host makes calls, and is thrown away with whatever they changed. The kernel ends a child that used its CPU time, the
host a child that takes too long, the server a host, and the sandbox all of them.
"""

from __future__ import annotations

import contextlib
import glob
import importlib
import os
import select
import signal
import socket
import sys
import time
import traceback
from typing import Any

from . import bytecode
from .child import Child
from .finding import samples
from .frames import Message, receive, send

_PDEATHSIG, _SUBREAPER = 1, 36


def main(root: str, folders: list[str]) -> None:
    """Serve until standard input ends. ``root``: the project; ``folders``: where it imports from, absolute."""
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    sys.path[:0] = folders
    Server(root, folders).serve(source, sink)


class Server:
    """Starts hosts, passes them what they are asked, and tells when one is lost."""

    def __init__(self, root: str, folders: list[str]) -> None:
        self.root, self.folders = root, folders
        self.hosts: dict[int, tuple[int, int]] = {}  # id: (process, socket)
        self.own: tuple[int, ...] = ()

    def serve(self, source: int, sink: int) -> None:
        """Answer one message after the other."""
        self.own = (source, sink)
        send(sink, {"python": list(sys.version_info[:3])})
        while True:
            message = receive(source)
            if message is None:
                break
            send(sink, self._answer(message))
        for number in list(self.hosts):
            self._end(number)

    def _answer(self, message: Message) -> Message:
        number = message["host"]
        if message["do"] == "close":
            self._end(number)
            return {}
        if message["do"] == "open" and number not in self.hosts:
            self._start(number, message)
        if number not in self.hosts:
            return {"lost": "the process of its module is gone"}
        _, fd = self.hosts[number]
        try:
            send(fd, message)
            answer = receive(fd, message.get("wall", 60.0))
        except TimeoutError:
            answer = {"lost": f"it took longer than {message['wall']:g} seconds"}
        except (OSError, ValueError):
            answer = None
        if answer is None or "lost" in answer:
            ended = _ended(self._end(number))
            return answer or {"lost": ended}
        return answer

    def _start(self, number: int, message: Message) -> None:
        """Fork a host; with another seed for hashes it needs an interpreter of its own, and may have another place."""
        ours, theirs = socket.socketpair()
        process = os.fork()
        if process == 0:
            ours.close()
            for fd in (*self.own, *(fd for _, fd in self.hosts.values())):
                os.close(fd)  # code of the project must not find a way to speak for us
            if str(message.get("seed", 0)) != os.environ.get("PYTHONHASHSEED"):
                theirs.set_inheritable(True)
                environment = {**os.environ, "PYTHONHASHSEED": str(message["seed"])}
                boot, here = message["boot"]
                host = [str(theirs.fileno()), message["root"], *message["folders"]]
                os.chdir(message["root"])
                os.execve(
                    sys.executable, [sys.executable, *message["options"], "-c", boot, here, "host", *host], environment
                )
            try:
                host_main(theirs.fileno(), self.root, [])
            finally:
                os._exit(1)
        theirs.close()
        self.hosts[number] = (process, ours.detach())

    def _end(self, number: int) -> int:
        """Kill a host and what it started; the answer is how it had ended."""
        if number not in self.hosts:
            return 0
        process, fd = self.hosts.pop(number)
        deadline = time.monotonic() + 0.05  # one that left by itself tells how
        done, status = os.waitpid(process, os.WNOHANG)
        while not done and time.monotonic() < deadline and _hung_up(fd):
            time.sleep(0.001)
            done, status = os.waitpid(process, os.WNOHANG)
        os.close(fd)
        with contextlib.suppress(OSError):
            os.killpg(process, signal.SIGKILL)
        if not done:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
        return status


def host_main(fd: int, root: str, folders: list[str]) -> None:
    """A host: import modules, and have children make calls. ``folders`` go first on the path."""
    os.setsid()
    _prctl(_PDEATHSIG, signal.SIGKILL)
    _prctl(_SUBREAPER, 1)  # so that what a child leaves behind comes to us
    sys.path[:0] = folders
    bytecode.keep(root)
    modules: dict[str, Any] = {}
    while True:
        message = receive(fd)
        if message is None:
            return
        name = message["module"]
        if message["do"] == "open":
            modules[name], answer = _imported(name, root)
            send(fd, answer)
        elif message["do"] == "samples":
            send(fd, {"samples": samples(modules[name], message["names"])})
        else:
            send(fd, {"results": _batch(Child(modules[name], root), message, fd)})


def _imported(name: str, root: str) -> tuple[Any, Message]:
    started = time.perf_counter()
    try:
        module = importlib.import_module(name)
    except BaseException as error:
        lines = traceback.format_exception_only(type(error), error)
        step, at = error.__traceback__, []
        while step is not None:
            file = step.tb_frame.f_code.co_filename
            if file.startswith(root):
                at = [os.path.relpath(file, root), step.tb_lineno]
            step = step.tb_next
        return None, {"failed": type(error).__name__, "message": "".join(lines).strip()[-2000:], "at": at}
    file = os.path.realpath(getattr(module, "__file__", None) or "")
    if not file.startswith(os.path.realpath(root) + os.sep):
        return None, {"failed": "ImportError", "message": f"{name} is another module of this name", "at": []}
    return module, {"seconds": time.perf_counter() - started}


def _batch(child: Child, message: Message, own: int) -> list[Message]:
    """Answers to all calls of the batch; a call that ends its child is answered by how it ended."""
    calls: list[Message] = message["calls"]
    results: list[Message] = []
    lost, most = 0, message.get("losses", 3)
    total = message.get("total")
    deadline = None if total is None else time.monotonic() + total
    while len(results) < len(calls):
        if lost >= most or _is_over(deadline):
            results += [{"ended": "skipped"}] * (len(calls) - len(results))
            break
        rest = calls[len(results) : len(results) + 1 if message.get("fresh") else None]
        found, ended = _forked(child, {**message, "calls": rest}, message.get("each", 5.0), deadline, own)
        results += found
        if ended and len(found) < len(rest):
            results.append(ended)
            lost += 1
    return results


def _is_over(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() > deadline


def _forked(
    child: Child, batch: Message, each: float, deadline: float | None, own: int
) -> tuple[list[Message], Message]:
    """What one child answers, and how it ended before its time if it did.

    ``each``: wall seconds for a call; ``deadline``: of all calls; ``own``: our socket, which is not the child's."""
    out, into = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            _prctl(_PDEATHSIG, signal.SIGKILL)
            os.close(out)
            os.close(own)
            child.work(into, batch)
        finally:
            os._exit(70)
    os.close(into)
    results: list[Message] = []
    ended: Message = {}
    try:
        while len(results) < len(batch["calls"]):
            if _is_over(deadline):
                ended = {"ended": "skipped"}
                break
            answer = receive(out, each) if _speaks(out, process, each) else None
            if answer is None:
                break
            results.append(answer)
    except TimeoutError:
        ended = {"ended": "wall", "detail": f"longer than {each:g} seconds"}
    except ValueError:
        ended = {"ended": "died", "detail": "wrote to a pipe that is not its own"}
    os.close(out)
    if ended or len(results) == len(batch["calls"]):
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    _kill_children()
    if not ended and not (results and os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0):
        ended = {"ended": "died", "detail": _ended(status)}  # else it asked for a fresh process
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF:
            ended = {"ended": "cpu", "detail": "more than its CPU time"}
    return results, ended


def _speaks(fd: int, process: int, seconds: float) -> bool:
    """Whether there is something to read before the process ends; what it left behind may keep the pipe open.

    Raises TimeoutError after ``seconds``."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    deadline = time.monotonic() + seconds
    while not poller.poll(20):
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return bool(poller.poll(0))
        if time.monotonic() > deadline:
            raise TimeoutError
    return True


def _kill_children() -> None:
    """Kill the processes that a call left behind, and wait for them: they are ours now."""
    for _ in range(100):
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return  # none is left
        left = _children()
        if not left:
            return  # they cannot be seen: the sandbox ends them
        for number in left:
            with contextlib.suppress(OSError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.001)


def _children() -> list[int]:
    """The processes whose parent this one is, as far as /proc shows them."""
    found = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            line = file.read()  # the name in brackets may hold spaces and brackets itself
            if int(line[line.rindex(b")") + 2 :].split()[1]) == os.getpid():
                found.append(int(path.split("/")[2]))
    return found


def _prctl(option: int, value: int) -> None:
    """Set an option of this process; where that cannot be done, the sandbox sweeps up alone."""
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _hung_up(fd: int) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return any(event & (select.POLLHUP | select.POLLIN) for _, event in poller.poll(0))


def _ended(status: int) -> str:
    """In words, how a process ended."""
    if os.WIFSIGNALED(status):
        return f"it died of signal {os.WTERMSIG(status)}"
    return f"it left the interpreter with exit code {os.WEXITSTATUS(status)}"
