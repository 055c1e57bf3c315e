"""A fresh process beside a kernel that cannot be copied. It holds nothing of the user's; for each rehearsal it forks a
child, which cuts itself off, unpacks what the code needs and runs it. It ends with the kernel."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import mmap
import os
import select
import shutil
import signal
import socket
import sys
import sysconfig
import tempfile
from typing import Any, NoReturn

from famulus.jupyter_kernel.candidate import Effect
from famulus.jupyter_kernel.rehearse import child, travel
from famulus.sandbox import landlock

HEADER = 8
FDS = 5
"""Descriptors of a request: report, standard output, standard error, status, luggage."""


def main(control: int, parent: int) -> None:
    """Answers requests on the socket ``control`` until the kernel closes it."""
    landlock.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        return
    shell = _bare_shell()
    requests = socket.socket(fileno=control)
    waiting: dict[int, tuple[int, int]] = {}
    poller = select.poll()
    poller.register(requests, select.POLLIN)
    while True:
        for fd, _ in poller.poll():
            if fd in waiting:
                poller.unregister(fd)
                _tell_end(fd, *waiting.pop(fd))
                continue
            message, fds, _, _ = socket.recv_fds(requests, 16, FDS)
            if not message:
                return
            pid, status = _fork(shell, fds, [fd for fd, _ in waiting.values()])
            pidfd = os.pidfd_open(pid)
            waiting[pidfd] = pid, status
            poller.register(pidfd, select.POLLIN)
            requests.send(str(pid).encode())


def _tell_end(pidfd: int, pid: int, status: int) -> None:
    _, ended = os.waitpid(pid, 0)
    os.close(pidfd)
    with contextlib.suppress(OSError):  # the kernel wants to know no more
        os.write(status, ended.to_bytes(4, "big"))
    os.close(status)


def _fork(shell: Any, fds: list[int], others: list[int]) -> tuple[int, int]:
    report, stdout, stderr, status, luggage = fds
    data = memoryview(mmap.mmap(luggage, 0, mmap.MAP_PRIVATE, mmap.PROT_READ))
    length = int.from_bytes(data[:HEADER], "big")
    request = json.loads(bytes(data[HEADER : HEADER + length]))
    packed = data[HEADER + length :]
    for module in travel.modules(packed):
        if _is_installed(module):
            with contextlib.suppress(Exception):  # the child will tell
                importlib.import_module(module)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(shell, request, packed, (report, stdout, stderr), parent)
    del data, packed
    for fd in (report, stdout, stderr, luggage):
        os.close(fd)
    return pid, status


def _become(
    shell: Any, request: dict[str, Any], packed: memoryview, fds: tuple[int, int, int], parent: int
) -> NoReturn:
    try:
        report, stdout, stderr = fds

        def prepare() -> None:
            sys.path[:] = request["path"]
            os.chdir(request["cwd"])
            os.environ.clear()
            os.environ.update(request["environ"])
            travel.unpack(packed, shell.user_ns)
            if request["numpy"] is not None and "numpy" in sys.modules:
                sys.modules["numpy"].random.set_state(request["numpy"])

        version, numbers, gauss = request["random"]
        allowed = tuple(Effect(kind, what) for kind, what in request["allowed"])
        task = child.Task(
            shell, request["code"], report, stdout, stderr, request["memory"], request["cpu_seconds"], allowed, parent,
            (version, tuple(numbers), gauss), prepare,
        )  # fmt: skip
        child.main(task)
    finally:
        os._exit(child.LEFT_EARLY)


def _is_installed(module: str) -> bool:
    """Whether importing it runs nothing of the user's own, so that it may be done once for all rehearsals."""
    spec = importlib.util.find_spec(module.partition(".")[0])
    origin = spec.origin if spec is not None else None
    if origin is None or origin in ("built-in", "frozen"):
        return origin is not None
    places = [os.path.realpath(place) for place in sysconfig.get_paths().values()]
    return any(os.path.realpath(origin).startswith(place + os.sep) for place in places)


def _bare_shell() -> Any:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    folder = tempfile.mkdtemp()
    try:
        return InteractiveShell.instance(config=config, ipython_dir=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
