"""Code runs on a copy as it would in the notebook, and the notebook does not notice."""

from __future__ import annotations

import pytest

from famulus.jupyter_kernel.candidate import Effect

from .conftest import Live


def test_names_are_told_and_stay_as_they_are(live: Live) -> None:
    live.run("kept, replaced, removed = [1], 'old', 3")
    seen = live.rehearse("made = 1; replaced = 'new'; del removed; kept")
    assert (seen.status, seen.bound, seen.rebound, seen.deleted) == ("ok", ("made",), ("replaced",), ("removed",))
    assert (seen.value, seen.value_type) == ("[1]", "list")
    assert live.run("print(kept, replaced, removed, 'made' in dir())") == "[1] old 3 False\n"


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 3\nasyncio.run(f())", "3"),
        ("import asyncio\nfirst = await asyncio.sleep(0, 1)\nfirst + await asyncio.sleep(0, 1)", "2"),
        ("%timeit -n1 -r1 pass\n_ = 1\n4", "4"),
        ("5;", None),
        ("x = 6", None),
        ("None", None),
        ("import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()\n7", "7"),
        ("import logging\nlogging.getLogger().warning('a')\n8", "8"),
    ],
)
def test_cells_run_as_in_a_notebook(live: Live, code: str, value: str | None) -> None:
    seen = live.rehearse(code)
    assert (seen.status, seen.value) == ("ok", value), seen


def test_an_error_is_told_with_the_cells_own_lines(live: Live) -> None:
    seen = live.rehearse("def f(x):\n    return 1 / x\n\nf(0)")
    assert (seen.status, seen.error, seen.message) == ("error", "ZeroDivisionError", "division by zero")
    assert "return 1 / x" in seen.traceback and "rehearse" not in seen.traceback.replace("<rehearsal>", "")
    read_only = live.rehearse("import numpy as np\na = np.arange(3)\na.flags.writeable = False\na[0] = 1")
    assert (read_only.status, read_only.effects) == ("error", ())
    assert live.rehearse("x = (").error == "SyntaxError"
    assert live.rehearse("def f(): f()\nf()").error == "RecursionError"
    assert live.rehearse("import sys; sys.exit(1)").error == "SystemExit"


def test_a_file_is_not_written(live: Live) -> None:
    live.run("import pandas as pd; df = pd.DataFrame({'a': [1]})")
    seen = live.rehearse("df.to_csv('out.csv')")
    assert seen.status == "refused"
    assert seen.effects == (Effect("write", str(live.folder / "out.csv")),)
    assert not (live.folder / "out.csv").exists()
