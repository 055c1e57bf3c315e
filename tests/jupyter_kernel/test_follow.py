"""Instructions that go on from the one before come to what one longer instruction would, however many follow."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from famulus.jupyter_kernel import follow, slots
from famulus.jupyter_kernel.follow import Previous
from famulus.jupyter_kernel.look import look

ROWS = {
    "region": ["north", "south", "east", "north", "north"],
    "weekday": ["Mon", "Tue", "Mon", "Wed", "Mon"],
    "units": [4, 2, 7, 1, 6],
    "price": [1.5, 2.5, 3.5, 4.5, 5.25],
}
NORTH = "sales[sales['region'] == 'north'].groupby('weekday')['units'].mean()"


def last(cells: Sequence[str]) -> str:
    """The code of the last of several instructions, one after the other."""
    schema = look({"sales": pd.DataFrame(ROWS), "nums": [3, 1, 2], "pd": pd})
    before, code = Previous(), ""
    for words in cells:
        best = slots.propose(words, schema, 3, previous=before)[0]
        assert best.match > 0.75, (words, best)
        code = best.code
        before = follow.after(before, best.meant or words, code, None, "")
    return code


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        (["average units per weekday", "now only for north"], NORTH),
        (["average units per weekday", "now only for north", "as a bar chart", "sort it by value", "save it to x.csv"],
         f"{NORTH}.sort_values(ascending=True).to_csv('x.csv')"),
        (["total units per region", "the same for price"], "sales.groupby('region')['price'].sum()"),
        (["total units per region", "also by weekday"], "sales.groupby(['region', 'weekday'])['units'].sum()"),
        (["average price per region", "now the median", "by weekday instead"],
         "sales.groupby('weekday')['price'].median()"),
        (["average units per weekday", "now only for north", "what about south?"],
         "sales[sales['region'] == 'south'].groupby('weekday')['units'].mean()"),
        (["top 5 sales by price", "now 3"], "sales.nlargest(3, 'price')"),
        (["按 weekday 计算 units 的平均值", "只看 north 的", "画出来", "保存到 out.csv"], f"{NORTH}.to_csv('out.csv')"),
        (["average units per weekday", "highest first"],
         "sales.groupby('weekday')['units'].mean().sort_values(ascending=False)"),
        (["average units per weekday", "sort it the other way"],
         "sales.groupby('weekday')['units'].mean().sort_values(ascending=False)"),
        (["sales sorted by price", "descending please"], "sales.sort_values('price', ascending=False)"),
        (["total units per region", "now the maximum instead"], "sales.groupby('region')['units'].max()"),
        (["total units per region", "sum of nums"], "sum(nums)"),
        (["histogram of price", "with 20 bins", "histogram of price", "sum of nums"], "sum(nums)"),
        (["sales in the north", "how many are there?"], "len(sales[sales['region'] == 'north'])"),
        (["每个 region 的总 units", "改成 price", "按降序排序", "画成柱状图", "导出到 r.csv"],
         "sales.groupby('region')['price'].sum().sort_values(ascending=False).to_csv('r.csv')"),
    ],
)  # fmt: skip
def test_the_change_is_made_to_what_was_said(cells: list[str], code: str) -> None:
    assert ast.unparse(ast.parse(last(cells))) == ast.unparse(ast.parse(code))


def test_a_picture_is_drawn_of_what_was_said() -> None:
    code = last(["average units per weekday", "now only for north", "as a bar chart"])
    assert f"{NORTH}.plot.bar(" in code


@pytest.mark.parametrize("words", ["thanks", "delete it", "send it to Bob", "order a pizza", "install it"])
def test_what_is_not_understood_is_not_understood_after_another_cell_either(words: str) -> None:
    schema = look({"sales": pd.DataFrame(ROWS), "pd": pd})
    best = slots.propose(words, schema, 1, previous=Previous("mean price per region", "", None, ""))
    assert not best or best[0].match < 0.55, best[0]


def test_it_is_what_a_cell_of_python_showed_without_the_underscore() -> None:
    frame = pd.DataFrame(ROWS)
    shown = look({"result": frame.groupby("region")["units"].sum()}).variables[0]
    schema = look({"sales": frame, "pd": pd})
    before = Previous("", "sales.groupby('region')['units'].sum()", shown)
    code = slots.propose("save it to best.csv", schema, 3, previous=before)[0].code
    assert code == "sales.groupby('region')['units'].sum().to_csv('best.csv')"


def test_it_is_what_the_cell_before_bound() -> None:
    schema = look({"sales": pd.DataFrame(ROWS), "means": pd.Series([1.0, 2.0]), "pd": pd})
    best = slots.propose("save it to m.csv", schema, 3, previous=Previous("", "means = f()", None, "means"))[0]
    assert best.code.startswith("means.to_csv('m.csv'")


@pytest.mark.parametrize(
    "words",
    [
        "total units by region, call it totals",
        "mean price per region and plot it",
        "group sales by region and count them",
        "sum of units per region and save it to a.csv",
        "the sum of units",
        "count the number of units per region",
        "rows of sales that have price over 2",
        "for each region the mean price",
        "per region total units",
        "sort the list nums",
        "按 region 计算 units 的总和，把它保存到 a.csv",
    ],
)
def test_a_complete_instruction_means_after_any_cell_what_it_means_in_a_new_kernel(words: str) -> None:
    frame = pd.DataFrame(ROWS)
    schema = look({"sales": frame, "nums": [3, 1, 2], "pd": pd})
    shown = look({"result": frame[frame["region"] == "north"]}).variables[0]
    code = "sales[sales['region'] == 'north']"
    fresh = slots.propose(words, schema, 5)
    assert fresh[0].match > 0.75, fresh[0]
    assert slots.propose(words, schema, 5, previous=Previous("only sales in the north", code, shown)) == fresh


@pytest.mark.parametrize(
    "words", ["oldest person in ages", "fastest run", "the weekday of due", "convert units to numbers, invalid to NaN"]
)
def test_words_that_do_not_refer_back_are_never_about_what_was_bound_or_said_last(words: str) -> None:
    schema = look({"sales": pd.DataFrame(ROWS), "ages": {"Ann": 30, "Bo": 20}, "due": "2025-03-01", "pd": pd})
    before = Previous("add cost = units * price", "due = '2025-03-01'", None, "due")
    assert slots.propose(words, schema, 5, previous=before) == slots.propose(words, schema, 5)


@pytest.mark.parametrize(
    "words",
    [
        "call it best", "plot it and save it to a.png", "top 3, call it best", "now sort it, call it x", "for north",
        "by region", "with 20 bins", "as a bar chart", "divide that by 2", "the same for price", "describe the result",
        "only the rows where price is over 3", "by weekday instead", "再按 region", "把它保存到 a.csv", "只看 north 的",
        "highest first", "without duplicates", "in reverse", "the two largest", "sorted by price", "add a grid",
        "with title Sales", "in upper case", "show only the region",
        "画成柱状图",
    ],
)  # fmt: skip
def test_words_that_refer_back_or_are_a_part_go_on_from_the_cell_before(words: str) -> None:
    schema = look({"sales": pd.DataFrame(ROWS), "nums": [3, 1, 2], "pd": pd})
    assert follow.follows(words, schema)


@pytest.fixture(scope="module")
def notebook(start_kernel: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with start_kernel(cwd=tmp_path_factory.mktemp("follow")) as running:
        running.run("%famulus model off")
        yield running


def test_cells_of_a_notebook_follow_each_other(notebook: Any, tmp_path: Path) -> None:
    assert notebook.run(f"import pandas as pd\nsales = pd.DataFrame({ROWS})").status == "ok"
    for words in ("average units per weekday", "now only for north", "sort it by value", "save it to x.csv"):
        assert notebook.run(words).status == "ok", words
    kept = notebook.run("list(pd.read_csv('x.csv')['units'])").value
    assert kept == "[1.0, 5.0]"


def test_a_name_for_what_is_asked_is_not_a_name_for_what_was_shown(notebook: Any) -> None:
    assert notebook.run(f"import pandas as pd\nsales = pd.DataFrame({ROWS})").status == "ok"
    assert notebook.run("show only rows where region is north").status == "ok"
    assert notebook.run("total units by region, call it totals").status == "ok"
    assert notebook.run("totals.to_dict()").value == "{'east': 7, 'north': 11, 'south': 2}"


def test_a_column_is_that_of_the_table_after_a_series_was_made_of_it() -> None:
    frame = pd.DataFrame(ROWS)
    schema = look({"sales": frame, "totals": frame.groupby("region")["units"].sum(), "pd": pd})
    assert slots.propose("the sum of units", schema, 3)[0].code == "sales['units'].sum()"
    assert slots.propose("the sum of totals", schema, 3)[0].code == "totals.sum()"
