"""Bytes from Jupyter's ports to the sockets of a kernel that no network reaches.

The kernel in its sandbox has a network of its own and listens on Unix sockets. This process listens where Jupyter
expects the kernel and hands on what comes, both ways; messages stay signed, or encrypted, from end to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
_CHUNK = 1 << 16
_LOOK_EVERY = 0.02


def listeners(connection: Mapping[str, Any]) -> list[socket.socket]:
    """A bound socket for each of :data:`CHANNELS`, which does not listen yet. Raises :class:`OSError`."""
    bound: list[socket.socket] = []
    try:
        for channel in CHANNELS:
            bound.append(_bound(connection, connection[f"{channel}_port"]))
    except BaseException:
        for one in bound:
            one.close()
        raise
    return bound


def _bound(connection: Mapping[str, Any], port: int) -> socket.socket:
    host = connection["ip"]
    address: Any
    if connection["transport"] == "ipc":
        family, address = socket.AF_UNIX, f"{host}-{port}"
        Path(address).unlink(missing_ok=True)
    else:
        family, *_, address = socket.getaddrinfo("0.0.0.0" if host == "*" else host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except BaseException:
        made.close()
        raise
    return made


class Relay:
    """``bound`` are the sockets of :func:`listeners`, ``door`` the descriptor of the folder with the kernel's own,
    which are called ``k-1`` to ``k-5``. ``asked`` is called when the kernel is asked something on its first channel,
    the shell: somebody works with it."""

    def __init__(self, bound: Sequence[socket.socket], door: int, asked: Callable[[], None]) -> None:
        self._bound, self._door, self._asked = bound, door, asked
        self._servers: list[asyncio.Server] = []
        self._running: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen as soon as the kernel does. Raises :class:`OSError` for something else in a socket's place."""
        for number, listener in enumerate(self._bound, start=1):
            inner = await self._socket(f"k-{number}")
            told = self._asked if number == 1 else _nothing

            async def connected(
                reader: asyncio.StreamReader,
                writer: asyncio.StreamWriter,
                inner: int = inner,
                told: Callable[[], None] = told,
            ) -> None:
                task = asyncio.current_task()
                assert task is not None
                self._running.add(task)
                task.add_done_callback(self._running.discard)
                with contextlib.suppress(asyncio.CancelledError):  # at the end; asyncio would report it as an error
                    await _connect(reader, writer, inner, told)

            start = asyncio.start_unix_server if listener.family == socket.AF_UNIX else asyncio.start_server
            self._servers.append(await start(connected, sock=listener))

    async def _socket(self, name: str) -> int:
        """The kernel's socket, held: code that runs later cannot put something else in its place."""
        while True:
            with contextlib.suppress(FileNotFoundError):
                found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._door)
                if not stat.S_ISSOCK(os.fstat(found).st_mode):
                    raise OSError(f"{name} is not a socket")
                return found
            await asyncio.sleep(_LOOK_EVERY)

    async def close(self, seconds: float) -> None:
        """Hand on what the kernel said last, for ``seconds`` at most, and hang up."""
        for server in self._servers:
            server.close()
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)


async def _connect(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inner: int, told: Callable[[], None]
) -> None:
    try:
        other_reader, other_writer = await asyncio.open_unix_connection(f"/proc/self/fd/{inner}")
    except OSError:  # it has just left, or does not listen yet; ZeroMQ tries again by itself
        writer.close()
        return
    pumps = [
        asyncio.ensure_future(_pump(reader, other_writer, told)),
        asyncio.ensure_future(_pump(other_reader, writer, _nothing)),
    ]
    try:
        # When either side has gone, nobody is left who could answer the other.
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        for end in (writer, other_writer):
            end.close()
        for end in (writer, other_writer):
            with contextlib.suppress(OSError):
                await end.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, told: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            told()
            writer.write(data)
            await writer.drain()


def _nothing() -> None:
    """For whom nobody wants to know."""
