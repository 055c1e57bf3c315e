"""The child's way: cut itself off, run the code, say what happened, leave. Never returns."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from famulus.jupyter_kernel.candidate import Effect
from famulus.jupyter_kernel.rehearse import capture, effects, execute, isolate
from famulus.jupyter_kernel.rehearse.compare import Comparison

READY, UNSAFE = b"r", b"u"
"""First byte of what the child writes: it runs the code, or it could not isolate itself (the reason follows)."""
LEFT_EARLY = 97
"""Exit status of a child that failed by itself."""


class Task(NamedTuple):
    """What the child needs to know; everything else is in its memory."""

    shell: Any
    code: str
    report: int
    stdout: int
    stderr: int
    memory: int
    cpu_seconds: int
    allowed: tuple[Effect, ...]
    parent: int
    random: Any
    prepare: Callable[[], object] | None = None


def main(task: Task) -> NoReturn:
    """Call it right after the fork, on the only thread."""
    try:
        _rehearse(task)
        os._exit(0)
    finally:
        os._exit(LEFT_EARLY)


def _rehearse(task: Task) -> None:
    gc.disable()  # a collection would write to every object's header, and so copy all memory
    gc.freeze()
    try:
        isolate.leave_family(task.parent)
        shared = isolate.cut_off(
            keep={task.report},
            stdout=task.stdout,
            stderr=task.stderr,
            memory=task.memory,
            cpu_seconds=task.cpu_seconds,
        )
    except (isolate.CannotIsolate, OSError) as error:
        os.write(task.report, UNSAFE + str(error).encode())
        return
    asyncio._set_running_loop(None)
    random.setstate(task.random)  # the fork reseeded it
    sys.dont_write_bytecode = True
    watcher = effects.Watcher()
    if task.prepare is not None:
        try:
            task.prepare()
        except Exception as error:
            os.write(task.report, UNSAFE + f"what it needs cannot be set up there ({error})".encode())
            return
    shown = capture.redirect(task.shell, task.stdout, task.stderr, watcher)
    watcher.install()
    os.write(task.report, READY)
    answer = _run(task, watcher, shown, shared)
    text = json.dumps(answer).encode()
    while text:
        text = text[os.write(task.report, text) :]


def _run(
    task: Task, watcher: effects.Watcher, shown: capture.Shown, shared: Sequence[isolate.SharedFile]
) -> dict[str, Any]:
    shell = task.shell
    try:
        tree = execute.parse(shell, task.code)
    except Exception as error:
        return {"status": "error", **_told(error)}
    comparison = Comparison(shell, tree, shared)
    databases = comparison.databases()
    started = time.perf_counter()
    watcher.armed = True
    outcome = execute.run(shell, tree)
    watcher.armed = False
    answer: dict[str, Any] = {"seconds": time.perf_counter() - started, "displays": shown.displays}
    try:
        answer["figures"] = shown.finish()
    except Exception as error:
        outcome.error = outcome.error or error
    answer |= comparison.finish()
    if outcome.has_value:
        answer["value"] = execute.shorten(shell, outcome.value)
        answer["value_type"] = execute.type_name(outcome.value)
    if getattr(shell, "exit_now", False):
        watcher.add("other", "ends the kernel")
    tried = [*watcher.effects, *(Effect("write", path) for path in comparison.written_files())]
    failure = outcome.error
    if failure is None:
        tried = [effect for effect in tried if not effects.for_its_own_sake(effect)]
        status = "refused" if set(tried) - set(task.allowed) else "ok"
    elif isinstance(failure, MemoryError):
        status = "memory"
        answer |= _told(failure) | {"message": "it needed too much memory"}
    else:
        refused = effects.is_refusal(failure, tried)
        if refused and not tried:
            tried = effects.named_by(failure, [*watcher.databases, *databases])
        status = "refused" if refused and tried else "error"
        answer |= _told(failure)
    return answer | {"status": status, "effects": [[effect.kind, effect.what] for effect in tried]}


def _told(error: BaseException) -> dict[str, str]:
    return {
        "error": type(error).__name__,
        "message": execute.message(error),
        "traceback": execute.report(error),
    }
