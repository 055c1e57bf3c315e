"""Ruff as a part: trust, offsets, fixes."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from famulus.lsp_server.documents import Snapshot, Text
from famulus.lsp_server.prediction import ruff
from famulus.lsp_server.prediction.ruff_program import RuffFailed


def found(text, path=None, trusted=False, kind="document", cells=()):
    seen = Snapshot("file:///a.py", 1, "python", Text(text), path, kind)
    return asyncio.run(ruff.findings(seen, trusted=trusted, cells=cells))


def cell(text):
    return Snapshot("cell:1", 1, "python", Text(text), None, "code")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_offsets_are_code_points_whatever_ends_a_line(end):
    text = end.join(["# é😀", 's = "é😀"; nowhere', "\tx = [nothing]", ""]).replace("\t", "if s:" + end + "    ")
    assert [text[f.start : f.end] for f in found(text)] == ["nowhere", "nothing"]


def test_a_fix_removes_what_is_unused():
    text = "import os\r\nimport sys, re\r\nprint(re)\r\n"
    fixes = [f.fixes[0] for f in found(text)]
    assert [f.title for f in fixes] == ["Remove unused import: os", "Remove unused import: sys"]
    for fix in reversed(fixes):
        for change in reversed(fix.changes):
            text = text[: change.start] + change.inserted + text[change.end :]
    assert text == "import re\r\nprint(re)\r\n"


def test_an_untrusted_workspace_configures_nothing(tmp_path):
    (tmp_path / "ruff.toml").write_text('[lint]\nper-file-ignores = {"*.py" = ["F401"]}\n')
    path = tmp_path / "a.py"
    assert [f.code for f in found("import os\n", path)] == ["F401"]
    assert found("import os\n", path, trusted=True) == []
    (tmp_path / "ruff.toml").write_text("this is no toml")
    assert [f.code for f in found("import os\n", path)] == ["F401"]
    with pytest.raises(RuffFailed):
        found("import os\n", path, trusted=True)


def test_only_facts_are_reported():
    assert found("def f( x ):\n  l = x;return l\nl=lambda : 0\n") == []


def test_a_text_that_does_not_parse_has_one_error():
    assert [f.severity for f in found("def f(:\n  (\nimport os\n")] == ["error"]


def test_a_cell_sees_the_names_before_it_and_only_its_own_mistakes_are_told():
    before = [cell("import math\nwrong\n")]
    text = "math.pi\ndisplay(nowhere)\nimport os\n"
    (only,) = found(text, kind="code", cells=before)
    assert text[only.start : only.end] == "nowhere"
    assert found("%matplotlib\nplot()\n", kind="code") == []


def test_ending_the_question_ends_ruff():
    me = psutil.Process()

    def running():
        return [child for child in me.children() if child.status() != psutil.STATUS_ZOMBIE and "ruff" in child.name()]

    async def ask():
        task = asyncio.create_task(ruff.findings(cell("x = undefined\n" * 200_000), trusted=False))
        while not running():
            assert not task.done()
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while running():  # noqa: ASYNC110
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(ask(), 20))
