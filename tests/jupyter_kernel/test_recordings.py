"""Recordings: the same code for the same words, and nobody else's code unasked."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.engine.errors import StorageFailed
from famulus.jupyter_kernel.candidate import Effect
from famulus.jupyter_kernel.recordings import FILE, Recording, Recordings, shape
from famulus.jupyter_kernel.schema import Column, Schema, Variable

PRICES = Schema((Variable("df", "frame", "pandas.DataFrame", columns=(Column("price", "number"),)),))
CITIES = Schema((Variable("df", "frame", "pandas.DataFrame", columns=(Column("city", "text"),)),))


def recording(code: str = "df['price'].mean()", words: str = "mean price", earlier: str = "e") -> Recording:
    return Recording(words, code, {"df": shape(PRICES, "df")}, PRICES.fingerprint(), earlier, (Effect("write", "/o"),))


@pytest.fixture
def kept(tmp_path: Path) -> Recordings:
    return Recordings(tmp_path, tmp_path / "home")


def test_it_is_found_while_the_data_looks_the_same(kept: Recordings) -> None:
    kept.add(recording())
    assert kept.find("  mean\nprice ", PRICES, "other cells") == recording()
    assert kept.find("mean price", CITIES, "e") is None
    assert kept.find("mean price", Schema(), "e") is None
    assert kept.find("median price", PRICES, "e") is None


def test_the_newest_counts_and_the_same_code_before_it_counts_more(kept: Recordings) -> None:
    for code, earlier in (("1", "a"), ("2", "b"), ("3", "c")):
        kept.add(recording(code, earlier=earlier))
    assert kept.find("mean price", PRICES, "b") == recording("2", earlier="b")
    assert kept.find("mean price", PRICES, "none") == recording("3", earlier="c")


def test_what_was_undone_is_not_what_the_words_mean(kept: Recordings) -> None:
    kept.add(recording("wrong"))
    kept.add(replace(recording("wrong"), undone=True))
    assert kept.find("mean price", PRICES, "e") is None
    kept.add(recording("right"))
    assert kept.find("mean price", PRICES, "e") == recording("right")
    kept.add(recording("wrong"))
    assert kept.find("mean price", PRICES, "e") == recording("wrong"), "run again since"


def test_the_same_is_written_once(kept: Recordings, tmp_path: Path) -> None:
    for _ in range(3):
        kept.add(recording())
    assert len((tmp_path / FILE).read_text().splitlines()) == 1


def test_a_line_of_somebody_else_is_not_mine(kept: Recordings, tmp_path: Path) -> None:
    Recordings(tmp_path, tmp_path / "another").add(recording())
    found = kept.find("mean price", PRICES, "e")
    assert found is not None and not found.mine
    kept.add(recording("mine", earlier="x"))
    assert kept.find("mean price", PRICES, "e") == recording("mine", earlier="x"), "my own comes first"


def test_a_changed_line_is_not_mine(kept: Recordings, tmp_path: Path) -> None:
    kept.add(recording())
    line = json.loads((tmp_path / FILE).read_text())
    for key, value in (("code", "evil()"), ("words", "mean price "), ("effects", [])):
        (tmp_path / FILE).write_text(json.dumps(line | {key: value}) + "\n")
        found = kept.find("mean price", PRICES, "e")
        assert found is not None and not found.mine


def test_the_key_is_private(kept: Recordings, tmp_path: Path) -> None:
    kept.add(recording())
    [key] = (tmp_path / "home").rglob("recordings.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


@given(
    st.text()
    | st.builds(
        json.dumps,
        st.dictionaries(
            st.sampled_from(["code", "words", "uses", "signature", "effects"]),
            st.none() | st.text() | st.lists(st.integers()),
        ),
    )
)
def test_damaged_lines_are_passed_over(tmp_path_factory: pytest.TempPathFactory, line: str) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    (folder / FILE).parent.mkdir()
    (folder / FILE).write_text(line + "\n", encoding="utf-8", errors="replace")
    kept = Recordings(folder, folder / "home")
    assert kept.find("mean price", PRICES, "e") is None
    kept.add(recording())
    assert kept.find("mean price", PRICES, "e") == recording()


def test_what_happens_in_the_folder_goes_with_it(kept: Recordings, tmp_path: Path) -> None:
    inside, outside = Effect("write", str(tmp_path / "sub/o.csv")), Effect("write", "/elsewhere/o.csv")
    kept.add(replace(recording(), effects=(inside, outside)))
    moved = tmp_path / "moved"
    (moved / FILE).parent.mkdir(parents=True)
    (moved / FILE).write_text((tmp_path / FILE).read_text())
    found = Recordings(moved, tmp_path / "home").find("mean price", PRICES, "e")
    assert found is not None and found.mine
    assert found.effects == (Effect("write", str(moved / "sub/o.csv")), outside)


@pytest.mark.parametrize(
    "words",
    [
        "plot it", "the same for price", "now only for Oslo", "only Oslo", "and by month", "what is the mean of them?",
        "show the table above again", "save to a.csv", "top 3", "把它画出来", "只看奥斯陆", "再按月", "改成柱状图",
    ],
)  # fmt: skip
def test_words_about_the_cell_before_fit_only_after_it(words: str, kept: Recordings) -> None:
    kept.add(replace(recording(words=words), before="a"))
    assert kept.find(words, PRICES, "e", "a") is not None
    assert kept.find(words, PRICES, "e", "b") is None


@pytest.mark.parametrize(
    "words", ["mean price per city in df, call it means", "plot price by month", "按城市计算平均价格"]
)
def test_words_that_stand_alone_fit_after_any_cell(words: str, kept: Recordings) -> None:
    kept.add(replace(recording(words=words), before="a"))
    assert kept.find(words, PRICES, "e", "b") is not None


def test_of_two_notebooks_the_one_with_the_same_cell_before_counts(kept: Recordings) -> None:
    for code, before in (("1", "a"), ("2", "b")):
        kept.add(replace(recording(code), before=before))
    assert [one.code for before in "ab" if (one := kept.find("mean price", PRICES, "x", before))] == ["1", "2"]


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
def test_a_file_elsewhere_is_neither_read_nor_written(kept: Recordings, tmp_path: Path) -> None:
    kept.add(recording())
    elsewhere = tmp_path / "profile"
    (tmp_path / FILE).rename(elsewhere)
    (tmp_path / FILE).symlink_to(elsewhere)
    before = elsewhere.read_text()
    assert kept.find("mean price", PRICES, "e") is None
    with pytest.raises(StorageFailed):
        kept.add(recording("other"))
    assert elsewhere.read_text() == before


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
def test_a_pipe_in_its_place_is_not_waited_for(kept: Recordings, tmp_path: Path) -> None:
    (tmp_path / FILE).parent.mkdir()
    os.mkfifo(tmp_path / FILE)
    assert kept.find("mean price", PRICES, "e") is None
    with pytest.raises(StorageFailed):
        kept.add(recording())
