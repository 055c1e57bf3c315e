"""The instructions of ``famulus bench notebook``: what is typed, in which world, and how one sees that it was done.

A file ``instructions/*.toml`` holds tables ``[[task]]`` and ``[[session]]``::

    [worlds]                # setups by name, within the file
    [[task]]
    id = "v-mean"           # the group is the second part of the file's name: seen_values.toml
    world = "sales"         # or setup = "Python code"; both run before, in an empty folder
    words = "mean price"    # what the user types
    check = "answer(2.5)"   # Python; the value of its last line is the verdict (helpers: notebook_check.py)
    changes = ["df"]        # names that may differ afterwards; every other one must stay as it was
    writes = ["out.csv"]    # files that may be new or differ
    reference = "..."       # code that does what was asked
    wrong = "..."           # code that runs and does something else

    [[session]]
    id, world, setup        # and then cells, of words as above, or with only `python`
    [[session.cell]]

The word before the group is the half. ``blind_*.toml`` were written before the recipes and are kept from those who
write recipes; ``seen_*.toml`` may be looked at; ``fresh_*.toml`` were written later, by someone who had not seen the
recipes, and are used for development after their first measurement.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "instructions"
HALVES = ("blind", "seen", "fresh")
GROUPS = ("values", "files", "tables", "plots", "text", "sessions")


@dataclass(frozen=True)
class Step:
    """One words cell and its judgement; in a session also a cell of plain Python, which has no ``words``."""

    words: str = ""
    check: str = ""
    reference: str = ""
    wrong: str = ""
    changes: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    python: str = ""


@dataclass(frozen=True)
class Task:
    """A setup and the cells that follow it: one of words, or a session of several."""

    id: str
    group: str
    half: str
    setup: str
    steps: tuple[Step, ...]

    @property
    def blind(self) -> bool:
        """Whether it is kept from those who write recipes."""
        return self.half == "blind"

    @property
    def asked(self) -> list[Step]:
        """The words cells."""
        return [step for step in self.steps if step.words]


def load(folder: Path = FOLDER) -> list[Task]:
    """All tasks, in the order of the files. ``ValueError`` names a task that is not whole."""
    tasks: list[Task] = []
    for path in sorted(folder.glob("*.toml")):
        half, _, group = path.stem.partition("_")
        if half not in HALVES or group not in GROUPS:
            raise ValueError(f"{path.name}: the name is HALF_GROUP.toml, HALF one of {', '.join(HALVES)}.")
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        worlds = data.get("worlds", {})
        for entry in data.get("task", []):
            tasks.append(_task(entry, [entry], worlds, group, half))
        for entry in data.get("session", []):
            tasks.append(_task(entry, entry["cell"], worlds, group, half))
    if len({task.id for task in tasks}) < len(tasks):
        raise ValueError("Two tasks have one id.")
    return tasks


def _task(
    entry: Mapping[str, Any], cells: list[Mapping[str, Any]], worlds: Mapping[str, str], group: str, half: str
) -> Task:
    name = entry["id"]
    setup = (worlds[entry["world"]] if "world" in entry else "") + entry.get("setup", "")
    return Task(name, group, half, setup, tuple(_step(cell, name) for cell in cells))


def _step(cell: Mapping[str, Any], name: str) -> Step:
    if "python" in cell:
        return Step(python=cell["python"])
    missing = [key for key in ("words", "check", "reference", "wrong") if not cell.get(key)]
    if missing:
        raise ValueError(f"Task {name} lacks {', '.join(missing)}.")
    return Step(
        cell["words"],
        cell["check"],
        cell["reference"],
        cell["wrong"],
        tuple(cell.get("changes", ())),
        tuple(cell.get("writes", ())),
    )
