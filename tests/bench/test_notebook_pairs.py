"""Pairs to train on: other names each time, every cell run and checked, repairs that really failed."""

from __future__ import annotations

import ast
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from famulus.bench.notebook_pairs import pairs, split_of
from famulus.jupyter_kernel import recipe
from famulus.jupyter_kernel.recipe import Recipe


@pytest.fixture(scope="module")
def rolling_mean() -> Recipe:
    return next(made for made in recipe.load() if made.id == "pandas.rolling_mean")


def test_a_recipe_gives_pairs_under_many_names(
    rolling_mean: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = list(pairs(rolling_mean, 40, random.Random(1)))
    assert len({pair.text for pair in found}) == 40
    names = set()
    for pair in found:
        frame = re.search(r"^# (\w+): DataFrame", pair.text, re.MULTILINE)
        assert frame is not None and re.search(rf"\b{frame[1]}\b", pair.answer), pair
        ast.parse(pair.answer)
        assert pair.answer.endswith("\n\n") and "# Task: " in pair.text
        names.add(frame[1])
    assert len(names) > 10
    assert any(re.search(r"[\u3400-\u9fff]", pair.text) for pair in found)
    repairs = [pair for pair in found if "(corrected)" in pair.text]
    assert repairs and all(re.search(r"^# \w+(Error|Exception)", pair.text, re.MULTILINE) for pair in repairs)


def test_a_part_follows_another_cell_of_the_notebook(
    rolling_mean: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = next(made for made in recipe.load() if made.id == "pandas.describe")
    found = list(pairs(rolling_mean, 30, random.Random(1), [other]))
    turns = [pair for pair in found if ".describe(" in pair.text]
    assert 2 <= len(turns) < 20, "about a fifth"
    for pair in turns:
        assert ".describe(" in pair.setup and ".describe(" not in pair.answer


def test_a_cell_that_does_not_do_what_the_check_says_is_no_pair(
    rolling_mean: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = replace(rolling_mean, code=rolling_mean.code.replace(".mean", ".sum"))
    assert list(pairs(wrong, 5, random.Random(1))) == []
    broken = replace(rolling_mean, example={**rolling_mean.example, "setup": "1 / 0"})
    assert list(pairs(broken, 5, random.Random(1))) == []


def test_recipes_are_split_for_good() -> None:
    places = [split_of(made) for made in recipe.load()]
    shares = {place: places.count(place) / len(places) for place in set(places)}
    assert 0.03 < shares["held-out"] < 0.08 and 0.01 < shares["validation"] < 0.06


def test_a_phrasing_that_cannot_be_read_back_gives_way_to_the_words_of_the_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for made in [made for made in recipe.load() if made.library == "matplotlib"][:8]:
        assert len(list(pairs(made, 1, random.Random(made.id)))) == 1, made.id
