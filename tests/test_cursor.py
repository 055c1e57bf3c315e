"""A place in a file, as people and editors count it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.commands.cursor import MAX_BYTES, Place, open_hole, read_source, split
from famulus.engine.errors import InvalidRequest, StorageFailed

FILE = Path("x.py")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("x.py:3:4", Place(Path("x.py"), 3, 4)),
        (r"C:\x.py:3:4", Place(Path(r"C:\x.py"), 3, 4)),
        ("a:b:1:2:3:4", Place(Path("a:b:1:2"), 3, 4)),
        ("/tmp/with space/é.py:1:1", Place(Path("/tmp/with space/é.py"), 1, 1)),
    ],
)
def test_a_place_is_read_from_the_right(text: str, place: Place) -> None:
    assert Place.parse(text) == place


@pytest.mark.parametrize(
    "text", ["", "x.py", "x.py:3", ":3:4", "x.py:0:1", "x.py:1:0", "x.py:-1:1", "x.py:1:1 ", "x.py:²:1", "x.py:1:٣",
             "x.py:1:1:", "x.py:9999999999:1"],
)  # fmt: skip
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="FILE:LINE:COLUMN"):
        Place.parse(text)


LINES = st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8), min_size=1)


@given(lines=LINES, end=st.sampled_from(["\n", "\r\n", "\r"]), data=st.data())
def test_every_place_of_a_text_splits_it_there(lines: list[str], end: str, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(lines) - 1))
    column = data.draw(st.integers(0, len(lines[row])))
    hole = split(end.join(lines), Place(FILE, row + 1, column + 1))
    assert hole.prefix == "\n".join([*lines[:row], lines[row][:column]])
    assert hole.suffix == "\n".join([lines[row][column:], *lines[row + 1 :]])
    if len(lines) > 1:
        assert hole.in_file("a\nb") == f"a{end}b"


@given(lines=LINES, data=st.data())
def test_no_place_outside_a_text_is_taken(lines: list[str], data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(lines) + 2))
    column = len(lines[row]) + 1 if row < len(lines) else 0
    with pytest.raises(InvalidRequest, match=r"x\.py"):
        split("\n".join(lines), Place(FILE, row + 1, column + data.draw(st.integers(1, 3))))


def test_columns_are_code_points() -> None:
    assert split("a👩‍🚀b\n", Place(FILE, 1, 3)).prefix == "a👩"  # the emoji has three code points
    assert split("a👩‍🚀b\n", Place(FILE, 1, 5)).prefix == "a👩‍🚀"


def test_a_form_feed_is_a_character_of_its_line() -> None:
    assert split("a\f b\u2028c\nd", Place(FILE, 1, 7)).suffix == "\nd"


def test_the_place_behind_the_last_line_end_is_a_line() -> None:
    assert split("a\n", Place(FILE, 2, 1)).prefix == "a\n"
    assert split("", Place(FILE, 1, 1)).prefix == ""


def test_the_sentence_says_where_the_text_ends() -> None:
    with pytest.raises(InvalidRequest, match=r"x\.py has 2 lines; there is no line 3"):
        split("a\n", Place(FILE, 3, 1))
    with pytest.raises(InvalidRequest, match=r"has 1 character; the cursor cannot stand in column 3.*is 2"):
        split("a\n", Place(FILE, 1, 3))


def test_a_byte_order_mark_is_no_column(tmp_path: Path) -> None:
    file = tmp_path / "bom.py"
    file.write_bytes(b"\xef\xbb\xbfx = 1\r\ny")
    hole = open_hole(Place(file, 2, 2))
    assert (hole.prefix, hole.suffix, hole.line_end) == ("x = 1\ny", "", "\r\n")


def test_what_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\x7fELF\0\0")
    (tmp_path / "latin").write_bytes(b"x = 1\ny = '\xe9'\n")
    (tmp_path / "huge").touch()
    with open(tmp_path / "huge", "r+b") as file:
        file.truncate(MAX_BYTES + 1)
    for name, sentence in [
        ("binary", "is a binary file"),
        ("latin", r"is not UTF-8 text \(line 2\)"),
        ("huge", "larger than"),
        ("", "is a folder"),
        ("absent", "There is no file"),
    ]:
        with pytest.raises(InvalidRequest, match=sentence):
            read_source(tmp_path / name)
    for name in ("x" * 300, "nul\0"):
        with pytest.raises((StorageFailed, InvalidRequest)):
            read_source(tmp_path / name)
    with pytest.raises(InvalidRequest, match="not an ordinary file"):
        read_source(Path("/dev/null"))
