"""Ghost text in notebooks: what the guesser knows, and what front ends get from a real kernel with a real engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from famulus.jupyter_kernel.ghost import TYPE, TYPES, Ghost, before, prefix_of
from tests.conftest import Famulus
from tests.jupyter_kernel.conftest import PATIENCE, Notebook, Start

pytestmark = pytest.mark.skipif("sys.platform == 'win32'", reason="the engine is reached through a Unix socket")

CELLS = ["alpha_one = 1", "alpha_two = 2", "alpha_three = 3", "alpha_four = 4", "alpha_five = 5"]
NEXT = "alpha_six = "


def test_the_notebook_is_read_without_magics() -> None:
    cells = ["", "import os\n", "get_ipython().run_line_magic('undo', '')", "x = 1"]
    assert before(cells) == "import os\n\nx = 1\n\n"
    assert before([]) == ""
    assert len(before(["x" * 100_000])) < 10_000


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("df.gr*", "df.gr"),
        ("a[[]0]*", "a[0]"),
        ("2 [*][*] x*", "2 ** x"),
        ("[?]*", "?"),
        ("a*b*", ""),
        ("a", ""),
        ("*", ""),
    ],
)
def test_the_pattern_of_a_line(pattern: str, text: str) -> None:
    assert prefix_of(pattern) == text


def test_without_an_engine_answers_are_what_they_were(tmp_path: Path) -> None:
    ghost = Ghost(tmp_path)
    reply = {"matches": ["al"], "cursor_start": 0, "cursor_end": 1, "metadata": {}, "status": "ok"}
    history = {"status": "ok", "history": [(1, 1, "alpha")]}
    ghost.look_ahead(CELLS)
    assert ghost.in_menu(reply, "a", 1) is reply
    assert ghost.in_history(history, "a*", 100) is history
    assert not (tmp_path / "run").exists(), "no engine was started"


# -- a real kernel with a real engine


@pytest.fixture(scope="module")
def notebook(start_kernel: Start, served: Famulus) -> Iterator[Notebook]:
    """A kernel with cells that go on in an obvious way, and ghost text on."""
    with start_kernel(environment={"FAMULUS_HOME": str(served.home)}) as notebook:
        for cell in CELLS:
            notebook.run(cell)
        assert "Ghost text: on" in notebook.run("%famulus ghost on").stream()
        yield notebook


def complete(notebook: Notebook, code: str) -> dict[str, Any]:
    return notebook.request("complete_request", code=code, cursor_pos=len(code))


def history(notebook: Notebook, line: str, **more: Any) -> list[list[Any]]:
    """What the provider of JupyterLab is answered."""
    asked: dict[str, Any] = {"hist_access_type": "search", "pattern": f"{line}*", "unique": True, "n": 100}
    asked |= {"output": False, "raw": True, **more}
    return list(notebook.request("history_request", **asked)["history"])


def ghosts(reply: dict[str, Any]) -> list[str]:
    """The marked completions."""
    return [one["text"] for one in reply["metadata"].get(TYPES, ()) if one["type"] == TYPE]


def eventually(ask: Callable[[], Any]) -> Any:
    """As a user does who goes on typing: ask until the line is there."""
    end = time.monotonic() + PATIENCE
    while not (found := ask()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


@pytest.mark.slow
def test_the_line_is_in_the_menu_and_marked(notebook: Notebook) -> None:
    [line] = eventually(lambda: ghosts(complete(notebook, NEXT)))
    reply = complete(notebook, NEXT)
    assert line in reply["matches"] and NEXT[reply["cursor_start"] :] + "6" == line, "as the cells before go on"
    [mark] = [one for one in reply["metadata"][TYPES] if one["type"] == TYPE]
    assert (mark["start"], mark["end"]) == (reply["cursor_start"], reply["cursor_end"])


@pytest.mark.slow
def test_a_line_of_several_is_found_by_the_line_alone(notebook: Notebook) -> None:
    eventually(lambda: ghosts(complete(notebook, f"print()\n{NEXT}")))
    assert history(notebook, NEXT)[0][2] == f"{NEXT}6"


@pytest.mark.slow
def test_the_history_provider_gets_the_line_first(notebook: Notebook) -> None:
    eventually(lambda: history(notebook, "alpha_seven ="))
    own = [entry for entry in history(notebook, "alpha_") if entry[0]]
    assert [entry[2] for entry in own][-5:] == CELLS, "and the real history as it was"
    assert all(entry[0] for entry in history(notebook, "alpha_seven =", n=99)), "others get their history alone"
    assert all(entry[0] for entry in history(notebook, "alpha_seven =", output=True))


@pytest.mark.slow
def test_the_next_cell_makes_the_line_void(notebook: Notebook) -> None:
    eventually(lambda: ghosts(complete(notebook, NEXT)))
    notebook.run("beta = 1")
    assert ghosts(complete(notebook, NEXT)) == []


@pytest.mark.slow
def test_off_is_ipykernel_s_own(notebook: Notebook, stock: Notebook) -> None:
    eventually(lambda: ghosts(complete(notebook, NEXT)))
    assert "Ghost text: off" in notebook.run("%famulus ghost off").stream()
    for code in ("zi", "import statis", "str.isal"):
        ours, theirs = complete(notebook, code), complete(stock, code)
        assert ours == theirs
    assert ghosts(complete(notebook, NEXT)) == [] and history(notebook, NEXT) == []
    notebook.run("%famulus ghost on")
