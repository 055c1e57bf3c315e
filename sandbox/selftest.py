"""Which sandbox this machine really gives: each backend must first deny everything that the probe tries."""

from __future__ import annotations

import functools
import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from . import bubblewrap, landlock, seccomp
from .errors import SandboxError
from .limits import Limits
from .process import Backend, start

_SECONDS = 20.0  # a probe takes a tenth of one; this is for a machine under heavy load


@dataclass(frozen=True, slots=True)
class Level:
    """What protects the user from untrusted code here. ``none``: such code is refused.

    ``reason`` says why it is this level and not a higher one; ``fix`` what would raise it, empty at the top.
    """

    name: Literal["bubblewrap", "landlock", "none"]
    reason: str
    fix: str

    @property
    def backend(self) -> Backend | None:
        """The backend to use, None where code is refused."""
        return None if self.name == "none" else self.name


@functools.lru_cache(maxsize=1)
def level() -> Level:
    """The strongest level that passes its self-test. Measured at the first call, then remembered."""
    if sys.platform != "linux":
        reason = "Famulus has a sandbox for Linux only."
        return Level("none", reason, "Run Famulus under Linux, WSL2 or in a Linux container.")
    if os.uname().machine not in seccomp.AUDIT_ARCH:
        reason = f"There is no system-call table for {os.uname().machine} processors."
        return Level("none", reason, "Use an x86_64 or aarch64 machine.")
    problem = check("bubblewrap")
    if not problem:
        return Level("bubblewrap", "bubblewrap denied every attempt of the self-test.", "")
    fix = bubblewrap.fix(problem)
    below = check("landlock")
    if not below:
        reason = f"Landlock {landlock.version()} with seccomp denied every attempt of the self-test; {problem}"
        return Level("landlock", reason, fix)
    return Level("none", f"{problem} {below}", fix)


def check(backend: Backend) -> str:
    """Why this backend cannot be used here, in one sentence; empty if it denies all that the probe tries."""
    if backend == "bubblewrap" and (missing := bubblewrap.missing()):
        return missing
    if backend == "landlock" and landlock.version() < 1:
        return "The kernel has no Landlock (Linux 5.13 or newer, switched on with lsm=landlock)."
    source = Path(__file__).with_name("probe.py").read_text(encoding="utf-8")
    with targets() as target:
        try:
            with start(
                backend,
                [sys.executable, "-I", "-S", "-B", "-c", source],
                project=None,
                readable=(),
                cwd=None,
                stdin=json.dumps(target).encode(),
                keep_stdout=True,
                env=None,
                limits=Limits(wall_seconds=_SECONDS),
                pass_fds=(),
            ) as process:
                result = process.wait()
        except SandboxError as error:
            return f"{backend} does not work here: {error.message}"
        untouched = Path(target["secret"]).read_text(encoding="utf-8") == "secret"
    if not result.ok:
        told = result.stderr.text.strip()
        return f"{backend} does not work here: the self-test ended with {result.reason}: {told}."
    got_out: list[str] = json.loads(result.stdout.data)
    if not untouched:
        got_out.append("changes_a_file")
    return f"{backend} let the self-test through: {', '.join(got_out)}." if got_out else ""


@contextmanager
def targets() -> Iterator[dict[str, Any]]:
    """Real things that must stay out of reach: a file, listening sockets and this process."""
    with (
        tempfile.TemporaryDirectory(prefix="famulus-probe-") as folder,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket() as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        secret = Path(folder, "secret")
        secret.write_text("secret", encoding="utf-8")
        unix.bind(os.path.join(folder, "socket"))
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        unix.listen()
        tcp.listen()
        yield {
            "secret": str(secret),
            "folder": folder,
            "unix": unix.getsockname(),
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "pid": os.getpid(),
        }
