"""The first program inside the sandbox: tries to get out, and becomes the kernel if it cannot.

A file of its own that imports nothing of Famulus: ``python -I -S -B sandbox_entry.py CONTROL STDERR`` with the plan as
JSON on standard input. Both arguments are numbers of descriptors: the socket to whoever started the sandbox, and the
standard error of the kernel.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from typing import NoReturn, TypedDict

PROBE_SECONDS = 20.0
GO_FIRST = "1000"
MOST_PROCESSES = 8192
"""Threads count as well, and libraries start one for each processor in each process."""


class Plan(TypedDict):
    """``argv``: the kernel. ``probe`` is the source of :mod:`famulus.sandbox.probe` and ``target`` what it attacks;
    ``closed`` are paths that must not be writable. ``door`` is the folder for the kernel's sockets."""

    argv: list[str]
    probe: str
    target: dict[str, object]
    closed: list[str]
    door: str


def main() -> NoReturn:
    """Leaves with 1 where the sandbox leaks."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    errors = int(sys.argv[2])
    os.set_inheritable(errors, False)
    plan: Plan = json.load(sys.stdin)
    got_out = attempts(plan)
    door = os.open(plan["door"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    # The folder exists in this view alone; through its descriptor those outside reach the sockets in it.
    socket.send_fds(control, [json.dumps(got_out).encode()], [] if got_out else [door])
    if got_out:
        sys.exit(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(errors, 2)
    # An interrupt then reaches the processes that the kernel starts, as it does outside.
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    spare_the_machine()
    os.execv(plan["argv"][0], plan["argv"])


def spare_the_machine() -> None:
    """What a notebook computes is its user's own work, so its memory and time have no limit; but where memory runs out,
    the system ends it before anything else of the user's, and a cell that starts processes without end stops."""
    # Not every system keeps such a score.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
        score.write(GO_FIRST)
    for kind, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_NPROC, MOST_PROCESSES)):
        _, hard = resource.getrlimit(kind)
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (value, value))


def attempts(plan: Plan) -> list[str]:
    """The attempts to get out that succeeded."""
    probe = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", plan["probe"]],
        input=json.dumps(plan["target"]).encode(),
        stdout=subprocess.PIPE,
        timeout=PROBE_SECONDS,
        check=True,
    )
    got_out: list[str] = json.loads(probe.stdout)
    return got_out + [f"writes to {path}" for path in plan["closed"] if os.access(path, os.W_OK)]


if __name__ == "__main__":
    main()
