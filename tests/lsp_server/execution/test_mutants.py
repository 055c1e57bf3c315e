"""Mutants are one small change each, which keeps every line where it is and means something else."""

from __future__ import annotations

import ast
import random
import textwrap
from pathlib import Path

import pytest

from famulus.lsp_server.execution.mutants import Mutant, equivalent, mutants


def _all(source: str) -> list[Mutant]:
    return mutants(textwrap.dedent(source))


def _told(source: str) -> set[str]:
    return {f"{mutant.before} → {mutant.after}" for mutant in _all(source)}


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("def f(a):\n    return g(a < 3)\n", {"< → <=", "< → >=", "3 → 4", "return g(a < 3) → return None"}),
        ("def f(a, b):\n    h(a not in b)\n", {"h(a not in b) → pass", "not in → in"}),
        ("def f(a, b):\n    x = a // b\n", {"// → /"}),
        ("def f(a, b):\n    a += b\n", {"+= → -="}),
        ("def f(a):\n    if a and not b:\n        raise E('no')\n",
         {"a and not b → not (a and not b)", "and → or", "not b → b", "raise E('no') → pass"}),
        ("for a in b:\n    break\n", {"break → continue"}),
        ("x = min(a, key=b)\n", {"min → max"}),
        ("x: bool = True\n", {"True → False"}),
        ("x = y + 0\n", {"0 → 1"}),
        ("def f():\n    return False\n", {"False → True"}),
        ("def f():\n    return []\n", set()),
    ],
)  # fmt: skip
def test_what_is_changed(source: str, wanted: set[str]) -> None:
    assert _told(source) == wanted


def test_numbers_that_are_passed_on_or_stored_choose_tests() -> None:
    source = "def f(self, a: int, b: float, c: str):\n    g(a)\n    self.b = b\n    self.c = c\n    d = a\n"
    told = [f"{mutant.before} → {mutant.after}" for mutant in mutants(source, values=True) if mutant.kind == "value"]
    assert told == ["a → a + 1", "b → b + 1", "b → b * 2"]


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring with 3 < 4."""\n',
        "def f(a: List[1]) -> Literal[2]: ...\n",
        "assert a < 3\n",
        "if TYPE_CHECKING:\n    x = 1\n",
        'if __name__ == "__main__":\n    main(1)\n',
        "logger.info('got %d', count + 1)\n",
        "x = 'a' + name\n",
        "x = f'{a + 1}'\n",
        "class A:\n    def __repr__(self):\n        return self.a + 1\n",
    ],
)
def test_what_is_left_alone(source: str) -> None:
    assert _all(source) == []


@pytest.mark.parametrize(
    "source",
    [
        "def clamp(x, low):\n    if x < low:\n        return low\n    return x\n",
        "def best(a, b):\n    return a if a > b else b\n",
        "def most(values, top):\n    for v in values:\n        if v > top:\n            top = v\n    return top\n",
    ],
)
def test_a_boundary_that_cannot_matter_is_not_moved(source: str) -> None:
    assert not [mutant for mutant in _all(source) if mutant.kind == "boundary"]


def test_places_and_names_are_those_of_the_source() -> None:
    source = (
        "class Shop:\n"
        "    @cached\n"
        "    def é(self, x):\n"
        "        def inner():\n"
        "            return 'ü', x  > 1\n"
        "        return inner\n"
    )
    [boundary] = [mutant for mutant in mutants(source) if mutant.kind == "boundary"]

    assert (boundary.line, boundary.column) == (5, 28)
    assert (boundary.function, boundary.first) == ("Shop.é", 2)
    assert boundary.source == source.replace(">", ">=")
    assert str(boundary) == "replacing `>` by `>=`"


def test_only_the_lines_that_are_wanted() -> None:
    source = "def f(a):\n    b = a + 1\n    c = b * 2\n    return c\n"

    assert {mutant.line for mutant in mutants(source, {3})} == {3}
    assert mutants("def broken(:\n") == []


def test_mutants_of_real_files_can_be_read_and_keep_their_lines() -> None:
    files = sorted(file for file in Path(ast.__file__).parent.glob("*.py") if file.stat().st_size < 40_000)
    chosen = random.Random(7)
    for file in chosen.sample(files, 10):
        source = file.read_text(encoding="utf-8", errors="replace")
        found = mutants(source)
        for mutant in chosen.sample(found, min(10, len(found))):
            ast.parse(mutant.source)
            assert mutant.source.count("\n") == source.count("\n"), (file.name, str(mutant))
            pairs = zip(source.split("\n"), mutant.source.split("\n"), strict=True)
            first = next(number for number, (left, right) in enumerate(pairs, 1) if left != right)
            assert first == mutant.line, (file.name, str(mutant))


def test_the_same_code_is_known() -> None:
    assert equivalent("def f():\n    return 1 + 1\n", "def f():\n    return 2\n")
    assert not equivalent("x = 1\n", "x = 1.0\n")
    assert not equivalent("x = 1\n", "x = True\n")
    assert not equivalent("def f(a):\n    return a < 1\n", "def f(a):\n    return a <= 1\n")
    assert not equivalent("x = 1\n", "x = \n")
