"""Tests come into a user's file without touching a byte of the rest, and never over what somebody else wrote."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.engine.errors import StorageFailed
from famulus.lsp_server.review.change import decoded
from famulus.lsp_server.testgen.errors import CannotPlace
from famulus.lsp_server.testgen.placing import insertions, placed, save

NEW = "\n\ndef test_new():\n    assert f() == 1\n"


def put(content: bytes) -> bytes:
    """A file with an import on top and a test at its end."""
    before = decoded(content)
    rows = [row + "\n" for row in before.removesuffix("\n").split("\n")] if before else []
    after = "".join([*rows[:1], "from m import f\n", *rows[1:]]) + NEW
    return placed(content, insertions(before, after))


@pytest.mark.parametrize(
    "content",
    [
        b"import os\n\n\ndef test_a():\n    assert os\n",
        b"import os\r\n\r\ndef test_a():\r\n\tassert os\r\n",
        b"import os\rx = 1\r",
        b"import os\n\ndef test_a():\n\tassert os  # no line end",
        b"import os\r\nx = 1",
        b"\xef\xbb\xbfimport os\nx = '\xc3\xa9'\n",
        b"# -*- coding: latin-1 -*-\nx = '\xe9'\n",
        b"import os\nx = 1\n\x0c\ndef test_a():\n    pass\n    # a comment at the end\n",
        b"import os\r\nx = 1\ny = 2\r\n",
        b"import os\n\n\n\n",
        "import os\ns = '\u2028'\n".encode(),
    ],
)
def test_no_byte_of_what_was_there_changes(content: bytes) -> None:
    found = put(content)
    at = 0
    for line in content.splitlines(keepends=True):
        assert line in found[at:]
        at = found.index(line, at) + len(line)
    end = b"\r\n" if content.count(b"\r\n") else b"\r" if b"\r" in content else b"\n"
    assert b"from m import f" + end in found
    assert found.endswith(NEW.lstrip("\n").replace("\n", end.decode()).encode())
    assert decoded(found).count("\n") == len(decoded(content).removesuffix("\n").split("\n")) + 1 + NEW.count("\n")


@given(st.text(st.sampled_from("ab\n\r\t\x0c"), max_size=30))
def test_taking_the_new_lines_away_again_gives_the_file(text: str) -> None:
    content = text.encode()
    before = decoded(content)
    rows = [row + "\n" for row in before.removesuffix("\n").split("\n")] if before else []
    found = placed(content, insertions(before, "".join(rows) + "NEW\n"))
    assert found.startswith(content)
    assert found[len(content) :].strip() == b"NEW"


def test_names_come_into_an_import_and_lines_between_others() -> None:
    before = "import os\nfrom m import b, d\n\nx = 1\n"
    after = "import os\nimport re\nfrom m import a, b, c, d, e\n\nx = 1\ny = 2\n"
    found = insertions(before, after)
    assert {one.text for one in found} == {"import re\n", "a, ", "c, ", ", e", "y = 2\n"}
    assert placed(before.encode(), found).decode() == after


@pytest.mark.parametrize("names", [["b"], ["b", "d"], ["a", "b", "c"], ["c", "d", "e"]])
def test_names_that_are_too_many_for_a_line_come_below_each_other(names: list[str]) -> None:
    before = f"import os\nfrom m import {', '.join(names)}\nx = 1\n"
    after = "import os\nfrom m import (\n    a,\n    b,\n    c,\n    d,\n    e,\n)\nx = 1\ny = 2\n"
    found = insertions(before, after)
    assert all(one.line in (1, 3) for one in found)
    assert placed(before.encode(), found).decode() == after
    assert placed(before.replace("\n", "\r\n").encode(), found).decode() == after.replace("\n", "\r\n")


def test_a_line_that_would_change_is_refused() -> None:
    with pytest.raises(CannotPlace):
        insertions("a\nb\n", "a\nc\nd\n")


def test_a_new_file_has_the_rights_of_other_new_files_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    save(tmp_path / "tests/test_a.py", tmp_path, b"1\n", None)
    (tmp_path / "plain").write_bytes(b"")
    file = tmp_path / "tests/test_a.py"
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    file.chmod(0o640)
    save(file, tmp_path, b"2\n", b"1\n")
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"2\n", 0o640)
    assert os.listdir(tmp_path / "tests") == ["test_a.py"]


@pytest.mark.parametrize("expected", [None, b"what was read\n"])
def test_a_file_that_changed_meanwhile_stays(tmp_path: Path, expected: bytes | None) -> None:
    file = tmp_path / "test_a.py"
    file.write_bytes(b"somebody else\n")
    with pytest.raises(CannotPlace, match="changed meanwhile"):
        save(file, tmp_path, b"ours\n", expected)
    assert file.read_bytes() == b"somebody else\n"


def test_a_link_out_of_the_project_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    root = tmp_path / "root"
    root.mkdir()
    (root / "tests").symlink_to(tmp_path / "outside")
    with pytest.raises(CannotPlace, match="out of the project"):
        save(root / "tests/test_a.py", root, b"x\n", None)
    assert os.listdir(tmp_path / "outside") == []


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "tests").write_text("a file, where a folder should be")
    with pytest.raises(StorageFailed, match="cannot be written"):
        save(tmp_path / "tests/test_a.py", tmp_path, b"x\n", None)
