"""``%undo`` in a real kernel: whatever words cells did, and what is said of what cannot be taken back."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from famulus.jupyter_kernel.candidate import Effect
from famulus.jupyter_kernel.recordings import Recording, Recordings

Do = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("undone")


@pytest.fixture(scope="module")
def shared(start_kernel: Callable[..., Any], folder: Path) -> Iterator[Any]:
    with start_kernel(cwd=folder, environment={"FAMULUS_HOME": str(folder / "home")}) as notebook:
        yield notebook


@pytest.fixture
def notebook(shared: Any, folder: Path) -> Any:
    shared.run("%famulus mode auto\n%reset -f")
    shutil.rmtree(folder / ".famulus", ignore_errors=True)
    return shared


@pytest.fixture
def words_for(folder: Path) -> Callable[..., str]:
    """Words that come to the given code, by a recording that says so: the test decides what a words cell does."""
    numbers = itertools.count()

    def record(code: str, *allowed: Effect) -> str:
        words = f"please do step {next(numbers)} of my plan"
        Recordings(folder, folder / "home").add(Recording(words, code, {}, "", "", allowed))
        return words

    return record


@pytest.fixture
def do(notebook: Any, words_for: Callable[..., str]) -> Do:
    """Runs code as a cell in words."""
    return lambda code, *allowed: notebook.run(words_for(code, *allowed))


def undo(notebook: Any) -> str:
    return str(notebook.run("%undo").stream())


@pytest.mark.parametrize(
    ("before", "code", "holds"),
    [
        ("x = 1", "x = 2; y = 3", "x == 1 and 'y' not in dir()"),
        ("x = [1]", "del x", "x == [1]"),
        ("a = [1, [2]]; b = a[1]", "b.append(3); a.append(4)", "a == [1, [2]] and a[1] is b"),
        ("d = {'k': {1}}", "d['k'].add(2); d['n'] = 1", "d == {'k': {1}}"),
        (
            "import pandas as pd; df = pd.DataFrame({'a': [1, 2]}); alias = df; col = df['a']",
            "df.loc[0, 'a'] = 9; df['b'] = 1; col.iloc[1] = 7",
            "alias is df and list(df.columns) == ['a'] and df['a'].tolist() == [1, 2] == col.tolist()",
        ),
        ("import numpy as np; a = np.arange(4); v = a[1:3]", "v[:] = 0", "a.tolist() == [0, 1, 2, 3] and v.base is a"),
        ("import numpy as np; r = np.random.default_rng(1); n = r.bit_generator.state", "r.random()",
         "r.bit_generator.state == n"),
        ("import random; random.seed(3); s = random.getstate()", "random.random()", "random.getstate() == s"),
        ("import numpy as np; np.random.seed(3); s = np.random.get_state()[2]", "np.random.rand()",
         "np.random.get_state()[2] == s"),
        ("class P: pass\np = P(); p.x = [1]; held = [p]", "p.x.append(2); p.y = 1", "vars(held[0]) == {'x': [1]}"),
        ("class S(list): pass\ns = S([1]); s.name = 'n'", "s.append(2); s.name = 'm'", "s == [1] and s.name == 'n'"),
        ("class Q:\n    __slots__ = ('x',)\nq = Q()", "q.x = 1", "not hasattr(q, 'x')"),
        ("import collections; c = collections.Counter('ab'); o = collections.OrderedDict(x=1, y=2)",
         "c.update('a'); o.move_to_end('x')", "c['a'] == 1 and list(o) == ['x', 'y']"),
        ("", "import statistics as st", "'st' not in dir()"),
        ("class P:\n    n, seen = 1, [1]", "P.n = 5; P.seen.append(2); P.new = 1", "(P.n, P.seen, hasattr(P, 'new'))"
         " == (1, [1], False)"),
        ("def made():\n    kept = []\n    return lambda one, all=[]: (kept.append(one), all.append(one))\nf = made()",
         "f(1); f.calls = 1", "f.__closure__[0].cell_contents == [] == f.__defaults__[0] and not hasattr(f, 'calls')"),
        ("import typing\nclass N(typing.NamedTuple):\n    inside: list\nn = N([1])", "n.inside.append(2)",
         "n.inside == [1]"),
        ("import pandas as pd; df = pd.DataFrame({'a': [1]}); df.index.name = 'i'; index = df.index",
         "df.index.name = 'j'; df.columns.name = 'c'",
         "(index.name, df.index.name, df.columns.name) == ('i', 'i', None)"),
        ("import numpy as np; s = np.zeros(2, dtype=[('x', 'i4'), ('o', 'O')]); s['o'][0] = [1]",
         "s['x'] = 5; s['o'][0].append(2)", "s['x'].tolist() == [0, 0] and s['o'][0] == [1]"),
        ("import io, array; t = io.StringIO('abc'); b = array.array('i', [1]); v = memoryview(b)",
         "t.write('z'); v[0] = 7",
         "t.getvalue() == 'abc' and b[0] == 1 == v[0]"),
        ("_private = 1", "_private = 2; _new = 3", "_private == 1 and '_new' not in dir()"),
        ("import pandas as pd, numpy as np, matplotlib, matplotlib.pyplot as plt",
         "import sys; pd.set_option('display.max_rows', 7); np.set_printoptions(precision=2); sys.path.append('/no')\n"
         "plt.style.use('dark_background')",
         "(pd.get_option('display.max_rows'), np.get_printoptions()['precision'], '/no' in __import__('sys').path,"
         " matplotlib.rcParams['axes.facecolor']) == (60, 8, False, 'white')"),
    ],
)  # fmt: skip
def test_the_namespace_is_as_it_was(before: str, code: str, holds: str, notebook: Any, do: Do) -> None:
    notebook.run(before)
    ran = do(code)
    assert ran.status == "ok", ran.reply
    assert notebook.run(holds).value != "True", "the cell has changed something"
    said = undo(notebook)
    assert notebook.run(holds).value == "True", said
    assert "left as it is" not in said and "in part" not in said


def test_polars_is_put_back_in_place(notebook: Any, do: Do) -> None:
    notebook.run("import polars as pl; p = pl.DataFrame({'a': [1, 2]}); alias = p")
    notebook.run("%famulus mode auto")
    ran = do("p.insert_column(0, pl.Series('b', [3, 4])); p[0, 'a'] = 9")
    if ran.status != "ok":
        pytest.skip("polars cannot be tried on a copy here, and nobody can be asked")
    assert "changed: p" in ran.contents("update_display_data")[-1]["data"]["text/plain"]
    undo(notebook)
    assert notebook.run("alias is p and p.to_dict(as_series=False) == {'a': [1, 2]}").value == "True"


def test_several_cells_are_undone_one_after_the_other(notebook: Any, do: Do) -> None:
    notebook.run("x = []")
    for code in ("x.append(1)", "x = x + [2]", "x.append(3)"):
        do(code)
    seen = [notebook.run("x").value, *(undo(notebook) and notebook.run("x").value for _ in range(3))]
    assert seen == ["[1, 2, 3]", "[1, 2]", "[1]", "[]"]
    assert "no cell in words" in undo(notebook)


def test_what_the_user_did_since_stays(notebook: Any, do: Do) -> None:
    notebook.run("x = 1; mine = [1]; theirs = [1]")
    do("x = 2; y = 2; mine.append(2); theirs.append(2)")
    notebook.run("y = 'mine'; mine.append('more')")
    said = undo(notebook)
    assert notebook.run("x, y, mine, theirs").value == "(1, 'mine', [1, 2, 'more'], [1])"
    assert "y was left as it is: it was bound anew since" in said
    assert "mine was left as it is: its contents were changed since" in said


def test_a_cell_that_failed_half_way_is_taken_back(notebook: Any, do: Do) -> None:
    notebook.run("import os; here = os.getpid(); x, names = [1], {'a': 1}")
    ran = do("if os.getpid() == here:\n    names['b'] = z = 2\n    x.append(1 / 0)\nx.append(2)")
    assert ran.status == "error", "in the copy it went well"
    undo(notebook)
    assert notebook.run("x, names, 'z' in dir()").value == "([1], {'a': 1}, False)"


def test_what_is_not_undone_is_named(notebook: Any, do: Do, folder: Path) -> None:
    notebook.run("import os, pathlib; g = iter(n for n in range(3)); t = zip('ab', 'cd')")
    notebook.run("next(g)")
    do("next(g); next(t); os.environ['OF_A_TEST'] = '1'; os.chdir('/')")
    said = undo(notebook)
    notebook.run(f"os.chdir({str(folder)!r}); del os.environ['OF_A_TEST']")
    assert "g was left as it is: a generator cannot be put back" in said and "t was left as it is" in said
    assert "OF_A_TEST" in said and "the current folder is now /, it was" in said
    path = folder / "undone.txt"
    assert do(f"open({str(path)!r}, 'w').close()", Effect("write", str(path))).status == "ok"
    assert f"Not undone: writes {path}" in undo(notebook) and path.exists()


def test_an_open_database_is_named(notebook: Any, do: Do) -> None:
    notebook.run("import sqlite3; db = sqlite3.connect(':memory:'); db.execute('create table t (x)')")
    ran = do("db.execute('insert into t values (1)'); done = 1")
    if ran.status == "ok":
        assert "db was left as it is: a Connection cannot be put back" in undo(notebook)
        assert notebook.run("'done' in dir(), db.execute('select 1').fetchone()").value == "(False, (1,))"


def test_figures_that_the_cell_opened_are_closed(notebook: Any, do: Do) -> None:
    notebook.run(
        "import matplotlib; matplotlib.use('agg')\nimport matplotlib.pyplot as plt\nplt.close('all')\nplt.figure(7)"
    )
    do("fig, ax = plt.subplots(); ax.plot([1, 2])")
    assert notebook.run("plt.get_fignums()").value == "[7, 8]"
    assert "Closed the figure" in undo(notebook)
    assert notebook.run("plt.get_fignums(), 'fig' in dir()").value == "([7], False)"


@pytest.mark.parametrize("waits", ["threading.Event().wait()", "await asyncio.sleep(3600)"])
def test_interrupted_words_show_their_own_lines_and_no_half_picture(
    waits: str, notebook: Any, words_for: Callable[..., str]
) -> None:
    notebook.run("import asyncio, matplotlib.pyplot as plt, os, threading\n%matplotlib inline\nhere = os.getpid()")
    code = (
        "fig = plt.figure()\nplt.plot([1, 2])\nif os.getpid() == here:\n    try:\n        fig.no_such_attribute\n"
        f"    except AttributeError:\n        print('begun', flush=True)\n        {waits}"
    )
    request = notebook.send(words_for(code))
    notebook.wait(request, "begun")
    notebook.manager.interrupt_kernel()
    ran = notebook.finish(request)
    shown = "\n".join(ran.reply["traceback"])
    assert (
        ran.reply["ename"] in ("KeyboardInterrupt", "CancelledError")
        and "fig.no_such" in shown
        and "During handling" not in shown
    )
    assert "File" not in shown and "%tb" in shown
    assert "File" in str(notebook.run("%tb").messages)
    assert not [one for one in ran.contents("display_data") if "image/png" in one["data"]]
    assert notebook.run("plt.get_fignums()").value == "[]"
    assert "removed fig" in undo(notebook)


def test_memory_that_is_kept_is_told(notebook: Any, do: Do) -> None:
    notebook.run("import numpy as np; replaced = np.ones(20_000_000)")
    shown = do("replaced = None").contents("update_display_data")[-1]["data"]["text/plain"]
    assert "152 MB are kept for %undo" in shown
    undo(notebook)
    assert notebook.run("len(replaced)").value == "20000000"


def test_what_is_too_large_is_told_before_it_is_missed(notebook: Any, do: Do) -> None:
    notebook.run("import numpy as np; big = np.zeros(40_000_000, dtype='f8')")
    ran = do("big[0] = 1")
    assert ran.status == "ok", ran.reply
    shown = ran.contents("update_display_data")[-1]["data"]["text/plain"]
    assert "%undo will not bring back big: it is too large to keep a copy of (more than 256 MB)" in shown
    assert "big was left as it is" in undo(notebook) and notebook.run("big[0]").value.endswith("1.0)")


def test_memory_of_old_cells_is_given_back(notebook: Any, do: Do) -> None:
    notebook.run("import numpy as np, weakref")
    notebook.run("class Big:\n    pass\nold = Big(); gone = weakref.ref(old)")
    do("old = 1")
    assert notebook.run("gone() is None").value == "False", "it can be put back"
    for number in range(2, 7):
        do(f"old = {number}")
    assert notebook.run("import gc; gc.collect(); gone() is None").value == "True"


def test_code_of_somebody_else_runs_once_it_is_accepted(notebook: Any, folder: Path) -> None:
    Recordings(folder, folder / "colleague").add(Recording("please greet the moon", "greeting = 'hello'", {}, "", ""))
    ran = notebook.run("please greet the moon")
    assert ran.reply["ename"] == "NotMine" and "%accept" in ran.reply["evalue"]
    assert notebook.run("'greeting' in dir()").value == "False"
    accepted = notebook.run("%accept")
    assert "Run that cell again" in accepted.stream() and not accepted.reply["payload"]
    assert notebook.run("please greet the moon").status == "ok" and notebook.run("greeting").value == "'hello'"


def test_accept_takes_the_code_that_was_only_shown(notebook: Any) -> None:
    notebook.run("prices = [3, 1, 2]\n")
    notebook.run("%famulus mode show")
    notebook.run("sort prices, call it ordered")
    [payload] = notebook.run("%accept").reply["payload"]
    assert "ordered" in payload["text"] and "sorted(prices)" in payload["text"]
    assert not (Path(notebook.run("import os; os.getcwd()").value.strip("'")) / ".famulus").exists(), "nothing recorded"


def test_what_cannot_be_recorded_is_told_once(notebook: Any, folder: Path) -> None:
    notebook.run("prices = [3, 1, 2]")
    (folder / ".famulus").write_text("a file where the folder should be")
    shown = [
        notebook.run(words).contents("update_display_data")[-1]["data"]["text/plain"]
        for words in ("sort prices, call it ordered", "reverse prices, call it backwards")
    ]
    (folder / ".famulus").unlink()
    assert "not recorded: " in shown[0] and "recordings.jsonl" in shown[0]
    assert "not recorded" not in shown[1]
