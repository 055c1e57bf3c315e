"""A program that lives long, works on a folder of the user's and answers the user: a notebook's kernel.

It sees the system and its own environment read-only and one folder to write to; it has no other process, no network
and an empty home. Unlike :func:`launch.spawn` this sets no limits, keeps no output and makes no copy of the folder:
what the program computes is the user's own work.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

from . import bubblewrap, seccomp
from .errors import LaunchFailed, SandboxUnavailable, UnsafeView
from .view import environment, view

TMP_BYTES = 1 << 30
"""What the temporary folder may hold; it is in memory."""
_GIVEN = str.split(
    """
    MPLBACKEND VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV COLUMNS LINES NO_COLOR FORCE_COLOR PYTHONHASHSEED
    PYTHONUTF8 PYTHONSAFEPATH OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS
    """
)


def unavailable() -> str:
    """Why no such program can be started here, as a sentence; empty if nothing speaks against it yet."""
    if sys.platform != "linux":
        return "Famulus has a sandbox for Linux only."
    if os.uname().machine not in seccomp.AUDIT_ARCH:
        return f"There is no system-call table for {os.uname().machine} processors."
    return bubblewrap.missing()


def start(
    argv: Sequence[str],
    *,
    folder: Path,
    readable: Iterable[Path],
    files: Mapping[str, bytes],
    mounts: Sequence[str],
    stdin: IO[bytes],
    stderr: IO[bytes],
    pass_fds: Sequence[int],
) -> subprocess.Popen[bytes]:
    """Start ``argv`` with ``folder`` as its working folder, the only one of the user's that it may write to.

    What lies in ``folder`` and is ``readable`` as well is read-only. ``files`` are put into the view; ``mounts`` are
    further options of bubblewrap, which come before them. The program ends when the calling thread does. Raises
    :class:`SandboxUnavailable`, :class:`LaunchFailed` and :class:`UnsafeView`.
    """
    if problem := unavailable():
        raise SandboxUnavailable(problem, fix=bubblewrap.fix(problem) if sys.platform == "linux" else "")
    shown = list(readable)
    for path in (folder, *shown):
        _refuse_shared(path)
    env = _variables(os.path.dirname(os.path.abspath(argv[0])))
    seen = view(argv[0], search=env["PATH"], project=None, workspace=folder, readable=shown, cwd=None)
    given = {name: _memory_file(content) for name, content in files.items()}
    more = [*mounts, *(part for name, fd in given.items() for part in ("--perms", "0400", "--file", str(fd), name))]
    options = bubblewrap.options(seen, env=env, tmp_bytes=TMP_BYTES, uid=0, own=True, mounts=more)
    listed = _memory_file("\0".join(options).encode(errors="surrogateescape") + b"\0")
    filter_code = _memory_file(seccomp.resident(os.uname().machine))
    command = [bubblewrap.find() or "", "--args", str(listed), "--seccomp", str(filter_code), "--"]
    try:
        return subprocess.Popen(
            [*command, seen.program, *argv[1:]],
            stdin=stdin,
            stderr=stderr,
            cwd="/",
            env={},
            pass_fds=[listed, filter_code, *given.values(), *pass_fds],
            start_new_session=True,
        )
    except OSError as error:
        raise LaunchFailed(f"bubblewrap cannot be run ({error.strerror}).", fix="See `famulus doctor`.") from error
    finally:
        for fd in (listed, filter_code, *given.values()):
            os.close(fd)


def _refuse_shared(folder: Path) -> None:
    """Other programs keep what is theirs in the folder for temporary files, and the sandbox has one of its own."""
    for shared in (tempfile.gettempdir(), "/tmp"):
        if Path(os.path.realpath(shared)).is_relative_to(os.path.realpath(folder)):
            raise UnsafeView(
                f"{folder} is or contains the folder in which all programs keep temporary files.",
                fix="Use a folder of its own.",
            )


def _variables(programs: str) -> dict[str, str]:
    """The environment, but for HOME and TMPDIR: no secrets, and as many threads as the user wants."""
    made = environment({name: os.environ[name] for name in _GIVEN if name in os.environ}, program_folder=programs)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        if name not in os.environ:
            del made[name]
    return made


def _memory_file(data: bytes) -> int:
    fd = os.memfd_create("famulus")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
