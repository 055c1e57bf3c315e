"""Runs tests of the project with the project's own pytest, each run in a copy of a process that has pytest ready.

The *server* has imported pytest and its plugins, and nothing of the project. For each run it forks a *runner*, which
imports the project as it stands on disk at that moment. A runner that is asked to *hold* collects the tests once and
then waits: for each set of tests it forks a *copy*, which may get other code for one function first.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import resource
import signal
import socket
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

from .frames import receive, send

if TYPE_CHECKING:
    from collections.abc import Callable

    from .frames import Message

_PDEATHSIG = 1
_MEMORY = 0.75  # of what the sandbox grants
_GRACE = 5.0  # seconds that a held runner gets beyond the time of its copy

_QUIETED = (
    ("xdist.plugin", ("-n0",)),
    ("pytest_cov.plugin", ("--no-cov",)),
    ("pytest_randomly", ("--randomly-seed={chance}", "--randomly-dont-reorganize")),
    ("pytest_rerunfailures", ("--reruns=0",)),
)
"""Plugins, if they are there, and what keeps them from doing what a run of ours must not do."""


def main(root: str, folders: list[str], framework: str = "pytest") -> None:
    """Serve until standard input ends. ``root``: the project; ``folders``: where it imports from, absolute;
    ``framework``: ``pytest`` or ``unittest``."""
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    send(sink, ready() if framework == "pytest" else {"pytest": framework, "python": list(sys.version_info[:3])})
    sys.path[:0] = folders
    server = Server(root, framework)
    while True:
        message = receive(source)
        if message is None:
            break
        send(sink, server.answer(message))
    server.release()


class Server:
    """Answers ``run``, ``hold``, ``release``, and passes all else to the runner that it holds."""

    def __init__(self, root: str, framework: str) -> None:
        self.root, self.framework = root, framework
        self.held: tuple[int, int] | None = None  # process, socket

    def answer(self, message: Message) -> Message:
        """The answer to one message."""
        if message["do"] == "run":
            return forked(functools.partial(self._runs(), root=self.root, asked=message), message["wall"])
        if message["do"] == "release":
            self.release()
            return {}
        if message["do"] == "hold":
            self.release()
            self.held = self._hold(message)
            return self._asked(None, message["wall"])
        return self._asked(message, message["wall"] + _GRACE)

    def release(self) -> None:
        """End the runner that is held."""
        if self.held is not None:
            process, fd = self.held
            self.held = None
            os.close(fd)
            kill(process)

    def _hold(self, message: Message) -> tuple[int, int]:
        run = self._runs()
        ours, theirs = socket.socketpair()
        process = os.fork()
        if process == 0:
            try:
                ours.close()
                alone()
                run(theirs.fileno(), self.root, message, served=True)
            finally:
                os._exit(0)
        theirs.close()
        return process, ours.detach()

    def _runs(self) -> Callable[..., None]:
        if self.framework == "pytest":
            from .telling import run
        else:
            from .cases import run
        return run

    def _asked(self, message: Message | None, wall: float) -> Message:
        """The held runner's next answer, to ``message`` or without being asked."""
        if self.held is None:
            return {"ended": "died"}
        answer: Message | None
        try:
            if message is not None:
                send(self.held[1], message)
            answer = receive(self.held[1], wall)
        except TimeoutError:
            answer = {"ended": "wall", "lost": True}
        except (OSError, ValueError):
            answer = None
        if answer is None or answer.get("lost"):
            self.release()
        return {"ended": "died"} if answer is None else answer


def forked(work: Callable[[int], None], wall: float) -> Message:
    """What a forked copy of this process sends while it does ``work``, put together: lists are joined.

    ``exit`` is what it sent last; without it ``ended`` says why there is none: ``wall`` or ``died``."""
    out, into = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.close(out)
            alone()
            work(into)
        except BaseException as error:
            with contextlib.suppress(BaseException):
                send(into, {"broken": f"{type(error).__name__}: {error}"})
        finally:
            os._exit(0)
    os.close(into)
    answer: Message = {}
    deadline = time.monotonic() + wall
    try:
        while "exit" not in answer:
            told = receive(out, max(0.0, deadline - time.monotonic()))
            if told is None:
                answer["ended"] = "died"
                break
            for name, value in told.items():
                if isinstance(value, list):
                    answer.setdefault(name, []).extend(value)
                else:
                    answer[name] = value
    except TimeoutError:
        answer["ended"] = "wall"
    except ValueError:
        answer["ended"] = "died"
    os.close(out)
    kill(process)
    return answer


def alone() -> None:
    """Give this process a session of its own, which ends with its parent, and less memory than the sandbox grants to
    all: the allocation fails, and nobody else is ended."""
    os.setsid()
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_DATA, (int(_MEMORY * hard), hard))
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def kill(process: int) -> None:
    """End a process and its session's, and wait for it."""
    with contextlib.suppress(OSError):
        os.killpg(process, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(process, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.waitpid(process, 0)


def ready() -> Message:
    """Import what every run needs."""
    try:
        import pytest
    except Exception as error:
        return {"missing": f"{type(error).__name__}: {error}"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _plugins():
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    return {"pytest": pytest.__version__, "python": list(sys.version_info[:3])}


def quieted(chance: int = 1) -> list[str]:
    """Options of pytest with which the plugins that are imported do nothing that a run of ours must not do; ``chance``
    seeds what they seed."""
    options: list[str] = []
    for name, switches in _QUIETED:
        if name in sys.modules:
            options += [switch.format(chance=chance) for switch in switches]
    reruns = sys.modules.get("pytest_rerunfailures")
    if reruns is not None:  # beside xdist it listens on a socket, which there is none of here
        vars(reruns)["HAS_PYTEST_HANDLECRASHITEM"] = False
    return options


def _plugins() -> list[str]:
    """Modules of the plugins that pytest loads by itself."""
    from importlib import metadata

    found: Any = metadata.entry_points()
    chosen = found.select(group="pytest11") if hasattr(found, "select") else found.get("pytest11", [])
    return sorted({entry.value.partition(":")[0] for entry in chosen})
