"""Whatever code tries on a copy, nothing outside the copy notices; each attempt is told by its name."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from famulus.jupyter_kernel.candidate import Effect

from .conftest import Live


def contents(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Every file beneath a folder: bytes, mode, time of its last change."""
    files = {}
    for path in sorted(folder.rglob("*")):
        status = path.stat()
        data = path.read_bytes() if path.is_file() else b""
        files[str(path.relative_to(folder))] = (data, status.st_mode, status.st_mtime_ns)
    return files


@pytest.fixture
def data(live: Live, tmp_path: Path) -> Path:
    """A folder with a file of each kind; the kernel has it as `folder`, pandas and a frame."""
    (tmp_path / "text.txt").write_text("one\ntwo\n")
    (tmp_path / "empty").mkdir()
    live.run(f"""
import os, shutil, sqlite3, subprocess, sys
import duckdb, numpy as np, pandas as pd, pyarrow
folder = {str(tmp_path)!r}
os.chdir(folder)
df = pd.DataFrame({{"a": [1, 2]}})
""")
    return tmp_path


WRITES = [
    ("df.to_csv('out.csv')", "write", "out.csv"),
    ("df.to_parquet('out.parquet')", "write", "out.parquet"),
    ("df.to_json('out.json')", "write", "out.json"),
    ("df.to_pickle('out.pkl')", "write", "out.pkl"),
    ("import pyarrow.parquet as pq; pq.write_table(pyarrow.table({'a': [1]}), 'raw.parquet')", "write", "raw.parquet"),
    ("duckdb.connect('new.duckdb')", "write", "new.duckdb"),
    ("duckdb.sql(\"copy (select 1) to 'copy.csv'\")", "write", "copy.csv"),
    ("c = sqlite3.connect('new.db'); c.execute('create table t(a)')", "write", "new.db"),
    ("df.to_sql('t', sqlite3.connect('new.db'))", "write", "new.db"),
    ("np.save('array', df.a.to_numpy())", "write", "array.npy"),
    ("np.memmap('new.dat', dtype='f8', mode='w+', shape=4)", "write", "new.dat"),
    ("open('text.txt', 'a').write('three')", "write", "text.txt"),
    ("open('text.txt', 'w')", "write", "text.txt"),
    ("from pathlib import Path; Path('new.txt').write_text('x')", "write", "new.txt"),
    ("os.mkdir('made')", "write", "made"),
    ("os.makedirs('empty/deep/deeper')", "write", "empty/deep"),
    ("os.remove('text.txt')", "delete", "text.txt"),
    ("os.rmdir('empty')", "delete", "empty"),
    ("shutil.rmtree('empty')", "delete", "empty"),
    ("shutil.copy('text.txt', 'copied.txt')", "write", "copied.txt"),
    ("os.rename('text.txt', 'renamed.txt')", "write", "renamed.txt"),
    ("os.symlink('text.txt', 'linked.txt')", "write", "linked.txt"),
    ("os.chmod('text.txt', 0)", "write", "text.txt"),
    ("os.utime('text.txt', (1, 1))", "write", "text.txt"),
    ("os.truncate('text.txt', 0)", "write", "text.txt"),
    ("import matplotlib.pyplot as plt; plt.plot([1]); plt.savefig('f.png')", "write", "f.png"),
    ("import zipfile; zipfile.ZipFile('z.zip', 'w')", "write", "z.zip"),
    ("%%writefile cell.txt\ntext", "write", "cell.txt"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "kind", "name"), WRITES)
def test_files_stay_as_they_are(live: Live, data: Path, code: str, kind: str, name: str) -> None:
    before = contents(data)
    seen = live.rehearse(code)
    assert contents(data) == before
    assert seen.status == "refused", seen
    assert (kind, str(data / name)) in [(effect.kind, effect.what) for effect in seen.effects]


def test_a_swallowed_refusal_is_told_all_the_same(live: Live, data: Path) -> None:
    seen = live.rehearse("try:\n    df.to_csv('out.csv')\nexcept OSError:\n    pass\n1")
    assert (seen.status, seen.value) == ("refused", "1")
    allowed = [{"kind": "write", "what": str(data / "out.csv")}]
    assert seen.effects == (Effect(**allowed[0]),)  # type: ignore[arg-type]


