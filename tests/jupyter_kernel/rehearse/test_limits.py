"""A copy that runs wild is ended, and nothing of it is left; a copy that cannot be made is refused with the reason."""

from __future__ import annotations

import ast
import time
from collections import Counter
from pathlib import Path

import pytest

from .conftest import Live, Start

LEFT = """
import gc, os
def left():
    gc.collect()  # files of earlier cells
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        children = file.read()
    opened = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            opened.append(os.readlink(f"/proc/self/fd/{fd}").split(":")[0])
        except FileNotFoundError:  # the listing itself
            continue
    return children.split(), sorted(name for name in opened if "history.sqlite" not in name)
"""


@pytest.mark.parametrize(
    "code", ["while True: pass", "import time; time.sleep(99)", "import select; select.select([], [], [])"]
)
def test_time_is_limited(live: Live, code: str) -> None:
    began = time.monotonic()
    seen = live.rehearse(code, seconds=0.5)
    assert seen.status == "timeout"
    assert time.monotonic() - began < 30
    assert live.run("get_ipython().rehearser.why_not()") == "''"


def test_what_was_printed_before_the_end_is_told(live: Live) -> None:
    assert live.rehearse("print('begun')\nwhile True: pass", seconds=1).stdout == "begun\n"
    assert live.rehearse("import os; os.write(1, b'raw'); os._exit(1)").stdout == "raw"


@pytest.mark.parametrize(
    "code",
    [
        "b'x' * (8 << 30)",
        "held = []\nwhile True: held.append(bytearray(1 << 24))",
        "import mmap\nm = mmap.mmap(-1, 8 << 30)\nfor i in range(0, len(m), 4096): m[i] = 1",
        "big += 1",
    ],
)
def test_memory_is_limited(live: Live, code: str) -> None:
    live.run("import numpy as np; big = np.ones(1 << 25)")  # 256 MiB that are copied when they are written
    seen = live.rehearse(code, memory=128 << 20)
    assert seen.status == "memory", seen
    assert "memory" in seen.message or "MiB" in seen.message


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import os; os.abort()", "SIGABRT"),
        ("import os; os._exit(3)", "exit status 3"),
        ("import os\nfor fd in range(3, 256):\n    try: os.close(fd)\n    except OSError: pass", "could not report"),
    ],
)
def test_a_crash_is_the_copys_own(live: Live, code: str, said: str) -> None:
    seen = live.rehearse(code)
    assert seen.status == "died" and said in seen.message, seen


def test_output_is_limited(live: Live) -> None:
    seen = live.rehearse("for i in range(200_000): print('x' * 50)\n'y' * 100_000")
    assert seen.status == "ok" and len(seen.stdout) <= 70_000
    assert seen.value is not None and len(seen.value) < 10_000


def test_nothing_is_left_of_fifty_copies(live: Live) -> None:
    live.run(LEFT)
    live.rehearse("1")
    before = ast.literal_eval(live.run("left()"))
    live.run("""
import asyncio
codes = ["1", "import os; os._exit(1)", "open('x', 'w')", "import threading; threading.Thread(target=print).start()"]
for code in codes * 10:
    await get_ipython().rehearser.rehearse(code)
for _ in range(10):
    task = asyncio.ensure_future(get_ipython().rehearser.rehearse("while True: pass"))
    await asyncio.sleep(0.01)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
""")
    children, files = ast.literal_eval(live.run("left()"))
    # The history's database opens and closes files of its own meanwhile; fifty copies would leave fifty.
    assert children == before[0] and (Counter(files) - Counter(before[1])).total() < 5
    assert len(before[1]) > 5


def test_copies_may_be_made_at_the_same_time(live: Live) -> None:
    told = live.run("""
import asyncio
seen = await asyncio.gather(*(get_ipython().rehearser.rehearse(f"x = {n}; x") for n in range(4)))
[one.value for one in seen]
""")
    assert told == "['0', '1', '2', '3']"


def test_a_cancelled_copy_is_gone_at_once(live: Live) -> None:
    took = live.run("""
import asyncio, time
import numpy as np
ballast = np.ones(1 << 24)
async def cancelled():
    task = asyncio.ensure_future(get_ipython().rehearser.rehearse("while True: pass"))
    await asyncio.sleep(0.1)
    began = time.perf_counter()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return time.perf_counter() - began
min([await cancelled() for _ in range(5)])
""")
    assert float(took) < 0.15


