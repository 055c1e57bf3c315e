"""Find this user's engine, or start it: no user ever starts a server by hand. Standard library only.

Any number of front ends may look at the same moment: one of them starts the engine under ``start.lock``, the
others wait and find it. Whether an engine runs is told by its own lock (see :mod:`famulus.engine.runtime`),
never by a process id or by a file that was left behind."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from famulus.engine.errors import EngineUnavailable
from famulus.engine.folders import folders, private, storage_failed
from famulus.engine.runtime import Address, FileLock, RuntimeFiles, read_address, runtime_files

PROBE_SECONDS = 2.0
START_SECONDS = 20.0
POLL_SECONDS = 0.02
LOG_BYTES = 4 << 20
EXIT_ALREADY_RUNNING = 4
"""Exit status of a server that finds another one running."""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(self._path)
        except BaseException:
            self.sock.close()
            raise


def open_connection(address: Address, timeout: float) -> http.client.HTTPConnection:
    """An HTTP connection to ``address``, not yet connected. Proxies are never asked."""
    if address.socket is not None:
        return UnixConnection(address.socket, timeout)
    return http.client.HTTPConnection("127.0.0.1", address.port, timeout=timeout)


def answers(address: Address) -> bool:
    """Does a server answer there within two seconds?"""
    connection = open_connection(address, PROBE_SECONDS)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def find(home: Path | None = None) -> Address | None:
    """The running engine of this user (or below ``home``); None when none answers."""
    address = read_address(runtime_files(folders(home)))
    return address if address is not None and answers(address) else None


def find_or_start(
    home: Path | None = None,
    *,
    python: str = sys.executable,
    arguments: Sequence[str] = (),
    timeout: float = START_SECONDS,
) -> Address:
    """The running engine of this user, started if there is none.

    ``python`` is Famulus's own interpreter (a notebook kernel may run in another one); ``arguments`` go to
    :mod:`famulus.engine.__main__`. Raises :class:`EngineUnavailable` with the reason, :class:`StorageFailed`.
    """
    found = find(home)
    if found is not None:
        return found
    files = RuntimeFiles(private(folders(home).runtime))
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with _only_starter(files) as chosen:
            found = find(home)
            if found is None and chosen:
                found = _start(files, home, python, arguments, deadline)
        if found is not None:
            return found
        time.sleep(POLL_SECONDS)
    raise EngineUnavailable(f"The engine did not answer within {timeout:.0f} s.", fix=f"Look into {files.log}.")


@contextlib.contextmanager
def _only_starter(files: RuntimeFiles) -> Iterator[bool]:
    """True for the one front end that may start the engine now."""
    lock = FileLock(files.start_lock)
    try:
        yield lock.acquire()
    finally:
        lock.release()


def _start(
    files: RuntimeFiles, home: Path | None, python: str, arguments: Sequence[str], deadline: float
) -> Address | None:
    """Start the engine and wait until it answers; None when another one turns out to be running or
    leaving."""
    process = _spawn(files, home, python, arguments)
    while time.monotonic() < deadline:
        found = find(home)
        if found is not None:
            # Somebody has to take note when the engine leaves, or it would stay as a zombie of this process.
            threading.Thread(target=process.wait, name="engine-reaper", daemon=True).start()
            return found
        status = process.poll()
        if status == EXIT_ALREADY_RUNNING:
            return None
        if status is not None:
            raise EngineUnavailable(f"The engine ended at its start. {_last_words(files.log)}".strip())
        time.sleep(POLL_SECONDS)
    process.kill()
    process.wait()
    return None


def _spawn(files: RuntimeFiles, home: Path | None, python: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if home is not None:
        environment["FAMULUS_HOME"] = os.fspath(home)
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
    try:
        with _open_log(files.log) as log:
            return subprocess.Popen(
                [python, "-P", "-m", "famulus.engine", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=files.folder,
                env=environment,
                start_new_session=True,
                creationflags=flags,
            )
    except OSError as error:
        raise EngineUnavailable(
            f"{python} cannot be started ({error.strerror}).", fix="Install Famulus again."
        ) from error


@contextlib.contextmanager
def _open_log(path: Path) -> Iterator[int]:
    """The log, for appending, private; a long one is put aside first."""
    try:
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise storage_failed(path, error) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _last_words(log: Path) -> str:
    """The message of the last error in the log, or its last line."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - 16384))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            record = json.loads(line)
            if record["level"] == "error":
                return str(record["message"])
    return lines[-1] if lines else ""
