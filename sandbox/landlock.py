"""Landlock and seccomp through ctypes: a process confines itself, needs no privilege and cannot undo it.

Structures and constants: ``linux/landlock.h``, versions 1 to 7; system calls 444 to 446 are the same on every
architecture that :mod:`seccomp` has a table for.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable

from . import seccomp

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_CREATE_AND_REMOVE = sum(1 << bit for bit in range(4, 13) if bit not in (6, 11))  # no device files
_ALL_V1, _REFER, _TRUNCATE, _IOCTL_DEV = (1 << 13) - 1, 1 << 13, 1 << 14, 1 << 15
_TCP = 3  # bind, connect
_SCOPE = 3  # abstract sockets, signals
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_SET_SECCOMP, _SECCOMP_FILTER, _NO_NEW_PRIVS = 22, 2, 38


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _syscall(number: int, *arguments: object) -> int:
    call = _libc().syscall
    call.restype = ctypes.c_long
    return int(call(ctypes.c_long(number), *arguments))


def prctl(option: int, *arguments: int) -> int:
    """``prctl(2)``. Raises :class:`OSError`."""
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    return _check(_libc().prctl(option, *padded), f"prctl {option}")


def version() -> int:
    """The kernel's Landlock version, 0 if it has none, it is switched off, or this is not Linux."""
    if sys.platform != "linux":
        return 0
    result = _syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    return max(result, 0)


def _handled(abi: int) -> int:
    rights = _ALL_V1
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        if abi >= since:
            rights |= right
    return rights


def _ruleset(abi: int, rights: int) -> int:
    """A ruleset file descriptor under which nothing of ``rights`` is allowed yet."""
    fields = [rights]
    if abi >= 4:
        fields.append(_TCP)
    if abi >= 6:
        fields.append(_SCOPE)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    fd = _syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    return _check(fd, "landlock_create_ruleset")


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Allow ``rights`` beneath ``path``; a path that does not exist needs no rule."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _ON_FILES
        rule = struct.pack("=Qi", rights, fd)
        _check(
            _syscall(_ADD, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0)),
            f"landlock_add_rule {path}",
        )
    finally:
        os.close(fd)


def ruleset(abi: int, *, read: Iterable[str], write: Iterable[str], devices: Iterable[str]) -> int:
    """A file descriptor for :func:`restrict`: read and execute beneath ``read``, everything but device files
    beneath ``write``, read and write on the single files ``devices``. Raises :class:`OSError`."""
    fd = _ruleset(abi, _handled(abi))
    read_rights = _EXECUTE | _READ_FILE | _READ_DIR
    write_rights = (read_rights | _WRITE_FILE | _CREATE_AND_REMOVE | _REFER | _TRUNCATE) & _handled(abi)
    for path in read:
        _allow(fd, path, read_rights)
    for path in write:
        _allow(fd, path, write_rights)
    for path in devices:
        _allow(fd, path, (_READ_FILE | _WRITE_FILE | _TRUNCATE) & _handled(abi))
    return fd


def write_denying(abi: int, *, devices: Iterable[str]) -> int:
    """A file descriptor for :func:`restrict`: nothing can be written, made or removed but what is written to the
    single files ``devices``; reading is as free as before. Raises :class:`OSError`."""
    rights = _handled(abi) & ~(_EXECUTE | _READ_FILE | _READ_DIR)
    fd = _ruleset(abi, rights)
    for path in devices:
        _allow(fd, path, (_WRITE_FILE | _TRUNCATE | _IOCTL_DEV) & rights)
    return fd


def restrict(ruleset_fd: int, abi: int, filter_: bytes | None = None) -> None:
    """Bind the calling thread, and all that it starts, to the ruleset and the system-call filter, for ever.

    ``filter_`` replaces :func:`seccomp.program`. Call it in a process with one thread. Raises :class:`OSError`.
    """
    prctl(_NO_NEW_PRIVS, 1)
    _check(_syscall(_RESTRICT, ctypes.c_int(ruleset_fd), ctypes.c_uint32(0)), "landlock_restrict_self")
    os.close(ruleset_fd)
    load_filter(filter_ or seccomp.program(os.uname().machine, landlock=abi))


def keep_capabilities(mask: int) -> None:
    """Reduce the process's capabilities to ``mask`` (bits 0 to 31) and make them inheritable. Raises
    OSError."""
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    _check(_libc().capset(header, struct.pack("=6I", mask, mask, mask, 0, 0, 0)), "capset")


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def load_filter(code: bytes) -> None:
    """Load a seccomp filter into the calling thread. Raises :class:`OSError`."""
    header = _Program(len(code) // 8, code)
    pointer = ctypes.cast(ctypes.pointer(header), ctypes.c_void_p).value
    assert pointer is not None
    prctl(_SET_SECCOMP, _SECCOMP_FILTER, pointer)
