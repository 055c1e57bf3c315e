"""Cells in words in a real JupyterLab in a real browser: what a person sees, and what the notebook keeps."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

LOAD = "import pandas as pd\nsales = pd.read_csv('sales.csv', parse_dates=['date'])\nsales.head(3)"


def test_python_runs_as_ever(lab: Any) -> None:
    cell = lab.run(LOAD)
    assert "2026-01-07" in lab.text(cell)


def test_words_are_code_and_a_picture(lab: Any) -> None:
    cell = lab.run("bar chart of total price per city in sales")
    lab.page.wait(f"{cell} >> .jp-OutputArea img")
    print(lab.text(cell))
    lab.picture("plot")
