"""A forked copy binds itself and keeps the objects that it holds."""

from __future__ import annotations

import concurrent.futures
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from famulus.sandbox import can_confine, confine, only_look

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
        "named socket": lambda: socket.socketpair(type=socket.SOCK_DGRAM)[0].sendto(b"!", str(tmp_path / "listening")),
        "signal": lambda: os.kill(os.getppid(), 0),
        "processes of others": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes().decode(),
    }

    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(tmp_path / "listening"))

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
        "named socket": "PermissionError",
        "signal": "PermissionError",
        "processes of others": "PermissionError",
    }
    assert (tmp_path / "private" / "file").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "own" / "file").read_text() == "new"
    listening.close()
    assert socket.socket().fileno() > 0  # the parent is as free as before


def test_a_spectator_reads_everything_and_changes_nothing(tmp_path: Path) -> None:
    kept = tmp_path / "file"
    kept.write_text("old")
    tried: dict[str, Callable[[], object]] = {
        "read": kept.read_text,
        "thread": lambda: _in_a_thread(kept.read_text),
        "pair": lambda: len([end.send(b"!") for end in socket.socketpair()]) - 1,
        "null": lambda: Path(os.devnull).write_text("!"),
        "write": lambda: kept.write_text("new"),
        "truncate": lambda: os.truncate(kept, 0),
        "append": lambda: kept.open("a").write("!"),
        "make": lambda: (tmp_path / "new").touch(),
        "make folder": lambda: (tmp_path / "folder").mkdir(),
        "remove": kept.unlink,
        "rename": lambda: kept.rename(tmp_path / "other"),
        "link": lambda: os.link(kept, tmp_path / "link"),
        "mode": lambda: kept.chmod(0),
        "time": lambda: os.utime(kept, (1, 1)),
        "socket": lambda: socket.socket().fileno(),
        "fork": os.fork,
        "program": lambda: os.execv("/bin/true", ["true"]),
        "signal": lambda: os.kill(os.getppid(), 0),
    }

    def bound(work: Callable[[], object]) -> object:
        only_look()
        return work()

    done = {name: forked(lambda work=work: bound(work)) for name, work in tried.items()}
    allowed = {"read": "old", "thread": "old", "pair": 1, "null": 1}
    assert done == {name: allowed.get(name, "PermissionError") for name in tried}
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert kept.read_text() == "old" and kept.stat().st_mode & 0o777 == 0o644 and kept.stat().st_mtime > 1


def _in_a_thread(work: Callable[[], object]) -> object:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()
