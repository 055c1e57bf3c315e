"""Messages between processes: four bytes of length, then JSON."""

from __future__ import annotations

import json
import os
import select
import struct
import time
from typing import Any, Dict  # noqa: UP035

Message = Dict[str, Any]  # noqa: UP006  # an alias is evaluated, and must be so in Python 3.8
LARGEST = 64 << 20


def send(fd: int, message: Message) -> None:
    """Write one message."""
    data = json.dumps(message).encode()
    view = memoryview(struct.pack(">I", len(data)) + data)
    while view:
        view = view[os.write(fd, view) :]


def receive(fd: int, seconds: float | None = None) -> Message | None:
    """Read one message, None at the end of the stream.

    Raises TimeoutError after ``seconds``, and ValueError for bytes that are no message."""
    deadline = None if seconds is None else time.monotonic() + seconds
    head = _exactly(fd, 4, deadline)
    if head is None:
        return None
    size = struct.unpack(">I", head)[0]
    if size > LARGEST:
        raise ValueError("no message")
    body = _exactly(fd, size, deadline)
    message = None if body is None else json.loads(body)
    if message is not None and not isinstance(message, dict):
        raise ValueError("no message")
    return message


def _exactly(fd: int, size: int, deadline: float | None) -> bytes | None:
    parts = []
    while size:
        if deadline is not None:
            poller = select.poll()
            poller.register(fd, select.POLLIN)
            if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError
        part = os.read(fd, min(1 << 20, size))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
