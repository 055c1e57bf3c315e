"""``famulus bench testgen`` holds out changes that are what they say, and its judge tells good tests from idle ones."""

from __future__ import annotations

import ast
import sys
import types
from pathlib import Path

import pytest

from famulus.bench.testgen_holdout import KINDS, held_out
from famulus.bench.testgen_judge import Judge
from famulus.bench.testgen_keep import Keep, Record, Verdict
from famulus.bench.testgen_plain import classes, plain
from famulus.bench.testgen_sample import Chosen, Project, definitions, fit
from famulus.bench.testgen_slips import bugs

CODE = '''
class Shelf:
    def __init__(self, size: int = 3) -> None:
        self.size = size

    def part(self, items: list[int], start: int) -> list[int]:
        """Some of the items."""
        kept = items[start : start + self.size]
        spare = pow(start, 2, 7)
        for item in kept:
            spare += item
        return [*kept, spare]


def drawn(parser, text: str) -> str:
    found = parser.parse(text)
    found += text
    return found
'''
TESTS = """
from shelf import Shelf


def test_part():
    assert Shelf(2).part([1, 2, 3, 4], 1) == [2, 3, 6]


def test_idle():
    Shelf(2).part([1, 2, 3], 0)
"""
PROJECT = Project("shelf", "1", {"shelf.py": CODE.encode()})
NODES = dict(definitions(ast.parse(CODE).body))
PART = Chosen(PROJECT, "shelf.py", "Shelf.part", CODE, NODES["Shelf.part"])


def test_every_bug_is_shown_by_its_call() -> None:
    found = bugs()
    assert len({(slip.module, slip.function, slip.new) for _, slip, _ in found}) >= 60
    for chosen, slip, spoilt in found:
        assert _value(chosen.text, slip.shows) != _value(spoilt.source, slip.shows), f"{slip.function}: {slip.why}"


def _value(source: str, shows: str) -> str:
    module = types.ModuleType("shown")

    def _try(function: object, *arguments: object) -> object:
        try:
            return function(*arguments)  # type: ignore[operator]
        except Exception as error:
            return type(error).__name__

    module.__dict__["_try"] = _try
    exec(compile(source, "shown.py", "exec", dont_inherit=True), module.__dict__)
    try:
        return repr(eval(shows, module.__dict__))
    except Exception as error:
        return f"raises {type(error).__name__}"


def test_changes_that_are_held_out_are_of_all_kinds_and_inside_the_function() -> None:
    found = held_out(PART, 40, 0)
    assert {spoilt.kind for spoilt in found} == set(KINDS)
    assert len({spoilt.source for spoilt in found}) == len(found)
    for spoilt in found:
        assert spoilt.line in range(PART.node.lineno, 14)
        assert spoilt.source.startswith(CODE[: CODE.index("Some of")])
        assert spoilt.source.endswith(CODE[CODE.index("\n\ndef drawn") :])


def test_functions_that_want_machinery_are_not_drawn() -> None:
    known = classes(ast.parse(CODE).body)
    assert {name for name, node in NODES.items() if fit(name, node) and plain(node, name, known)} == {"Shelf.part"}


@pytest.mark.skipif(sys.platform != "linux", reason="code runs in a sandbox of Linux")
def test_the_judge_runs_the_tests_on_the_change() -> None:
    found = held_out(PART, 40, 0)
    wrong = next(s for s in found if s.kind == "slice off by one")
    same = next(s for s in found if s.kind == "arguments swapped" and "pow(start, 7, 2)" in s.after)  # 1 either way
    with Judge(PROJECT.files, Path(sys.executable)) as judge:
        looked = judge.look("test_shelf.py", TESTS, "shelf.py")
        suite, part = looked.suite(), looked.suite({"test_part"})
        assert (suite.tests, suite.bare, suite.red, suite.flaky) == (2, 1, 0, 0)
        assert (part.tests, part.bare) == (1, 0)
        assert {8, 9, 11, 12} <= looked.lines
        for again in (False, True):
            assert judge.notices("shelf.py", wrong, import_again=again)
            assert not judge.notices("shelf.py", same, import_again=again)


def test_a_run_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    keep = Keep(tmp_path)
    record = Record("a:b.py::c", "b.py", "c", 3, "r", 15.0)
    keep.add("functions", record)
    record.verdicts = [Verdict("bug", 1, "a → b", ours=True)]
    keep.add("functions", record)
    with (tmp_path / "functions.jsonl").open("a") as file:
        file.write('{"key": "a:d')
    assert keep.records("functions") == {record.key: record}
