"""Canonical forms: equal for equal structure, and what counts as a difference."""

from __future__ import annotations

import ast
import collections
import datetime
import decimal
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.lsp_server.execution import rendering
from famulus.lsp_server.execution.outcome import Outcome, difference, unlike
from famulus.lsp_server.execution.worker.forms import Writer

SIMPLE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8)
HASHABLE = st.recursive(SIMPLE, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=4)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(HASHABLE, inner, max_size=4) | st.sets(HASHABLE, max_size=4)
    ),
    max_leaves=12,
)


def form(value: object) -> list[Any]:
    return Writer("/nowhere/project").form(value)


@given(VALUES)
def test_a_form_makes_the_value_again(value: object) -> None:
    text = rendering.expression(form(value))
    made = eval(text, {"inf": math.inf, "nan": math.nan})
    assert form(made) == form(value)
    assert type(made) is type(value)


@given(st.lists(HASHABLE, max_size=6, unique=True), st.randoms())
def test_the_order_of_sets_and_keys_does_not_matter(items: list[Any], dice: Any) -> None:
    other = items[:]
    dice.shuffle(other)
    assert form(set(items)) == form(set(other))
    unique = list({repr(item): item for item in items}.values())
    assert form(dict.fromkeys(unique, 1)) == form(dict.fromkeys(reversed(unique), 1))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (0.0, -0.0),
        (1, True),
        (1, 1.0),
        ("1", b"1"),
        ([], ()),
        ({1}, frozenset({1})),
        (None, 0),
        ([[]], []),
        (1, decimal.Decimal(1)),
    ],
)
def test_what_python_may_call_equal_is_told_apart(left: object, right: object) -> None:
    assert form(left) != form(right)
    assert unlike(form(left), form(right)) is not None


class Thing:
    def __init__(self, **attributes: object) -> None:
        self.__dict__ |= attributes


class Slotted:
    __slots__ = ("x", "y")

    def __init__(self) -> None:
        self.x = 1


def test_objects_are_their_attributes() -> None:
    assert form(Thing(a=1)) == form(Thing(a=1)) != form(Thing(a=2))
    assert rendering.shown(form(Slotted())) == "Slotted(x=1)"
    loop = Thing()
    loop.me = loop  # type: ignore[attr-defined]
    assert rendering.shown(form(loop)) == "Thing(me=...)"
    shared = [1]
    assert form([shared, shared]) == form([[1], [1]])


def test_addresses_and_the_place_of_the_project_are_no_values() -> None:
    assert "0x" not in form(repr(object()).replace("0x", "at 0x"))[1].replace("0x…", "")
    assert form("/nowhere/project/a.py") == ["str", "<project>/a.py"]
    assert form(lambda: 1) == form(lambda: 2)


def test_large_values_end() -> None:
    assert len(str(form(list(range(10**6))))) < 10**5
    assert form("a" * 10**6) != form("a" * 10**6 + "b")
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    assert form(deep)
    assert form(iter(int, 1))[0] == "iterator"


def test_numbers_of_arrays_and_tables_are_compared() -> None:
    numpy = pytest.importorskip("numpy")
    pandas = pytest.importorskip("pandas")
    assert form(numpy.array([1.0, math.nan])) == form(numpy.array([1.0, math.nan]))
    assert form(numpy.array([1])) != form(numpy.array([1.0]))
    assert form(numpy.int64(3)) != form(3)
    table = pandas.DataFrame({"a": [1, 2]})
    assert form(table) == form(table.copy()) != form(table + 1)


@pytest.mark.parametrize(
    "value",
    [
        collections.Counter("aab"),
        collections.OrderedDict(a=1),
        datetime.date(2024, 2, 29),
        range(3),
        decimal.Decimal("1.10"),
        deque := collections.deque([1]),
    ],
)
def test_values_of_the_standard_library_can_be_written(value: object) -> None:
    names = {**vars(collections), "datetime": datetime, "Decimal": decimal.Decimal}
    assert eval(rendering.expression(form(value)), names) == value
    ast.parse(rendering.expression(form(value)))


def answer(value: object, **more: object) -> Outcome:
    return Outcome({"value": form(value), "out": "", **more})


def test_the_place_of_a_difference_is_named() -> None:
    found = difference(answer({"a": [Thing(x=1), Thing(x=2)]}), answer({"a": [Thing(x=1), Thing(x=3)]}))
    assert found is not None
    assert (found.path, found.old, found.new) == ("['a'][1].x", "2", "3")


def test_how_an_object_keeps_what_it_knows_is_its_own_affair() -> None:
    assert difference(answer(Thing(a=1, _cache=None)), answer(Thing(a=1, _cache={}))) is None
    assert difference(answer(Thing(a=1)), answer(Thing(a=1, _new=1))) is None
    assert difference(answer(Thing(_items=[1])), answer(Thing(_items=[2]))) is not None
    assert difference(answer(Thing(a=1, _b=1)), answer(Thing(a=2, _c=1))) is not None
    assert difference(answer(iter([1, 2])), answer(map(int, "12"))) is None


def test_nothing_is_said_of_calls_that_were_not_made() -> None:
    skipped, invalid = Outcome({"ended": "skipped"}), Outcome({"invalid": "NameError"})
    assert difference(answer(1), skipped) is difference(answer(1), invalid) is None
    found = difference(answer(1), Outcome({"ended": "cpu", "detail": "more than its CPU time"}))
    assert found is not None
    assert (found.what, found.new) == ("end", "does not end")
