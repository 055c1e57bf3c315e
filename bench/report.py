"""What every benchmark prints around its numbers: the machine, the revision, the load, and tables in Markdown."""

from __future__ import annotations

import os
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path

from famulus.engine.hardware import cores, machine


def heading(name: str) -> str:
    """Machine line, revision and load, as a Markdown list."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    busy = " **(busy machine: read the ratios, not the times)**" if load > 0.5 * cores() else ""
    return f"- machine: {machine()}\n- revision: {revision()}\n- load before: {load:.2f}{busy}\n- command: `{name}`\n"


def revision() -> str:
    """The commit of the checkout, marked if files differ from it."""
    root = Path(__file__).resolve().parent.parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    commit = git("rev-parse", "--short", "HEAD") or "no git"
    return commit + (" (with changes)" if git("status", "--porcelain", "--untracked-files=no") else "")


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; numbers are right-aligned."""
    cells = [[str(c) for c in columns], *[[str(c) for c in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]

    def line(row: Sequence[str]) -> str:
        padded = [row[0].ljust(widths[0]), *[c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join(["-" * (widths[0] + 2), *["-" * (w + 1) + ":" for w in widths[1:]]]) + "|"
    return "\n".join([line(cells[0]), rule, *[line(row) for row in cells[1:]]])


def median(values: Sequence[float]) -> float:
    """The middle value; nan for none."""
    return statistics.median(values) if values else float("nan")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of the values do not exceed; nan for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