def test_random_numbers_are_those_that_the_notebook_will_draw(live: Live) -> None:
    live.run("import random, numpy as np; random.seed(7); np.random.seed(7)")
    seen = live.rehearse("random.random(), float(np.random.rand())")
    assert seen.value == live.run("random.random(), float(np.random.rand())")


def test_shown_things_are_counted_and_not_sent(live: Live) -> None:
    live.run("from IPython.display import HTML, display, clear_output; import ipywidgets")
    sent = live.notebook.run("await get_ipython().rehearser.rehearse('display(1); display(HTML(\"a\"))')")
    assert "displays=2" in sent.value
    assert [message["msg_type"] for message in sent.messages if message["msg_type"].startswith("display")] == []
    sent = live.notebook.run("await get_ipython().rehearser.rehearse('ipywidgets.IntSlider(); clear_output(); 1')")
    assert "status='ok'" in sent.value
    assert not [m for m in sent.messages if m["msg_type"].startswith(("comm", "clear"))]


@pytest.mark.parametrize(
    ("code", "figures"),
    [
        ("plt.plot([1, 2])", 1),
        ("plt.figure()", 0),
        ("plt.plot([1, 2]); plt.show()", 1),
        ("plt.figure(); plt.show()", 0),
        ("df.plot()", 1),
        ("fig, (a, b) = plt.subplots(2); a.bar(['x'], [1]); fig2 = plt.figure(); fig2.gca().hist([1])", 2),
        ("ax.plot([1, 2])", 0),
        ("display(plt.gcf())", 0),
    ],
)
def test_figures_are_counted_if_something_is_drawn(live: Live, code: str, figures: int) -> None:
    live.run("%matplotlib inline\nimport matplotlib.pyplot as plt, pandas as pd; df = pd.DataFrame({'a': [1, 2]})")
    live.run("from IPython.display import display; fig, ax = plt.subplots(); plt.close('all')")
    seen = live.rehearse(code)
    assert (seen.status, seen.figures) == ("ok", figures), seen
    if "ax." in code:
        assert seen.changed == ("fig", "ax")


def test_a_figure_that_cannot_be_drawn_is_an_error(live: Live) -> None:
    live.run("%matplotlib inline\nimport matplotlib.pyplot as plt")
    for code in ("plt.title('$\\\\frac{$'); plt.plot([1])", "plt.title('$\\\\frac{$'); plt.plot([1]); plt.show()"):
        assert live.rehearse(code).status == "error"


# -- where no copy can be made


def test_a_lock_of_a_lost_thread_ends_the_forking(
    start_kernel: Start, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with start_kernel("python3") as notebook:
        live = Live(notebook, tmp_path_factory.mktemp("hang"))
        live.run("""
import threading
lock, taken, over = threading.Lock(), threading.Event(), threading.Event()
def hold():
    with lock:
        taken.set()
        over.wait()
threading.Thread(target=hold).start()
taken.wait();
""")
        seen = live.rehearse("lock.acquire()")
        assert (seen.status, seen.message) == ("timeout", "it waited for ever") and seen.seconds < 50
        assert live.run("print(get_ipython().rehearser.why_not())") == "an earlier copy hung\n"
        assert "an earlier copy hung, and lock is a" in live.tell("lock.acquire()")["cannot"]
        pid = live.run("import os; os.getpid()")
        assert live.rehearse("import os; os.getppid()").value not in (pid, None)  # not a fork of the kernel
        live.run("over.set()")


def test_a_library_that_bears_no_fork_ends_the_forking(start_kernel: Start, tmp_path: Path) -> None:
    with start_kernel("python3") as notebook:
        live = Live(notebook, tmp_path)
        live.run("import os; kernel = os.getpid()")
        guard = "if os.getppid() == kernel:\n    os.write(2, b'Terminating: fork() called')\n    os.abort()\n1"
        assert live.rehearse(guard).value == "1"  # in a process that is no fork of the kernel
        assert live.run("print(get_ipython().rehearser.why_not())") == "an earlier copy broke\n"


def test_libraries_that_hang_in_a_copy_are_not_copied(live: Live) -> None:
    live.run("import polars")
    assert live.rehearse("polars.DataFrame({'a': [1, 2]}).sum().item()").value == "3"
    live.run("import sys, types; sys.modules['torch'] = types.ModuleType('torch')")
    assert "PyTorch" in live.run("get_ipython().rehearser.why_not()")
    live.run("del sys.modules['torch']")
    assert live.run("get_ipython().rehearser.why_not()") == "''"
