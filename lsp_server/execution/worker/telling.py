"""One run of pytest, and the plugin that tells how it goes."""

from __future__ import annotations

import functools
import gc
import importlib
import os
import random
import signal
import sys
import tempfile
import threading
import types
from typing import Any

from .frames import Message, receive, send
from .testing import forked, quieted

_KEPT = 2000  # characters of a message
_FRAMES = 20  # places of a traceback


def run(fd: int, root: str, asked: Message, served: bool = False) -> None:
    """Run the tests that ``asked`` names; what happens is told on ``fd``."""
    import pytest

    importlib.invalidate_caches()
    os.chdir(root)
    chance = asked.get("chance", 1)
    random.seed(chance)
    cache = os.path.join(os.environ.get("TMPDIR", "/tmp"), "famulus-pytest-cache")
    options = ["--rootdir", root, "-q", "--maxfail=0", "-o", "cache_dir=" + cache]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options += quieted(chance)
    if asked.get("each"):
        signal.signal(signal.SIGALRM, _too_long)
        options += ["--timeout=0"] if "pytest_timeout" in sys.modules else []
    plugin = Telling(fd, root, asked, served)
    with tempfile.TemporaryFile() as screen:
        for standard in (1, 2):
            os.dup2(screen.fileno(), standard)
        code = int(pytest.main([*options, *asked["tests"]], plugins=[plugin]))
        sys.stdout.flush()
        sys.stderr.flush()
        screen.seek(0)
        lines = screen.read(_KEPT * 20).decode("utf-8", "replace").splitlines()
    errors = [line.lstrip("E ") for line in lines if line.startswith(("E  ", "ERROR"))] or lines
    if not plugin.told_end:
        send(fd, {"exit": code, "errors": plugin.errors, "said": errors[-1][:_KEPT] if errors else ""})


class TookTooLong(Exception):
    """A test did not end in the time that it had."""


def _too_long(number: int, frame: Any) -> None:
    raise TookTooLong


class Tracer:
    """Keeps which lines of some files are run, and in which order (pairs of them; 0 is the end of a function).

    ``paths``: absolute path → name under which its lines are told."""

    def __init__(self, paths: dict[str, str]) -> None:
        self.paths = paths
        self.arcs: set[tuple[str, int, int]] = set()
        self.lines: dict[str, set[int]] = {path: set() for path in paths}
        self.known: dict[str, set[int] | None] = {}  # by the name that the code has, which may go through a link

    def start(self) -> None:
        """Trace this thread, and those that are started from now on."""
        if self.paths:
            threading.settrace(self._entered)
            sys.settrace(self._entered)

    def stop(self) -> None:
        """Trace no more."""
        if self.paths:
            sys.settrace(None)
            threading.settrace(None)

    def taken(self) -> dict[str, list[int]]:
        """The lines since the last time."""
        found = {self.paths[path]: sorted(lines) for path, lines in self.lines.items() if lines}
        for lines in self.lines.values():
            lines.clear()
        return found

    def taken_arcs(self) -> dict[str, list[list[int]]]:
        """The pairs of lines since the last time."""
        found: dict[str, list[list[int]]] = {}
        for name, before, after in sorted(self.arcs):
            found.setdefault(self.paths[os.path.realpath(name)], []).append([before, after])
        self.arcs.clear()
        return found

    def _entered(self, frame: Any, event: str, argument: Any) -> Any:
        name = frame.f_code.co_filename
        if name not in self.known:
            self.known[name] = self.lines.get(os.path.realpath(name))
        lines = self.known[name]
        if lines is None:
            return None
        last = 0

        def line(frame: Any, event: str, argument: Any) -> Any:
            nonlocal last
            if event in ("line", "return"):
                now = frame.f_lineno if event == "line" else 0
                if now:
                    lines.add(now)
                if last:
                    self.arcs.add((name, last, now))
                last = now
            return line

        return line


