"""Calls of a project's functions, and what code may do to whoever makes them: cost one call."""

from __future__ import annotations

import ast
import os
import sys
import time
from pathlib import Path

import pytest

from famulus import sandbox
from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.errors import ImportFailed
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.execution.version import Version

from .conftest import Make

SHOP = """
import asyncio, enum, random, sys
from dataclasses import dataclass
seen = []
class Size(enum.Enum):
    SMALL = 1
@dataclass
class Point:
    x: int
    y: float = 0.5
class Stack:
    def __init__(self, items=()):
        self.items = list(items)
    def push(self, item):
        self.items.append(item)
        return len(self.items)
    @property
    def top(self):
        return self.items[-1]
    @classmethod
    def of(cls, *items):
        return cls(items)
class Bag:
    def __init__(self, items):
        self._items = items
    def __iter__(self):
        return iter(self._items)
    def put(self, item):
        self._items.append(item)
    @property
    def size(self):
        return len(self._items)
def same(x):
    return x
def point(x):
    return Point(x)
def grow(xs):
    xs.append(1)
def shout(x):
    print(x, file=sys.stdout)
def count(n):
    yield from range(n)
async def later(x):
    await asyncio.sleep(0)
    return x * 2
def remember(x):
    seen.append(x)
    return len(seen)
def fail(x):
    raise ValueError(f"no {x}")
def lucky():
    return random.random()
def size():
    return Size.SMALL
"""


def call(version: Version, target: str, *args: str, **more: object) -> Outcome:
    return version.calls("shop", [Call(target, args, **more)])[0]  # type: ignore[arg-type]


def test_answers(version: Make) -> None:
    shop = version({"shop.py": SHOP})
    assert call(shop, "same", "{'a': [1, 2.5, (None,)]}").shown() == "{'a': [1, 2.5, (None,)]}"
    assert call(shop, "point", "3").shown() == "Point(x=3, y=0.5)"
    assert call(shop, "size").shown() == "Size.SMALL"
    assert call(shop, "later", "4").shown() == "8"
    assert call(shop, "count", "3").shown() == "yields 0, 1, 2"
    assert call(shop, "shout", "'hey'").output == "hey\n"
    assert call(shop, "grow", "[]").arguments == {"0": ["list", [["int", "1"]]]}
    assert call(shop, "Stack.push", "2", receiver="Stack([1])").shown() == "2"
    assert call(shop, "Stack.top", receiver="Stack([1, 5])", how="get").shown() == "5"
    assert call(shop, "Stack.of", "1", "2").shown() == "Stack(items=[1, 2])"
    assert call(shop, "Stack.push", "2", receiver="Stack()", before=("self.push(7)",)).shown() == "2"
    looked = shop.calls("shop", [Call("Bag", ("[1, 2]",)), Call("Bag.put", ("3",), receiver="Bag([])")], looks=True)
    assert looked[0].looks == [("list({})", ["list", [["int", "1"], ["int", "2"]]]), ("{}.size", ["int", "2"])]
    assert [text for text, _ in looked[1].receiver_looks] == ["list({})", "{}.size"]
    failed = call(shop, "fail", "3")
    assert (failed.exception, failed.message, failed.at) == (
        "ValueError",
        "no 3",
        ("shop.py", SHOP[: SHOP.index("raise V")].count("\n") + 1),
    )
    assert call(shop, "same", "1 / 0").kind == "invalid"


def test_a_fresh_call_sees_nothing_of_another(version: Make) -> None:
    shop = version({"shop.py": SHOP})
    calls = [Call("remember", ("1",))] * 3
    assert [o.shown() for o in shop.calls("shop", calls, fresh=True)] == ["1", "1", "1"]
    assert [o.shown() for o in shop.calls("shop", calls)] == ["1", "2", "3"]


def test_hashes_follow_the_seed(version: Make) -> None:
    shop = version({"shop.py": "def order(xs):\n    return list(set(xs))\n"})
    argument = repr([str(n) for n in range(30)])
    orders = [shop.calls("shop", [Call("order", (argument,))], seed=seed)[0].shown(1000) for seed in (1, 2, 1)]
    assert orders[0] == orders[2] != orders[1]


