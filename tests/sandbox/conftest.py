"""Which backends the tests run on: all that this machine offers; a missing one is skipped by name."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from famulus.sandbox import selftest
from famulus.sandbox.process import Backend

ROOT = Path(selftest.__file__).resolve().parents[1]


@functools.cache
def problem(backend: Backend) -> str:
    return selftest.check(backend)


@pytest.fixture(params=["bubblewrap", "landlock"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn. One that is there but lets something through is a failure, not a skip."""
    name: Backend = request.param
    found = problem(name)
    if found:
        assert "let the self-test through" not in found
        pytest.skip(found)
    return name


@functools.cache
def other_user_python() -> str:
    """An interpreter that an unprivileged user can run; empty if there is none."""
    for candidate in (shutil.which("python3", path="/usr/local/bin:/usr/bin"), sys.executable):
        if candidate and as_nobody([candidate, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]) == "":
            return candidate
    return ""


def as_nobody(argv: list[str]) -> str | None:
    """The standard output of a command run as `nobody`; None if it cannot be run or fails."""
    try:
        done = subprocess.run(
            argv, user=65534, group=65534, extra_groups=[], cwd="/", env={"PATH": "/usr/bin:/bin"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    except OSError:
        return None
    if done.returncode:
        sys.stderr.write(done.stderr)
        return None
    return done.stdout


@pytest.fixture
def nobody_python() -> str:
    """What to run as an ordinary user when the tests themselves run as root."""
    if os.getuid() != 0:
        pytest.skip("the tests already run as an ordinary user")
    python = other_user_python()
    if not python:
        pytest.skip("no Python of at least 3.11 that the user `nobody` can run")
    return python
