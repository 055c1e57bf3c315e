"""New tests that pass and fail with the same code are named, with what it depends on."""

from __future__ import annotations

import venv
from pathlib import Path

import pytest

from famulus.lsp_server.review.change import Memory, between
from famulus.lsp_server.review.finding import Grade
from famulus.lsp_server.review.review import Options, review
from famulus.lsp_server.review.rule import Clock, Context
from famulus.lsp_server.review.rules import flaky

OLD = """
def test_old():
    assert {"a", "b"}
"""
NEW = """
import random

SEEN = []


def test_old():
    assert {"a", "b"}


def test_leaves_something():
    SEEN.append(1)


def test_needs_nobody():
    assert not SEEN


def test_order_of_a_set():
    assert list({"a", "b", "c", "d", "e", "f"})[0] == FIRST


def test_dice():
    assert random.random() < 0.6


def test_steady():
    assert True


def test_red():
    assert False
"""


@pytest.fixture(autouse=True)
def project_python(plain_python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The projects below have an environment."""
    monkeypatch.setenv("VIRTUAL_ENV", str(plain_python.parent.parent))


def test_a_python_without_pytest_is_told_once_with_the_way_out(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    code = {"m.py": b"def f(a):\n    return a + 1\n", "test_m.py": OLD.encode() + b"import m\n"}
    new = {"m.py": code["m.py"].replace(b"1", b"2"), "test_m.py": NEW.encode() + b"import m\n"}
    options = Options(only=("flaky", "tests"), interpreter=tmp_path / "bare/bin/python")
    (told,) = review(between(Memory(code), Memory(new)), options).left_out
    assert "has no pytest" in told and "Install it there" in told and "--python" in told


def _first(seed: int) -> str:
    """The first item of the set in the test, with this seed of the hashes."""
    import subprocess
    import sys

    command = [sys.executable, "-c", "print(list({'a', 'b', 'c', 'd', 'e', 'f'})[0])"]
    return subprocess.run(command, env={"PYTHONHASHSEED": str(seed)}, capture_output=True, text=True, check=True).stdout


def test_causes_are_told_apart_and_steady_tests_are_left_alone() -> None:
    firsts = [_first(seed).strip() for seed in flaky.SEEDS]
    assert firsts[0] != firsts[1], "the test below needs two seeds with different orders"
    new = NEW.replace("FIRST", repr(firsts[0]))
    change = between(Memory({"test_it.py": OLD.encode()}), Memory({"test_it.py": new.encode()}))
    context = Context(change, clock=Clock(240))

    found = {finding.place.symbol: finding for finding in flaky.RULE.check(context)}

    assert set(found) == {"test_needs_nobody", "test_order_of_a_set", "test_dice"}
    assert found["test_dice"].message.endswith("depending on random numbers.")
    assert all(finding.grade is Grade.MEASURED for finding in found.values())
    order = found["test_needs_nobody"]
    assert order.message.endswith("depending on the order of the tests: it fails after test_leaves_something.")
    assert len(order.proof.data["runs"]) == len(flaky.RUNS)
    assert [run["outcome"] for run in order.proof.data["runs"]][:2] == ["failed", "passed"], "in order, then reversed"
    assert 0 < order.proof.data["failed"] < len(flaky.RUNS)
    assert flaky.SEED_OF_HASHES in found["test_order_of_a_set"].message
    assert context.left_out == []


def test_only_tests_that_are_new_or_changed_are_run() -> None:
    old = "def test_a():\n    x = 1\n\n\nclass TestB:\n    def test_c(self):\n        pass\n"
    new = (
        old.replace("pass", "assert 1").replace("x = 1", "x  =  1")
        + "\n\ndef test_d():\n    pass\n\n\ndef other(): ...\n"
    )
    change = between(Memory({"tests/test_a.py": old.encode()}), Memory({"tests/test_a.py": new.encode()}))
    [file] = change.files

    tests = list(flaky.changed_tests(file, {"tests/test_a.py": frozenset({2})}))

    assert [(test.name, test.new) for test in tests] == [("test_d", True), ("TestB::test_c", False)]
    assert tests[1].stands_for("tests/test_a.py::TestB::test_c[1]")
    assert not tests[0].stands_for("tests/test_a.py::test_dd")
