"""Words as concepts, and the recipes that speak of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.jupyter_kernel import slots
from famulus.jupyter_kernel.numerals import chinese_number
from famulus.jupyter_kernel.retrieve import index
from famulus.jupyter_kernel.words import stem, tokens


def keys(text: str) -> list[str]:
    return [token.key for token in tokens(text) if token.kind == "word"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("average", "平均值"), ("how many", "多少个"), ("sorted", "排序"), ("largest", "最大"), ("at least", "至少"),
        ("histogram", "直方图"), ("duplicates", "重复"), ("no more than", "不超过"), ("averge", "mean"),
        ("grouped by", "分组"),
    ],
)  # fmt: skip
def test_words_of_one_meaning_are_one_concept(one: str, other: str) -> None:
    assert keys(one) == keys(other)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("twenty five rows and two hundred columns", ["25", "200"]),
        ("the third row, 1,000 times, 12.5% and -3", ["3", "1000", "12.5%", "-3"]),
        ("前两百五十个，大于一百", ["250", "100"]),
        ("the 90th percentile", ["90"]),
        ("one per line", []),
        ("sha256 of x2 in file3.txt", []),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, numbers: list[str]) -> None:
    assert [token.value for token in tokens(text) if token.kind == "number"] == numbers


@given(st.integers(min_value=1, max_value=99_999_999))
def test_chinese_numerals_are_read_back(number: int) -> None:
    assert chinese_number(in_chinese(number)) == number


def in_chinese(number: int) -> str:
    """A number in Chinese characters, written digit group by digit group."""
    if number >= 10_000:
        rest = number % 10_000
        gap = "零" if 0 < rest < 1000 else ""
        return in_chinese(number // 10_000) + "万" + gap + (in_chinese(rest) if rest else "")
    for scale, sign in ((1000, "千"), (100, "百"), (10, "十")):
        if number >= scale:
            rest = number % scale
            gap = "零" if 0 < rest < scale // 10 else ""
            return "零一二三四五六七八九"[number // scale] + sign + gap + (in_chinese(rest) if rest else "")
    return "零一二三四五六七八九"[number]


@given(st.text(max_size=80))
def test_any_text_is_cut_without_loss_of_place(text: str) -> None:
    """Whatever is typed: tokens come in order, lie within the text and do not overlap."""
    end = 0
    for token in tokens(text):
        assert end <= token.start < token.end <= len(text)
        end = token.end


def test_chinese_words_end_where_their_text_ends() -> None:
    text = "计算每个部门的平均工资，结果存入 pay"
    assert all(text[token.start : token.end] == token.text for token in tokens(text))


@pytest.mark.parametrize(("word", "other"), [("prices", "price"), ("cities", "city"), ("plotted", "plotting")])
def test_inflections_share_a_stem(word: str, other: str) -> None:
    assert stem(word) == stem(other)


@pytest.mark.parametrize(
    ("words", "recipe"),
    [
        ("let the price column be renamed, to cost", "pandas.rename_column"),
        ("exchange keys and values of a dict", "python.invert_dict"),
        ("所有邮箱地址", "python.emails"),
    ],
)
def test_the_nearest_recipes_speak_of_the_same(words: str, recipe: str) -> None:
    assert recipe in [found.id for found in slots.nearest(words, 4)]


def test_a_recipe_is_found_by_each_of_its_phrasings() -> None:
    """Nearly every phrasing, without what fills its slots, must bring its own recipe among the nearest."""
    known = index()
    phrasings = {(recipe.id, say): recipe for recipe in (said.recipe for said in known.phrasings) for say in recipe.say}
    lost = []
    for name, say in phrasings:
        its_tokens = tokens(re.sub(r"\{\w+\}", " ", say))
        if sum(token.weight > 0.1 for token in its_tokens) >= 2:
            near = [found.recipe.id for found in known.search(its_tokens, slots.PHRASINGS)]
            lost += [] if name in near else [f"{name}: {say}"]
    assert len(lost) <= 0.02 * len(phrasings), lost
