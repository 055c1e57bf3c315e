"""Few examples are kept, and nothing that all of them notice is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.constructors import Constructors
from famulus.lsp_server.execution.functions import functions
from famulus.lsp_server.execution.inputs import vocabulary
from famulus.lsp_server.testgen.domain import Domain
from famulus.lsp_server.testgen.natural import Natural
from famulus.lsp_server.testgen.selection import ROWS, cover, diverse, fuller
from famulus.lsp_server.testgen.slips import slips

_KILLS = st.lists(st.frozensets(st.integers(0, 12), max_size=6), max_size=12)


@given(_KILLS, st.frozensets(st.integers(0, 12)))
def test_what_is_kept_kills_what_all_kill_and_nothing_in_it_is_superfluous(
    kills: list[frozenset[int]], known: frozenset[int]
) -> None:
    chosen = cover(kills, known=known)
    everything = frozenset().union(*kills)
    assert everything <= known.union(*(kills[n] for n in chosen))
    for position in chosen:
        others = known.union(*(kills[n] for n in chosen if n != position))
        assert kills[position] - others


def test_the_cheaper_of_two_equal_examples_is_kept() -> None:
    assert cover([{1, 2}, {1, 2}], cost=[9.0, 1.0]) == [1]


def test_the_rest_is_filled_with_what_differs() -> None:
    assert diverse([2], [{"a"}, {"b"}, {"a"}, {"c"}, {"b"}], 3) == [2, 1, 3]


def test_a_table_gets_rows_that_kill_more_as_long_as_the_tests_stay_few() -> None:
    kills = [{1}, {1, 2}, {3}, {2, 4}, set[int]()]
    facts: list[set[str]] = [set() for _ in kills]
    assert fuller([0], kills, facts, [0.0] * 5, lambda some: True) == [0, 3, 2]
    assert fuller([0], kills, facts, [0.0] * 5, lambda some: 3 not in some) == [0, 1, 2]
    many = [{n} for n in range(20)]
    assert len(fuller([], many, [set[str]()] * 20, [0.0] * 20, lambda some: True)) == ROWS


CODE = """
def best(scores: dict[str, int], n: int) -> list[str]:
    ranked = sorted(scores.items(), key=lambda pair: -pair[1])
    return [f"{name}" for name, _ in ranked[:n] if name.strip() and 0 < n <= 9]


def middle(values: list[float]) -> float:
    \"\"\"The middle of the sorted values.\"\"\"
    values = sorted(values)
    return values[len(values) // 2]


class Lock:
    def __init__(self, code: str) -> None:
        self._code, self._wrong = code, 0

    def enter(self, code: str) -> bool:
        if self._wrong >= 2 or code != self._code:
            self._wrong += 1
            return False
        self._wrong = 0
        return True
"""


def test_slips_leave_out_steps_and_can_all_be_compiled() -> None:
    for function in functions(CODE).values():
        for slip in slips(CODE, function):
            compile(slip.source, "<slip>", "exec")
    made = {(slip.before, slip.after) for slip in slips(CODE, functions(CODE)["best"])}
    assert {
        ("name.strip()", "name"),
        ("sorted(scores.items(), key=lambda pair: -pair[1])", "sorted(scores.items())"),
        ("0 < n <= 9", "(0 < n)"),
        ("0 < n <= 9", "(n <= 9)"),
    } <= made
    entering = {slip.after for slip in slips(CODE, functions(CODE)["Lock.enter"])}
    assert {"self._wrong = 1", "(code != self._code)"} <= entering


def _natural(name: str) -> list[Call]:
    function = functions(CODE)[name]
    return Natural(CODE, function, Constructors("m.py", CODE, vocabulary(function.node))).calls()


def test_an_object_is_called_often_enough_that_its_state_shows() -> None:
    """Only after two wrong codes is the lock closed for the right one."""

    def answer(call: Call) -> object:
        names: dict[str, object] = {}
        exec(CODE, names)
        names["self"] = eval(call.receiver, names)
        for step in call.before:
            exec(step, names)
        return eval(f"self.enter({', '.join(call.args)})", names), call.args[0] in call.receiver

    answers = {answer(call) for call in _natural("Lock.enter")}
    assert answers >= {(True, True), (False, True), (False, False)}


def test_tied_and_unsorted_values_are_tried_where_the_function_puts_them_in_order() -> None:
    domain = Domain(functions(CODE)["middle"])
    tried = [eval(call.args[0]) for call in _natural("middle") if domain.holds(call)]
    assert any(values != sorted(values) for values in tried)
    assert any(len(set(values)) < len(values) for values in tried)