def test_reading_is_free(live: Live, data: Path) -> None:
    seen = live.rehearse("os.makedirs('empty', exist_ok=True); open('text.txt').read() + str(os.listdir('empty'))")
    assert (seen.status, seen.value, seen.effects) == ("ok", "'one\\ntwo\\n[]'", ())


def test_open_databases_are_not_written(live: Live, data: Path) -> None:
    live.run("""
plain, wal, duck = sqlite3.connect("plain.db"), sqlite3.connect("wal.db"), duckdb.connect("duck.db")
wal.execute("pragma journal_mode=wal")
for connection in (plain, wal, duck):
    connection.execute("create table t(a)" if connection is not duck else "create table t(a integer)")
    connection.execute("insert into t values (1)")
    connection.commit()
duck.execute("checkpoint")
""")
    before = contents(data)
    for name in ("plain", "wal", "duck"):
        count = live.rehearse(f"{name}.execute('select count(*) from t').fetchone()")
        assert (count.status, count.value) == ("ok", "(1,)"), count
        seen = live.rehearse(f"{name}.execute('insert into t values (2)'); {name}.commit()")
        assert contents(data) == before, name
        assert seen.status == "refused", (name, seen)
        assert Path(seen.effects[0].what).name.startswith(name), (name, seen)
    for name in ("plain", "wal", "duck"):  # and they work as before
        live.run(f"{name}.execute('insert into t values (2)'); {name}.commit();")
        assert live.run(f"{name}.execute('select count(*) from t').fetchone()[0]") == "2"
    live.run("plain.close(), wal.close(), duck.close()")


def test_memory_maps_are_not_written(live: Live, data: Path) -> None:
    live.run("""
import mmap
from multiprocessing import shared_memory
np.arange(100_000.0).tofile("map.dat")
mapped = np.memmap("map.dat", dtype="f8", mode="r+")
file = open("text.txt", "r+b")
raw = mmap.mmap(file.fileno(), 0)
anonymous = mmap.mmap(-1, 4096); anonymous[:4] = b"abcd"
block = shared_memory.SharedMemory(create=True, size=4096); block.buf[:4] = b"abcd"
""")
    before = contents(data)
    seen = live.rehearse("mapped[5] = -1; mapped.flush(); float(mapped[5])")
    assert (seen.value, seen.changed) == ("-1.0", ("mapped",))
    assert (seen.status, seen.effects) == ("refused", (Effect("write", str(data / "map.dat")),))
    seen = live.rehearse("raw[:3] = b'ONE'; raw.flush(); raw[:7]")
    assert (seen.value, seen.effects) == ("b'ONE\\ntwo'", (Effect("write", str(data / "text.txt")),))
    seen = live.rehearse("anonymous[:4] = block.buf[:4] = b'EFGH'; bytes(anonymous[:4]), bytes(block.buf[:4])")
    assert seen.value == "(b'EFGH', b'EFGH')"
    assert contents(data) == before
    assert live.run("bytes(anonymous[:4]), bytes(block.buf[:4]), raw[:3], float(mapped[5])") == (
        "(b'abcd', b'abcd', b'one', 5.0)"
    )
    live.run("block.close(); block.unlink(); raw.close(); file.close()")


def test_open_files_keep_their_place(live: Live, data: Path) -> None:
    live.run("""
reading, adding = open("text.txt"), open("log.txt", "a")
adding.write("first "); adding.flush(); adding.write("kept back ")
number = os.open("text.txt", os.O_RDONLY); os.read(number, 2)
""")
    assert live.rehearse("reading.readline() + reading.read()").value == "'one\\ntwo\\n'"
    assert live.rehearse("os.read(number, 9)").value == "b'e\\ntwo\\n'"
    seen = live.rehearse("adding.write('more'); adding.flush()")
    assert seen.status == "refused" and seen.effects[0].kind == "write", seen
    assert (data / "log.txt").read_text() == "first "
    assert live.run("reading.readline(), os.read(number, 1)") == "('one\\n', b'e')"
    live.run("adding.write('second'); adding.close(); reading.close(); os.close(number)")
    assert (data / "log.txt").read_text() == "first kept back second"


