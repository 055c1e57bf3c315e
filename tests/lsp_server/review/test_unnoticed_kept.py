"""Rules 6 and 7 again after an edit: the same as without what is kept, and no run for an edit that no test can see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from famulus import sandbox
from famulus.lsp_server.review.change import Memory, between
from famulus.lsp_server.review.rule import Clock, Context, Rule
from famulus.lsp_server.review.rules import flaky, unnoticed

PRICES = """
from shop.taxes import RATE, taxed


def total(amount):
    if amount > 100:
        amount = amount - 10
    return taxed(amount)


def never(amount):
    return amount
"""
TAXES = """
RATE = 2


def rounded(amount):
    return round(amount)


def taxed(amount):
    return rounded(amount * RATE)
"""
TESTS = """
import pytest
from shop.prices import total


@pytest.mark.parametrize("amount", [1, 200])
def test_total(amount):
    assert total(amount) > 0
"""
NEW_TEST = """

def test_in_turn(seen=[]):
    seen.append(1)
    assert total(len(seen)) == 2
"""
OLD = {
    "shop/__init__.py": "",
    "shop/prices.py": PRICES.replace("amount > 100", "amount > 50").replace("return amount\n", "return -amount\n"),
    "shop/taxes.py": TAXES,
    "shop/mails.py": "def subject(name):\n    return name.upper()\n",
    "tests/test_prices.py": TESTS,
}
NEW = OLD | {"shop/prices.py": PRICES, "tests/test_prices.py": TESTS + NEW_TEST}
ADDED = "\n\ndef added(value):\n    return value + 1\n"
BELOW = {"shop/taxes.py": TAXES.replace("\n\ndef taxed", f"{ADDED}\n\ndef taxed")}
UNSEEN: dict[str, dict[str, str]] = {
    "a function between": BELOW | {"shop/prices.py": PRICES.replace("\n\ndef total", f"{ADDED}\n\ndef total")},
    "a file that no test imports": {"shop/mails.py": OLD["shop/mails.py"].replace("upper", "lower")},
}
SEEN: dict[str, dict[str, str]] = {
    "a constant far below": {"shop/taxes.py": TAXES.replace("RATE = 2", "RATE = 3")},
    "another test": {"tests/test_prices.py": TESTS + "\n\ndef test_tens():\n    assert total(200) == 380\n" + NEW_TEST},
    "a fixture": {"tests/conftest.py": "import shop.taxes\n\nshop.taxes.RATE = -1\n"},
    "a name in the way": {"shop/taxes.py": TAXES + "\n\ndef round(amount):\n    return 0\n"},
}


@pytest.fixture(autouse=True)
def project_python(plain_python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The projects below have an environment."""
    monkeypatch.setenv("VIRTUAL_ENV", str(plain_python.parent.parent))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An item for each process of the sandbox."""
    found: list[str] = []
    spawn = sandbox.spawn

    def spawned(*arguments: Any, **more: Any) -> sandbox.Process:
        found.append("started")
        return spawn(*arguments, **more)

    monkeypatch.setattr(sandbox, "spawn", spawned)
    return found


def review(files: dict[str, str], *rules: Rule) -> tuple[list[Any], list[str], dict[str, str]]:
    change = between(*(Memory({path: text.encode() for path, text in side.items()}) for side in (OLD, NEW | files)))
    context = Context(change, clock=Clock(300))
    found = [finding for rule in rules for finding in rule.check(context)]
    # not the proof, which names the quickest tests first
    return [(f.rule, f.fingerprint, f.message, f.place, f.certainty) for f in found], context.left_out, context.facts


def test_what_is_kept_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[str]) -> None:
    monkeypatch.setenv("FAMULUS_HOME", str(tmp_path / "home"))
    first = review({}, unnoticed.RULE, flaky.RULE)
    assert {rule for rule, *_ in first[0]} == {"tests/not-run", "tests/unnoticed"}
    started.clear()
    for name, edit in UNSEEN.items():
        again = review(edit, unnoticed.RULE, flaky.RULE)
        assert started == [], name
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("FAMULUS_HOME", str(tmp_path / name))
            assert review(edit, unnoticed.RULE) == again, name
        started.clear()
    review(SEEN["a constant far below"], flaky.RULE)
    assert started
    for name, edit in SEEN.items():
        started.clear()
        review(edit, unnoticed.RULE)
        assert started, name


def test_who_interrupts_does_not_wait_for_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAMULUS_HOME", str(tmp_path / "home"))
    change = between(*(Memory({path: text.encode() for path, text in side.items()}) for side in (OLD, NEW)))
    findings = unnoticed.RULE.check(Context(change, clock=Clock(300)))
    next(findings)
    monkeypatch.setattr(unnoticed.Tests, "end", lambda tests: pytest.fail("this reads all changed files"))
    findings.close()  # type: ignore[attr-defined]  # as Ctrl-C does
