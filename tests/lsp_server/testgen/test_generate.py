"""Tests that are made hold on the code as it is, fail when it is wrong, and leave the rest of a file alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import Function
from famulus.lsp_server.testgen import generate
from famulus.lsp_server.testgen.generate import Generated, Generator, Options
from famulus.lsp_server.testgen.kills import Kills, kills
from famulus.lsp_server.testgen.model import Model
from famulus.lsp_server.testgen.project import opened
from famulus.lsp_server.testgen.target import parse

SHOP = '''\
"""Prices."""


def price(net: float, vat: float = 0.2) -> float:
    """The price with tax."""
    if net < 0:
        raise ValueError("net must not be negative")
    return round(net * (1 + vat), 2)


def position(items: list[int], x: int) -> int:
    """Index of the first element of the sorted list items that is >= x."""
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) // 2
        if items[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low
'''


WRONG = [("< x", "<= x"), ("1 + vat", "1 - vat"), ("net < 0", "net < 1"), ("high = middle", "high = middle - 1")]
EACH = """
import sys
import pytest

for folder in sys.argv[1:]:
    sys.path.insert(0, folder)
    print("code", int(pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", folder, folder])))
    sys.path.remove(folder)
    for name in ("shop", "test_shop"):
        sys.modules.pop(name, None)
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "pyproject.toml").write_text("")
    (folder / "shop.py").write_text(SHOP)
    return folder


@pytest.fixture(scope="module")
def tests(shop: Path) -> Generated:
    (one,) = made(shop, "shop.py")
    return one


def made(folder: Path, *targets: str, budget: float = 30.0) -> list[Generated]:
    with opened([parse(target) for target in targets], folder) as project:
        return list(Generator(project.tree, project.root, Options(budget)).run(project.targets))


def test_the_tests_pass_today_and_fail_when_the_code_is_wrong(tests: Generated, tmp_path: Path) -> None:
    assert tests.proof is not None and tests.proof.holds and tests.proof.runs == 5
    folders = []
    for number, (right, wrong) in enumerate([("", ""), *WRONG]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "shop.py").write_text(SHOP.replace(right, wrong) if right else SHOP)
        (folder / "test_shop.py").write_text(tests.text)
        folders.append(str(folder))
    command = [sys.executable, "-B", "-c", EACH, *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    codes = [line for line in done.stdout.splitlines() if line.startswith("code ")]
    assert codes == ["code 0"] + ["code 1"] * len(WRONG), done.stdout


def test_no_test_pins_what_is_outside_the_documented_domain(tests: Generated) -> None:
    (position,) = [result for result in tests.results if result.aim.function.name == "position"]
    assert position.examples
    for example in position.examples:
        items = eval(example.call.args[0])
        assert items == sorted(items)


def test_names_say_what_is_special(tests: Generated) -> None:
    names = [one.name for one in tests.written]
    assert any("negative" in name for name in names), names
    assert any("zero" in name for name in names), names
    assert "match='net must not be negative'" in tests.text.replace('"', "'")


def test_what_the_project_tests_already_is_not_tested_again(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "shop.py").write_text(SHOP)
    before = "from shop import price\n\n\ndef test_price():\n    assert price(10) == 12.0\n"
    before += "    assert price(10, 0.5) == 15.0\n"
    (tmp_path / "test_shop.py").write_text(before)
    (one,) = made(tmp_path, "shop.py::price", budget=60.0)
    assert one.path == "test_shop.py"
    result = one.results[0]
    assert result.killed_before and result.killed > result.killed_before
    assert set(before.splitlines()) <= set(one.text.splitlines())
    assert "pytest.raises(ValueError" in one.text
    assert one.text.count("== 12.0") == 1


def test_weak_tests_are_completed_though_a_table_takes_many_rows(tmp_path: Path) -> None:
    library = Path(__file__).parents[3] / "docs" / "tour" / "library"
    for path in library.glob("*.py"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "pyproject.toml").write_text("")
    (one,) = made(tmp_path, "fines.py::reminder", budget=60.0)
    result = one.results[0]
    assert result.killed == result.mutants and len(one.written) <= 5
    assert "pytest.raises(ValueError" in one.text


def test_tests_for_which_there_was_no_time_are_told(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "shop.py").write_text(SHOP)
    slow = "import time\n\nfrom shop import price\n\n\ndef test_price():\n    time.sleep(1.5)\n"
    (tmp_path / "test_shop.py").write_text(slow + "    assert price(10) == 12.0\n")
    (one,) = made(tmp_path, "shop.py::price", budget=12.0)
    said = "There was no time to run the tests that are there on most mutants of price: give more with --budget."
    assert said in one.notes
    assert one.results[0].unasked > one.results[0].mutants / 2


def test_what_was_written_notices_what_it_was_said_to_notice(tmp_path: Path) -> None:
    code = "class Part:\n    def __init__(self, cents: int):\n        self.cents = cents\n\n\n"
    code += "def split(cents: int, parts: int) -> list[Part]:\n    base, rest = divmod(cents, parts)\n"
    code += "    return [Part(base + (1 if i < rest else 0)) for i in range(parts)]\n"
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "shop.py").write_text(code)
    (one,) = made(tmp_path, "shop.py::split", budget=60.0)
    (tmp_path / one.path).write_text(one.text)
    (again,) = made(tmp_path, "shop.py::split", budget=60.0)
    assert again.results[0].killed_before == one.results[0].killed > 0


def test_a_score_of_few_mutants_says_so(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def few(*given: Any, go_on: Callable[[], bool], **named: Any) -> Kills:
        left = iter([True, True, False])
        return kills(*given, go_on=lambda: next(left), **named)

    monkeypatch.setattr(
        generate, "kills", lambda *given, **named: (few if "go_on" in named else kills)(*given, **named)
    )
    (one,) = made(shop, "shop.py::price")
    assert one.results[0].mutants == 2
    assert "There was no time for most mutants of price: give more with --budget." in one.notes


def test_a_function_that_pytest_takes_for_a_test_gets_none(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("def test_price(net: int) -> int:\n    return net + 1\n")
    (one,) = made(tmp_path, "shop.py")
    assert (one.text, one.notes) == ("", ["test_price: pytest would take it for a test wherever it is imported."])


def test_what_the_model_proposes_becomes_a_test_if_it_shows_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Proposing(Model):
        """Has read the function; says nothing else."""

        def calls(self, function: Function) -> list[Call]:
            return [Call(function.name, ("4711",), source="hint")]

        def _asked(self, ask: object) -> None:
            return None

    (tmp_path / "shop.py").write_text("def lucky(x: int) -> bool:\n    return x * 7919 % 10007 == 313\n")
    monkeypatch.setattr(generate, "Model", Proposing)
    with opened([parse("shop.py")], tmp_path) as project:
        (one,) = Generator(project.tree, project.root, Options(30.0, words=True)).run(project.targets)
    assert "4711" in one.text