def test_anonymous_files_are_not_written(live: Live) -> None:
    live.run("import os; number = os.memfd_create('m'); os.write(number, b'kept'); path = f'/proc/self/fd/{number}'")
    seen = live.rehearse("os.lseek(number, 0, 0), os.read(number, 9)")
    assert seen.value == "(0, b'kept')"
    live.rehearse("os.pwrite(number, b'X', 0)")
    live.rehearse("os.pwrite(os.open(path, os.O_RDWR), b'X', 0)")
    assert live.run("os.pread(number, 9, 0), os.lseek(number, 0, 1)") == "(b'kept', 4)"
    live.run("os.close(number)")


class Listener:
    """A server on the loopback that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._hear, args=[connection], daemon=True).start()

    def _hear(self, connection: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(1000):
                self.heard.append(data)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.mark.parametrize(
    "code",
    [
        "import requests; requests.get(address)",
        "import urllib.request; urllib.request.urlopen(address)",
        "pd.read_csv(address)",
        "import socket; socket.create_connection(('127.0.0.1', port))",
        "import asyncio; await asyncio.open_connection('127.0.0.1', port)",
    ],
)
def test_nothing_is_sent(live: Live, data: Path, listener: Listener, code: str) -> None:
    live.run(f"port = {listener.port}; address = f'http://127.0.0.1:{{port}}/x'")
    seen = live.rehearse(code)
    assert seen.status == "refused", seen
    assert any(effect.kind == "network" and str(listener.port) in effect.what for effect in seen.effects), seen
    assert listener.heard == []


def test_connections_that_are_open_stay_silent(live: Live, data: Path, listener: Listener) -> None:
    live.run(f"""
import socket
here, there = socket.socketpair()
far = socket.create_connection(("127.0.0.1", {listener.port}))
reading, writing = os.pipe()
os.write(writing, b"kept")
here.sendall(b"kept")
""")
    for code in (
        "here.sendall(b'x')", "there.recv(9)", "far.sendall(b'x')", "far.shutdown(2)", "os.write(writing, b'x')",
        "os.read(reading, 9)", "os.close(writing); far.close()",
    ):  # fmt: skip
        live.rehearse(code)
    assert live.run("os.read(reading, 9), there.recv(9)") == "(b'kept', b'kept')"
    assert listener.heard == []
    assert live.run("far.sendall(b'real'); far.recv(4)") == "b'HTTP'"
    live.run("here.close(); there.close(); far.close(); os.close(reading); os.close(writing)")


@pytest.mark.parametrize(
    "code",
    [
        "os.system('touch made')",
        "subprocess.run(['touch', 'made'])",
        "subprocess.run('touch made', shell=True, check=True)",
        "!touch made",
        "%%bash\ntouch made",
        "os.fork()",
        "os.execv('/bin/touch', ['touch', 'made'])",
        "while True:\n    os.fork()",
        "import multiprocessing as m; m.get_context('fork').Process(target=print).start()",
        "import concurrent.futures as c\nwith c.ProcessPoolExecutor() as pool: list(pool.map(abs, [1]))",
    ],
)
def test_no_process_is_started(live: Live, data: Path, code: str) -> None:
    seen = live.rehearse(code)
    assert seen.status == "refused", seen
    assert any(effect.kind == "process" for effect in seen.effects), seen
    assert not (data / "made").exists()


def test_questions_cannot_be_asked(live: Live) -> None:
    for code in ("name = input('Your name? ')", "import getpass; getpass.getpass()"):
        seen = live.rehearse(code)
        assert (seen.status, seen.effects) == ("refused", (Effect("other", "asks for input"),))
        assert "input() cannot be answered" in seen.message
    assert live.rehearse("import sys; sys.stdin.read()").value == "''"


def test_the_kernel_cannot_be_hurt(live: Live, data: Path) -> None:
    for code in (
        "import signal; os.kill(os.getppid(), signal.SIGKILL)",
        "import signal; os.killpg(os.getpgid(os.getppid()), signal.SIGTERM)",
        "open(f'/proc/{os.getppid()}/mem', 'r+b')",
        "import resource; resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))",
        "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
    ):
        seen = live.rehearse(code)
        assert seen.status in ("refused", "error"), seen
        assert "Permission" in seen.error, seen
    assert live.rehearse("import signal; os.kill(os.getpid(), signal.SIGKILL)").status in ("died", "memory")
    assert live.rehearse("exit()").effects in ((Effect("other", "ends the kernel"),), ())
    assert live.run("1 + 1") == "2"
