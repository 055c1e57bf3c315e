"""What docs/notebook.md and README.md show of cells in words works as typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from famulus.jupyter_kernel.kernel import COMMANDS
from famulus.jupyter_kernel.magics import FamulusMagics
from famulus.jupyter_kernel.modes import MODES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/notebook.md").read_text(encoding="utf-8")
CHAPTER = PAGE[PAGE.index("## Cells in words") :]
TABLE = Path("docs/tour/sales.csv")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", CHAPTER, re.MULTILINE | re.DOTALL)


def rows(title: str) -> list[str]:
    """The first cells of the table below a title."""
    table = CHAPTER.split(f"\n### {title}\n")[1].split("\n### ")[0]
    return [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| `")]


LOAD = blocks("python")[0]
WORDS, MODE = (block.splitlines() for block in blocks("text"))
COMMAND_LINES = [line for block in blocks("shell") for line in block.splitlines() if "notebook" in line]


def test_the_tables_name_all_modes_and_all_commands() -> None:
    assert [row.strip("`") for row in rows("Modes")] == list(MODES)
    shown = {name for row in rows("Commands") for name in re.findall(r"`(%\w+)`", row)}
    assert shown == {f"%{name}" for name in FamulusMagics.magics["line"]} | set(COMMANDS)


@pytest.mark.slow
def test_the_example_works_and_so_do_the_commands_on_it(
    start_kernel: Callable[..., Any], served: Any, tmp_path: Path
) -> None:
    (tmp_path / TABLE.parent).mkdir(parents=True)
    (tmp_path / TABLE).write_bytes((ROOT / TABLE).read_bytes())
    with start_kernel(cwd=tmp_path, environment={"FAMULUS_HOME": str(served.home)}) as notebook:
        notebook.run("%famulus model off")  # recipes know these words
        for cell in [LOAD, *WORDS]:
            ran = notebook.run(cell)
            assert ran.status == "ok", (cell, ran.reply)
        assert "510.0" in ran.value, "the last question has this answer"
        assert "confirm" in notebook.run(*MODE).stream()
        for mark in rows("Words or Python"):
            for spelling in re.findall("`(.*?)`", mark):
                ran = notebook.run(f"{spelling}\n{WORDS[0]}" if spelling != "%ask" else f"%ask {WORDS[0]}")
                assert (ran.reply["ename"] == "SyntaxError") == (spelling == "#!py"), spelling

    source = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in [LOAD, *WORDS]])
    nbformat.write(source, tmp_path / "sales.ipynb")
    [freeze] = [line for line in COMMAND_LINES if "freeze" in line]
    done = served(*shlex.split(freeze)[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"# {WORDS[0]}" in (tmp_path / "sales-frozen.ipynb").read_text()
