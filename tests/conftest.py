"""What all tests share: their order, the installed ``famulus`` command, and one engine for the whole session."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODEL = "famulus-16e"
"""What is served where no setting says otherwise."""
COMMAND = Path(sys.executable).with_name("famulus")
SECONDS = 110
"""The longest that a command may take: the first one packs the model, on a machine with other work."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", action="store_true", help="make the pictures of docs/img anew")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast logic first, then what runs processes, then what takes long; within that the written order.

    Where nobody watches (CI), and where a browser or an editor is driven, a test that fails is run once more; the
    summary names it as a rerun, and one that fails twice has failed.
    """

    def rank(item: pytest.Item) -> int:
        return 2 * (item.get_closest_marker("slow") is not None) + (item.get_closest_marker("e2e") is not None)

    items.sort(key=rank)
    for item in items:
        if "CI" in os.environ or item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@dataclass
class Famulus:
    """The installed command with a home of its own. ``environment`` is added to that of the tests."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(
        self, *arguments: str | os.PathLike[str], stdin: str | bytes = "", cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs the command to its end."""
        done = subprocess.run(
            [COMMAND, *arguments],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            timeout=SECONDS,
            cwd=cwd,
            env=self.env(**environment),
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *arguments: str | os.PathLike[str], **environment: str) -> subprocess.Popen[bytes]:
        """Starts the command with pipes."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [COMMAND, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, env=self.env(**environment)
        )

    def env(self, **environment: str) -> dict[str, str]:
        """The environment of the command: nothing in it may colour or wrap what tests read."""
        kept = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "COLUMNS")}
        return kept | {"FAMULUS_HOME": str(self.home), "COLUMNS": "200"} | self.environment | environment


def short_folder() -> Path:
    """A folder near the root: the path of a socket may have about a hundred bytes, and pytest's own are longer."""
    return Path(tempfile.mkdtemp(prefix="famulus-test-", dir="/tmp" if os.name == "posix" else None))


@pytest.fixture
def lonely() -> Iterator[Famulus]:
    """The command with an empty home, where no engine runs; one that the test starts is ended."""
    home = short_folder()
    famulus = Famulus(home)
    yield famulus
    if (home / "run/engine.json").exists():
        famulus("stop")
    shutil.rmtree(home)


@contextlib.contextmanager
def serving() -> Iterator[Famulus]:
    """The command with a home where ``famulus serve`` runs, with a port as well."""
    home = short_folder()
    famulus = Famulus(home)
    with open(home / "serve.log", "wb") as log:
        engine = subprocess.Popen(
            [COMMAND, "serve", "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=famulus.env(),
        )
    assert engine.stdout is not None
    try:
        announced = iter(engine.stdout.readline, b"")
        assert any(b"The engine listens" in line for line in announced), (home / "serve.log").read_text()
        yield famulus
    finally:
        engine.send_signal(signal.SIGTERM)
        status = engine.wait(30)
        log_text = (home / "serve.log").read_text()
        shutil.rmtree(home)
    assert status == 0, log_text


@pytest.fixture(scope="session")
def served() -> Iterator[Famulus]:
    """One engine for all tests that leave it alive."""
    with serving() as famulus:
        yield famulus


@pytest.fixture(scope="module")
def mortal() -> Iterator[Famulus]:
    """An engine of the module's own, whose worker may be killed."""
    with serving() as famulus:
        yield famulus
