"""Runs inside the sandbox and tries to get out. Prints a JSON list of the attempts that succeeded.

Its source is handed to ``python -c``, with the targets as JSON on standard input; it imports only the
standard library. Every attempt is one that a hostile program would make.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

target: dict[str, Any] = json.load(sys.stdin)
libc = ctypes.CDLL(None, use_errno=True)
x86 = os.uname().machine == "x86_64"


def reads_a_secret() -> bool:
    with open(target["secret"]) as file:
        return bool(file.read())


def writes_outside() -> bool:
    with open(target["secret"], "w") as file:
        file.write("gone")
    return True


def creates_outside() -> bool:
    os.mkdir(target["folder"] + "/planted")
    return True


def empties_outside() -> bool:
    os.close(os.open(target["secret"], os.O_RDONLY | os.O_TRUNC))
    return True


def connects_tcp() -> bool:
    socket.create_connection(("127.0.0.1", target["tcp"]), timeout=1).close()
    return True


def sends_udp() -> bool:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", ("127.0.0.1", target["udp"]))
    return True


def connects_unix() -> bool:
    socket.socket(socket.AF_UNIX).connect(target["unix"])
    return True


def reads_other_memory() -> bool:
    with open(f"/proc/{target['pid']}/environ", "rb") as file:
        return os.getpid() > 64 and file.read() is not None


def signals_others() -> bool:
    if target["pid"] <= 64:  # within a namespace of its own, a small number is one of the sandbox's processes
        return False
    os.kill(target["pid"], 0)
    return True


def traces() -> bool:
    return int(libc.ptrace(0, 0, 0, 0)) == 0


def uses_io_uring() -> bool:
    return int(libc.syscall(425, 8, ctypes.create_string_buffer(256))) >= 0


def makes_namespaces() -> bool:
    return int(libc.unshare(0x10000000)) == 0


def reads_keyrings() -> bool:
    return int(libc.syscall(250 if x86 else 219, 0, -4, 0)) >= 0


def inherits_files() -> bool:
    for fd in range(3, 256):
        try:
            os.fstat(fd)
        except OSError:
            continue
        return True
    return False


attempts: list[Callable[[], bool]] = [
    reads_a_secret, creates_outside, empties_outside, writes_outside, connects_tcp, sends_udp, connects_unix,
    reads_other_memory, signals_others, traces, uses_io_uring, makes_namespaces, reads_keyrings,
    inherits_files,
]  # fmt: skip
succeeded: list[str] = []
for attempt in attempts:
    try:
        if attempt():
            succeeded.append(attempt.__name__)
    except OSError:
        continue
print(json.dumps(succeeded))
