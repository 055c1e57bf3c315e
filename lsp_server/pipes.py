"""Standard input and output of this process, from its first moment. Standard library only.

A thread reads, because nothing else works with pipes, files and consoles on every system; setting the pipes
non-blocking would change them for the editor as well. It answers ``initialize`` as soon as that has come, while the
rest of the server is still being imported; what comes after that waits for the server.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable

from famulus.lsp_server import handshake
from famulus.lsp_server.framing import BrokenFraming, Frames, frame

CHUNK = 1 << 16
AHEAD = 16
"""Chunks that may be read before they are looked at."""


class Pipes:
    """The two pipes of a language server. One per process."""

    def __init__(self) -> None:
        # What anybody prints by mistake must not land between the messages.
        self._in = os.dup(sys.stdin.fileno())
        self._out = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self.greeted = False
        """Whether ``initialize`` is answered; certain once it was handed on."""
        self._first: Frames | None = Frames()
        self._room = threading.Semaphore(AHEAD)
        self._waiting: list[bytes] = []
        self._take: Callable[[bytes], object] = self._waiting.append
        self._handing = threading.Lock()
        threading.Thread(target=self._read, name="pipes", daemon=True).start()

    def attach(self, take: Callable[[bytes], object]) -> None:
        """From now on ``take`` gets all that comes, none at the end; it is called in the thread that reads, and first
        here with what has come so far."""
        with self._handing:
            for chunk in self._waiting:
                take(chunk)
            self._take = take

    def taken(self) -> None:
        """A chunk is done with: there is room for another."""
        self._room.release()

    def write(self, data: bytes) -> None:
        """Write all of it. Raises OSError."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._out, rest) :]

    def _read(self) -> None:
        chunk = b"more"
        while chunk:
            self._room.acquire()
            try:
                chunk = os.read(self._in, CHUNK)
            except OSError:
                chunk = b""
            if self._first is not None:
                self._greet(self._first, chunk)
            with self._handing:
                self._take(chunk)

    def _greet(self, first: Frames, chunk: bytes) -> None:
        """Answer the first message, once it is whole."""
        with contextlib.suppress(BrokenFraming, OSError):  # the server will find the same
            body = next(first.feed(chunk), None)
            if body is None:
                return
            answer = handshake.answer(body)
            if answer is not None:
                self.greeted = True
                self.write(frame(answer))
        self._first = None
