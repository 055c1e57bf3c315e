"""Slots are filled with what the words mean, never by losing a variable of the user's, and not at all for nonsense."""

from __future__ import annotations

import ast
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from famulus.jupyter_kernel import slots
from famulus.jupyter_kernel.rank import LOW
from famulus.jupyter_kernel.schema import Column, Schema, Variable

CITY = Column("city", "text", "str", ("'Oslo'", "'Rome'"), distinct=2)
FRAME = Variable(
    "sales", "frame", "pandas.DataFrame", 6,
    (CITY, Column("unit_price", "number", "float64", ("1.5",)), Column("qty", "number", "int64", ("2",)),
     Column("total_revenue", "number", "float64", ("3.0",)), Column("day", "text", "str", ("'2024-01-05'",))),
)  # fmt: skip
NUMBERS = Variable("nums", "list", "builtins.list", 4, element="number")
TAKEN = Variable("fig", "figure", "matplotlib.figure.Figure")
SCHEMA = Schema((FRAME, NUMBERS, TAKEN), {"pandas": "pandas", "np": "numpy"})


WORDS = [
    "mean", "price", "per", "city", "in", "sales", "plot", "nums", "sort", "top", "3", "call it x", "rows", "where",
    "qty", "above", "10", "the sum of", "and", "by", "month", "save to out.csv", "histogram", "drop", "missing",
    "squares", "first", "rename", "to", "'a'", "largest",
]  # fmt: skip


def first(words: str, schema: Schema = SCHEMA) -> str:
    return slots.propose(words, schema, 1)[0].code


@pytest.mark.parametrize(
    ("said", "column"),
    [
        ("unit price", "unit_price"), ("unit_price", "unit_price"), ("Unit Prices", "unit_price"),
        ("price", "unit_price"), ("单价", "unit_price"), ("quantity", "qty"), ("quantities", "qty"), ("数量", "qty"),
        ("revenue", "total_revenue"), ("收入", "total_revenue"), ("revenu", "total_revenue"),
    ],
)  # fmt: skip
def test_columns_are_recognised_however_they_are_said(said: str, column: str) -> None:
    assert first(f"median {said}") == f"sales[{column!r}].median()"


def test_the_users_alias_is_used_and_what_lacks_is_imported() -> None:
    code = first("total revenue per month as a line chart")
    assert "pandas.to_datetime" in code and "import pandas" not in code and "import matplotlib.pyplot as plt" in code


def test_no_variable_of_the_user_is_lost() -> None:
    """A drawing that would bind fig takes another name where fig is the user's."""
    names = {node.id for node in ast.walk(ast.parse(first("histogram of qty"))) if isinstance(node, ast.Name)}
    assert "fig2" in names and "fig" not in names


@given(
    words=st.lists(
        st.sampled_from(WORDS),
        max_size=9,
    ).map(" ".join)
)
@settings(deadline=None, max_examples=60)
def test_whatever_is_said_the_code_parses_and_keeps_the_names(words: str) -> None:
    """Only words that tell to change or that name the result may bind one of the user's names."""
    telling = {"drop", "rename", "x", "save"}
    for candidate in slots.propose(words, SCHEMA, 8):
        tree = ast.parse(candidate.code)
        stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        assert 0 <= candidate.match <= 1 and 0 <= candidate.coverage <= 1
        if not telling & set(words.split()) and candidate.match >= 0.5:
            assert not stored & {"nums", "fig"}, candidate


@pytest.mark.parametrize(
    "words",
    [
        "write a poem about the sea", "what is the capital of France", "send a message to bob about the meeting",
        "who won the world cup in 2018", "how do I quit vim", "install tensorflow", "thanks, that looks great",
        "deploy this to production", "今天天气怎么样", "帮我订一张机票", "open the pod bay doors", "order a pizza",
        "why is the sky blue", "tell me a joke", "book a table for two at eight",
    ],
)  # fmt: skip
def test_what_is_not_understood_has_a_low_match(words: str) -> None:
    best = slots.propose(words, SCHEMA, 1)
    assert not best or best[0].match < 0.55, best[0]


UNRELATED = """
delete all files in this folder; send an email to Bob; download the latest weather data; install pandas 2.0
translate this to French; translate text to French; email the sales table to my boss; upload sales to S3
commit my changes to git; push to github; open the browser; play some music; print this on the office printer
call my mother; book a flight to Rome; write a poem about prices; summarise the plot of Hamlet; draw a cat
plot a course to Mars; restart the kernel; shut down the computer; kill the process using port 80
encrypt the sales table with a password; compress all images in this folder; train a neural network on sales
buy 100 shares of Apple; transfer 50 euros to Anna; schedule a meeting on Monday; remind me to buy milk
tweet the average price; publish sales to the wiki; explain quantum mechanics; drop the database
delete the sales file from the server; format my hard drive; turn on the lights; post the mean price to slack
fax the sales table to the Rome office; 给鲍勃发邮件; 删除这个文件夹里的所有文件; 下载最新的天气数据; 把销售表发送给老板
"""
UNRELATED_WORDS = [words.strip() for line in UNRELATED.strip().splitlines() for words in line.split(";")]


@pytest.mark.parametrize("words", UNRELATED_WORDS)
def test_what_leaves_out_the_verb_is_no_answer(words: str) -> None:
    """Half of these name data of the user's, and none asks for what a recipe does with it."""
    best = slots.propose(words, SCHEMA, 1)
    assert not best or best[0].match < LOW, best[0]


@pytest.mark.parametrize(
    "words",
    [
        "write a function that normalises a list to 0..1", "define a function that plots qty",
        "写一个函数计算收入的总和",
        "write a function that returns the mean qty per city", "a function to find the largest of some numbers",
    ],
)  # fmt: skip
def test_where_a_function_is_asked_for_nothing_else_is_the_answer(words: str) -> None:
    best = slots.propose(words, SCHEMA, 1)
    assert not best or best[0].match < LOW or "def " in best[0].code, best[0]


def test_proposals_are_made_while_a_person_does_not_notice() -> None:
    """Promised are 60 ms; five times that in processor time is allowed here."""
    instructions = [
        "mean price per city in sales",
        "画出每月收入",
        "the squares of nums, sorted",
        "rename qty to quantity",
    ]
    for words in instructions:
        slots.propose(words, SCHEMA)
    start = time.process_time()
    for words in instructions:
        slots.propose(words, SCHEMA)
    assert (time.process_time() - start) / len(instructions) < 0.3
