"""Notebooks without an editor: run from recordings, by ``famulus notebook run``, nbconvert and papermill, and frozen.

No engine can start in any of these kernels: the interpreter that would start it does not exist.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
import typer
from nbconvert.nbconvertapp import NbConvertApp

from famulus.commands import notebook as command
from famulus.engine.errors import FamulusError
from famulus.jupyter_kernel import install, provenance
from famulus.jupyter_kernel.recordings import FILE

PRICES = "prices = [3, 1, 2]\nnames = ['a', 'b']"
WORDS = "sort prices, call it ordered"
SAVE = "save prices to kept.json"
CHECK = "assert ordered == [1, 2, 3]"
CELLS = (PRICES, WORDS, CHECK, SAVE)


def code(source: str, **metadata: Any) -> Any:
    return nbformat.v4.new_code_cell(source, metadata=metadata)


def write(path: Path, *cells: Any) -> Path:
    """A notebook in a file, its sources stored as lines, as every editor does."""
    made = [cell if isinstance(cell, dict) else code(cell) for cell in cells]
    spec = {"name": "famulus", "display_name": "Python 3 · Famulus", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": spec}), path)
    return path


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def panel(cell: Any) -> dict[str, Any]:
    return next(one.data[provenance.MIME] for one in cell.outputs if provenance.MIME in one.get("data", {}))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """An environment in which Jupyter knows one kernel, whose engine cannot start."""
    folder = tmp_path_factory.mktemp("place")
    spec = install.kernelspec(install.examine(sys.executable), famulus_python=folder / "no/python")
    install.write(folder / "jupyter/kernels/famulus", spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("FAMULUS_HOME", str(folder / "home"))
        yield patch
        assert not (folder / "home/run/engine.json").exists(), "an engine was started"


@pytest.fixture(scope="module")
def original(place: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a notebook that was run once, and its recordings."""
    notebook = write(tmp_path_factory.mktemp("original") / "n.ipynb", *CELLS)
    command.run(notebook, on_change=command.OnChange.REGENERATE)
    return notebook.parent


@pytest.fixture
def recorded(original: Path, tmp_path: Path) -> Path:
    """A copy of that notebook in a folder of its own, with its recordings."""
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    return tmp_path / "n.ipynb"


def convert(*arguments: str) -> None:
    """``jupyter nbconvert``."""
    app = NbConvertApp()
    app.initialize(list(arguments))
    app.start()


def code_of(notebook: Path) -> str:
    lines = (notebook.parent / FILE).read_text().splitlines()
    return next(str(line["code"]) for line in map(json.loads, lines) if line["words"] == WORDS)


def failure(run: Callable[[], object]) -> str:
    with pytest.raises(FamulusError) as caught:
        run()
    assert "\n" not in str(caught.value), "one sentence"
    return str(caught.value)


def test_a_notebook_runs_from_its_recordings_in_another_folder(recorded: Path) -> None:
    given = read(recorded)
    given.cells[1].metadata["tags"] = ["kept"]
    given.cells.insert(1, nbformat.v4.new_markdown_cell("text"))
    given.cells.insert(1, code(""))
    nbformat.write(given, recorded)
    before = (recorded.parent / FILE).read_text()
    line = [
        sys.executable,
        "-P",
        "-m",
        "famulus",
        "notebook",
        "run",
        "n.ipynb",
        "--on-change",
        "stop",
        "-o",
        "out.ipynb",
    ]
    said = subprocess.run(line, cwd=recorded.parent, check=True, capture_output=True, text=True).stdout
    assert "All cells of n.ipynb ran." in said
    ran = read(recorded.with_name("out.ipynb"))
    words = next(cell for cell in ran.cells if cell.source == WORDS)
    assert panel(words)["source"] == "recording" and panel(words)["code"] == code_of(recorded)
    assert [cell.id for cell in ran.cells] == [cell.id for cell in given.cells]
    assert [cell.get("execution_count") for cell in ran.cells] == [1, None, None, 2, 3, 4]
    assert words.metadata == {"tags": ["kept"]}
    assert (recorded.parent / "kept.json").exists(), "the file that the words name, where the notebook is now"
    assert (recorded.parent / FILE).read_text() == before, "a replay records nothing new"


def test_other_data_stop_the_run_at_the_words(recorded: Path) -> None:
    write(recorded, PRICES.replace("[3, 1, 2]", "{'a': 1}"), *CELLS[1:])
    said = failure(lambda: command.run(recorded))
    assert "Cell 2" in said and WORDS in said and "other data" in said and "--on-change" in said


def test_words_can_be_translated_anew_where_the_data_changed(recorded: Path) -> None:
    write(recorded, "prices = (3.5, 1.5)", WORDS, "assert list(ordered) == [1.5, 3.5]")
    lines = len((recorded.parent / FILE).read_text().splitlines())
    command.run(recorded, on_change=command.OnChange.REGENERATE)
    assert len((recorded.parent / FILE).read_text().splitlines()) == lines + 1


