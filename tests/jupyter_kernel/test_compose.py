"""Clauses of queries in any order come to one query: filter, group, aggregate, sort, top, and what groups must have."""

from __future__ import annotations

import ast
import datetime

import pandas as pd
import pytest

from famulus.jupyter_kernel import slots
from famulus.jupyter_kernel.look import look
from famulus.jupyter_kernel.spelt_dates import iso
from famulus.jupyter_kernel.words import tokens

TRIPS = pd.DataFrame(
    {
        "trip_id": [1, 2, 3, 4, 5],
        "driver": ["Ann", "Bo", "Ann", "Cy", "Ann"],
        "zone": ["A", "B", "B", "A", "NO"],
        "km": [3.0, 12.0, 7.5, 1.0, 20.0],
        "fare": [5.0, 18.0, 11.0, 4.0, 30.0],
        "paid": [True, False, True, True, False],
        "begun": pd.to_datetime(["2024-01-05", "2024-02-10", "2024-02-28", "2024-03-01", "2024-03-09"]),
    }
)


def best(words: str, **others: object) -> str:
    schema = look({"trips": TRIPS, "pd": pd, **others})
    return ast.unparse(ast.parse(slots.propose(words, schema, 3)[0].code))


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ("trips begun between 1 Feb 2024 and March 5, 2024", [2, 3, 4]),
        ("trips in February 2024", [2, 3]),
        ("trips since 28 February 2024", [3, 4, 5]),
        ("unpaid trips", [2, 5]),
        ("trips that have not been paid yet", [2, 5]),
        ("trips from NO", [5]),
        ("trips where km is 7.5 or more", [2, 3, 5]),
        ("the longest trip by km of each driver", [2, 4, 5]),
        ("first trip of each driver", [1, 2, 4]),
        ("trips with fare above 10, highest km first", [5, 2, 3]),
        ("fare大于10的行程", [2, 3, 5]),
    ],
)
def test_rows_are_those_that_the_words_describe(words: str, rows: list[int]) -> None:
    result = eval(best(words), {"trips": TRIPS, "pd": pd})
    found = list(result["trip_id"])
    assert found == rows if "first" in words and "each" not in words else sorted(found) == rows


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("mean km and fare by zone", "trips.groupby('zone')[['km', 'fare']].mean()"),
        ("total km and fare per driver", "trips.groupby('driver')[['km', 'fare']].sum()"),
        ("total km per zone and driver, largest first",
         "trips.groupby(['zone', 'driver'])['km'].sum().sort_values(ascending=False)"),
        ("drivers ordered by their total fare, highest first",
         "trips.groupby('driver')['fare'].sum().sort_values(ascending=False)"),
        ("which drivers have more than 2 trips",
         "trips.groupby('driver').size().loc[lambda group: group > 2].index.tolist()"),
        ("zones whose average fare is above 10",
         "trips.groupby('zone')['fare'].mean().loc[lambda group: group > 10].index.tolist()"),
        ("average fare of paid and unpaid trips", "trips.groupby('paid')['fare'].mean()"),
        ("total fare by driver sorted descending",
         "trips.groupby('driver')['fare'].sum().sort_values(ascending=False)"),
        ("mean fare ignoring missing values", "trips['fare'].mean()"),
        ("first k trips", "trips.head(k)"),
    ],
)  # fmt: skip
def test_clauses_come_to_one_query(words: str, code: str) -> None:
    assert best(words, k=2) == ast.unparse(ast.parse(code))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("45 days after start", "start + datetime.timedelta(days=45)"),
        ("longest word", "max(words, key=len)"),
        ("last k of words", "words[-k:]"),
        ("price of coffee", "price['coffee']"),
        ("add 10% to every price", "{key: value * (1 + 0.1) for key, value in price.items()}"),
    ],
)
def test_a_variable_of_an_ordinary_name_is_meant_where_nothing_else_is_named(words: str, code: str) -> None:
    namespace = {
        "start": datetime.date(2024, 3, 1), "end": datetime.date(2024, 4, 1), "words": ["fig", "kiwi"], "k": 1,
        "price": {"tea": 2.0, "coffee": 3.0}, "mail": "ann at home", "now": datetime.datetime(2024, 5, 5),
    }  # fmt: skip
    schema = look({**namespace, "datetime": datetime})
    found = slots.propose(words, schema, 3)[0].code
    assert ast.unparse(ast.parse(found)) == ast.unparse(ast.parse(code))


@pytest.mark.parametrize(
    ("said", "date"),
    [
        ("4 July 1990", "1990-07-04"), ("July 4th, 1990", "1990-07-04"), ("Feb 2024", "2024-02"),
        ("24.12.2025", "2025-12-24"), ("3/15/2024", "2024-03-15"), ("15/3/2024", "2024-03-15"),
        ("2024年3月5日", "2024-03-05"), ("1st of May 2023", "2023-05-01"),
    ],
)  # fmt: skip
def test_dates_are_read_as_people_write_them(said: str, date: str) -> None:
    assert iso(said) == date
    assert [token.value for token in tokens(f"from {said} on") if token.kind == "date"] == [date]