class Telling:
    """A plugin that tells on ``fd`` how each test went, and which lines of the paths ``trace`` it ran.

    With ``served`` the tests are not run but held: the messages that come on ``fd`` say which to run."""

    def __init__(self, fd: int, root: str, asked: Message, served: bool) -> None:
        self.fd, self.root, self.asked, self.served = fd, os.path.realpath(root), asked, served
        self.tracer = Tracer({os.path.join(self.root, path): path for path in asked.get("trace", ())})
        self.now: Message = {}
        self.errors: list[Message] = []
        self.told_end = False

    # the hooks' names are pytest's

    def pytest_sessionstart(self, session: Any) -> None:
        """Collecting imports: that is traced as well."""
        self.tracer.start()

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Another order, if one is asked for."""
        if self.asked.get("shuffle") is not None:
            random.Random(self.asked["shuffle"]).shuffle(items)
        elif self.asked.get("ordered"):
            place = {name: number for number, name in enumerate(self.asked["tests"])}
            items.sort(key=lambda item: place.get(item.nodeid, len(place)))
        if self.asked.get("reverse"):
            items.reverse()

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        """A file that cannot be collected."""
        if getattr(report, "when", "") != "collect":
            return
        text = str(getattr(report, "longrepr", "") or call.excinfo.value)
        lines = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")] or [text.strip()]
        kind = lines[-1].partition(":")[0]
        kind = kind if kind.replace(".", "").isidentifier() else str(call.excinfo.typename)
        self.errors.append({"node": node.nodeid, "type": kind, "message": lines[-1][:_KEPT]})

    def pytest_collection_finish(self, session: Any) -> None:
        """What there is to run."""
        self.tracer.stop()
        found = [item.nodeid for item in session.items]
        errors = {"errors": self.errors} if self.served else {}
        send(self.fd, {"collected": found, "imported": self.tracer.taken(), **errors})

    def pytest_sessionfinish(self, session: Any, exitstatus: int) -> None:
        """The end; what pytest does afterwards (it collects garbage for seconds) is not waited for."""
        self.told_end = True
        send(self.fd, {"exit": int(exitstatus), "errors": self.errors})

    def pytest_runtestloop(self, session: Any) -> Any:
        """Hold the tests instead of running them."""
        if not self.served:
            if session.testsfailed and session.items:
                session.config.option.continue_on_collection_errors = True
            return None
        serve(self, session)
        return True

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        self.now = {"node": nodeid, "outcome": "passed", "seconds": 0.0}
        self.tracer.start()
        if self.asked.get("each"):
            signal.setitimer(signal.ITIMER_REAL, self.asked["each"])

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        """Keep the first exception of a test."""
        if call.excinfo is None or "type" in self.now:
            return
        at = []
        for entry in call.excinfo.traceback:
            path = os.path.realpath(str(entry.path))
            if path.startswith(self.root + os.sep):
                at.append([os.path.relpath(path, self.root), entry.lineno + 1])
        try:
            message = str(call.excinfo.value)[:_KEPT]
        except Exception:
            message = ""
        self.now.update(type=call.excinfo.typename, message=message, at=at[-_FRAMES:])

    def pytest_runtest_logreport(self, report: Any) -> None:
        """One of setup, call, teardown is over."""
        self.now["seconds"] = self.now.get("seconds", 0.0) + report.duration
        if report.failed and self.now.get("outcome") != "failed":
            self.now["outcome"] = "failed" if report.when == "call" else "error"
        elif report.skipped and self.now.get("outcome") == "passed":
            self.now["outcome"] = "skipped"

    def pytest_runtest_logfinish(self) -> None:
        """A test is over."""
        if self.asked.get("each"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        self.tracer.stop()
        self.now["lines"] = self.tracer.taken()
        arcs = self.tracer.taken_arcs()
        if self.asked.get("arcs"):
            self.now["arcs"] = arcs
        send(self.fd, {"tests": [self.now]})


def serve(telling: Telling, session: Any) -> None:
    """Run some of the collected tests in a forked copy, as often as asked."""
    items = {item.nodeid: item for item in session.items}
    fd = telling.fd
    known = functions(telling.root)
    while True:
        message = receive(fd)
        if message is None:
            os._exit(0)
        chosen = [items[name] for name in message["tests"] if name in items]
        send(fd, forked(functools.partial(_chosen, telling, chosen, message, known), message["wall"]))


def _chosen(telling: Telling, items: list[Any], message: Message, known: list[tuple[str, Any]], into: int) -> None:
    """Run items in this process, until one fails if that is enough; first put other code in place."""
    telling.fd = into
    if not message.get("trace"):
        telling.tracer = Tracer({})
    patch = message.get("patch")
    if patch:
        send(into, {"patched": put(os.path.join(telling.root, patch["path"]), patch, known)})
    for number, item in enumerate(items):
        after = items[number + 1] if number + 1 < len(items) else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        if message.get("first") and telling.now["outcome"] in ("failed", "error"):
            break
    send(into, {"exit": 0})


def functions(root: str) -> list[tuple[str, Any]]:
    """The functions of the project that there are, with their files; those that decorators hide included."""
    real: dict[str, str] = {}
    found = []
    for thing in gc.get_objects():
        if type(thing) is types.FunctionType:
            name = thing.__code__.co_filename
            if name not in real:
                real[name] = os.path.realpath(name)
            if real[name].startswith(root + os.sep):
                found.append((real[name], thing))
    return found


def put(path: str, patch: Message, known: list[tuple[str, Any]]) -> int:
    """Give a function the code that it has in the source of ``patch``; the answer is how many functions got it.

    The function is known by its name and its first line."""
    code: Any = compile(patch["source"], path, "exec", dont_inherit=True)
    for part in patch["function"].split("."):
        inner = [const for const in code.co_consts if isinstance(const, types.CodeType) and const.co_name == part]
        exact = [const for const in inner if const.co_firstlineno == patch["first"]]
        code = (exact or inner)[0]
    count = 0
    for file, function in known:
        own = function.__code__
        if file == path and own.co_firstlineno == code.co_firstlineno and own.co_name == code.co_name:
            function.__code__ = code
            count += 1
    return count
