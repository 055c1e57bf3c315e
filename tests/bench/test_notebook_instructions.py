"""The instructions of ``famulus bench notebook`` are sound: each check accepts what was asked and refuses the rest."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter

import pytest

from famulus.bench.notebook import report, told
from famulus.bench.notebook_direct import order, verdicts
from famulus.bench.notebook_score import Score
from famulus.bench.notebook_tasks import GROUPS, Task, load
from famulus.jupyter_kernel import recipe


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return load()


def test_there_are_enough_of_every_group(tasks: list[Task]) -> None:
    asked = Counter((task.group, task.blind) for task in tasks for _ in task.asked)
    assert sum(asked.values()) >= 120
    assert sum(count for (_, blind), count in asked.items() if blind) >= 60
    assert all(asked[group, blind] >= 8 for group in GROUPS for blind in (True, False))
    assert all(len(task.steps) >= 5 for task in tasks if task.group == "sessions")


def test_every_check_accepts_the_reference_and_refuses_nothing_done_and_something_else(tasks: list[Task]) -> None:
    whole = [order(task) for task in tasks]
    for done in whole:  # before each reference a cell that does nothing
        cells = done["cells"]
        done["cells"] = [
            part for cell in cells for part in ([cell | {"code": "pass"}, cell] if "check" in cell else [cell])
        ]
    others = [(task, at) for task in tasks for at, step in enumerate(task.steps) if step.words]
    replies = verdicts([*whole, *(order(task, at, task.steps[at].wrong) for task, at in others)])
    failures = []
    for task, done in zip(tasks, whole, strict=True):
        reply = next(replies)
        failures += [f"{task.id}: not intact: {found}" for found in reply["violations"] if found]
        for cell, why in zip(done["cells"], reply["why"], strict=True):
            if cell["code"] == "pass" and not why:
                failures.append(f"{task.id}: accepts that nothing was done")
            if cell["code"] != "pass" and why:
                failures.append(f"{task.id}: {cell['code']!r} is refused: {why}")
    for (task, at), reply in zip(others, replies, strict=True):
        if not reply["why"][at]:
            failures.append(f"{task.id}: accepts {task.steps[at].wrong!r}")
    assert not failures, "\n".join(failures)


def test_recipes_have_neither_words_nor_examples_of_the_benchmark(tasks: list[Task]) -> None:
    asked = {normal(step.words): task.id for task in tasks for step in task.asked}
    shared = []
    for one in recipe.load():
        for said in (*one.say, one.example["words"]):
            if normal(said) in asked:
                shared.append(f"{one.id} shares an instruction with {asked[normal(said)]}")
    assert not shared, "\n".join(shared)


def test_the_report_counts_both_halves_and_tells_nothing_of_the_blind_one() -> None:
    secret = Score("b", 0, "values", True, "blind words", why="blind why", code="blind code", altered=True)
    known = Score("s", 0, "tables", False, "seen words", why="seen why", code="seen code")
    right = Score("s2", 0, "tables", False, "right words", passed=True, first_try=True, code="right code", seconds=2.0)
    found = report([secret, known, right], kernel=True, tell=True)
    assert "seen words" in found and "seen why" in found and "right words" not in found
    assert "blind words" not in found and "blind why" not in found and "blind code" not in json.dumps(told(secret))
    rows = {
        line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]]
        for line in found.splitlines()
        if "|" in line
    }
    assert rows["seen half"] == ["2", "0%", "50%", "50%", "0", "0", "0"]
    assert rows["blind half"] == ["1", "0%", "0%", "0%", "0", "0", "1"]


def normal(text: str) -> str:
    """Letters and digits alone; a slot stands for itself."""
    text = re.sub(r"\{\w+\}", "\N{WHITE SQUARE}", text)
    return re.sub(r"[^\w\N{WHITE SQUARE}]|_", "", unicodedata.normalize("NFKC", text).casefold())
