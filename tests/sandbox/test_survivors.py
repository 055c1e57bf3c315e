"""Nothing outlives a run: not a daemon, not a stopped process, not the caller's own death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from famulus.sandbox import Limits, run, spawn
from famulus.sandbox.process import Backend

from .conftest import ROOT, as_nobody

DAEMON = "setsid -f sleep {0}; setsid -f sh -c 'trap \"\" 1 2 15; sleep {0} & sleep {0}'; {1}"


def marker() -> str:
    """Seconds for `sleep` that no other process on the machine sleeps."""
    return f"98{int.from_bytes(os.urandom(6), 'big')}"


def living(mark: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def until(condition: object, seconds: float = 10) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def daemonise(backend: Backend, mark: str) -> None:
    result = run(["/bin/sh", "-c", DAEMON.format(mark, "exit 0")], backend=backend)
    assert result.status == "ok", result


def test_daemons_end_with_the_program(backend: Backend) -> None:
    mark = marker()
    for _ in range(10):
        daemonise(backend, mark)
        assert living(mark) == []


@pytest.mark.slow
def test_two_hundred_runs_leave_nothing(backend: Backend) -> None:
    mark = marker()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: daemonise(backend, mark), range(200)))
    assert living(mark) == []


def test_daemons_really_run_and_end_when_killed(backend: Backend) -> None:
    mark = marker()
    with spawn(["/bin/sh", "-c", DAEMON.format(mark, "sleep " + mark)], backend=backend) as process:
        assert until(lambda: len(living(mark)) >= 4)
        process.kill()
        result = process.wait()
    assert result.status == "killed"
    assert result.reason == "stopped by the caller"
    assert living(mark) == []


def test_daemons_end_at_the_time_limit(backend: Backend) -> None:
    mark = marker()
    result = run(
        ["/bin/sh", "-c", DAEMON.format(mark, "sleep " + mark)], backend=backend, limits=Limits(wall_seconds=0.5)
    )
    assert result.status == "timeout"
    assert living(mark) == []


def test_stopped_processes_end_too(backend: Backend) -> None:
    mark = marker()
    run(["/bin/sh", "-c", f"setsid -f sleep {mark}; kill -STOP 0"], backend=backend, limits=Limits(wall_seconds=0.5))
    assert living(mark) == []


def test_everything_ends_when_the_caller_is_killed(backend: Backend) -> None:
    mark = marker()
    code = f"""
import sys, time
from famulus.sandbox import spawn
process = spawn(["/bin/sh", "-c", {DAEMON.format(mark, "sleep " + mark)!r}], backend={backend!r})
print("started", flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE) as caller:
        assert caller.stdout and caller.stdout.readline() == b"started\n"
        assert until(lambda: len(living(mark)) >= 4)
        caller.send_signal(signal.SIGKILL)
    assert until(lambda: living(mark) == [])


def test_a_lost_object_kills_its_program(backend: Backend) -> None:
    mark = marker()
    process = spawn(["sleep", mark], backend=backend)
    assert until(lambda: living(mark))
    del process
    assert until(lambda: living(mark) == [])


def test_nothing_survives_an_ordinary_user(backend: Backend, nobody_python: str) -> None:
    mark = marker()
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from famulus.sandbox import run
for _ in range(5):
    assert run(["/bin/sh", "-c", {DAEMON.format(mark, "exit 0")!r}], backend={backend!r}).ok
print("done")
"""
    assert as_nobody([nobody_python, "-I", "-B", "-c", script]) == "done\n"
    assert living(mark) == []


def test_no_folder_is_left_behind(backend: Backend) -> None:
    code = """
import os
deep = os.environ["TMPDIR"]
os.makedirs(deep + "/closed/inner", mode=0o000, exist_ok=True)
os.chdir(deep)
for _ in range(1000):
    os.mkdir("d"); os.chdir("d")
"""
    before = set(Path("/tmp").glob("famulus-scratch-*"))
    result = run([sys.executable, "-I", "-c", code], backend=backend, limits=Limits(wall_seconds=20))
    assert result.status in ("ok", "failed", "killed"), result
    assert set(Path("/tmp").glob("famulus-scratch-*")) <= before
