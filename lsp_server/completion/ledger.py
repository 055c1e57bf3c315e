"""The statistics of completions: one SQLite file in the user's data folder, which never leaves this machine.

A row has no code and no path: only how long, how fast, which language and model, and what became of it; documents are
told apart by a hash with a salt that is made with the file. Rows are written by one thread, in batches, under a lock,
because several editors share the file. What goes wrong with the disk is a state and a line of the log, never an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from famulus.engine.errors import FamulusError, StorageFailed
from famulus.engine.folders import folders, private, storage_failed
from famulus.engine.runtime import FileLock

log = logging.getLogger("famulus.lsp.statistics")

FOLDER, FILE = "statistics", "completions.sqlite3"
SCHEMA = 1
DAYS = 90
"""Older rows are removed."""
MAX_BYTES = 40 << 20
"""Beyond this the oldest fifth is removed; with the write-ahead log the folder stays below 50 MiB."""
BATCH_SECONDS = 2.0
RETRY_SECONDS = 60.0
LOCK_SECONDS = 5.0
MAX_WAITING = 1000
"""Rows in memory while the disk cannot be written; the oldest are forgotten."""

Source = Literal["model", "type-through", "speculation"]
Outcome = Literal["brief", "left", "rejected", "typed", "accepted"]
"""``brief``: on screen for less than 0.75 s. ``left``: seen, then something else was done. ``rejected``: seen, then
typed against. ``typed``: the user typed it to its end by himself."""
How = Literal["", "word", "line", "all"]

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE suggestion (
  key BLOB PRIMARY KEY, at INTEGER NOT NULL, language TEXT NOT NULL, model TEXT NOT NULL, source TEXT NOT NULL,
  latency_ms REAL NOT NULL, length INTEGER NOT NULL, document BLOB NOT NULL, outcome TEXT NOT NULL, how TEXT NOT NULL,
  accepted INTEGER NOT NULL, kept_soon INTEGER, kept_later INTEGER, reverted INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX suggestion_at ON suggestion (at);
"""
_INSERT = f"INSERT OR REPLACE INTO suggestion VALUES ({', '.join('?' * 14)})"


@dataclass
class Record:
    """One suggestion. ``length`` and what follows count characters; ``kept_*`` are None while nobody can tell.

    ``document`` is any name of the file; only its hash is written.
    """

    language: str
    model: str
    source: Source
    latency_ms: float
    length: int
    document: str
    outcome: Outcome = "brief"
    how: How = ""
    accepted: int = 0
    kept_soon: int | None = None
    kept_later: int | None = None
    reverted: bool = False
    at: float = field(default_factory=time.time)
    key: bytes = field(default_factory=lambda: uuid.uuid4().bytes)


