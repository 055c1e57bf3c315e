"""Runs tests of the project with its own pytest, and tells with which arguments they call certain functions."""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import sys
import threading
import types
from typing import Any

from .finding import static, unwrapped
from .forms import Writer
from .frames import Message, receive, send
from .testing import quieted, ready

_EACH, _LOOKED_AT = 40, 2000
_RESUMED = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def main(root: str, folders: list[str]) -> None:
    """Read one request from standard input, answer it on standard output, and end."""
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    request = receive(source)
    if request is None:
        return
    os.chdir(root)
    sys.path[:0] = folders
    recorder = Recorder(root, request["targets"])
    signal.signal(signal.SIGALRM, recorder.stop)
    signal.alarm(max(1, int(request["seconds"])))
    with contextlib.suppress(BaseException):
        import pytest

        ready()
        quiet = ["-q", "--maxfail=50", "-p", "no:cacheprovider", "--rootdir", root, *quieted()]
        pytest.main([*quiet, *request["tests"]], plugins=[recorder])
    recorder.end()
    send(sink, {"calls": recorder.calls})
    os._exit(0)


class Recorder:
    """A plugin of pytest. ``targets``: pairs of a module's name and a dotted name in it."""

    def __init__(self, root: str, targets: list[list[str]]) -> None:
        self.writer = Writer(root)
        self.targets = targets
        self.codes: dict[types.CodeType, int] = {}
        self.calls: list[list[Message]] = [[] for _ in targets]
        self.looked_at = [0] * len(targets)
        self.seen: set[str] = set()

    def pytest_collection_finish(self, session: Any) -> None:
        """Find the code of the targets, as far as the tests have imported it."""
        for number, (module, name) in enumerate(self.targets):
            with contextlib.suppress(Exception):
                function = unwrapped(static(sys.modules[module], name))
                self.codes[function.__code__] = number
        threading.setprofile(self.profile)

    def pytest_runtest_call(self, item: Any) -> None:
        """Listen while a test runs."""
        sys.setprofile(self.profile)

    def pytest_runtest_teardown(self, item: Any) -> None:
        """Listen no more."""
        sys.setprofile(None)

    def profile(self, frame: Any, event: str, argument: Any) -> None:
        """Called for every call that is made."""
        if event == "call" and frame.f_code in self.codes:
            number = self.codes[frame.f_code]
            if len(self.calls[number]) < _EACH and self.looked_at[number] < _LOOKED_AT:
                self.looked_at[number] += 1
                sys.setprofile(None)
                with contextlib.suppress(Exception):
                    self._record(number, frame)
                sys.setprofile(self.profile)

    def _record(self, number: int, frame: Any) -> None:
        code, given = frame.f_code, dict(frame.f_locals)
        size = code.co_argcount + code.co_kwonlyargcount
        size += bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
        names = code.co_varnames[:size]
        if code.co_flags & _RESUMED and set(given) - set(names):
            return  # it goes on; it does not begin
        forms = {name: self.writer.form(given[name], drain=False) for name in names if name in given}
        text = str(number) + repr(forms)
        if len(text) < 4000 and text not in self.seen:
            self.seen.add(text)
            self.calls[number].append(forms)

    def stop(self, *_: Any) -> None:
        """Time is up: pytest ends as if the user wished it."""
        self.end()
        raise KeyboardInterrupt

    def end(self) -> None:
        """Listen no more."""
        sys.setprofile(None)
        threading.setprofile(None)