def test_words_without_a_recording_stop_the_run(recorded: Path) -> None:
    write(recorded, PRICES, "reverse names, call it back")
    assert re.search("Cell 2 .*no recording", failure(lambda: command.run(recorded)))


def test_an_error_in_python_names_its_cell(recorded: Path) -> None:
    write(recorded, "", PRICES, "1 / 0", WORDS)
    assert re.search("Cell 2 .*1 / 0.*ZeroDivisionError", failure(lambda: command.run(recorded)))


def test_what_somebody_else_recorded_is_not_run_unasked(
    recorded: Path, place: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(recorded, PRICES, "open('ran', 'w')", WORDS, CHECK)
    lines = (recorded.parent / FILE).read_text()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAMULUS_HOME", str(tmp_path / "colleague"))
        said = failure(lambda: command.run(recorded))
        assert "Cell 3" in said and "Somebody else" in said and "--trust" in said
        command.run(recorded, trust=True)
    assert (recorded.parent / FILE).read_text() == lines, "and it does not become the colleague's by that"


def test_undone_and_unrun_words_are_left_out(recorded: Path) -> None:
    shown = code("show the largest of prices")
    shown.outputs = [
        nbformat.v4.new_output(
            "display_data",
            {provenance.MIME: {"words": shown.source, "code": "max(prices)", "status": "shown"}},
        )
    ]
    write(recorded, PRICES, shown, "delete everything in prices", "%undo", WORDS, CHECK)
    command.run(recorded, out=recorded.with_name("out.ipynb"))
    ran = read(recorded.with_name("out.ipynb"))
    assert ran.cells[1].outputs == shown.outputs and "tags" not in ran.cells[1].metadata
    assert [cell.execution_count for cell in ran.cells] == [1, None, None, None, 2, 3]


def test_a_retried_cell_comes_to_the_same_again(recorded: Path) -> None:
    write(recorded, PRICES, WORDS, "%retry", CHECK, "%explain", "%accept", "%undo", "assert 'ordered' not in dir()")
    command.run(recorded, out=recorded.with_name("out.ipynb"))
    assert panel(read(recorded.with_name("out.ipynb")).cells[2])["code"] == code_of(recorded)


def test_nbconvert_and_papermill_replay(recorded: Path, place: pytest.MonkeyPatch) -> None:
    convert("--to", "notebook", "--execute", "--output", "nbconvert.ipynb", str(recorded))
    ran = read(recorded.with_name("nbconvert.ipynb"))
    assert panel(ran.cells[1])["source"] == "recording" and panel(ran.cells[1])["code"] == code_of(recorded)
    write(recorded, code("least = 0", tags=["parameters"]), *CELLS[:2], "assert least == 7")
    made = papermill.execute_notebook(
        recorded,
        recorded.with_name("papermill.ipynb"),
        parameters={"least": 7},
        cwd=recorded.parent,
        progress_bar=False,
    )
    words = next(cell for cell in made.cells if cell.source == WORDS)
    assert panel(words)["source"] == "recording" and panel(words)["code"] == code_of(recorded)


def test_where_nothing_can_be_recorded_words_still_run(place: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / FILE.parent).write_text("a file where the folder should be")
    command.run(write(tmp_path / "n.ipynb", *CELLS[:3]), on_change=command.OnChange.REGENERATE)


def test_the_commands_say_what_is_wrong_with_files(tmp_path: Path, lonely: Any) -> None:
    (tmp_path / "bad.ipynb").write_text("no json")
    for arguments, words in (
        (["freeze", tmp_path / "none.ipynb"], "none.ipynb cannot be read"),
        (["run", tmp_path / "bad.ipynb"], "bad.ipynb is not a notebook"),
    ):
        done = lonely("notebook", *arguments)
        assert done.returncode == 1 and words in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_freeze_writes_what_runs_elsewhere(recorded: Path) -> None:
    frozen = recorded.with_name("n-frozen.ipynb")
    command.freeze(recorded)
    assert read(frozen).cells[1].source == f"# {WORDS}\n{code_of(recorded)}"
    assert "there already" in failure(lambda: command.freeze(recorded))
    command.freeze(recorded, force=True)
    assert "no folder" in failure(lambda: command.freeze(recorded, out=recorded.parent / "no/where.py"))
    with pytest.raises(typer.BadParameter):
        command.freeze(recorded, out=Path("out.txt"))
    assert sorted(recorded.parent.glob(".*")) == [recorded.parent / ".famulus"], "no draft is left"
    command.freeze(recorded, out=recorded.with_name("n.py"))
    (recorded.parent / "kept.json").unlink(missing_ok=True)
    subprocess.run([sys.executable, "n.py"], cwd=recorded.parent, check=True)
    assert (recorded.parent / "kept.json").exists()
    convert("--to", "python", "--output", "converted", str(frozen))
    written = frozen.with_name("converted.py").read_text()
    compile(written, "converted", "exec")
    assert code_of(recorded) in written
