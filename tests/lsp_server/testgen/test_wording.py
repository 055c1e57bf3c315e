"""Names in the model's words say nothing that is not so; without an engine all stays as it is."""

from __future__ import annotations

import ast
import time
from typing import Any

import pytest

from famulus.engine.client import connect
from famulus.engine.errors import EngineUnavailable
from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.constructors import Constructors
from famulus.lsp_server.execution.functions import functions
from famulus.lsp_server.execution.inputs import Inputs
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.execution.values import Vocabulary
from famulus.lsp_server.testgen import forecast, proposals, wording, writing
from famulus.lsp_server.testgen.case import Aim, Example
from famulus.lsp_server.testgen.model import Model
from famulus.lsp_server.testgen.style import Style
from tests.conftest import Famulus

SOURCE = '''
def withdraw(balance: int, amount: int) -> int:
    """Take money from a balance; returns the new one."""
    if amount > balance:
        raise ValueError("not enough money")
    return balance - amount
'''
AIM = Aim("bank.py", "bank", SOURCE, functions(SOURCE)["withdraw"])
REFUSED: dict[str, Any] = {
    "raised": ["exception", "ValueError", ["list", [["str", "not enough money"]]]],
    "kinds": ["ValueError", "Exception"],
    "message": "not enough money",
    "at": ["bank.py", 5],
}


def example(*args: str, answer: dict[str, Any] | None = None) -> Example:
    return Example(Call("withdraw", args), Outcome(answer or {"value": ["int", "0"]}))


@pytest.mark.parametrize(
    ("case", "name", "kept"),
    [
        (example("5", "5"), "returns_new_balance", True),
        (example("5", "0"), "with_zero_amount", True),
        (example("5", "5"), "with_zero_amount", False),
        (example("5", "5"), "with_negative_amount", False),
        (example("5", "-5"), "with_negative_amount", True),
        (example("5", "5"), "with_empty_balance", False),
        (example("5", "5"), "raises_value_error", False),
        (example("5", "5"), "returns_balance_balance", False),
        (example("5", "5"), "returns_money_from_the", False),
        (example("5", "5"), "with_unheard_words", False),
        (example("1", "2", answer=REFUSED), "rejects_amount", True),
        (example("1", "2", answer=REFUSED), "new_balance", False),
    ],
)
def test_a_name_is_kept_if_it_is_true_of_the_case(case: Example, name: str, kept: bool) -> None:
    assert wording.consistent(AIM, case, f"test_withdraw_{name}") == kept


def test_without_an_engine_tests_stay_and_one_note_says_so() -> None:
    def missing() -> Any:
        raise EngineUnavailable("No engine runs.", fix="Start one.")

    tests = writing.write(AIM, [example("9", "7")])
    assert not tests[0].telling
    model = Model(60.0, missing)
    assert model.named(AIM, tests, set()) == tests
    assert model.surprises(AIM, [example("5", "5")]) == []
    assert model.calls(AIM.function) == []
    assert model.notes == ["The model was not asked for words: No engine runs."]


def test_what_the_engine_says_is_a_name_and_a_literal(served: Famulus) -> None:
    engine = connect(served.home, start=False)
    refused = example("1", "2", answer=REFUSED)
    name = wording.proposed(engine, AIM, refused, 60.0)
    assert not name or wording.consistent(AIM, refused, name)
    said, sure = forecast.expected(engine, AIM, example("7", "5"), 60.0)
    assert 0 <= sure <= 1
    assert not said or ast.literal_eval(said) is not ...


def test_a_docstring_says_what_the_model_s_name_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wording, "proposed", lambda *_: "test_withdraw_returns_new_balance")
    tests = writing.write(AIM, [example("9", "7")], style=Style(documented=True))
    (test,) = wording.reworded(None, AIM, tests, set(), time.monotonic() + 60)  # type: ignore[arg-type]
    assert test.text.startswith('def test_withdraw_returns_new_balance():\n    """Returns new balance."""\n')


CALLED = """
def withdraw(balance, amount): ...
def joined(first, second=2, *rest, sep=", "): ...
def counted(start=0): ...
def asked(question, *, of): ...
"""


@pytest.mark.parametrize(
    ("name", "counts"), [("withdraw", {2}), ("joined", {1, 2}), ("counted", {0, 1}), ("asked", set())]
)
def test_the_model_proposes_calls_that_the_function_takes(served: Famulus, name: str, counts: set[int]) -> None:
    calls = proposals.proposals(connect(served.home, start=False), functions(CALLED)[name], 60.0)
    assert bool(calls) == bool(counts)
    for call in calls:
        assert (call.target, call.source) == (name, "hint")
        assert len(call.args) in counts
        assert all(ast.literal_eval(text) is not ... for text in call.args)


def test_what_the_model_proposes_is_tried() -> None:
    function = AIM.function
    inputs = Inputs(function, Constructors("bank.py", SOURCE, Vocabulary()), Vocabulary())
    inputs.add([Call("withdraw", ("4711", "12"), source="hint")])
    calls = inputs.calls(60)
    assert calls[0].args == ("4711", "12")
    assert sum("4711" in call.args for call in calls) > 1
