"""Confinement of a forked copy of this process, for code that needs the objects which the process already holds.

A copy of a notebook's kernel cannot be started through a launcher: its variables are its memory. So the child
binds itself right after the fork. This is weaker than :func:`launch.run`: descriptors and memory are inherited,
and time and descendants are for the parent to watch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from . import landlock, seccomp
from .errors import SandboxUnavailable, UnsafeView
from .view import DEVICES, ETC, PROC, SYSTEM, refuse_private


def can_confine() -> bool:
    """Whether :func:`confine` works on this machine."""
    return landlock.version() > 0 and os.uname().machine in seccomp.AUDIT_ARCH


def _is_public(path: str) -> bool:
    try:
        refuse_private(Path(path))
    except UnsafeView:
        return False
    return True


def confine(*, readable: Iterable[Path] = (), writable: Iterable[Path] = ()) -> None:
    """Bind the calling process for ever, with all that it starts: no new sockets, no files but the system's, this
    interpreter's and those named, no way to reach other processes.

    Call it in a child that was just forked and has one thread. Sockets and files that are open stay usable, so
    close first what the code must not have. Folders of ``sys.path`` are readable, unless the home folder is one
    of them. Raises :class:`SandboxUnavailable` where the kernel cannot do it and :class:`UnsafeView` for a path
    that must not be shown; then nothing was changed.
    """
    abi = landlock.version()
    if not can_confine():
        raise SandboxUnavailable("This kernel cannot confine a forked process.", fix="See `famulus doctor`.")
    readable, writable = list(readable), list(writable)
    for path in (*readable, *writable):
        refuse_private(path)
    own = {path for path in (sys.prefix, sys.base_prefix, *sys.path) if os.path.isdir(path) and _is_public(path)}
    rules = landlock.ruleset(
        abi,
        read=[*SYSTEM, *ETC, *PROC, f"/proc/{os.getpid()}", *sorted(own), *map(str, readable)],
        write=[str(path) for path in writable],
        devices=DEVICES,
    )
    if os.geteuid() == 0:
        landlock.keep_capabilities(0)
    landlock.restrict(rules, abi)


_READ_ANY_FILE = 1 << 2  # CAP_DAC_READ_SEARCH


def only_look() -> None:
    """Bind the calling process for ever: it reads what it could read before and changes nothing outside itself. No
    file can be written, made, removed or given another mode, no socket made, no process started or signalled.
    Threads, pairs of stream sockets and ``/dev/null`` stay.

    Call it in a child that was just forked and has one thread. What is open stays usable: replace sockets and pipes,
    and reopen files for reading, before. Raises :class:`SandboxUnavailable` where the kernel cannot do it; then
    nothing was changed.
    """
    abi = landlock.version()
    if not can_confine():
        raise SandboxUnavailable("This kernel cannot confine a forked process.", fix="See `famulus doctor`.")
    rules = landlock.write_denying(abi, devices=["/dev/null", "/dev/zero", "/dev/full"])
    if os.geteuid() == 0:
        landlock.keep_capabilities(_READ_ANY_FILE)
    landlock.restrict(rules, abi, seccomp.spectator(os.uname().machine, landlock=abi))
