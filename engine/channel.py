"""Length-prefixed frames between the server process and its worker.

A frame is four bytes of little-endian length and that many bytes of MessagePack. The socketpair is inherited
by file descriptor, so nothing listens and nobody else can connect."""

from __future__ import annotations

import asyncio
import selectors
import socket
import struct
import threading

_LENGTH = struct.Struct("<I")
MAX_FRAME = 64 << 20
"""Bytes; a longer frame can only be a broken peer."""


class BrokenChannel(ConnectionError):
    """The other process is gone or no longer speaks frames."""


def frame(payload: bytes) -> bytes:
    """``payload`` with its length in front."""
    return _LENGTH.pack(len(payload)) + payload


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next payload; None at the end of the stream, :class:`BrokenChannel` for a frame out of bounds."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_FRAME:
            raise BrokenChannel(f"a frame of {length} bytes")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        if isinstance(error, BrokenChannel):
            raise
        return None


class WorkerEnd:
    """The worker's end: sends block and are safe from several threads, receiving never blocks unless asked
    to."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        self._sock = sock
        self._sending = threading.Lock()
        self._buffer = bytearray()
        self._selector = selectors.DefaultSelector()
        self._selector.register(sock, selectors.EVENT_READ)

    def send(self, payload: bytes) -> None:
        """Send one frame. Raises OSError when the server is gone."""
        with self._sending:
            self._sock.sendall(frame(payload))

    def receive(self, timeout: float | None) -> list[bytes]:
        """All whole frames that have arrived; waits up to ``timeout`` seconds (None: for ever) for the first
        bytes.

        With ``timeout=0`` and nothing there this is one system call. Raises :class:`BrokenChannel` at the
        end."""
        if not self._selector.select(timeout):
            return []
        chunk = self._sock.recv(1 << 18)
        if not chunk:
            raise BrokenChannel("the server closed the channel")
        self._buffer += chunk
        return self._whole_frames()

    def _whole_frames(self) -> list[bytes]:
        frames: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > MAX_FRAME:
                raise BrokenChannel(f"a frame of {length} bytes")
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            frames.append(bytes(self._buffer[start + _LENGTH.size : end]))
            start = end
        del self._buffer[:start]
        return frames
