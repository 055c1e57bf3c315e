"""What a forked child does before any code runs: it keeps its memory and loses its ways to the outside. Linux only.

An audit hook sees neither native libraries nor what is open already. So every descriptor that is shared with the
kernel is replaced, every mapping that is shared with others becomes private, and then the system refuses the rest.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import re
import resource
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from typing import NamedTuple

from famulus import sandbox
from famulus.sandbox import landlock

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_MAP_FIXED, _MREMAP_MOVE_FIXED = 0x10, 3
_O_PATH = 0o10000000
_KEPT_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_MOST_COPIED = 256 << 20
_LINE = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) (r|-)(w|-)(x|-)s ([0-9a-f]+) \S+ (\d+) *(.*)$", re.MULTILINE)
_FILE_BYTES = 64 << 20
_CHUNK = 1 << 20


class CannotIsolate(Exception):
    """The child could not be cut off; no code may run in it."""


class SharedFile(NamedTuple):
    """A writable mapping of a file that is private now: what is written to it would have reached the file."""

    start: int
    end: int
    path: str


def leave_family(parent: int) -> None:
    """Own session, default signals, no debugger; dies with its parent, and first when memory runs out."""
    os.setsid()
    landlock.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    signal.set_wakeup_fd(-1)
    for number in range(1, signal.NSIG):
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    sys.settrace(None)
    sys.setprofile(None)
    threading.settrace(None)
    with contextlib.suppress(OSError):
        os.nice(5)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def cut_off(*, keep: set[int], stdout: int, stderr: int, memory: int, cpu_seconds: int) -> list[SharedFile]:
    """Isolate this process for ever. ``keep`` are descriptors that stay, ``stdout`` and ``stderr`` take what native
    code prints, ``memory`` is in bytes beyond what it has now. Raises :class:`CannotIsolate`."""
    try:
        shared = _own_mappings()
        _own_descriptors(keep | {stdout, stderr})
        _standard_streams(stdout, stderr)
        _limit(memory, cpu_seconds)
        sandbox.only_look()
    except (OSError, sandbox.SandboxError) as error:
        raise CannotIsolate(str(error)) from error
    return shared


def _own_descriptors(keep: set[int]) -> None:
    """Sockets, pipes and event queues become /dev/null; regular files are opened anew for reading, at their offset."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in [int(name) for name in os.listdir("/proc/self/fd")]:
        if fd in keep or fd == null:
            continue
        try:
            status = os.fstat(fd)
        except OSError:  # it listed this very folder
            continue
        if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
            _open_anew(fd, null, seek=stat.S_ISREG(status.st_mode))
        elif not (stat.S_ISCHR(status.st_mode) and os.readlink(f"/proc/self/fd/{fd}") in _KEPT_DEVICES):
            os.dup2(null, fd, inheritable=False)
    os.close(null)


def _open_anew(fd: int, null: int, *, seek: bool) -> None:
    try:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & _O_PATH:
            return
        if os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:"):
            new = _copied(fd)
        else:
            new = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # may be written but not read
        os.dup2(null, fd, inheritable=False)
        return
    if seek:
        os.lseek(new, os.lseek(fd, 0, os.SEEK_CUR), os.SEEK_SET)
    os.dup2(new, fd, inheritable=False)
    os.close(new)


def _copied(fd: int) -> int:
    """A copy of an anonymous file: it stands in no folder, so Landlock would let it be opened for writing again."""
    new = os.memfd_create("copy")
    size = min(os.fstat(fd).st_size, _MOST_COPIED)
    done = 0
    while done < size and (part := os.copy_file_range(fd, new, size - done, done, done)):
        done += part
    return new


def _standard_streams(stdout: int, stderr: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd, target in ((0, null), (1, null), (2, null)):
        os.dup2(target, fd)
    ctypes.CDLL(None).fflush(None)  # what native code of the kernel has not yet printed is the kernel's to print
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.close(null)


def _limit(memory: int, cpu_seconds: int) -> None:
    with open("/proc/self/status", "rb") as file:
        data = next(int(line.split()[1]) << 10 for line in file if line.startswith(b"VmData:"))
    for what, limit in (
        (resource.RLIMIT_DATA, data + memory),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, _FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, most = resource.getrlimit(what)
        wanted = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(what, (wanted, wanted))


# -- mappings


class _Mapping(NamedTuple):
    start: int
    end: int
    protection: int
    offset: int
    inode: int
    path: str


def _shared_mappings() -> Iterator[_Mapping]:
    with open("/proc/self/maps", "rb") as file:
        text = file.read()
    for start, end, read, write, execute, offset, inode, path in _LINE.findall(text):
        protection = sum(
            bit
            for letter, bit in ((read, mmap.PROT_READ), (write, mmap.PROT_WRITE), (execute, mmap.PROT_EXEC))
            if letter != b"-"
        )
        name = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), path)
        yield _Mapping(int(start, 16), int(end, 16), protection, int(offset, 16), int(inode), os.fsdecode(name))


def _own_mappings() -> list[SharedFile]:
    """Every shared mapping becomes private, with the contents it has. Returns those of files that could be written."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    files = []
    for mapping in _shared_mappings():
        if mapping.path.startswith("/dev/") and not mapping.path.startswith(("/dev/shm/", "/dev/zero")):
            raise CannotIsolate(f"the device {mapping.path} is mapped into the kernel")
        if not _map_file(libc, mapping):
            _map_copy(libc, mapping)
        if mapping.path.startswith("/") and mapping.inode and mapping.protection & mmap.PROT_WRITE:
            files.append(SharedFile(mapping.start, mapping.end, mapping.path))
    return files


def _map_file(libc: ctypes.CDLL, mapping: _Mapping) -> bool:
    """Map the same file privately in the same place; False if it has no name any more, or may not be read."""
    try:
        fd = os.open(mapping.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return False
    try:
        if os.fstat(fd).st_ino != mapping.inode:
            return False
        size = mapping.end - mapping.start
        flags = mmap.MAP_PRIVATE | _MAP_FIXED
        place = libc.mmap(mapping.start, size, mapping.protection, flags, fd, mapping.offset)
        return bool(place == mapping.start)
    finally:
        os.close(fd)


def _map_copy(libc: ctypes.CDLL, mapping: _Mapping) -> None:
    """Put a private copy in the place of memory that has no file; where it is large, let it only be read."""
    size = mapping.end - mapping.start
    if size > _MOST_COPIED or not mapping.protection & mmap.PROT_READ:
        if libc.mprotect(mapping.start, size, mapping.protection & ~mmap.PROT_WRITE):
            raise CannotIsolate("shared memory could not be protected")
        return
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    copy = libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
    memory = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)  # unlike a pointer, it stands holes in files
    try:
        for done in range(0, size, _CHUNK):
            part = (ctypes.c_char * min(_CHUNK, size - done)).from_address(copy + done)
            with contextlib.suppress(OSError):
                os.preadv(memory, [part], mapping.start + done)
    finally:
        os.close(memory)
    moved = libc.mremap(copy, size, size, _MREMAP_MOVE_FIXED, mapping.start)
    if moved != mapping.start or libc.mprotect(mapping.start, size, mapping.protection):
        raise CannotIsolate("shared memory could not be copied")
