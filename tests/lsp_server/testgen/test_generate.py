"""Tests that are made hold on the code as it is, fail when it is wrong, and leave the rest of a file alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from famulus.lsp_server.testgen.generate import Generated, Generator, Options
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


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


def made(folder: Path, *targets: str, budget: float = 30.0) -> list[Generated]:
    with opened([parse(target) for target in targets], folder) as project:
        return list(Generator(project.tree, project.root, Options(budget)).run(project.targets))


def passes(folder: Path, path: str) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", path]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def test_the_tests_pass_today_and_fail_when_the_code_is_wrong(shop: Path) -> None:
    (one,) = made(shop, "shop.py")
    assert one.proof is not None and one.proof.holds and one.proof.runs == 5
    (shop / one.path).write_text(one.text)
    assert passes(shop, one.path)
    for right, wrong in [("< x", "<= x"), ("1 + vat", "1 - vat"), ("net < 0", "net < 1"), ("// 2", "// 3 + 1")]:
        (shop / "shop.py").write_text(SHOP.replace(right, wrong))
        assert not passes(shop, one.path), f"{wrong} goes unnoticed"


def test_no_test_pins_what_is_outside_the_documented_domain(shop: Path) -> None:
    (one,) = made(shop, "shop.py::position")
    for example in one.results[0].examples:
        items = eval(example.call.args[0])
        assert items == sorted(items)


def test_what_the_project_tests_already_is_not_tested_again(shop: Path) -> None:
    before = (
        "from shop import price\n\n\ndef test_price():\n    assert price(10) == 12.0\n    assert price(10, 0.5) == 15.0\n"
    )
    (shop / "test_shop.py").write_text(before)
    (one,) = made(shop, "shop.py::price")
    assert one.path == "test_shop.py"
    result = one.results[0]
    assert result.killed_before and result.killed > result.killed_before
    assert set(before.splitlines()) <= set(one.text.splitlines())
    assert "pytest.raises(ValueError)" in one.text
    assert one.text.count("== 12.0") == 1
