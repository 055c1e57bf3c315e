"""What exists may only be changed where the words order it."""

from __future__ import annotations

import re

import pytest

from famulus.jupyter_kernel import consent, recipe
from famulus.jupyter_kernel.candidate import Want


@pytest.mark.parametrize(
    "words",
    [
        "the percentage change of price per month", "sales sorted by region", "5 random rows of df", "fastest run",
        "mean of price without zeros", "the largest drop in price", "a set of the names", "total price per city",
        "which parts have stock below minimum", "rows where price is over 3", "number of missing values per column",
        "how many unique users are there?", "what is the increase from 2020 to 2021", "the last update of x",
        "df without the column price", "group by city and show the mean", "列出所有城市", "每个城市的平均价格",
        "LH 航空公司的总 distance 是多少", "画出每月收入", "最大的三个值",
    ],
)  # fmt: skip
def test_a_question_is_no_order(words: str) -> None:
    assert not consent.changes(words, Want())


@pytest.mark.parametrize(
    "words",
    [
        "rename price to cost", "please sort df by price", "could you drop the empty rows?", "in df replace a with b",
        "for rows with price over 3 set city to Rome", "add total = a * b", "price times 2, in place",
        "rate should be numeric", "look at df and then delete the column x", "把 price 列四舍五入", "将 a 改成 b",
        "df 去重", "列名全部小写",
    ],
)  # fmt: skip
def test_an_order_is_one_wherever_it_stands(words: str) -> None:
    assert consent.changes(words, Want())


def test_a_new_name_leaves_what_exists_alone() -> None:
    assert not consent.changes("remove duplicates from nums, call it uniq", Want(name="uniq"))
    assert consent.changes("remove duplicates from nums, call it nums", Want(name="nums"), frozenset(["nums"]))


def test_recipes_that_change_something_are_asked_for_by_orders() -> None:
    said = [re.sub(r"[{}]", "", say) for one in recipe.load() if one.gives == "change" for say in one.say]
    unheard = [words for words in said if not consent.asks(words)]
    assert len(unheard) <= 0.04 * len(said), unheard
