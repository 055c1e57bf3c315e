"""A real browser, and what tests with one share: programs that may be missing, parts from npm, servers that are ended.

Parts are installed into ``.e2e`` when they are first used. ``--screenshots`` makes the pictures of docs/img anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
PARTS = ROOT / ".e2e"
PICTURES = ROOT / "docs/img"
RECIPE = Path(__file__).parent / "playwright"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH")
SECONDS = 30
"""The longest that anything on the page may take."""


# -- the parts


def need(*names: str) -> str:
    """The path of the first of some programs; without any the tests are skipped."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"{names[0]} is not installed")


def npm(*arguments: str, folder: Path) -> None:
    """Runs npm in ``folder``; where it has no network the tests are skipped, except in CI."""
    environment = dict(os.environ)
    if "npm_config_nodedir" not in environment and Path("/usr/include/node/node.h").exists():
        environment["npm_config_nodedir"] = "/usr"  # Debian's headers; else node-gyp fetches some.
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(
        [need("npm"), *arguments, *quiet], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    if "CI" not in os.environ and any(code in done.stderr for code in OFFLINE):
        pytest.skip("npm cannot reach its registry")
    assert done.returncode == 0, f"npm {' '.join(arguments)} in {folder}:\n{done.stdout}{done.stderr}"


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """While this holds, no other run of the tests changes ``.e2e``."""
    PARTS.mkdir(exist_ok=True)
    with open(PARTS / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def once(folder: Path, *sources: Path) -> Iterator[bool]:
    """Whether to make ``folder`` anew: it was not made from these sources, or not to its end."""
    known = hashlib.sha256()
    for source in sources:
        known.update(source.name.encode() + b"\0" + source.read_bytes())
    stamp = folder.with_name(f"{folder.name}.made")
    if stamp.exists() and folder.exists() and stamp.read_text() == known.hexdigest():
        yield False
        return
    stamp.unlink(missing_ok=True)
    yield True
    stamp.write_text(known.hexdigest())


def locked_packages(recipe: Path, folder: Path, finish: Callable[[Path], None] = lambda folder: None) -> None:
    """Installs into ``folder`` what the lock file of ``recipe`` names, unless it is there; then ``finish`` runs."""
    files = (recipe / "package.json", recipe / "package-lock.json")
    with once(folder, *files) as wanted:
        if wanted:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for file in files:
                shutil.copy(file, folder)
            npm("ci", "--ignore-scripts", folder=folder)
            finish(folder)


# -- the page


@dataclass
class Page:
    """A browser page. Every call waits until it is done, or fails after half a minute."""

    driver: subprocess.Popen[str]

    def __call__(self, on: str, method: str, *arguments: Any) -> Any:
        assert self.driver.stdin is not None and self.driver.stdout is not None
        self.driver.stdin.write(json.dumps({"on": on, "method": method, "args": arguments}) + "\n")
        self.driver.stdin.flush()
        answer = json.loads(self.driver.stdout.readline() or '{"error": "the browser has gone"}')
        assert "error" not in answer, f"{method} on {on}: {answer['error']}"
        return answer["value"]

    def keys(self, *names: str) -> None:
        for name in names:
            self("keyboard", "press", name)

    def type(self, text: str) -> None:
        """At the pace of a person in a hurry."""
        self("keyboard", "type", text, {"delay": 30})

    def wait(self, selector: str, state: str = "visible") -> None:
        self(selector, "waitFor", {"state": state})

    def joined(self, selector: str, between: str) -> str:
        """The texts of all elements, from the top to the bottom and from the left to the right."""
        place = "e => e.getBoundingClientRect()"
        order = f"(a, b) => (({place})(a).top - ({place})(b).top) || (({place})(a).left - ({place})(b).left)"
        found = f"[...document.querySelectorAll({json.dumps(selector)})]"
        text = f"{found}.sort({order}).map(e => e.textContent).join({json.dumps(between)})"
        return str(self("page", "evaluate", text)).replace("\u00a0", " ")

    def until(self, what: str, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + SECONDS
        while not holds():
            assert time.monotonic() < deadline, f"{what}: not within {SECONDS} seconds"
            self("page", "waitForTimeout", 100)


@contextlib.contextmanager
def browser(environment: Mapping[str, str]) -> Iterator[Page]:
    """A page of a headless Chromium that lives as long as this holds."""
    chromium, node = need(*BROWSERS), need("node")
    parts = PARTS / "playwright"
    with alone():
        locked_packages(RECIPE, parts)
    pipe = subprocess.PIPE
    command = [node, str(RECIPE / "drive.mjs"), str(parts), chromium]
    driver = subprocess.Popen(command, env=dict(environment), stdin=pipe, stdout=pipe, text=True)
    try:
        yield Page(driver)
    finally:
        end(driver)


# -- the server behind it


@contextlib.contextmanager
def server(command: list[str], environment: Mapping[str, str], log: Path, port: int) -> Iterator[psutil.Process]:
    """A server that listens on ``port`` of this machine; it is ended with all that it started."""
    with open(log, "wb") as written:
        process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + SECONDS
        while not answers(port):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        end(process)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def end(process: subprocess.Popen[Any]) -> None:
    """Ends a process and all that it started."""
    family = []
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    if process.stdin is not None:
        process.stdin.close()
    else:
        process.terminate()
    for left in psutil.wait_procs(family, timeout=3)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()
    process.wait(10)
