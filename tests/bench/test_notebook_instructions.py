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
from famulus.bench.notebook_tasks import GROUPS, HALVES, Task, load
from famulus.jupyter_kernel import recipe


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return load()


def test_there_are_enough_of_every_group(tasks: list[Task]) -> None:
    asked = Counter((task.group, task.half) for task in tasks for _ in task.asked)
    assert sum(asked.values()) >= 120
    assert sum(count for (_, half), count in asked.items() if half == "blind") >= 60
    assert all(asked[group, half] >= 8 for group in GROUPS for half in HALVES)
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


def test_the_report_counts_each_half_and_tells_nothing_of_the_blind_one() -> None:
    secret = Score("b", 0, "values", "blind", "blind words", why="blind why", code="blind code", altered=True)
    known = Score("s", 0, "tables", "seen", "seen words", why="seen why", code="seen code")
    right = Score("s2", 0, "tables", "seen", "right words", passed=True, first_try=True, code="right code", seconds=2.0)
    fresh = Score("f", 0, "text", "fresh", "fresh words", why="fresh why", code="fresh code", passed=True)
    found, _, apart = report([secret, known, right, fresh], kernel=True, tell=True).partition("**The fresh half**")
    whole = found + apart
    assert "seen words" in whole and "seen why" in whole and "right words" not in whole
    assert "blind words" not in whole and "blind why" not in whole and "blind code" not in json.dumps(told(secret))
    assert rows(found)["seen half"] == ["2", "0%", "50%", "50%", "0", "0", "0"]
    assert rows(found)["blind half"] == ["1", "0%", "0%", "0%", "0", "0", "1"]
    assert rows(found)["**all**"][0] == "3" and rows(apart)["**all**"] == rows(apart)["fresh half"]
    assert rows(apart)["fresh half"] == ["1", "0%", "0%", "100%", "0", "0", "0"]


def rows(tables: str) -> dict[str, list[str]]:
    """The cells of each row of tables, by its first."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in tables.splitlines() if "|" in line]
    return {name: cells for name, *cells in lines}


def normal(text: str) -> str:
    """Letters and digits alone; a slot stands for itself."""
    text = re.sub(r"\{\w+\}", "\N{WHITE SQUARE}", text)
    return re.sub(r"[^\w\N{WHITE SQUARE}]|_", "", unicodedata.normalize("NFKC", text).casefold())
