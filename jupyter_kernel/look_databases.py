"""What an open SQLite database tells: its tables and their columns.

The catalogue is read on the user's own connection, for an in-memory database has no other, and only where that cannot
wait and can call nobody: a lock is not waited for, and a connection with factories or a transaction kept open by hand
is left alone. DuckDB tells nothing: its first query takes longer than a look may, and starts threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from famulus.jupyter_kernel.look_values import Allowance, library
from famulus.jupyter_kernel.schema import Column, Element, Table, Variable

if TYPE_CHECKING:
    import sqlite3

TABLES = 20
COLUMNS = 40


def read_sqlite(name: str, connection: Any, type_: str, left: Allowance) -> Variable:
    """The database of a connection. Without tables where another thread made it, it is closed, locked or peculiar."""
    try:
        return Variable(name, "database", type_, tables=_tables(connection))
    except library("sqlite3")["Error"]:
        return Variable(name, "database", type_)


def _tables(connection: sqlite3.Connection) -> tuple[Table, ...]:
    by_hand = getattr(connection, "autocommit", -1) is False
    if connection.row_factory is not None or connection.text_factory is not str or by_hand:
        return ()
    cursor = connection.cursor()
    try:
        wait = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
        cursor.execute("PRAGMA busy_timeout = 0")
        try:
            names = cursor.execute(
                "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' "
                f"ORDER BY name LIMIT {TABLES}"
            ).fetchall()
            return tuple(Table(name, _columns(cursor, name)) for (name,) in names)
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {int(wait)}")
    finally:
        cursor.close()


def _columns(cursor: sqlite3.Cursor, table: str) -> tuple[Column, ...]:
    rows = cursor.execute("SELECT name, type FROM pragma_table_info(?) LIMIT ?", (table, COLUMNS)).fetchall()
    return tuple(Column(name, _affinity(declared), declared) for name, declared in rows)


def _affinity(declared: str) -> Element:
    """The kind that a declared type means, going by SQLite's rules and the names that people give."""
    name = declared.upper()
    if any(part in name for part in ("DATE", "TIME")):
        return "time"
    if "BOOL" in name:
        return "bool"
    if any(part in name for part in ("CHAR", "CLOB", "TEXT")):
        return "text"
    return "number" if any(part in name for part in ("INT", "REAL", "FLOA", "DOUB", "NUM", "DEC")) else "other"
