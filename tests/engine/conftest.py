"""Engines for the tests of processes and sockets: the real server and worker around a stand-in core."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from famulus.engine import launch
from famulus.engine.client import Client
from famulus.engine.folders import folders
from famulus.engine.runtime import Address, RuntimeFiles, runtime_files

STAND_IN = Path(__file__).parent / "stand_in_core.py"


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until ``condition`` holds; returns the seconds it took, fails after ``seconds``."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            pytest.fail(f"{what}: not within {seconds} s")
        time.sleep(0.01)
    return time.monotonic() - start


@pytest.fixture(name="eventually")
def _eventually() -> Callable[[Callable[[], bool], float, str], float]:
    """:func:`wait_until` for tests: ``eventually(condition, seconds, what)``."""
    return wait_until


class Running:
    """A served engine below its own home."""

    def __init__(self, home: Path, process: subprocess.Popen[bytes]) -> None:
        self.home, self.process = home, process
        self.files: RuntimeFiles = runtime_files(folders(home))

    @property
    def address(self) -> Address:
        return Address(socket=str(self.files.socket))

    @property
    def client(self) -> Client:
        return Client(self.address)

    @property
    def token(self) -> str:
        return self.files.token.read_text()

    @property
    def port(self) -> int:
        port = self.client.status()["port"]
        assert isinstance(port, int)
        return port

    def http(self, timeout: float = 20.0) -> httpx.Client:
        """A foreign HTTP client over the Unix socket."""
        transport = httpx.HTTPTransport(uds=str(self.files.socket))
        return httpx.Client(transport=transport, base_url="http://localhost", timeout=timeout)

    def worker_pid(self) -> int:
        pid = self.client.status()["worker_pid"]
        assert isinstance(pid, int)
        return pid


Serve = Callable[..., Running]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts engines: ``serve("Slow", "--port", "0")``; each has its own home and is ended with the test."""
    started: list[Running] = []

    def start(core: str = "Core", *arguments: str, ready: bool = True) -> Running:
        home = tmp_path / f"home{len(started)}"
        command = [sys.executable, "-P", "-m", "famulus.engine.server", "--core", f"{STAND_IN}:{core}"]
        log = tmp_path / f"engine{len(started)}.log"
        with open(log, "wb") as stderr:
            process = subprocess.Popen(
                [*command, *arguments],
                stderr=stderr,
                env={"FAMULUS_HOME": str(home), "PATH": "/usr/bin:/bin"},
            )
        running = Running(home, process)
        started.append(running)
        wait_until(
            lambda: launch.find(home) is not None or process.poll() is not None, 20, "the engine listens"
        )
        assert process.poll() is None, log.read_text()
        if ready:
            running.client.models()
        return running

    yield start
    for running in started:
        running.process.terminate()
    for running in started:
        running.process.wait(15)
