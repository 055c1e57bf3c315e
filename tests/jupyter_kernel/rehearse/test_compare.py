"""Which names the code changed: told by their names, also of other names for the same objects."""

from __future__ import annotations

import pytest

from .conftest import Live

SETUP = """
import array, collections, io, random, sqlite3
import numpy as np, pandas as pd

numbers, alias = [3, 1, 2], None
alias = numbers
rows = [{"x": 1}, {"x": 2}]
table = {"a": [1], "b": 2}
chosen = {1, 2}
queue = collections.deque([1, 2])
small, large = np.zeros(10), np.zeros(3_000_000)
window = large[1_000_000:1_000_010]
matrix = np.arange(12).reshape(3, 4)
million = list(range(1_000_000))
df = pd.DataFrame({"a": [3, 1, 2], "b": ["x", "y", "z"], "c": [1.0, None, 3.0]})
series = pd.Series([1.0, 2.0], name="s")
raw = bytearray(b"abc")
packed = array.array("d", [1.0])
dice = random.Random(1)
generator = np.random.default_rng(1)
lazy = (i for i in range(3))
walker = iter(numbers)
memory = sqlite3.connect(":memory:")
memory.execute("create table t(a)")
buffer = io.StringIO()

class Point:
    count = 0
    def __init__(self): self.x = []

class Slotted:
    __slots__ = ("x",)
    def __init__(self): self.x = 1

point, slotted = Point(), Slotted()
def grow(): numbers.append(1)
def closing(kept=[]): kept.append(1)
"""

CHANGES = [
    ("numbers.sort()", "numbers alias"),
    ("rows[0]['x'] = 5", "rows"),
    ("table['a'].append(1)", "table"),
    ("table['c'] = 1", "table"),
    ("chosen.add(7)", "chosen"),
    ("queue.rotate()", "queue"),
    ("small[3] = 1", "small"),
    ("large[2_000_000] = 1", "large"),
    ("window[0] = 1", "large window"),
    ("matrix.T[0, 1] = 9", "matrix"),
    ("million[500_000] = -1", "million"),
    ("million.append(1)", "million"),
    ("df['d'] = 1", "df"),
    ("df.loc[0, 'a'] = 9", "df"),
    ("df.sort_values('a', inplace=True)", "df"),
    ("df.columns = ['p', 'q', 'r']", "df"),
    ("df.index.name = 'i'", "df"),
    ("df.rename(columns={'a': 'z'}, inplace=True)", "df"),
    ("del df['b']", "df"),
    ("df.drop(columns='b', inplace=True)", "df"),
    ("df.fillna(0, inplace=True)", "df"),
    ("series[0] = 5", "series"),
    ("series.name = 't'", "series"),
    ("raw[0] = 0", "raw"),
    ("packed[0] = 2", "packed"),
    ("dice.random()", "dice"),
    ("generator.random()", "generator"),
    ("next(lazy)", "lazy"),
    ("next(walker)", "walker"),
    ("memory.execute('insert into t values (1)')", "memory"),
    ("buffer.write('x')", "buffer"),
    ("point.x.append(1)", "point"),
    ("point.y = 1", "point"),
    ("slotted.x = 2", "slotted"),
    ("Point.count += 1", "Point"),
    ("grow()", "numbers alias"),
    ("closing()", "closing"),
    ("eval('numbers.clear()')", "numbers alias walker"),
    ("%time numbers.pop()", "numbers alias"),
    ("globals()['numbers'].clear()", "numbers alias walker"),
]

LOOKS = [
    "sum(numbers) + sum(million)",
    "large.mean() + large[::2].sum() + small.std()",
    "df.describe(); df.values; df.groupby('b').a.sum(); df['a'].max(); repr(df); df.T; df.to_numpy()",
    "df.assign(n=1).sort_values('a').fillna(0); df.query('a > 1'); df[df.a > 1]; df.copy()",
    "series.rolling(2).mean(); series + 1; series.value_counts()",
    "[row['x'] for row in rows]; dict(table); sorted(numbers); max(chosen); list(queue)",
    "point.x; vars(point); slotted.x; memory.execute('select * from t').fetchall(); buffer.getvalue()",
    "import json; json.dumps(rows); print(df, table)",
    "matrix @ matrix.T; np.sort(small); matrix.sum(axis=0)",
]


@pytest.fixture(scope="module")
def full(_live: Live) -> Live:
    _live.run("get_ipython().reset(new_session=False)")
    _live.run(SETUP)
    return _live


@pytest.mark.parametrize(("code", "names"), CHANGES)
def test_changes_in_place(full: Live, code: str, names: str) -> None:
    seen = full.rehearse(code)
    assert seen.status == "ok", seen
    assert sorted((*seen.changed, *seen.rebound)) == sorted(names.split()), seen


@pytest.mark.parametrize("code", LOOKS)
def test_looking_changes_nothing(full: Live, code: str) -> None:
    seen = full.rehearse(code)
    assert (seen.status, seen.changed, seen.rebound, seen.unchecked) == ("ok", (), (), ()), seen
