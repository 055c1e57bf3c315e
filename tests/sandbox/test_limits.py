"""Runaway code is stopped, and told apart: time, memory, processes, output, files."""

from __future__ import annotations

import os
import sys
import time

import pytest

from famulus.sandbox import Limits, Result, Workspace, run
from famulus.sandbox.process import Backend

from .conftest import ROOT, as_nobody

MiB = 1024 * 1024
BOMB = """
import os, time
made = 0
for _ in range(2000):
    try:
        if os.fork() == 0:
            time.sleep(600)
        made += 1
    except BlockingIOError:
        break
print(made)
"""


def python(code: str, backend: Backend, **limits: float) -> Result:
    budget = Limits(**{"wall_seconds": 20.0, **limits})  # type: ignore[arg-type]
    return run([sys.executable, "-I", "-c", code], backend=backend, limits=budget)


def test_endless_loop_that_swallows_everything(backend: Backend) -> None:
    code = """
import signal
for number in range(1, 32):
    if number not in (9, 19):
        signal.signal(number, signal.SIG_IGN)
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
"""
    result = python(code, backend, cpu_seconds=1)
    assert result.status == "timeout"
    assert "CPU" in result.reason
    assert result.cpu_seconds < 3


def test_time_spent_asleep(backend: Backend) -> None:
    started = time.monotonic()
    result = python("import time; print('before', flush=True); time.sleep(600)", backend, wall_seconds=0.5)
    assert result.status == "timeout"
    assert time.monotonic() - started < 5
    assert result.stdout.data == b"before\n"  # what it said until then is kept


def test_cpu_time_is_counted_over_all_processes(backend: Backend) -> None:
    code = """
import os
for _ in range(3):
    if os.fork() == 0:
        while True:
            pass
os.wait()
"""
    result = python(code, backend, cpu_seconds=1)
    assert result.status == "timeout"
    assert "CPU" in result.reason


def test_forking_is_bounded(backend: Backend) -> None:
    result = python(BOMB, backend, processes=24)
    assert result.status == "ok", result
    assert 1 < int(result.stdout.data) <= 24


def test_fork_bomb_is_over_in_time(backend: Backend) -> None:
    result = run(
        ["/bin/sh", "-c", "bomb() { bomb | bomb & }; while :; do bomb; done"],
        backend=backend,
        limits=Limits(wall_seconds=1, processes=32),
    )
    assert result.status != "ok"
    assert result.wall_seconds < 8


def test_threads_count_as_processes(backend: Backend) -> None:
    code = """
import threading, time
try:
    for made in range(500):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
except RuntimeError:
    print(made, flush=True)
    import os; os._exit(0)
"""
    result = python(code, backend, processes=16)
    assert int(result.stdout.data) <= 16


def test_one_large_allocation(backend: Backend) -> None:
    result = python("x = bytearray(10**9)", backend, memory_bytes=200 * MiB)
    assert result.status == "memory", result


@pytest.mark.parametrize("kind", ["MAP_SHARED", "MAP_PRIVATE"])
def test_mapped_memory(backend: Backend, kind: str) -> None:
    code = f"""
import mmap
held = mmap.mmap(-1, 10**9, flags=mmap.{kind} | mmap.MAP_ANONYMOUS)
for start in range(0, 10**9, 4096):
    held[start] = 1
"""
    result = python(code, backend, memory_bytes=200 * MiB)
    assert result.status in ("memory", "failed"), result
    assert result.peak_memory_bytes < 900 * MiB


def test_memory_is_counted_over_all_processes(backend: Backend) -> None:
    code = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        held = bytearray(os.urandom(1)) * (80 * 2**20)
        time.sleep(600)
time.sleep(600)
"""
    result = python(code, backend, memory_bytes=250 * MiB)
    assert result.status == "memory", result


def test_memory_shared_by_forks_is_counted_once(backend: Backend) -> None:
    code = """
import os, time
held = b"x" * (60 * 2**20)
children = []
for _ in range(6):
    child = os.fork()
    if child == 0:
        sum(held[::4096]); time.sleep(0.5); os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
