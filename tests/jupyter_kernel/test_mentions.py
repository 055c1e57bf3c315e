"""A variable called like an ordinary word does not derail plain instructions, and one that is named is used."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from famulus.jupyter_kernel import slots
from famulus.jupyter_kernel.rank import LOW
from famulus.jupyter_kernel.schema import Column, Kind, Schema, Variable

REGION, SALES = Column("region", "text", "str", ("'North'",)), Column("sales", "number", "int64", ("2",))
DF = Variable("df", "frame", "pandas.DataFrame", 6, (REGION, SALES), shape=(6, 2))


def number(name: str) -> Variable:
    return Variable(name, "number", "builtins.int", preview="3")


def numbers(name: str) -> Variable:
    return Variable(name, "list", "builtins.list", 4, element="number")


def first(words: str, *variables: Variable) -> str:
    return slots.propose(words, Schema(variables, {"pd": "pandas"}))[0].code


@pytest.mark.parametrize("make", [number, numbers])
@pytest.mark.parametrize(
    ("words", "name", "code"),
    [
        ("total sales by region", "total", "df.groupby('region')['sales'].sum()"),
        ("first 3 rows of df", "rows", "df.head(3)"),
        ("drop rows where sales is below 2", "rows", "df = df[df['sales'] >= 2]"),
        ("group df by region and show the mean of sales", "group", "df.groupby('region')['sales'].mean()"),
        ("group df by region and show the mean of sales", "mean", "df.groupby('region')['sales'].mean()"),
        ("mean of sales", "mean", "df['sales'].mean()"), ("mean of sales", "count", "df['sales'].mean()"),
        ("number of rows", "rows", "len(df)"), ("sort df by sales", "sort", "df.sort_values('sales')"),
    ],
)  # fmt: skip
def test_a_variable_called_like_an_ordinary_word_changes_nothing(
    words: str, name: str, code: str, make: Callable[[str], Variable]
) -> None:
    assert first(words, make(name), DF) == first(words, DF) == code


@pytest.mark.parametrize(
    ("words", "variable", "code"),
    [
        ("sum of rows", numbers("rows"), "sum(rows)"), ("sum of `rows`", numbers("rows"), "sum(rows)"),
        ("sum of the list rows", numbers("rows"), "sum(rows)"), ("sort numbers", numbers("numbers"), "sorted(numbers)"),
        ("length of rows", numbers("rows"), "len(rows)"), ("len of count", numbers("count"), "len(count)"),
        ("sales above `min`", number("min"), "df[df['sales'] > min]"),
        ("sales above the variable min", number("min"), "df[df['sales'] > min]"),
        ("rows of df with sales above total", number("total"), "df[df['sales'] > total]"),
        ("total * 2", number("total"), "total * 2"), ("reverse values", numbers("values"), "list(values)[::-1]"),
    ],
)  # fmt: skip
def test_words_that_mark_such_a_variable_mean_it(words: str, variable: Variable, code: str) -> None:
    assert first(words, variable, DF) == code


@pytest.mark.parametrize("name", ["total", "count", "date", "year", "rank"])
def test_a_column_called_like_an_ordinary_word_is_still_one(name: str) -> None:
    frame = Variable("df", "frame", "pandas.DataFrame", 6, (REGION, Column(name, "number", "int64")), shape=(6, 2))
    assert first(f"mean of {name} by region", frame) == f"df.groupby('region')['{name}'].mean()"
    for variable in (number(name), numbers(name)):
        assert first(f"mean of {name} by region", variable, frame) == f"df.groupby('region')['{name}'].mean()"
        assert first(f"sort df by {name}", variable, frame) == f"df.sort_values('{name}')"


def test_code_that_needs_such_a_name_leaves_the_users_variable_alone() -> None:
    fruits = Variable("fruits", "list", "builtins.list", 4, element="text")
    assert "groups = {}" in first("group fruits by length", fruits)
    assert "groups = {}" not in first("group fruits by length", number("groups"), fruits)


@pytest.mark.parametrize(
    ("words", "name", "kind", "its_type"),
    [("sum of g", "g", "other", "builtins.generator"), ("length of nested", "nested", "other", "builtins.object")],
)
def test_what_leaves_out_the_variable_that_the_words_name_matches_little(
    words: str, name: str, kind: Kind, its_type: str
) -> None:
    schema = Schema((Variable(name, kind, its_type), numbers("sub"), DF))
    for candidate in slots.propose(words, schema):
        assert name in candidate.code or candidate.match < LOW
