"""The statistics: nothing personal, nobody else's, bounded, and never in the way."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import logging
import os
import re
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from famulus.cli import main
from famulus.engine.errors import StorageFailed
from famulus.lsp_server.completion import ledger as ledger_module
from famulus.lsp_server.completion.ledger import FILE, FOLDER, Ledger, Record, reading, remove
from famulus.lsp_server.completion.summary import summary


def record(**more: Any) -> Record:
    seen = Record("python", "tiny", "model", 100.0, 20, "file:///secret-project/private_name.py", outcome="rejected")
    return replace(seen, key=os.urandom(16), **more)


def write(data: Path, *records: Record) -> Ledger:
    ledger = Ledger(data)
    for entry in records:
        ledger.write(entry)
    ledger.close()
    return ledger


def rows(data: Path) -> list[tuple[Any, ...]]:
    with reading(data) as database:
        return database.execute("SELECT * FROM suggestion").fetchall() if database else []


def held(data: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in data.rglob("*") if path.is_file()}


def test_a_row_has_no_name_of_a_file(tmp_path: Path) -> None:
    write(tmp_path, record())
    with reading(tmp_path) as database:
        assert database is not None
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    everything = b"".join(held(tmp_path).values())
    assert b"python" in everything
    assert not re.search(rb"secret-project|private_name|\.py", everything)


def test_one_file_has_one_hash_here_and_another_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "a", record(), record(), record(document="file:///other.py"))
    write(tmp_path / "b", record())
    here, there = ({row[7] for row in rows(tmp_path / name)} for name in "ab")
    assert len(here) == 2
    assert not here & there


def test_only_the_user_can_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        write(tmp_path / "data", record())
        database = sqlite3.connect(tmp_path / "data" / FOLDER / FILE)
        database.execute("INSERT INTO meta VALUES ('test', '')")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").rglob("*")}
        database.close()
    finally:
        os.umask(old)
    assert modes == {FOLDER: 0o700, "lock": 0o600, FILE: 0o600, f"{FILE}-wal": 0o600, f"{FILE}-shm": 0o600}


def test_a_row_that_is_written_again_replaces_itself(tmp_path: Path) -> None:
    first = record(outcome="accepted", accepted=20)
    write(tmp_path, first)
    write(tmp_path, replace(first, kept_soon=18), record())
    assert sorted(row[11] or 0 for row in rows(tmp_path)) == [0, 18]


def test_old_rows_go_and_the_file_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, record(at=time.time() - 91 * 86_400, language="old"), record(language="new"))
    assert [row[2] for row in rows(tmp_path)] == ["new"]
    monkeypatch.setattr(ledger_module, "MAX_BYTES", 200_000)
    for start in range(0, 5000, 1000):
        write(tmp_path, *(record(at=time.time() - 9000 + number) for number in range(start, start + 1000)))
    with reading(tmp_path) as database:
        assert database is not None
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert (tmp_path / FOLDER / FILE).stat().st_size < 450_000
    assert max(row[1] for row in rows(tmp_path)) > time.time() - 4100, "the newest went instead of the oldest"


def test_several_editors_share_it(tmp_path: Path) -> None:
    """Processes that begin at once and write at once; no row is lost, none is torn."""
    program = """
import sys
from pathlib import Path
from famulus.lsp_server.completion.ledger import Ledger, Record
for turn in range(5):
    ledger = Ledger(Path(sys.argv[1]))
    for number in range(40):
        ledger.write(Record("python", "tiny", "model", 1.0, number, "file:///a.py"))
    ledger.close()
    assert not ledger.state, ledger.state
"""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        run = [sys.executable, "-P", "-c", program, str(tmp_path)]
        done = list(pool.map(lambda _: subprocess.run(run, capture_output=True, text=True, timeout=60), range(4)))
    assert [entry.returncode for entry in done] == [0] * 4, done
    assert len(rows(tmp_path)) == 4 * 5 * 40
    assert len({row[7] for row in rows(tmp_path)}) == 1, "two of them made the file"


def test_writers_that_are_killed_leave_a_file_that_works(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from famulus.lsp_server.completion.ledger import Ledger, Record
while True:
    ledger = Ledger(Path(sys.argv[1]))
    for number in range(200):
        ledger.write(Record("python", "tiny", "model", 1.0, number, "file:///a.py"))
    ledger.close()
    print(flush=True)
"""
    write(tmp_path, record(language="mine"))
    for _ in range(4):
        run = [sys.executable, "-P", "-c", program, str(tmp_path)]
        with subprocess.Popen(run, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.kill()
    write(tmp_path, record(language="mine"))
    assert [row[2] for row in rows(tmp_path)].count("mine") == 2
    assert not list((tmp_path / FOLDER).glob("*.damaged"))


@pytest.mark.parametrize("damage", ["no database", "cut off", "zeroes inside"])
def test_a_damaged_file_is_put_aside_once(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, *(record() for _ in range(300)))
    where = tmp_path / FOLDER / FILE
    with reading(tmp_path) as database:
        assert database is not None
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = where.read_bytes()
    kept = {"no database": b"x" * 9000, "cut off": content[:5000], "zeroes inside": content[:4096] + bytes(30_000)}
    where.write_bytes(kept[damage])
    with caplog.at_level(logging.WARNING):
        assert write(tmp_path, record()).state == ""
        assert write(tmp_path, record()).state == ""
    assert len(rows(tmp_path)) == 2
    assert len(caplog.records) == 1
    assert (tmp_path / FOLDER / f"{FILE}.damaged").read_bytes() == kept[damage]


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, record())
    database = sqlite3.connect(tmp_path / FOLDER / FILE)
    database.execute("PRAGMA user_version = 7")
    database.close()
    assert "another version (7)" in write(tmp_path, record()).state
    with pytest.raises(StorageFailed, match="another version"):
        rows(tmp_path)
    assert remove(tmp_path)
    assert write(tmp_path, record()).state == ""