"""
    assert python(code, backend, memory_bytes=250 * MiB).status == "ok"


def test_endless_output(backend: Backend) -> None:
    result = python("while True: print('x' * 1000)", backend, output_bytes=MiB)
    assert result.status == "output"
    assert len(result.stdout.head) == len(result.stdout.tail) == 64 * 1024
    assert MiB < result.stdout.total < 8 * MiB


def test_long_output_keeps_both_ends(backend: Backend) -> None:
    code = "import sys; sys.stdout.write('first' + 'x' * 3_000_000 + 'last'); sys.stderr.write('e' * 200_000)"
    result = python(code, backend)
    assert result.status == "ok"
    assert result.stdout.head.startswith(b"first")
    assert result.stdout.tail.endswith(b"last")
    assert result.stdout.total == 3_000_009
    assert result.stdout.omitted == 3_000_009 - 128 * 1024
    assert result.stderr.total == 200_000


def test_one_large_file(backend: Backend) -> None:
    code = """
import os
path = os.environ["TMPDIR"] + "/large"
try:
    with open(path, "wb") as file:
        file.truncate(5 * 2**20)
except OSError as error:
    print(error.errno)
"""
    assert python(code, backend, file_bytes=MiB).stdout.data == b"27\n"  # EFBIG


def test_many_files(backend: Backend) -> None:
    code = """
import os
for number in range(10**6):
    os.close(os.open(f"{os.environ['TMPDIR']}/{number}", os.O_CREAT))
"""
    result = python(code, backend, tmp_files=3000)
    assert result.status == "killed"
    assert "files" in result.reason


def test_full_temporary_folder(backend: Backend) -> None:
    code = """
import os, time
for number in range(200):
    with open(f"{os.environ['TMPDIR']}/{number}", "wb") as file:
        file.write(bytes(2**20))
    time.sleep(0.005)
time.sleep(2)
"""
    result = python(code, backend, tmp_bytes=8 * MiB)
    assert result.status in ("killed", "failed"), result
    assert "files" in result.reason or b"No space left" in result.stderr.data


def test_growth_of_a_workspace(backend: Backend) -> None:
    code = "import time\nfor n in range(60):\n open(f'f{n}', 'wb').write(bytes(2**20)); time.sleep(0.02)"
    with Workspace() as workspace:
        result = run(
            [sys.executable, "-I", "-c", code],
            project=workspace, backend=backend, limits=Limits(tmp_bytes=8 * MiB),
        )  # fmt: skip
    assert result.status == "killed", result
    assert "files" in result.reason


def test_open_files(backend: Backend) -> None:
    code = """
import os
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    print(len(held))
"""
    assert int(python(code, backend, open_files=40).stdout.data) <= 40


def test_limits_hold_for_an_unprivileged_user_too(backend: Backend, nobody_python: str) -> None:
    """As root the code has a user id of its own; an ordinary user's code shares that of its caller."""
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from famulus.sandbox import Limits, run
def python(code, **limits):
    return run([sys.executable, "-I", "-c", code], backend={backend!r}, limits=Limits(**limits))
made = python({BOMB!r}, processes=20)
large = python("x = bytearray(10**9)", memory_bytes=2**28)
print(made.status, int(made.stdout.data) <= 20, large.status)
"""
    assert as_nobody([nobody_python, "-I", "-B", "-c", script]) == "ok True memory\n"


@pytest.mark.parametrize("name", ["wall_seconds", "memory_bytes", "processes", "output_bytes"])
def test_a_limit_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})  # type: ignore[arg-type]


def test_the_machine_is_left_alone() -> None:
    """The launcher sets limits on the code, never on its caller."""
    import resource

    before = [resource.getrlimit(kind) for kind in (resource.RLIMIT_NPROC, resource.RLIMIT_DATA)]
    run(["/bin/true"])
    assert [resource.getrlimit(kind) for kind in (resource.RLIMIT_NPROC, resource.RLIMIT_DATA)] == before
    assert os.getuid() == os.geteuid()
