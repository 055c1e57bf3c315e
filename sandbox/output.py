"""Bounded capture of a stream: the first and the last 64 KiB are kept, the rest is counted."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

KEEP = 64 * 1024
_READ = 64 * 1024


@dataclass(frozen=True, slots=True)
class Output:
    """What a stream carried: ``head`` and ``tail`` are disjoint; ``total`` counts every byte seen."""

    head: bytes = b""
    tail: bytes = b""
    total: int = 0

    @property
    def omitted(self) -> int:
        """Bytes between ``head`` and ``tail`` that were counted but not kept."""
        return self.total - len(self.head) - len(self.tail)

    @property
    def data(self) -> bytes:
        """Head and tail as one text, with a line that names the gap if there is one."""
        if not self.omitted:
            return self.head + self.tail
        return self.head + b"\n[... %d bytes omitted ...]\n" % self.omitted + self.tail

    @property
    def text(self) -> str:
        """``data`` as text; bytes that are not UTF-8 are shown as escapes."""
        return self.data.decode("utf-8", "backslashreplace")


class Drain(threading.Thread):
    """Reads a pipe to its end so that the writer never blocks, keeping at most ``2 * KEEP`` bytes.

    ``seen`` is called with the size of every chunk, on this thread.
    """

    def __init__(self, fd: int, seen: Callable[[int], None]) -> None:
        super().__init__(name="famulus-sandbox-drain", daemon=True)
        self._fd = fd
        self._seen = seen
        self._lock = threading.Lock()
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._total = 0
        self.start()

    def run(self) -> None:
        try:
            while chunk := os.read(self._fd, _READ):
                self._keep(chunk)
                self._seen(len(chunk))
        finally:
            os.close(self._fd)

    def _keep(self, chunk: bytes) -> None:
        with self._lock:
            self._total += len(chunk)
            room = KEEP - len(self._head)
            self._head += chunk[:room]
            rest = chunk[room:]
            if not rest:
                return
            self._tail.append(rest)
            self._tail_size += len(rest)
            while self._tail_size - len(self._tail[0]) >= KEEP:
                self._tail_size -= len(self._tail.popleft())

    def output(self) -> Output:
        """What was read so far; final once the thread has ended."""
        with self._lock:
            return Output(bytes(self._head), b"".join(self._tail)[-KEEP:], self._total)
