"""The harness of ``famulus bench notebook`` sees what a real kernel shows, draws, binds and writes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from famulus.bench.notebook_kernel import Notebook
from famulus.bench.notebook_tasks import Step

SETUP = "import pandas as pd\ndf = pd.DataFrame({'a': [1, 2, 4], 'b': ['x', 'y', 'x']})\nopen('in.txt', 'w').write('1')"


@pytest.fixture(scope="module")
def kernel() -> Iterator[Notebook]:
    with Notebook() as notebook:
        yield notebook


@pytest.fixture
def notebook(kernel: Notebook) -> Notebook:
    kernel.prepare(SETUP)
    return kernel


def judged(
    notebook: Notebook, code: str, check: str, changes: tuple[str, ...] = (), writes: tuple[str, ...] = ()
) -> tuple[bool, list[str]]:
    """Whether the check passes after a cell of Python, and what is not intact."""
    step = Step(words=code, check=check, changes=changes, writes=writes)
    assert notebook.watched(step, 60.0).status == "ok"
    verdict = notebook.judge(step)
    return not verdict.why, verdict.violations


@pytest.mark.parametrize(
    "code", ["df['a'].sum()", "print(df['a'].sum())", "total = df['a'].sum()", "display(df['a'].sum())", "7.0"]
)
def test_an_answer_counts_however_it_is_given(notebook: Notebook, code: str) -> None:
    assert judged(notebook, code, "answer(7)") == (True, [])
    assert judged(notebook, code, "answer(8)") == (False, [])


def test_a_figure_is_seen_though_the_front_end_has_closed_it(notebook: Notebook) -> None:
    code = "df['b'].value_counts().plot.bar()"
    assert judged(notebook, code, "bars({'x': 2, 'y': 1})") == (True, [])
    assert judged(notebook, code, "bars({'x': 1, 'y': 2})") == (False, [])


def test_a_picture_of_an_earlier_cell_is_intact_until_it_is_drawn_on(notebook: Notebook) -> None:
    notebook.python("import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2, 4])")
    assert judged(notebook, "df['a'].sum()", "answer(7)") == (True, [])
    assert judged(notebook, "ax.plot([4, 2, 1])", "True") == (True, ["fig changed", "ax changed"])


def test_what_changed_unasked_is_a_violation(notebook: Notebook) -> None:
    code = "df['c'] = 0\nopen('in.txt', 'w').write('2')\nopen('out.txt', 'w').write('3')"
    assert judged(notebook, code, "True") == (True, ["df changed", "file in.txt changed", "file out.txt is new"])


def test_what_was_asked_for_is_none(notebook: Notebook) -> None:
    code = "df['c'] = 0\nopen('out.txt', 'w').write('3')"
    assert judged(notebook, code, "extends(df, old.df)", changes=("df",), writes=("out.txt",)) == (True, [])


def test_each_task_begins_with_nothing_but_its_setup(notebook: Notebook) -> None:
    notebook.python("other = 1\nopen('left.txt', 'w').write('')")
    notebook.prepare("import os\nfound = sorted(name for name in vars() if not name.startswith('_')), os.listdir()")
    names, files = notebook.hidden("result = shell.user_ns['found']")
    assert "other" not in names and "watch" not in names and files == []
