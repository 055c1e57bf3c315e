"""Two steps in one sentence are both taken, the second on what the first leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest

from famulus.jupyter_kernel import slots
from famulus.jupyter_kernel.look import look
from tests.jupyter_kernel.test_intent import run


def namespace() -> dict[str, Any]:
    sales = pd.DataFrame({"city": ["Oslo", "Rome", "Oslo", "Bern"], "price": [12.0, 8.0, np.nan, 20.0]})
    return {"sales": sales, "nums": [3, 1, 2], "pd": pd}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shops.csv").write_text("town,rent\nRome,3\nOslo,4\nRome,5\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "check"),
    [
        ("sort sales by price and reset the index", "list(result['price'])[:3] == [8, 12, 20]"),
        (
            "drop rows without a price, then show the mean price per city",
            "dict(result) == {'Bern': 20, 'Oslo': 12, 'Rome': 8}",
        ),
        (
            "删除 sales 中 price 缺失的行，然后按 city 求 price 的平均值",
            "dict(result) == {'Bern': 20, 'Oslo': 12, 'Rome': 8}",
        ),
        ("read shops.csv then average rent per town", "dict(result) == {'Oslo': 4, 'Rome': 4}"),
        (
            "load shops.csv as shops and sort by rent descending",
            "list(result['rent']) == [5, 4, 3] and len(shops) == 3",
        ),
        ("sort nums and reverse it", "list(result) == [3, 2, 1] and nums == [3, 1, 2]"),
        ("mean, min and max of price", "list(result) == [40 / 3, 8, 20]"),
    ],
)
def test_both_steps_are_taken(words: str, check: str) -> None:
    live = namespace()
    best = slots.propose(words, look(live), 3)[0]
    live["result"] = run(best.code, live)
    assert best.match > 0.75 and eval(check, live), best


def test_a_picture_of_what_was_loaded_knows_the_columns_of_the_file() -> None:
    live = namespace()
    run(slots.propose("load shops.csv as shops and plot rent per town", look(live), 3)[0].code, live)
    from matplotlib import pyplot

    assert len(pyplot.gca().patches) == 2 and len(live["shops"]) == 3
    pyplot.close("all")


def test_a_step_that_is_not_understood_is_not_left_out() -> None:
    best = slots.propose("send an email to Bob and show the mean price", look(namespace()), 1)
    assert not best or best[0].match < 0.45
