"""A forked copy binds itself and keeps the objects that it holds."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from famulus.sandbox import can_confine, confine

pytestmark = pytest.mark.skipif(not can_confine(), reason="the kernel has no Landlock")


def forked(work: Callable[[], object]) -> object:
    """What `work` answers in a forked child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer: object = work()
        except OSError as error:
            answer = type(error).__name__
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as stream:
        return json.loads(stream.read())


def test_a_confined_copy(tmp_path: Path) -> None:
    data = {"rows": 3}
    for name in ("shown", "own", "private"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    tried: dict[str, Callable[[], object]] = {
        "object": lambda: data["rows"],
        "import": lambda: __import__("zoneinfo").__name__,
        "read": lambda: (tmp_path / "shown" / "file").read_text(),
        "write": lambda: (tmp_path / "own" / "file").write_text("new"),
        "read elsewhere": lambda: (tmp_path / "private" / "file").read_text(),
        "write elsewhere": lambda: (tmp_path / "shown" / "file").write_text("new"),
        "mode elsewhere": lambda: (tmp_path / "private" / "file").chmod(0),
        "socket": lambda: socket.socket().fileno(),
        "signal": lambda: os.kill(os.getppid(), 0),
        "processes of others": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes().decode(),
    }

    def bound(work: Callable[[], object]) -> object:
        confine(readable=[tmp_path / "shown"], writable=[tmp_path / "own"])
        return work()

    assert {name: forked(lambda work=work: bound(work)) for name, work in tried.items()} == {
        "object": 3,
        "import": "zoneinfo",
        "read": "shown",
        "write": 3,
        "read elsewhere": "PermissionError",
        "write elsewhere": "PermissionError",
        "mode elsewhere": None,  # accepted, without effect
        "socket": "PermissionError",
        "signal": "PermissionError",
        "processes of others": "PermissionError",
    }
    assert (tmp_path / "private" / "file").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "own" / "file").read_text() == "new"
    assert socket.socket().fileno() > 0  # the parent is as free as before
