"""Frozen notebooks: the code that ran, on the stock kernel, without a model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from famulus.jupyter_kernel import export, provenance
from famulus.jupyter_kernel.recordings import Recording, Recordings
from famulus.jupyter_kernel.script import script


def code(source: str, *outputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": f"c{abs(hash(source)) % 10**6}",
        "source": source,
        "metadata": {},
        "execution_count": 1,
        "outputs": list(outputs),
    }


def panel(words: str, ran: str, status: str = "ok") -> dict[str, Any]:
    record = {"words": words, "code": ran, "status": status}
    return {"output_type": "display_data", "metadata": {}, "data": {provenance.MIME: record, "text/plain": ran}}


def notebook(*cells: dict[str, Any]) -> dict[str, Any]:
    return {"cells": list(cells), "metadata": {"kernelspec": {"name": "famulus"}}, "nbformat": 4, "nbformat_minor": 5}


def sources(frozen: dict[str, Any]) -> list[str]:
    return [cell["source"] for cell in frozen["cells"]]


@pytest.fixture
def kept(tmp_path: Path) -> Recordings:
    return Recordings(tmp_path, tmp_path / "home")


def test_words_become_code_under_a_comment(kept: Recordings) -> None:
    made = notebook(code("x = 3"), code("double x\nand call it y", panel("double x\nand call it y", "y = x * 2")))
    frozen = export.freeze(made, kept)
    assert sources(frozen) == ["x = 3", "# double x\n# and call it y\ny = x * 2"]
    assert frozen["cells"][1]["outputs"] == [], "the panel is gone"
    assert frozen["metadata"]["kernelspec"]["name"] == "python3"
    assert made["cells"][1]["source"] == "double x\nand call it y", "the original is as it was"


def test_what_was_undone_or_tried_again_is_no_code(kept: Recordings) -> None:
    made = notebook(
        code("double x", panel("double x", "x *= 2")),
        code("%undo"),
        code("triple x", panel("triple x", "y = x")),
        code("%retry", panel("triple x", "y = x * 3")),
    )
    assert sources(export.freeze(made, kept)) == [
        "# undone: double x",
        "# tried again: triple x",
        "# triple x\ny = x * 3",
    ]


def test_our_magics_are_left_out_and_others_stay(kept: Recordings) -> None:
    made = notebook(code("%famulus mode show"), code("%context"), code("%%time\nx = 1"), code("%matplotlib inline"))
    assert sources(export.freeze(made, kept)) == ["%%time\nx = 1", "%matplotlib inline"]


def test_a_cell_without_its_panel_is_looked_up_in_the_recordings(kept: Recordings) -> None:
    kept.add(Recording("show the largest price in df", "df['price'].max()", {}, "", ""))
    made = notebook(code("show the largest price in df"))
    assert sources(export.freeze(made, kept)) == ["# show the largest price in df\ndf['price'].max()"]


def test_code_of_words_that_were_edited_since_is_not_theirs(kept: Recordings) -> None:
    with pytest.raises(export.CannotFreeze, match=r"Cell 1 .*largest"):
        export.freeze(notebook(code("show the largest price in df", panel("show the mean price in df", "m"))), kept)


@pytest.mark.parametrize("source", ["#!ask max of x", "%%ask\nmax of x", "%ask max of x", "#!ask\nmax of x\n"])
def test_marks_are_no_part_of_the_words(source: str, kept: Recordings) -> None:
    assert sources(export.freeze(notebook(code(source, panel("max of x", "max(x)"))), kept)) == ["# max of x\nmax(x)"]


@pytest.mark.parametrize("status", ["shown", "refused"])
def test_code_that_did_not_run_is_a_comment(status: str, kept: Recordings) -> None:
    kept.add(Recording("drop the rows of x", "x.clear()", {}, "", ""))
    frozen = export.freeze(notebook(code("drop the rows of x", panel("drop the rows of x", "x.clear()", status))), kept)
    assert sources(frozen) == ["# not run: drop the rows of x\n# x.clear()"] and not frozen["cells"][0]["outputs"]


def test_cleared_outputs_are_no_loss_while_there_are_recordings(kept: Recordings, tmp_path: Path) -> None:
    kept.add(Recording("double x now", "y = x * 2", {}, "", ""))
    kept.add(Recording("double x now", "y = x + x", {}, "", ""))
    Recordings(tmp_path, tmp_path / "colleague").add(Recording("halve x now please", "y = x / 2", {}, "", ""))
    made = notebook(code("double x now"), code("%retry"), code("%%ask\nhalve x now please"))
    assert sources(export.freeze(made, kept)) == [
        "# tried again: double x now",
        "# double x now\ny = x + x",
        "# halve x now please\n# Recorded by somebody else.\ny = x / 2",
    ]


def test_what_other_cells_went_on_from_is_not_taken_back(kept: Recordings) -> None:
    made = notebook(code("double x", panel("double x", "y = x * 2")), code("z = y"), code("%undo"))
    assert sources(export.freeze(made, kept)) == ["# double x\ny = x * 2", "z = y"]


def test_all_else_stays_as_it_is(kept: Recordings) -> None:
    value = {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": {"text/plain": "4"}}
    others = [
        {"cell_type": "raw", "metadata": {"format": "text/html"}, "source": ["<b>", "x"]},
        {"cell_type": "markdown", "metadata": {}, "source": "![](attachment:a.png)", "attachments": {"a.png": {}}},
        {"cell_type": "code", "metadata": {"vscode": {"languageId": "python"}}, "source": ["x = 'é'\r\n", "cd = 1"],
         "execution_count": 2, "outputs": []},
        {"cell_type": "code", "metadata": {}, "source": "cd data", "execution_count": 3,
         "outputs": [{"output_type": "stream", "name": "stdout", "text": "/data"}]},
        {"cell_type": "code", "metadata": {}, "source": "show me the money", "execution_count": 3,
         "outputs": [{"output_type": "error", "ename": "SyntaxError", "evalue": "", "traceback": []}]},
    ]  # fmt: skip
    words = code("求和 x", panel("求和 x", "sum(x)"), value)
    del words["id"]
    language = {"name": "python", "version": "3.11"}
    made = {"cells": [*others, words], "metadata": {"language_info": language}, "nbformat": 4, "nbformat_minor": 2}
    frozen = export.freeze(made, kept)
    assert frozen["cells"][:-1] == others
    assert frozen["cells"][-1]["source"] == "# 求和 x\nsum(x)" and frozen["cells"][-1]["outputs"] == [value]
    assert frozen["metadata"]["language_info"] == language and frozen["nbformat_minor"] == 2


def test_a_script_awaits(tmp_path: Path) -> None:
    made = notebook(
        code("import asyncio\nasync def two():\n    await asyncio.sleep(0)\n    return 2"),
        code('text = """a\n  b"""\nx = await two()\nfor n in range(2):\n    x += await two()'),
        code("if x:\n    %time y = 1"),
        code("assert text == 'a\\n  b' and (x, n) == (6, 1)"),
    )
    (tmp_path / "made.py").write_text(script(made))
    subprocess.run([sys.executable, tmp_path / "made.py"], check=True)


def test_unknown_words_name_their_cell(kept: Recordings) -> None:
    with pytest.raises(export.CannotFreeze, match=r"Cell 2 .*show the largest price"):
        export.freeze(notebook(code("x = 1"), code("show the largest price in df")), kept)


def test_a_frozen_notebook_runs_on_the_stock_kernel(kept: Recordings, tmp_path: Path) -> None:
    made = notebook(
        code("x = [3, 1]"), code("sort x as y", panel("sort x as y", "y = sorted(x)")), code("assert y == [1, 3]")
    )
    frozen = nbformat.from_dict(export.freeze(made, kept))
    nbformat.validate(frozen)
    NotebookClient(frozen, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()


def test_a_script_is_python(kept: Recordings) -> None:
    text = {"cell_type": "markdown", "id": "m", "source": ["# Title\n", "text"], "metadata": {}}
    made = notebook(
        text,
        code("%matplotlib inline\nx = 1"),
        code("!ls"),
        code("%%bash\necho hi"),
        code("double x", panel("double x", "y = x * 2")),
    )
    written = script(export.freeze(made, kept))
    namespace: dict[str, Any] = {}
    exec(compile(written, "script", "exec"), namespace)
    assert namespace["y"] == 2
    assert "# # Title" in written and "# !ls" in written and "# echo hi" in written


@pytest.mark.parametrize(
    "content",
    ["", "no json", "[]", '{"cells": 3}', json.dumps({"cells": [{"cell_type": "code"}]}), '{"worksheets": []}'],
)
def test_what_is_no_notebook_is_said(content: str, tmp_path: Path) -> None:
    (tmp_path / "n.ipynb").write_text(content)
    with pytest.raises(export.CannotFreeze, match=r"n\.ipynb"):
        export.read(tmp_path / "n.ipynb")
