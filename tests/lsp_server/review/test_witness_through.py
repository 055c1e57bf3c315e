"""Rule 3: a changed function that cannot be called by itself is shown by those that come to it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from famulus.lsp_server.review.change import Memory, between
from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.rule import Clock, Context
from famulus.lsp_server.review.rules import witness

SHOP = """
class _Node:
    def __init__(self, **children):
        vars(self).update(children)

def _tree(words):
    return _Node(left=_Node(left=words[0]), right=_Node(left=words[-1]))

def _weight(node):
    return len(node.left.left.upper()) + 2 * len(node.right.left.upper())

RULES = [("weight", _weight)]

def _scaled(number: int) -> int:
    return 10 * number

class Scale:
    def __init__(self):
        self._rules = RULES

    def weigh(self, text: str) -> int:
        words = text.split() or [""]
        return _scaled(sum(rule(_tree(words)) for _, rule in self._rules))
"""


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness, "_SECONDS", 30.0)  # for a busy machine; it ends by itself long before


def findings(new: str) -> list[Finding]:
    change = between(Memory({"shop.py": SHOP.encode()}), Memory({"shop.py": new.encode()}))
    return list(witness.RULE.check(Context(change, interpreter=Path(sys.executable), clock=Clock(100))))


def test_what_needs_an_object_of_others_is_shown_by_who_makes_it() -> None:
    (found,) = findings(SHOP.replace("+ 2 *", "+ 3 *"))
    assert found.place.symbol == "_weight"
    assert found.proof.text.startswith("Scale().weigh(")
    assert "Scale().weigh(" in found.proof.code


def test_another_change_on_the_way_is_not_blamed_on_it() -> None:
    other = SHOP.replace("10 * number", "11 * number").replace("len(node.left", "1 * len(node.left")
    assert [found.place.symbol for found in findings(other)] == ["_scaled"]
