"""One run of unittest, told as runs of pytest are: for projects whose Python has no pytest."""

from __future__ import annotations

import functools
import importlib.util
import os
import random
import sys
import tempfile
import time
import traceback
import unittest
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .frames import receive, send
from .telling import Tracer, functions, put
from .testing import forked

if TYPE_CHECKING:
    from .frames import Message

_KEPT = 2000


def run(fd: int, root: str, asked: Message, served: bool = False) -> None:
    """Run the tests that ``asked`` names, ``path`` or ``path::Class::method``; what happens is told on ``fd``.

    With ``served`` they are held: the messages that come on ``fd`` say which to run."""
    os.chdir(root)
    random.seed(asked.get("chance", 1))
    root = os.path.realpath(root)
    tracer = Tracer({os.path.join(root, path): path for path in asked.get("trace", ())})
    errors: list[Message] = []
    found: dict[str, unittest.TestCase] = {}
    with tempfile.TemporaryFile() as screen:
        for standard in (1, 2):
            os.dup2(screen.fileno(), standard)
        tracer.start()
        for path in dict.fromkeys(test.partition("::")[0] for test in asked["tests"]):
            try:
                found.update(_collected(root, path))
            except BaseException as error:
                errors.append({"node": path, "type": type(error).__name__, "message": str(error)[:_KEPT]})
        tracer.stop()
        whole = {test for test in asked["tests"] if "::" not in test}
        nodes = [node for node in found if node in asked["tests"] or node.partition("::")[0] in whole]
        if asked.get("shuffle") is not None:
            random.Random(asked["shuffle"]).shuffle(nodes)
        elif asked.get("ordered"):
            nodes.sort(key=asked["tests"].index)
        if asked.get("reverse"):
            nodes.reverse()
        told: Message = {"collected": nodes, "imported": tracer.taken()}
        send(fd, {**told, "errors": errors} if served else told)
        tracer.taken_arcs()
        if served:
            _serve(fd, root, found, tracer, asked)
        for node in nodes:
            send(fd, {"tests": [_ran(node, found[node], tracer, asked)]})
        send(fd, {"exit": 0, "errors": errors})


def _collected(root: str, path: str) -> Iterator[tuple[str, unittest.TestCase]]:
    """The tests of a file, each under its id."""
    file = os.path.join(root, path)
    sys.path.insert(0, os.path.dirname(file))
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    todo: list[Any] = [unittest.defaultTestLoader.loadTestsFromModule(module)]
    while todo:
        test = todo.pop(0)
        if isinstance(test, unittest.TestSuite):
            todo[:0] = list(test)
        else:
            yield f"{path}::{type(test).__qualname__}::{test._testMethodName}", test


def _ran(node: str, test: unittest.TestCase, tracer: Tracer, asked: Message) -> Message:
    """How one test went."""
    result = unittest.TestResult()
    started = time.perf_counter()
    tracer.start()
    suite = unittest.TestSuite([test])
    suite._cleanup = False  # type: ignore[attr-defined]  # it may be run again
    suite.run(result)
    tracer.stop()
    arcs = tracer.taken_arcs()
    bad = [*result.failures, *result.errors]
    outcome = "failed" if result.failures else "error" if result.errors else "skipped" if result.skipped else "passed"
    told: Message = {"node": node, "outcome": outcome, "seconds": time.perf_counter() - started}
    told["lines"] = tracer.taken()
    if asked.get("arcs"):
        told["arcs"] = arcs
    if bad:
        last = bad[0][1].strip().splitlines()[-1]
        told.update(type=last.partition(":")[0], message=last.partition(": ")[2][:_KEPT])
    return told


def _serve(fd: int, root: str, found: dict[str, unittest.TestCase], tracer: Tracer, asked: Message) -> None:
    known = functions(root)
    while True:
        message = receive(fd)
        if message is None:
            os._exit(0)
        work = functools.partial(_chosen, root, found, tracer, asked, message, known)
        send(fd, forked(work, message["wall"]))


def _chosen(
    root: str,
    found: dict[str, unittest.TestCase],
    tracer: Tracer,
    asked: Message,
    message: Message,
    known: list[tuple[str, Any]],
    into: int,
) -> None:
    """Run tests in this process, until one fails if that is enough; first put other code in place."""
    try:
        patch = message.get("patch")
        if patch:
            send(into, {"patched": put(os.path.join(root, patch["path"]), patch, known)})
        for node in message["tests"]:
            if node not in found:
                continue
            told = _ran(node, found[node], tracer if message.get("trace") else Tracer({}), asked)
            send(into, {"tests": [told]})
            if message.get("first") and told["outcome"] in ("failed", "error"):
                break
    except Exception:
        send(into, {"broken": traceback.format_exc()[-_KEPT:]})
    send(into, {"exit": 0})
