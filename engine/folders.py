"""Where Famulus keeps its files, by the rules of each system. Standard library only: the front ends need it.

``FAMULUS_HOME``, the only environment variable of our own, moves all folders into one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from famulus.engine.errors import StorageFailed

MAX_SOCKET_PATH = 103
"""Bytes that the path of a Unix socket may have (macOS; Linux allows four more)."""
SOCKET = "engine.sock"


@dataclass(frozen=True)
class Folders:
    """Absolute paths, not yet created.

    ``config`` holds ``famulus.toml``; ``data`` holds ``models/``; ``cache`` may be deleted at any time;
    ``runtime`` holds the socket, the token and the log of the running engine.
    """

    config: Path
    data: Path
    cache: Path
    runtime: Path


def folders(home: Path | None = None) -> Folders:
    """The folders under ``home``, else under ``FAMULUS_HOME``, else where the system wants them.

    Raises :class:`StorageFailed` where the user has no home folder at all.
    """
    if home is None and (named := os.environ.get("FAMULUS_HOME")):
        home = Path(named)
    if home is not None:
        home = Path(os.path.abspath(home.expanduser()))
        return Folders(home / "config", home / "data", home / "cache", _short_enough(home / "run"))
    return system_folders()


def system_folders() -> Folders:
    """The folders by the system's rules, whatever ``FAMULUS_HOME`` says. Raises :class:`StorageFailed`."""
    try:
        user = Path.home()
    except RuntimeError:
        raise StorageFailed(
            "No home folder is known for this user.", fix="Set FAMULUS_HOME to a folder of yours."
        ) from None
    if sys.platform == "win32":
        base = _from_environment("LOCALAPPDATA", user / "AppData" / "Local") / "famulus"
        return Folders(base / "config", base / "data", base / "cache", base / "run")
    if sys.platform == "darwin":
        base, cache = user / "Library/Application Support/famulus", user / "Library/Caches/famulus"
        return Folders(base, base, cache, _short_enough(cache / "run"))
    cache = _from_environment("XDG_CACHE_HOME", user / ".cache") / "famulus"
    session = _session_runtime()
    return Folders(
        _from_environment("XDG_CONFIG_HOME", user / ".config") / "famulus",
        _from_environment("XDG_DATA_HOME", user / ".local/share") / "famulus",
        cache,
        _short_enough(session / "famulus" if session else cache / "run"),
    )


def _from_environment(name: str, default: Path) -> Path:
    """The XDG rule: a value that is not an absolute path counts as unset."""
    value = os.environ.get(name, "")
    return Path(value) if os.path.isabs(value) else default


def _session_runtime() -> Path | None:
    """The folder that systemd makes for each user; found without the variable too (ssh, cron)."""
    for path in (_from_environment("XDG_RUNTIME_DIR", Path("/")), Path(f"/run/user/{os.getuid()}")):
        if path != Path("/") and path.is_dir() and os.access(path, os.W_OK):
            return path
    return None


def _short_enough(runtime: Path) -> Path:
    """``runtime``, or a folder of the same identity near the root where its socket path would be too long."""
    if sys.platform == "win32" or len(os.fsencode(runtime / SOCKET)) <= MAX_SOCKET_PATH:
        return runtime
    mark = hashlib.sha256(os.fsencode(runtime)).hexdigest()[:16]
    for base in (_session_runtime(), Path(tempfile.gettempdir()), Path("/tmp")):
        if base is not None and len(os.fsencode(base)) <= 60:
            return base / f"famulus-{os.getuid()}-{mark}"
    return runtime


def private(folder: Path) -> Path:
    """Creates ``folder``, and what is missing above it, for this user alone (0700), and returns it.

    Raises :class:`StorageFailed` where that fails, or where somebody else owns the folder.
    """
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
        found = folder.lstat() if folder.parent == Path(tempfile.gettempdir()) else folder.stat()
        if not stat.S_ISDIR(found.st_mode):
            raise StorageFailed(f"{folder} is not a folder.", fix="Move it away, or set FAMULUS_HOME.")
        if hasattr(os, "getuid"):
            if found.st_uid != os.getuid():
                raise StorageFailed(f"The folder {folder} belongs to another user.", fix="Set FAMULUS_HOME.")
            if found.st_mode & 0o077:
                folder.chmod(0o700)
    except OSError as error:
        raise storage_failed(folder, error) from error
    return folder


def storage_failed(path: Path, error: OSError) -> StorageFailed:
    """The one sentence for a file or folder that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFailed(f"There is no space left to write {path}.", fix="Free some space and try again.")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return StorageFailed(
            f"{path} cannot be written ({error.strerror}).", fix="Set FAMULUS_HOME to a folder of yours."
        )
    return StorageFailed(f"{path} cannot be written ({error.strerror or error}).", fix="Check the disk.")
