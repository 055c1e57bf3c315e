"""What caller and supervisor say to each other: 4 bytes of length, big-endian, then JSON."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from typing import Any, TypedDict


class Budget(TypedDict):
    """:class:`limits.Limits` on its way. (Importing dataclasses would double the supervisor's start.)"""

    wall_seconds: float | None
    cpu_seconds: float | None
    memory_bytes: int
    processes: int
    file_bytes: int
    open_files: int
    output_bytes: int
    tmp_bytes: int
    tmp_files: int


class Plan(TypedDict):
    """One run. ``uid`` is the user id for the code of a caller that is root, else 0; ``options`` and ``bwrap`` are
    for bubblewrap, the fields below them for Landlock."""

    backend: str
    argv: list[str]
    uid: int
    limits: Budget
    write: list[str]
    fds: list[int]
    bwrap: str
    options: list[str]
    abi: int
    env: dict[str, str]
    cwd: str | None
    read: list[str]
    devices: list[str]


def send(fd: int, message: Mapping[str, object]) -> None:
    """Write one frame. Raises :class:`OSError`."""
    data = json.dumps(message).encode()
    data = struct.pack(">I", len(data)) + data
    while data:
        data = data[os.write(fd, data) :]


def receive(fd: int) -> dict[str, Any] | None:
    """Read one frame; None at the end of the stream."""
    head = _exactly(fd, 4)
    body = _exactly(fd, struct.unpack(">I", head)[0]) if head else None
    message: dict[str, Any] | None = json.loads(body) if body else None
    return message


def _exactly(fd: int, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        try:
            chunk = os.read(fd, size - len(data))
        except ConnectionResetError:  # the other side ended with bytes of ours unread
            return None
        if not chunk:
            return None
        data += chunk
    return data
