"""The format of recipes: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from famulus.jupyter_kernel import recipe

GOOD = """
library = "python"
[setups]
data = "d = {'a': 1}"
[[recipe]]
id = "python.invert"
say = ["swap keys and values of {d}", "invert {d}", "反转字典{d}"]
slots = { d = "dict" }
code = "{value: key for key, value in {d}.items()}"
gives = "value"
setup = "data"
words = "exchange keys and values of d"
check = "result == {1: 'a'}"
"""


def read(tmp_path: Path, text: str) -> list[recipe.Recipe]:
    path = tmp_path / "some.toml"
    path.write_text(text, "utf-8")
    return recipe.read(path)


def test_only_declared_slots_are_replaced(tmp_path: Path) -> None:
    (invert,) = read(tmp_path, GOOD)
    assert invert.render({"d": "ages"}, {}) == "{value: key for key, value in ages.items()}"
    assert invert.example["setup"] == "d = {'a': 1}"
    assert recipe.faults(invert) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"dict"', '"dictionary"', "slot d"),
        ('gives = "value"\n', "", "gives"),
        ('library = "python"', 'library = "perl"', "library"),
        ("[[recipe]]", "[[recipe", "TOML"),
    ],
)
def test_a_file_that_breaks_the_format_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(recipe.RecipeInvalid, match=message):
        read(tmp_path, GOOD.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("{d}.items()}", "{d}.items()", "no Python"),
        ("invert {d}", "invert {e}", "not declared"),
        (', "反转字典{d}"', "", "Chinese"),
        ("in {d}.items", "in {d.colour}.items", "attribute"),
        ('code = "{value', 'code = "x = {value', "expression"),
        ("in {d}.items", "in data.items", "not used"),
    ],
)
def test_faults_of_a_recipe_are_named(tmp_path: Path, old: str, new: str, fault: str) -> None:
    (broken,) = read(tmp_path, GOOD.replace(old, new))
    assert any(fault in found for found in recipe.faults(broken)), recipe.faults(broken)


def test_two_recipes_cannot_share_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD, "utf-8")
    (tmp_path / "b.toml").write_text(GOOD, "utf-8")
    with pytest.raises(recipe.RecipeInvalid, match=r"python\.invert"):
        recipe.load(tmp_path)
