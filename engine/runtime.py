"""The files of a running engine in its private folder, and the lock that says whether one runs. Standard
library only.

The lock is the truth: the kernel drops it with the process, so there is no process id that could be somebody
else's by now. ``engine.json`` only says where the door is.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from famulus.engine.folders import SOCKET, Folders, folders, storage_failed


@dataclass(frozen=True)
class RuntimeFiles:
    """Paths inside the runtime folder."""

    folder: Path

    @property
    def socket(self) -> Path:
        return self.folder / SOCKET

    @property
    def token(self) -> Path:
        return self.folder / "engine.token"

    @property
    def log(self) -> Path:
        return self.folder / "engine.log"

    @property
    def notice(self) -> Path:
        return self.folder / "engine.json"

    @property
    def lock(self) -> Path:
        return self.folder / "engine.lock"

    @property
    def start_lock(self) -> Path:
        return self.folder / "start.lock"


def runtime_files(where: Folders | None = None) -> RuntimeFiles:
    """The runtime files below ``where``, by default those of this user."""
    return RuntimeFiles((where or folders()).runtime)


@dataclass(frozen=True)
class Address:
    """Where an engine answers: a Unix socket, or else a loopback port with its token."""

    socket: str | None = None
    port: int | None = None
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Notice:
    """What a running engine writes about itself, for those who look for it."""

    generation: str
    pid: int
    protocol: int
    version: str
    socket: str | None
    port: int | None

    def write(self, path: Path) -> None:
        """Replace ``path`` atomically. Raises :class:`StorageFailed`."""
        write_private(path, json.dumps(asdict(self)))


def read_notice(path: Path) -> Notice | None:
    """The notice at ``path``; None where there is none, or one that this version cannot read."""
    try:
        return Notice(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def read_address(files: RuntimeFiles) -> Address | None:
    """Where the engine of these files says it answers; None when none has said anything."""
    notice = read_notice(files.notice)
    if notice is None:
        return None
    if notice.socket is not None and hasattr(socket, "AF_UNIX"):
        return Address(socket=notice.socket)
    try:
        return Address(port=notice.port, token=files.token.read_text().strip())
    except OSError:
        return None


def write_private(path: Path, text: str) -> None:
    """Write ``path`` atomically, readable by this user alone (0600). Raises :class:`StorageFailed`."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            os.chmod(draft, 0o600)
            file.write(text)
        os.replace(draft, path)
    except OSError as error:
        raise storage_failed(path, error) from error


class FileLock:
    """An exclusive lock that ends with its holder, however that ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free; at once, without waiting. Raises :class:`StorageFailed`."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise storage_failed(self._path, error) from error
        file = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            _lock(file)
        except BlockingIOError:
            file.close()
            return False
        except OSError as error:
            file.close()
            raise storage_failed(self._path, error) from error
        self._file = file
        return True

    def release(self) -> None:
        """Give the lock back; the file stays, because removing it would let two holders in."""
        if self._file is not None:
            self._file.close()
            self._file = None


if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error

else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
