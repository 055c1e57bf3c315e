"""Finding and starting the engine: nobody starts a server by hand, and there is never more than one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from famulus.engine import launch
from famulus.engine.client import Client, connect
from famulus.engine.errors import EngineUnavailable, StorageFailed
from famulus.engine.folders import folders
from famulus.engine.runtime import FileLock, RuntimeFiles, read_notice, runtime_files

CORE = ("--core", f"{Path(__file__).parent / 'stand_in_core.py'}:Core")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose engine, if one was started, is ended with the test."""
    place = tmp_path / "home"
    yield place
    if (found := launch.find(place)) is not None:
        Client(found).shutdown()


def files(home: Path) -> RuntimeFiles:
    return runtime_files(folders(home))


def engines(home: Path, module: bytes = b"famulus.engine") -> list[int]:
    """Server processes of this home, or those of another module."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{entry}/cmdline").read_bytes()
            environment = Path(f"/proc/{entry}/environ").read_bytes()
        except OSError:
            continue
        if b"\0" + module + b"\0" in command and f"FAMULUS_HOME={home}".encode() in environment:
            found.append(int(entry))
    return found


def start(home: Path, **options: Any) -> Client:
    return Client(launch.find_or_start(home, arguments=CORE, **options))


def test_starts_an_engine_and_finds_it_again(home: Path) -> None:
    first = start(home).status()
    second = start(home).status()
    assert first["generation"] == second["generation"]
    assert connect(home, start=False).models() == ["stand-in"]


def test_the_engine_outlives_who_started_it(home: Path) -> None:
    program = f"from famulus.engine.launch import *; find_or_start(Path({str(home)!r}), arguments={CORE!r})"
    subprocess.run([sys.executable, "-P", "-c", program], check=True, timeout=60)
    found = launch.find(home)
    assert found is not None
    (pid,) = engines(home)
    assert os.getsid(pid) == pid


def test_many_starters_end_with_one_engine(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        clients = list(pool.map(lambda _: start(home), range(8)))
    assert len({client.status()["generation"] for client in clients}) == 1
    assert len(engines(home)) == 1


def test_starters_in_processes_of_their_own_end_with_one_engine(home: Path) -> None:
    program = f"""
from famulus.engine.client import Client
from famulus.engine.launch import *
print(Client(find_or_start(Path({str(home)!r}), arguments={CORE!r})).status()["generation"])
"""
    starters = [
        subprocess.Popen([sys.executable, "-P", "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert len({starter.communicate(timeout=60)[0] for starter in starters}) == 1
    assert len(engines(home)) == 1


def test_two_servers_started_directly_end_with_one(home: Path) -> None:
    """Even past the launcher: the lock lets only one in, the other says who it is and leaves."""
    environment = os.environ | {"FAMULUS_HOME": str(home)}
    command = [sys.executable, "-P", "-m", "famulus.engine", *CORE]
    start(home)
    second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == launch.EXIT_ALREADY_RUNNING
    assert "already runs" in second.stderr
    assert len(engines(home, b"famulus.engine.worker")) == 1, "the second one's worker went with it"


def test_recovers_from_an_engine_that_was_killed(home: Path, eventually: Any) -> None:
    for _ in range(3):
        before = start(home).status()
        os.kill(before["pid"], signal.SIGKILL)
        eventually(lambda: launch.find(home) is None, 5, "it is gone")
        assert files(home).socket.exists(), "the stale socket is what this test is about"
        assert start(home).status()["generation"] != before["generation"]


def test_recovers_from_stale_files_that_lie(home: Path) -> None:
    runtime = files(home)
    runtime.folder.mkdir(parents=True, mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(runtime.socket))
    lie = {"generation": "x", "pid": os.getpid(), "protocol": 1, "version": "0", "socket": str(runtime.socket)}
    runtime.notice.write_text(json.dumps({**lie, "port": None}))
    runtime.lock.write_text("")
    assert start(home).models() == ["stand-in"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "\x00\xff"])
def test_a_notice_that_makes_no_sense_is_no_notice(tmp_path: Path, text: str) -> None:
    (tmp_path / "engine.json").write_text(text, encoding="latin-1")
    assert read_notice(tmp_path / "engine.json") is None


def test_a_socket_path_that_is_too_long_moves_elsewhere(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    client = start(home)
    path = client.status()["socket"]
    assert len(path.encode()) <= 103
    assert client.models() == ["stand-in"]
    client.shutdown()


def test_an_engine_that_cannot_start_says_why(home: Path) -> None:
    (home / "config").mkdir(parents=True)
    (home / "config" / "famulus.toml").write_text("modell = 'x'")
    with pytest.raises(EngineUnavailable, match="modell"):
        launch.find_or_start(home)


def test_an_interpreter_that_is_missing_is_named(home: Path) -> None:
    with pytest.raises(EngineUnavailable, match="/nowhere/python"):
        start(home, python="/nowhere/python")


def test_a_home_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("not a folder")
    with pytest.raises(StorageFailed, match="home"):
        start(tmp_path / "home")


def test_a_users_modules_and_settings_do_not_reach_the_engine(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook's folder or PYTHONPATH may hold an ``asyncio.py`` of its own."""
    (tmp_path / "asyncio.py").write_text("raise SystemExit('imported the wrong file')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert start(home).models() == ["stand-in"]


def test_the_log_is_private_and_put_aside_when_it_is_long(home: Path) -> None:
    runtime = files(home)
    runtime.folder.mkdir(parents=True, mode=0o700)
    runtime.log.write_bytes(b"x" * (launch.LOG_BYTES + 1))
    start(home)
    assert runtime.log.stat().st_size < launch.LOG_BYTES
    assert runtime.log.stat().st_mode & 0o777 == 0o600
    assert runtime.log.with_suffix(".log.1").exists()


def test_a_lock_ends_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    program = f"""
from pathlib import Path
from famulus.engine.runtime import FileLock
lock = FileLock(Path({str(path)!r}))
print(lock.acquire(), flush=True)
input()
"""
    holder = subprocess.Popen(
        [sys.executable, "-P", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    lock = FileLock(path)
    assert not lock.acquire()
    holder.kill()
    holder.communicate()
    assert lock.acquire()
    lock.release()


def test_a_client_follows_the_engine_to_its_next_life(home: Path, eventually: Any) -> None:
    """An engine leaves when it is idle; whoever asks next starts it again without noticing."""
    client = Client(
        launch.find_or_start(home, arguments=CORE),
        find_again=lambda: launch.find_or_start(home, arguments=CORE),
    )
    client.shutdown()
    eventually(lambda: not engines(home), 10, "it left")
    assert client.models() == ["stand-in"]
