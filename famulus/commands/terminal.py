"""What commands print on: rich consoles, which respect ``NO_COLOR`` and know whether a person is watching."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


class ReaderLeft(Exception):
    """Nobody reads standard output any more. No OSError: typer would make exit status 1 of that."""


class Output(Console):
    """A console that raises :class:`ReaderLeft`."""

    def on_broken_pipe(self) -> None:
        """Called by rich, which would exit with status 1."""
        raise ReaderLeft


def output(**options: Any) -> Console:
    """Standard output. Paths and model text are never taken for markup; long lines are left to the terminal."""
    return Output(highlight=False, markup=False, emoji=False, **{"soft_wrap": True, **options})


@contextlib.contextmanager
def waiting(text: str) -> Iterator[None]:
    """A spinner on standard error while something starts; nothing where nobody is watching."""
    console = Console(stderr=True, markup=False, emoji=False)
    if not console.is_terminal:
        yield
        return
    with console.status(text):
        yield


def write(text: str) -> None:
    """Text of the model, at once and exactly as it is. Raises :class:`ReaderLeft`."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderLeft from error


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def grid(rows: Iterable[tuple[str, str]]) -> Table:
    """Names and values side by side."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    return table