@contextlib.contextmanager
def no_room(data: Path) -> Iterator[None]:
    """Every file of this process may grow to 8 KiB."""
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@contextlib.contextmanager
def no_folder(data: Path) -> Iterator[None]:
    """Something else is in the folder's place."""
    data.mkdir(parents=True)
    (data / FOLDER).write_text("")
    try:
        yield
    finally:
        (data / FOLDER).unlink()


@pytest.mark.parametrize("trouble", [no_room, no_folder])
def test_a_disk_that_takes_nothing_is_a_state(
    tmp_path: Path, trouble: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, costs nobody an error, and once there is room all that waited is written."""
    monkeypatch.setattr(ledger_module, "BATCH_SECONDS", 0.01)
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 0.01)
    ledger = Ledger(tmp_path / "data")
    said = threading.Event()
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(ledger_module.log, "filter", lambda entry: said.set() or True)
    with trouble(tmp_path / "data"):
        for _ in range(400):
            ledger.write(record())
        assert said.wait(10)
    ledger.write(record())
    ledger.close()
    assert ledger.state == ""
    assert len([entry for entry in caplog.records if "cannot be written" in entry.message]) == 1
    assert len(rows(tmp_path / "data")) == 401


def test_writing_never_waits_for_the_disk(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    with ledger_module._held(tmp_path / FOLDER / FILE):
        ledger = Ledger(tmp_path)
        began = time.thread_time()
        for _ in range(5000):
            ledger.write(record())
        assert time.thread_time() - began < 2
        assert len(ledger._waiting) <= ledger_module.MAX_WAITING
    ledger.close()
    assert 0 < len(rows(tmp_path)) <= ledger_module.MAX_WAITING


def test_nothing_is_made_before_there_is_something_to_write(tmp_path: Path) -> None:
    Ledger(tmp_path).close()
    assert not remove(tmp_path)
    assert summary(data=tmp_path) == []
    assert list(tmp_path.iterdir()) == []


# -- famulus stats


def test_figures(tmp_path: Path) -> None:
    write(
        tmp_path,
        *(record(latency_ms=float(n)) for n in range(1, 98)),
        record(outcome="accepted", how="all", accepted=10, kept_soon=9, kept_later=5, latency_ms=98.0),
        record(outcome="accepted", how="word", accepted=4, latency_ms=99.0, source="type-through"),
        record(outcome="typed", language="go", latency_ms=100.0),
        record(outcome="brief", latency_ms=9999.0),
        record(outcome="rejected", at=time.time() - 40 * 86_400),
    )
    python, go, total = summary(30, tmp_path)
    assert (python.language, python.shown, python.accepted, go.shown, go.typed) == ("python", 99, 2, 1, 1)
    assert (total.shown, total.characters, total.kept_soon, total.known_soon, total.kept_later) == (100, 14, 9, 10, 5)
    assert (total.latency(0.5), total.latency(0.95), total.share) == (51, 96, 0.02)
    assert total.how == {"word": 1, "line": 0, "all": 1}
    assert summary(90, tmp_path)[-1].shown == 101


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FAMULUS_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    data = tmp_path / "data"

    def stats(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["stats", *arguments])
        assert ended.value.code == 0
        return capsys.readouterr().out

    said = stats()
    assert "There are no completion statistics" in said and "famulus.statistics.enabled" in said
    assert json.loads(stats("--json"))["total"] is None
    assert stats("--delete") == "There were no completion statistics.\n"
    assert not data.exists()
    write(data, record(outcome="accepted", how="all", accepted=10, kept_soon=9), record())
    head, python, total = stats().splitlines()
    assert head.split("  ")[0] == "language" and head.rstrip().endswith("p95")
    assert python.split() == ["python", "2", "1", "(50%)", "10", "9", "(90%)", "-", "100", "ms", "100", "ms"]
    assert total.split() == ["all", *python.split()[1:]]
    assert json.loads(stats("--json", "--days", "7"))["total"]["kept_after_30_s"] == {"characters": 9, "of": 10}
    assert stats("--delete") == "The completion statistics are removed.\n"
    assert set(held(data)) == {"lock"}
    assert "There are no completion statistics" in stats()
