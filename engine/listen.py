"""The doors of the server: the Unix socket, the loopback port, and the token that the port asks for.

Everything here is done by the process that holds the engine's lock, so whatever lies at the socket's path is
stale."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from famulus.engine.errors import AddressInUse, StorageFailed
from famulus.engine.folders import MAX_SOCKET_PATH, storage_failed
from famulus.engine.runtime import write_private

BACKLOG = 128


@dataclass(frozen=True)
class UnixDoor:
    """A listening Unix socket and the file that stands for it."""

    sock: socket.socket
    path: Path
    identity: tuple[int, int]

    def remove(self) -> None:
        """Remove the file, unless another engine has put its own there meanwhile."""
        try:
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == self.identity:
                os.unlink(self.path)
        except FileNotFoundError:
            return


def bind_unix(path: Path) -> UnixDoor:
    """Listen at ``path``, mode 0600, replacing a stale socket in one step.

    The socket is bound beside its place and moved there when it already listens, so nobody ever meets a door
    that refuses. Raises :class:`AddressInUse` for a live listener or a file that is no socket,
    :class:`StorageFailed`."""
    draft = path.with_suffix(".new")
    if len(os.fsencode(draft)) > MAX_SOCKET_PATH:
        raise StorageFailed(f"The socket path {path} is too long.", fix="Set FAMULUS_HOME to a shorter path.")
    _refuse_living(path)
    draft.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o177)
    try:
        sock.bind(os.fspath(draft))
        sock.listen(BACKLOG)
        os.replace(draft, path)
        found = os.lstat(path)
    except OSError as error:
        sock.close()
        raise storage_failed(path, error) from error
    finally:
        os.umask(umask)
    return UnixDoor(sock, path, (found.st_dev, found.st_ino))


def _refuse_living(path: Path) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise AddressInUse(f"{path} is not a socket.", fix="Move it away and start again.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except OSError as error:
            raise AddressInUse(f"{path} is in an unknown state ({error}).", fix="Remove it and start again.") from error
    raise AddressInUse(f"Another program already listens at {path}.", fix="End it and start again.")


def bind_tcp(port: int) -> socket.socket:
    """Listen on 127.0.0.1; port 0 takes a free one. Raises :class:`AddressInUse`."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            # On Windows this option would let somebody else take the port from under us.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        sock.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise AddressInUse(f"Port {port} is already in use.", fix="Choose another with --port.") from error
        raise AddressInUse(f"Port {port} cannot be opened ({error}).", fix="Choose another with --port.") from error
    return sock


def new_token(path: Path) -> str:
    """Draw a fresh 256-bit token and write it to ``path`` (0600). Raises :class:`StorageFailed`."""
    token = secrets.token_urlsafe(32)
    write_private(path, token)
    return token


def peer_uid(sock: socket.socket) -> int | None:
    """The user at the other end of a Unix socket; None where the system does not say."""
    if hasattr(socket, "SO_PEERCRED"):
        size = struct.calcsize("3i")
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return int(uid)
    if hasattr(socket, "LOCAL_PEERCRED"):  # macOS: struct xucred { u_int version; uid_t uid; ... }
        _, uid = struct.unpack("2I", sock.getsockopt(0, socket.LOCAL_PEERCRED, struct.calcsize("2I")))
        return int(uid)
    return None
