"""Room for packed weights: copies that can be made again, of which those go that nobody has used for longest.

A process that has mapped one holds a lock on it until it ends, and what is locked is never removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

MOST_BYTES = 16 << 30
"""Of all packed files together, the one that was made last aside."""

STALE = 3600.0
"""Seconds after which a half-made packed file belongs to nobody."""

UNUSED = 60 * 86_400.0
"""Seconds without use after which a packed file is removed: torch, the model or the precision have changed since."""

STAMPS = "verified"
"""The folder beside the packed files that says which of them were verified."""

HALF_MADE = "packing-"
"""How the names of folders begin in which something is being packed."""

PACKED = "packed.safetensors"


def hold(folder: Path) -> None:
    """Note that the packed file in ``folder`` is used now, and lock it for as long as this process lives."""
    with contextlib.suppress(OSError):  # a cache that is only readable
        os.utime(folder)
    _locked(folder, exclusively=False)


def make_room(kept: Path, made: Path) -> None:
    """Remove from ``kept`` what a killed process left half made, what nobody has used for long, and what is too much
    beside ``made``."""
    now = time.time()
    left: list[tuple[bool, float, int, Path]] = []
    for folder in kept.iterdir():
        with contextlib.suppress(OSError):  # another process tidies as well
            used = folder.stat().st_mtime
            half_made = folder.name.startswith(HALF_MADE)
            if folder.name == STAMPS or folder == made:
                continue
            in_use = not half_made and _in_use(folder)
            if used < now - (STALE if half_made else UNUSED) and not in_use:
                shutil.rmtree(folder, ignore_errors=True)
            elif not half_made:
                left.append((in_use, used, sum(file.stat().st_size for file in folder.iterdir()), folder))
    total = 0
    for in_use, _, size, folder in sorted(left, reverse=True):
        if in_use or total + size <= MOST_BYTES:
            total += size
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _in_use(folder: Path) -> bool:
    lock = _locked(folder, exclusively=True)
    if lock is not None and lock != _TAKEN:
        os.close(lock)
    return lock == _TAKEN


_TAKEN = -1


def _locked(folder: Path, *, exclusively: bool) -> int | None:
    """A descriptor that holds a lock on a packed file; :data:`_TAKEN` if another one does, None without locks."""
    try:
        import fcntl
    except ImportError:  # Windows removes no file that is open
        return None
    try:
        file = os.open(folder / PACKED, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return None
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusively else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        return _TAKEN if isinstance(error, BlockingIOError) else None  # else a file system that has no locks
    return file
