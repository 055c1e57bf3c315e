"""Rule 3 again after an edit: what no edit can have touched is not run again, and what one may have touched is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from famulus import sandbox
from famulus.lsp_server.review.change import Memory, between
from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.rule import Clock, Context
from famulus.lsp_server.review.rules import witness, witness_search

if TYPE_CHECKING:
    from famulus.lsp_server.execution.pair import Pair
    from famulus.lsp_server.execution.search import Found
    from famulus.lsp_server.review.rules.witness_changes import Changed

PRICES = """
from shop.taxes import taxed

def total(amount: int) -> int:
    return taxed(amount) + 1
"""
TAXES = """
from shop.bases import Scale

RATE = 3

class Tax(Scale):
    pass

def taxed(amount: int) -> int:
    return scaled(amount)

def scaled(amount: int) -> int:
    return amount * RATE * Tax.by
"""
OLD = {
    "shop/__init__.py": "",
    "shop/prices.py": PRICES,
    "shop/taxes.py": TAXES,
    "shop/bases.py": "class Scale:\n    by = 1\n",
    "shop/rates.txt": "3",
    "shop/mails.py": "def subject(name: str) -> str:\n    return name.upper()\n",
}
NEW = OLD | {"shop/prices.py": PRICES.replace("+ 1", "+ 2")}


@pytest.fixture(autouse=True)
def _own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAMULUS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(witness, "_SECONDS", 30.0)  # for a busy machine; it ends by itself long before
    monkeypatch.setattr(witness, "_WAITED", 60.0)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the functions that are called, and ``started`` for each process."""
    found: list[str] = []
    spawn, directly = sandbox.spawn, witness_search.Looking.directly

    def spawned(*arguments: Any, **more: Any) -> sandbox.Process:
        found.append("started")
        return spawn(*arguments, **more)

    def looked(self: witness_search.Looking, pair: Pair, item: Changed, *more: Any) -> Found:
        found.append(item.new.name)
        return directly(self, pair, item, *more)

    monkeypatch.setattr(sandbox, "spawn", spawned)
    monkeypatch.setattr(witness_search.Looking, "directly", looked)
    return found


def review(new: dict[str, str], old: dict[str, str] = OLD, seconds: float = 300) -> list[Finding]:
    return list(witness.RULE.check(context(new, old, seconds)))


def context(new: dict[str, str], old: dict[str, str] = OLD, seconds: float = 300) -> Context:
    change = between(*(Memory({path: text.encode() for path, text in side.items()}) for side in (old, new)))
    return Context(change, interpreter=Path(sys.executable), clock=Clock(300), seconds=seconds)


def edited(path: str, was: str, now: str) -> dict[str, str]:
    assert was in NEW[path]
    return NEW | {path: NEW[path].replace(was, now)}


def test_edits_that_cannot_count_run_nothing_again(run: list[str]) -> None:
    (first,) = review(NEW)
    assert first.proof.text.startswith("total(")
    assert "started" in run and "total" in run
    run.clear()
    added = NEW["shop/taxes.py"] + "\ndef added(value: int = 3) -> int:\n    return value + RATE\n"
    caller = NEW["shop/mails.py"] + "\n\ndef last() -> int:\n    from shop.prices import total\n    return total(4)\n"
    fresh = context(NEW)
    fresh.fresh = True
    assert [found.as_json() for found in witness.RULE.check(fresh)] == [first.as_json()]
    assert "started" in run and "total" in run
    run.clear()
    assert [found.as_json() for found in review(NEW)] == [first.as_json()]
    assert [found.as_json() for found in review(NEW | {"shop/taxes.py": added})] == [first.as_json()]
    (moved,) = review(NEW | {"shop/mails.py": caller})  # told with the callers that it has now
    assert (moved.fingerprint, moved.reach) == (first.fingerprint, 1)
    assert run == []
    (again, other) = review(edited("shop/mails.py", "name.upper()", "name.title()"))
    assert again.as_json() == first.as_json()
    assert other.place.symbol == "subject"
    assert "total" not in run


@pytest.mark.parametrize(
    ("path", "was", "now", "left"),
    [
        ("shop/taxes.py", "amount * RATE", "amount * RATE * 1000", ["scaled", "total"]),
        ("shop/taxes.py", "amount * RATE", "amount * RATE - 1", ["scaled"]),  # the finding is gone
        ("shop/taxes.py", "RATE = 3", "RATE = 4", ["scaled", "total"]),
        ("shop/bases.py", "by = 1", "by = 2", ["total"]),
        ("shop/rates.txt", "3", "4", ["total"]),
        (
            "shop/taxes.py",
            "class Tax",
            "def int(value: object) -> str:\n    return str(value)\n\n\nclass Tax",
            ["total"],
        ),
    ],
)
def test_what_may_be_touched_runs_again(run: list[str], path: str, was: str, now: str, left: list[str]) -> None:
    review(NEW)
    run.clear()
    found = review(edited(path, was, now))
    assert "total" in run
    assert sorted(finding.place.symbol for finding in found) == left


def test_that_nothing_was_found_holds_only_for_the_same_tests(run: list[str], tmp_path: Path) -> None:
    old = "def way(code: str) -> int:\n    return 1\n"
    new = "def way(code: str) -> int:\n    return 2 if code.encode().hex() == '716a78' else 1\n"
    test = "from ways import way\n\ndef test_way() -> None:\n    assert way('a')\n"
    before = {"ways.py": old, "test_ways.py": test}
    assert review({"ways.py": new, "test_ways.py": test}, before) == []
    run.clear()
    assert review({"ways.py": new, "test_ways.py": test}, before) == []
    assert run == []
    found = review({"ways.py": new, "test_ways.py": test.replace("'a'", "'qjx'")}, before)
    assert [finding.place.symbol for finding in found] == ["way"]
    run.clear()
    for file in (tmp_path / "home").rglob("witnesses-*/*/*"):
        file.write_bytes(file.read_bytes()[:-3])  # a broken store is none
    assert review({"ways.py": new, "test_ways.py": test}, before) == []
    assert "way" in run


def test_what_time_cut_short_goes_on_when_there_is_more(run: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = {"ways.py": "def way(code: str) -> int:\n    return 1\n"}
    after = {"ways.py": "def way(code: str) -> int:\n    return 2 if code == 'no such' * 9 else 1\n"}
    monkeypatch.setattr(witness, "_AROUND", 0.0)
    said = []
    for seconds in (60, 60, 30, 90):
        looked = context(after, before, seconds)
        assert list(witness.RULE.check(looked)) == []
        said.append(looked.left_out)
        assert run.count("way") == (2 if seconds == 90 else 1)
    assert "no time was left" in said[0][-1]
    assert said == [said[0]] * 4  # it is told again