def test_a_function_gets_other_code(version: Make) -> None:
    shop = version({"shop.py": SHOP})
    patched = [
        ("Stack.push", "class Stack:\n    def push(self, item):\n        return 42\n"),
        ("same", "def same(x): return -1\n"),
    ]
    outcomes = [
        shop.calls("shop", [c], patch=patch)[0].shown()
        for c, patch in zip(
            [Call("Stack.push", ("1",), receiver="Stack()"), Call("same", ("3",))], patched, strict=True
        )
    ]
    assert outcomes == ["42", "-1"]
    assert call(shop, "same", "3").shown() == "3"


def test_lines_are_told(version: Make) -> None:
    shop = version({"shop.py": "def sign(x):\n    if x < 0:\n        return -1\n    return 1\n"})
    assert shop.calls("shop", [Call("sign", ("5",))], trace=True)[0].lines == {2, 4}
    box = version(
        {"box.py": "class Box:\n    def put(self, x):\n        self.x = x\n    def get(self):\n        return self.x\n"}
    )
    looked = Call("Box.get", (), receiver="Box()", before=("self.put(1)",))
    assert box.calls("box", [looked], trace=True)[0].lines == {3, 5}


def test_a_module_that_cannot_be_imported(version: Make) -> None:
    broken = version(
        {"a.py": "import nothing_of_this_name\n", "b.py": "import os\nos._exit(3)\n", "c.py": "def f(): return 1\n"}
    )
    with pytest.raises(ImportFailed, match="No module named 'nothing_of_this_name'"):
        broken.open("a")
    with pytest.raises(ImportFailed, match="exit code 3"):
        broken.open("b")
    assert broken.calls("c", [Call("f")])[0].shown() == "1"


def test_a_module_of_the_same_name_elsewhere_is_not_taken(version: Make) -> None:
    with pytest.raises(ImportFailed, match="another module"):
        version({"other.py": ""}).open("json")


def test_what_runs_inside_is_python_3_8_and_stands_alone() -> None:
    from famulus.lsp_server.execution.version import WORKER

    files = sorted(WORKER.glob("*.py"))
    assert len(files) > 5
    for path in files:
        tree = ast.parse(path.read_text(), feature_version=(3, 8))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names.append(node.module or "")
            outside = {name.split(".")[0] for name in names} - sys.stdlib_module_names
            assert outside <= {"pytest", "_pytest"}, (path.name, outside)


HOSTILE = """
import builtins, os, subprocess, sys, time
def forever():
    while True: pass
def leave(): os._exit(0)
def deep(): return deep()
def loud():
    while True: print("x" * 1000)
def rewrite():
    builtins.len = builtins.isinstance = builtins.str = None
def eat():
    kept = []
    while True: kept.append(bytearray(50_000_000))
def sleep(): time.sleep(1000)
def fork():
    for _ in range(20):
        if os.fork() == 0:
            os.setsid()
            time.sleep(1000)
def copy():
    os.fork()
    return 1
def silence():
    os.closerange(0, 1000)
def stop(): sys.exit(5)
def crash():
    import ctypes
    ctypes.string_at(0)
def flood():
    for fd in range(3, 60):
        try: os.write(fd, b"\\xff" * 100)
        except OSError: pass
def unprintable():
    class E(Exception):
        def __str__(self): raise SystemExit
        __repr__ = __str__
    raise E()
def strange():
    class X:
        __class__ = property(lambda self: 1 / 0)
        def __getattribute__(self, name): raise RuntimeError(name)
    return X()
def fine(): return 1
"""
NAMES = [line.split("(")[0][4:] for line in HOSTILE.split("\n") if line.startswith("def ")]


