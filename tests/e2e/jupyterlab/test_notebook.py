"""Cells in words in a real JupyterLab in a real browser: what a person sees, and what the notebook keeps."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from famulus.jupyter_kernel import provenance

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

LOAD = "import pandas as pd\nsales = pd.read_csv('sales.csv', parse_dates=['date'])"
PLOT = "bar chart of total price per city in sales"
MEANS = "mean price per product in sales, call it means"


def record(cell: dict[str, Any]) -> dict[str, Any]:
    """The one record among the outputs of a saved cell."""
    [found] = [
        output["data"][provenance.MIME] for output in cell["outputs"] if provenance.MIME in output.get("data", {})
    ]
    return dict(found)


def test_words_become_code_that_is_drawn_undone_frozen_and_kept(lab: Any, served: Any) -> None:
    lab.open("sales")
    lab.run(LOAD)
    plot = lab.run(PLOT)
    lab.page.wait(f"{plot} >> .jp-RenderedImage img")
    assert "groupby('city')" in lab.text(plot) and "sales unchanged" in lab.text(plot)
    lab.picture("words")

    means = lab.run(MEANS)
    assert "new: means" in lab.text(means) and "%undo takes it back" in lab.text(means)
    assert "removed means" in lab.text(lab.run("%undo"))
    assert "False" in lab.text(lab.run("'means' in dir()"))

    lab.run(MEANS)
    before = lab.count()
    lab.run("%freeze")
    lab.page.until("the code is in a cell of its own", lambda: lab.count() == before + 2)
    lab.picture("freeze")
    cells = lab.saved()
    place = [cell["source"] for cell in cells].index(["%freeze"])
    kept = record(cells[place - 1])
    assert (kept["words"], kept["status"]) == (MEANS, "ok")
    assert "".join(cells[place + 1]["source"]) == kept["code"]

    done = served("notebook", "freeze", str(lab.path))
    assert done.returncode == 0, done.stderr
    frozen = nbformat.read(lab.path.with_stem("sales-frozen"), as_version=4)
    assert frozen.metadata.kernelspec.name == "python3" and MEANS not in [cell.source for cell in frozen.cells]
    frozen.cells.append(nbformat.v4.new_code_cell("sorted(means.index)"))
    NotebookClient(frozen, timeout=120, resources={"metadata": {"path": str(lab.path.parent)}}).execute()
    assert frozen.cells[-1].outputs[0].data["text/plain"] == "['chair', 'lamp', 'table']"


def test_a_question_is_asked_below_the_code_and_the_stop_button_is_an_answer(lab: Any) -> None:
    lab.open("asked")
    lab.run(LOAD)
    lab.run("%famulus model off\n%famulus mode confirm")
    cell = lab.start(MEANS)
    lab.says(cell, "Run it? [y/n]")
    assert "means = " in lab.text(cell) and "waiting for your answer" in lab.text(cell)
    lab.picture("question")
    lab.stop()
    lab.done(cell)
    assert "Nothing was run" in lab.text(cell)
    assert "False" in lab.text(lab.run("'means' in dir()"))
    cell = lab.start(MEANS)
    lab.answer(cell, "y")
    lab.done(cell)
    assert "%undo takes it back" in lab.text(cell)
    assert "lamp" in lab.text(lab.run("means"))

    cell = lab.start("import time\nprint('waiting')\ntime.sleep(600)")
    lab.says(cell, "waiting")
    lab.stop()
    lab.done(cell)
    assert "KeyboardInterrupt" in lab.text(cell), "Python stops as ever"
