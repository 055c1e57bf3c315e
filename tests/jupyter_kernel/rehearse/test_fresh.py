"""Where the kernel cannot be forked, a second process gets what the code needs, or the user is told why not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from famulus.jupyter_kernel.candidate import Effect
from famulus.sandbox import can_confine

from .conftest import Live, Start

SETUP = """
import collections, datetime, decimal, math, sqlite3, random, threading
from math import sqrt as root
from pathlib import Path
import numpy as np, pandas as pd, polars as pl, pyarrow as pa

number, text, rows = 3, "ä", [{"x": 1}, {"x": 2}]
alias, days = rows, [datetime.date(2024, 1, 2)]
price, here, both = decimal.Decimal("1.50"), Path("a/b"), {"a": np.arange(3), "b": (1, {2})}
df = pd.DataFrame({"a": [3, 1], "b": ["x", None], "c": pd.to_datetime(["2024-01-01", None])}, index=[7, 8])
series, unnamed = df["a"], pd.Series([1.5, 2.5])
grid, scalar = np.arange(6.0).reshape(2, 3), np.float32(0.5)
frame, column, table = pl.DataFrame({"a": [1, 2]}), pl.Series("s", [1, 2]), pa.table({"a": [1, 2]})
connection, lock, strange = sqlite3.connect(":memory:"), threading.Lock(), np.array([object()])

def helper(x): return x + number
def total(values): return sum(helper(value) for value in values)
class Point:
    scale = 2
    def twice(self, x): return self.scale * x

frame.lazy().group_by("a").len().collect();
"""


@pytest.fixture(scope="module")
def far(start_kernel: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    if not can_confine():
        pytest.skip("the kernel has no Landlock")
    folder = tmp_path_factory.mktemp("notebook")
    with start_kernel("python3", cwd=folder) as notebook:
        live = Live(notebook, folder)
        live.run(SETUP)
        assert "Polars" in live.run("get_ipython().rehearser.why_not()")
        yield live


@pytest.mark.parametrize(
    "code",
    [
        "number, text, rows, rows is alias, days",
        "price + 1, here.name, both, type(both['b'])",
        "df, df.dtypes.to_dict(), df.index",
        "series.sum(), series.name, unnamed.name, unnamed.mean()",
        "grid.sum(axis=0), grid.dtype, type(scalar), scalar",
        "frame.filter(pl.col('a') > 1).item(), column.name, column.sum(), table.num_rows",
        "root(16), math.pi, collections.Counter('aab')",
        "total([1, 2]), Point().twice(4)",
        "random.random(), float(np.random.rand())",
        "import asyncio; await asyncio.sleep(0, 5)",
    ],
)
def test_values_are_those_of_the_notebook(far: Live, code: str) -> None:
    seen = far.rehearse(code)
    assert seen.status == "ok", seen
    assert seen.value == far.run(code)


def test_what_it_would_change_is_told(far: Live) -> None:
    seen = far.rehearse("df.loc[7, 'a'] = 5; rows.append(1); number = 9; made = 1; price = 1; del text")
    assert (seen.status, seen.bound, seen.deleted) == ("ok", ("made",), ("text",)), seen
    assert set(seen.rebound) == {"number", "price"} and set(seen.changed) == {"df", "rows"}
    assert far.run("int(df.loc[7, 'a']), len(rows), number, text") == "(3, 2, 3, 'ä')"


def test_nothing_is_written_there_either(far: Live) -> None:
    for code in ("df.to_csv('out.csv')", "frame.write_csv('out.csv')", "pa.parquet.write_table(table, 'out.csv')"):
        seen = far.rehearse("import pyarrow.parquet\n" + code)
        assert seen.status == "refused", seen
        assert seen.effects == (Effect("write", str(far.folder / "out.csv")),)
    assert list(far.folder.iterdir()) == []


def test_a_crash_there_is_told_and_the_next_one_works(far: Live) -> None:
    assert "SIGSEGV" in far.rehearse("import ctypes; ctypes.string_at(0)").message
    assert far.rehearse("while True: pass", seconds=0.5).status == "timeout"
    assert (
        far.rehearse("lock = __import__('threading').Lock(); lock.acquire(); lock.acquire()", seconds=1).status
        == "timeout"
    )
    assert far.rehearse("1 +").error == "SyntaxError"
    assert far.rehearse("1").value == "1"


@pytest.mark.parametrize("name", ["connection", "lock", "strange"])
def test_what_cannot_travel_is_named(far: Live, name: str) -> None:
    told = far.tell(f"print({name})")["cannot"]
    assert "Polars" in told and f"and {name} is a" in told


def test_it_ends_when_it_is_closed_and_when_the_kernel_ends(far: Live) -> None:
    children = "open(f'/proc/self/task/{__import__(\"os\").getpid()}/children').read().split()"
    far.rehearse("1")
    assert far.run(f"len({children})") == "1"
    far.run("get_ipython().rehearser.close()")
    assert far.run(f"len({children})") == "0"
    assert far.rehearse("1").value == "1"


def test_it_can_be_imported_where_there_is_no_fork() -> None:
    program = """
import sys
for name in ("fcntl", "resource", "termios"):
    sys.modules[name] = None
from famulus.jupyter_kernel.rehearse import Rehearser
print([name for name in ("ctypes", "famulus.sandbox", "IPython") if name in sys.modules])
sys.platform = "win32"
print(Rehearser(None).why_not())
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=100)
    assert done.stdout.splitlines() == ["[]", "copies of a kernel can be cut off only on Linux"], done.stderr
