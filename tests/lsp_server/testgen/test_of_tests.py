"""Why a test exists, and what it lacks: told and added by ``famulus testgen --why`` and ``--strengthen``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from famulus.commands import application

SHOP = '''\
def price(net: float, vat: float = 0.2) -> float:
    """The price with tax."""
    if net < 0:
        raise ValueError("net must not be negative")
    return round(net * (1 + vat), 2)


class Cart:
    """What is bought."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self.count = 0

    def add(self, item: int) -> None:
        self.items.append(item)
        self.count += 1
'''
TESTS = """\
import unittest

import pytest

from shop import Cart, price


def test_price():
    result = price(10)
    assert result


def test_refuses():
    with pytest.raises(ValueError, match="negative"):
        price(-1)


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (0, 0.0),
    ],
)
def test_table(net, expected):
    assert price(net) == expected


class TestCart(unittest.TestCase):
    def test_add(self):
        cart = Cart()
        cart.add(4)
        self.assertTrue(cart.items)


def test_in_one_line(): assert price(1)


def test_red():
    assert price(1) == 3
"""


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """The status, the document and the error of ``famulus testgen`` in a shop."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "test_shop.py").write_bytes(TESTS.replace("\n", "\r\n").encode())
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, Any, str]:
        status = application.run(["testgen", *arguments, "--format", "json", "--budget", "60s"])
        shown = capsys.readouterr()
        return status, json.loads(shown.out) if shown.out else None, shown.err

    return run


def test_a_test_is_told_what_only_it_notices(said: Callable[..., Any]) -> None:
    status, document, _ = said("--why", "test_shop.py::test_refuses", "test_shop.py::test_red")
    assert status == 1, "nothing can be said of a test that fails"
    first, red = document["tests"]
    assert first["functions"] == [{"path": "shop.py", "name": "price"}]
    assert [line for line in first["only"] if "raise ValueError" in line]
    assert set(first["only"]) <= set(first["noticed"])
    assert first["complete"]
    assert "Without it nobody would notice" in first["text"]
    assert red["broken"].startswith("It fails already: AssertionError")


def test_a_test_gets_the_assertion_that_it_lacks_and_then_a_case(said: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "test_shop.py"
    before = file.read_bytes()
    for kind, line in (("assertion", "    assert result == 12.0\r\n"), ("case", "")):
        _, document, _ = said("--strengthen", "test_shop.py::test_price", "--write")
        [made] = document["files"]
        assert (made["kind"], made["written"], made["runs"]) == (kind, True, 5), made
        assert made["gained"]
        assert set(made["gained"]) <= set(made["test"]["surviving"])
        assert line.encode() in file.read_bytes()
    rest = iter(file.read_bytes().splitlines(keepends=True))
    assert all(row in rest for row in before.splitlines(keepends=True)), "a line of the file was changed"


def test_a_table_gets_a_row_and_unittest_its_own_assertion(said: Callable[..., Any]) -> None:
    names = ("test_table", "TestCart::test_add", "test_in_one_line")
    _, document, _ = said("--strengthen", *(f"test_shop.py::{name}" for name in names))
    row, own, short = document["files"]
    assert row["kind"] == "case"
    assert all(part["text"].startswith("        (") for part in row["insertions"]), row["insertions"]
    assert [part["text"] for part in own["insertions"]] == ["        self.assertEqual(cart.count, 1)\n"]
    assert short["notes"] == ["All of it stands in one line, so nothing can be added."]
    assert not short["text"]


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("shop.py::price", "is no file of tests"),
        ("test_shop.py::test_prize", "Did you mean test_price"),
        ("test_shop.py", "names no single test"),
    ],
)
def test_what_cannot_be_strengthened_is_said(target: str, told: str, said: Callable[..., Any]) -> None:
    status, document, error = said("--strengthen", target)
    assert told in error
    assert status == 1
    assert document is None
