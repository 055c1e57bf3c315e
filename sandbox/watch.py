"""Measures a tree of processes and a folder from outside, through /proc. Linux only."""

from __future__ import annotations

import errno
import os
import time
from typing import NamedTuple

_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_FORGET_SECONDS = 1.0


class Process(NamedTuple):
    """One line of /proc/PID/stat: seconds of CPU (with reaped children), bytes resident, parent, threads."""

    pid: int
    parent: int
    cpu: float
    resident: int
    threads: int


def read_process(proc: str, pid: int) -> Process | None:
    """The process, or None if it is gone."""
    try:
        with open(f"{proc}/{pid}/stat", "rb") as file:
            line = file.read()
    except OSError:
        return None
    fields = line[line.rindex(b")") + 2 :].split()  # the name before it may hold spaces and brackets
    if fields[0] in (b"Z", b"X"):
        return Process(pid, int(fields[1]), 0.0, 0, 0)
    cpu = sum(int(value) for value in fields[11:15]) / _TICK
    return Process(pid, int(fields[1]), cpu, int(fields[21]) * _PAGE, int(fields[17]))


def _pids(proc: str) -> list[int]:
    return [int(name) for name in os.listdir(proc) if name.isdigit()]


class Namespace:
    """All processes of a PID namespace, read from its own /proc, and the folders that its mounts hold."""

    def __init__(self, first: int) -> None:
        self.proc = ""
        self._root = f"/proc/{first}/root"
        self._folders: list[int] = []

    def processes(self) -> list[Process]:
        """What lives in it now; empty before it has a /proc of its own and once it ended."""
        if not self.proc and not self._enter():
            return []
        try:
            pids = _pids(self.proc)
        except OSError:
            return []
        return [process for pid in pids if (process := read_process(self.proc, pid))]

    def _enter(self) -> bool:
        """Hold on to its folders, once they are there: until then its first process still sees the machine's,
        and afterwards the number of that process may be another's."""
        folders: list[int] = []
        try:
            folders = [os.open(self._root + folder, os.O_PATH) for folder in ("/proc", "/tmp", "/dev/shm")]
            os.readlink("self", dir_fd=folders[0])
        except FileNotFoundError:
            if len(folders) == 3:  # a /proc in which this process does not exist
                self.proc, self._folders = f"/proc/self/fd/{folders[0]}", folders[1:]
                return True
        except OSError:  # its first process is gone
            pass
        for fd in folders:
            os.close(fd)
        return False

    def file_count(self) -> int:
        """The largest number of files in one of its temporary folders."""
        counts = [os.statvfs(fd) for fd in self._folders]
        return max((count.f_files - count.f_ffree for count in counts), default=0)


class Descendants:
    """All descendants of a process that adopts orphans (a subreaper), without a namespace.

    Processes that are known to be strangers are not read again for a second; a stranger's child is a stranger
    for ever, and a process id is not handed out twice within that time.
    """

    proc = "/proc"

    def __init__(self, root: int) -> None:
        self._root = root
        self._strangers: set[int] = set()
        self._forget_at = 0.0

    def processes(self) -> list[Process]:
        """The descendants, parents before children where known."""
        if time.monotonic() >= self._forget_at:
            self._strangers.clear()
            self._forget_at = time.monotonic() + _FORGET_SECONDS
        pids = set(_pids(self.proc))
        self._strangers &= pids
        children: dict[int, list[Process]] = {}
        for pid in pids - self._strangers:
            process = read_process(self.proc, pid)
            if process:
                children.setdefault(process.parent, []).append(process)
        found: list[Process] = []
        waiting = [self._root]
        while waiting:
            below = children.pop(waiting.pop(), [])
            found += below
            waiting += [process.pid for process in below]
        self._strangers |= pids - {process.pid for process in found} - {self._root}
        return found


def shared_fairly(proc: str, pid: int) -> int:
    """Resident bytes with every shared page counted in parts (PSS); 0 if the process is gone."""
    try:
        with open(f"{proc}/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def user_threads(uid: int) -> int:
    """Threads of one user on the whole machine: what the kernel compares with RLIMIT_NPROC."""
    total = 0
    for pid in _pids("/proc"):
        try:
            if os.stat(f"/proc/{pid}").st_uid == uid and (process := read_process("/proc", pid)):
                total += process.threads
        except OSError:
            continue
    return total


def folder_usage(path: str, *, most_files: int) -> tuple[int, int]:
    """Bytes and files beneath ``path``, links not followed; counting stops above ``most_files``. A tree too
    deep for the system to name counts as too many files."""
    size = files = 0
    waiting = [path]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listing:
                for entry in listing:
                    files += 1
                    if files > most_files:
                        return size, files
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return size, most_files + 1
    return size, files