class Ledger:
    """The file below ``data`` (the user's data folder by default). Nothing exists before the first row is written."""

    def __init__(self, data: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._data, self._clock = data, clock
        self._waiting: dict[bytes, Record] = {}
        self._lock = threading.Lock()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self.state = ""
        """Why nothing can be written at the moment; "" when all is well."""

    def write(self, record: Record) -> None:
        """Write a row soon, or write it anew. Returns at once and raises nothing."""
        with self._lock:
            self._waiting[record.key] = replace(record)
            while len(self._waiting) > MAX_WAITING:
                del self._waiting[next(iter(self._waiting))]
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="famulus-statistics", daemon=True)
                self._thread.start()
        self._wake.set()

    def close(self) -> None:
        """Write what waits and end. Takes as long as the disk does, some seconds at most."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(LOCK_SECONDS + 1)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(RETRY_SECONDS if self.state else BATCH_SECONDS)
            self._wake.clear()
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            rows, self._waiting = list(self._waiting.values()), {}
        if not rows:
            return
        try:
            self._save(rows)
            self._say("")
        except (FamulusError, OSError, sqlite3.Error) as error:
            self._say(str(error))
            with self._lock:
                self._waiting = {row.key: row for row in rows} | self._waiting
            self._wake.set()

    def _say(self, state: str) -> None:
        if state and not self.state:  # a full disk has several ways to say so, by turns
            log.warning("completion statistics cannot be written: %s", state)
        self.state = state

    def _save(self, rows: list[Record]) -> None:
        where = private((self._data or folders().data) / FOLDER) / FILE
        with _held(where):
            try:
                self._insert(where, rows)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
                    raise
                _put_aside(where)
                self._insert(where, rows)

    def _insert(self, where: Path, rows: list[Record]) -> None:
        with contextlib.closing(_opened(where)) as database, database:
            salt = bytes(database.execute("SELECT value FROM meta WHERE name = 'salt'").fetchone()[0])
            database.executemany(_INSERT, (_row(record, salt) for record in rows))
            _bound(database, self._clock())


def remove(data: Path | None = None) -> bool:
    """Delete all statistics, whoever else has them open; whether there were any. Raises :class:`StorageFailed`."""
    where = (data or folders().data) / FOLDER / FILE
    found = [path for path in where.parent.glob(f"{FILE}*") if path.is_file()]
    if not found:
        return False
    with _held(where):
        for path in where.parent.glob(f"{FILE}*"):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise storage_failed(path, error) from error
    return True


@contextlib.contextmanager
def reading(data: Path | None = None) -> Iterator[sqlite3.Connection | None]:
    """The file for reading, None where there is none. Raises :class:`StorageFailed` where it cannot be read."""
    where = (data or folders().data) / FOLDER / FILE
    if not where.is_file():
        yield None
        return
    fix = "Remove the statistics with: famulus stats --delete"
    with _held(where):
        try:
            with contextlib.closing(_opened(where)) as database:
                yield database
        except (OSError, sqlite3.Error) as error:
            raise StorageFailed(f"The completion statistics cannot be read ({error}).", fix=fix) from error


@contextlib.contextmanager
def _held(where: Path) -> Iterator[None]:
    """The lock of the file, so that nobody opens a database that another puts aside or deletes."""
    lock = FileLock(where.with_name("lock"))
    until = time.monotonic() + LOCK_SECONDS
    while not lock.acquire():
        if time.monotonic() > until:
            raise StorageFailed("Another process holds the completion statistics.", fix="Try again.")
        time.sleep(0.02)
    try:
        yield
    finally:
        lock.release()


def _opened(where: Path) -> sqlite3.Connection:
    os.close(os.open(where, os.O_RDWR | os.O_CREAT, 0o600))
    where.chmod(0o600)  # SQLite's own files beside it get the same mode
    database = sqlite3.connect(where, timeout=LOCK_SECONDS)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA journal_size_limit = 1048576")
        [version] = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            salt = f"INSERT INTO meta VALUES ('salt', x'{secrets.token_hex(16)}');"
            database.executescript(f"BEGIN; {_TABLES} {salt} PRAGMA user_version = {SCHEMA}; COMMIT;")
        elif version != SCHEMA:
            raise StorageFailed(
                f"The completion statistics are of another version ({version}).",
                fix="Remove them with: famulus stats --delete",
            )
    except BaseException:
        database.close()
        raise
    return database


def _put_aside(where: Path) -> None:
    """A damaged file makes room for a new one; the last such file is kept."""
    damaged = where.with_name(f"{FILE}.damaged")
    log.warning("the completion statistics were damaged; they are now %s, and begin anew", damaged)
    for tail in ("-wal", "-shm"):
        where.with_name(FILE + tail).unlink(missing_ok=True)
    os.replace(where, damaged)


def _row(record: Record, salt: bytes) -> tuple[object, ...]:
    document = hashlib.blake2b(record.document.encode(errors="surrogatepass"), key=salt, digest_size=8).digest()
    return (
        record.key, int(record.at), record.language[:40], record.model[:200], record.source,
        round(record.latency_ms, 1), record.length, document, record.outcome, record.how, record.accepted,
        record.kept_soon, record.kept_later, record.reverted,
    )  # fmt: skip


def _bound(database: sqlite3.Connection, now: float) -> None:
    database.execute("DELETE FROM suggestion WHERE at < ?", (int(now) - DAYS * 86_400,))
    [[pages]], [[free]], [[size]] = (
        database.execute(f"PRAGMA {name}").fetchall() for name in ("page_count", "freelist_count", "page_size")
    )
    if (pages - free) * size > MAX_BYTES:
        database.execute(
            "DELETE FROM suggestion WHERE key IN (SELECT key FROM suggestion ORDER BY at LIMIT "
            "(SELECT count(*) / 5 FROM suggestion))"
        )