@pytest.mark.parametrize("backend", ["sandboxed", "unsafe"])
def test_whatever_a_call_does_costs_itself_only(version: Make, backend: str) -> None:
    bad = version({"bad.py": HOSTILE}, run=backend)
    names = NAMES if backend == "sandboxed" else ["leave", "forever", "rewrite", "stop", "flood"]
    calls = [call for name in names for call in (Call(name), Call("fine"))]
    answers = bad.calls("bad", calls, cpu=0.2, wall=2.0, losses=99)
    assert [answer.shown() for answer in answers[1::2]] == ["1"] * len(names)
    outcomes = dict(zip(names, answers[::2], strict=True))
    assert {name for name, outcome in outcomes.items() if outcome.kind == "value"} <= {
        "copy",
        "fork",
        "strange",
        "fine",
    }
    assert outcomes["forever"].ended in ("cpu", "wall")  # on a busy machine, the other limit comes first
    assert outcomes["stop"].exception == "SystemExit"
    assert "exit code 0" in outcomes["leave"].detail
    if backend == "sandboxed":
        assert outcomes["loud"].ended in ("cpu", "wall")
        assert outcomes["sleep"].ended == "wall"
        assert outcomes["deep"].exception == "RecursionError"
        assert "signal" in outcomes["crash"].detail
        assert outcomes["eat"].exception == "MemoryError" or outcomes["eat"].ended


def test_processes_that_ended_leave_room_for_those_of_other_calls(version: Make) -> None:
    source = "import os, threading\ndef fork(): os.fork() or os._exit(0)\n"
    source += "def thread(): threading.Thread(target=int).start()\n"
    forking = version({"forking.py": source})
    forking.calls("forking", [Call("fork")] * 80)
    (answer,) = forking.calls("forking", [Call("thread")])
    assert answer.kind == "value", answer.message


def test_calls_that_wait_end_with_the_time_for_all(version: Make) -> None:
    waiting = version({"waiting.py": "import time\ndef wait(n): time.sleep(n); return n\n"})
    calls = [Call("wait", (text,)) for text in ("0", "0.3", "0.4", "0.5", "0.6", "0")]
    answers = waiting.calls("waiting", calls, total=0.5)
    assert [answer.shown() for answer in answers[:2]] == ["0", "0.3"]
    assert [answer.ended for answer in answers[3:]] == ["skipped"] * 3
    assert 0.3 <= answers[1].wall < 3


def test_nothing_survives(version: Make, tmp_path: Path) -> None:
    seconds = f"97{int.from_bytes(os.urandom(5), 'big')}"
    code = f"import subprocess\ndef daemon():\n    subprocess.Popen(['setsid', 'sleep', '{seconds}'])\n    return 1\n"

    def living() -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if seconds.encode() in path.read_bytes().split(b"\0"):
                    found.append(path.parent.name)
            except OSError:
                continue
        return found

    bad = version({"bad.py": code})
    outcomes = bad.calls("bad", [Call("daemon")] * 10, fresh=True)
    assert {outcome.shown() for outcome in outcomes} == {"1"}
    deadline = time.monotonic() + 20
    while sandbox.level().backend == "bubblewrap" and living() and time.monotonic() < deadline:
        time.sleep(0.02)
    if sandbox.level().backend == "bubblewrap":
        assert living() == []  # they end with their call, not only with the version
    bad.calls("bad", [Call("daemon")] * 5)
    bad.close()
    assert living() == []


def test_the_project_and_the_home_are_out_of_reach(version: Make, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("x")
    code = f"""
import pathlib, socket, tempfile
def write(): pathlib.Path(__file__).with_name("new.txt").write_text("x")
def read(): return pathlib.Path({str(secret)!r}).read_text()
def call(): socket.create_connection(("1.1.1.1", 53), timeout=2)
def own():
    with tempfile.TemporaryFile() as file:
        return file.write(b"abc")
"""
    bad = version({"bad.py": code})
    wrote, read, called, own = bad.calls("bad", [Call(n) for n in ("write", "read", "call", "own")], cpu=2, wall=20)
    assert wrote.exception in ("OSError", "PermissionError")
    assert read.exception in ("FileNotFoundError", "PermissionError")
    assert called.exception == "OSError" or called.exception == "PermissionError"
    assert own.shown() == "3"
    assert "open:w" in wrote.effects
    assert sandbox.level().backend


def test_what_is_waited_for_can_be_cancelled(version: Make) -> None:
    class Stop(Exception):
        pass

    started = time.monotonic()

    def check() -> None:
        if time.monotonic() > started + 3:
            raise Stop

    slow = version({"slow.py": "import time\ndef f():\n    time.sleep(1000)\n"}, check=check)
    with pytest.raises(Stop):
        slow.calls("slow", [Call("f")], wall=1000.0)
    assert slow._peer is None
