"""``famulus notebook``: notebooks with words cells frozen to plain Python, or run from recordings."""

from __future__ import annotations

import json
import os
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from famulus.commands.terminal import output
from famulus.engine.errors import FamulusError, StorageFailed

if TYPE_CHECKING:
    from nbclient.exceptions import CellExecutionError

app = typer.Typer(name="notebook", help="Freeze or run notebooks with cells in words.", invoke_without_command=True)

Notebook = Annotated[Path, typer.Argument(metavar="NOTEBOOK.ipynb", show_default=False)]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where the result goes.")]
Force = Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")]

IDLE = "famulus-idle"
"""The tag of cells that nbclient leaves out."""


class OnChange(StrEnum):
    """What to do with a words cell that has no recording that fits."""

    STOP = "stop"
    REGENERATE = "regenerate"


@app.callback()
def group(context: typer.Context) -> None:
    """Freeze or run notebooks with cells in words."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@app.command()
def freeze(notebook: Notebook, out: Out = None, force: Force = False) -> None:
    """Write a notebook, or with -o NAME.py a Python file, in which every cell in words is the code that it came to.

    No model is needed. The result runs on the stock Python kernel.
    """
    from famulus.jupyter_kernel import export
    from famulus.jupyter_kernel.recordings import Recordings
    from famulus.jupyter_kernel.script import script

    target = out or notebook.with_name(f"{notebook.stem}-frozen.ipynb")
    if target.suffix not in (".ipynb", ".py"):
        raise typer.BadParameter("FILE ends with .ipynb or .py.", param_hint="--out")
    frozen = export.freeze(export.read(notebook), Recordings(notebook.absolute().parent))
    text = script(frozen) if target.suffix == ".py" else json.dumps(frozen, indent=1, ensure_ascii=False) + "\n"
    _write(target, text, force or target.absolute() == notebook.absolute())
    output().print(f"{target} runs without Famulus.")


@app.command()
def run(
    notebook: Notebook,
    out: Out = None,
    force: Force = False,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Run code that another user recorded: where the notebook is not yours, as in CI."),
    ] = False,
    on_change: Annotated[
        OnChange, typer.Option(help="What to do with words whose recording no longer fits the data.")
    ] = OnChange.STOP,
) -> None:
    """Run a notebook from its recordings: the same code as before, without a model.

    Without -o the notebook keeps its old outputs and the command says only whether every cell ran.
    """
    from famulus.jupyter_kernel import export

    content = export.read(notebook)
    if out is not None:
        _may_write(out, force)
    try:
        import nbformat
    except ImportError as error:
        raise _needs_nbclient(error) from None
    # Sources may be stored as lines, which a kernel does not take.
    read = nbformat.reads(json.dumps(content), as_version=4)  # type: ignore[no-untyped-call]
    idle = [read.cells[place] for place in export.idle(content)]
    arguments = [f"--FamulusKernel.on_change={on_change.value}", f"--FamulusKernel.trust_recordings={trust}"]
    _execute(read, notebook, arguments, idle)
    if out is not None:
        _write(out, nbformat.writes(read) + "\n", force)  # type: ignore[no-untyped-call]
    output().print(f"All cells of {notebook} ran." + (f" The result is in {out}." if out else ""))


def _execute(read: Any, notebook: Path, arguments: list[str], idle: list[Any]) -> None:
    """Runs all cells but those that are ``idle``. Raises a :class:`FamulusError` that names the cell that failed."""
    try:
        import zmq
        from jupyter_client.kernelspec import NoSuchKernel
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, DeadKernelError
        from traitlets.config import Config
    except ImportError as error:
        raise _needs_nbclient(error) from None
    begun: list[Any] = []
    named = read.metadata.get("kernelspec", {}).get("name", "")
    encrypted = {"KernelManager": {"transport_encryption": "auto"}} if zmq.has("curve") else {}
    client = NotebookClient(
        read,
        kernel_name=named if named.startswith("famulus") else "famulus",
        resources={"metadata": {"path": str(notebook.absolute().parent)}},
        extra_arguments=arguments,
        timeout=None,
        record_timing=False,
        skip_cells_with_tag=IDLE,
        on_cell_execute=lambda cell, cell_index: begun.append(cell),
        config=Config(encrypted),
    )
    for cell in idle:
        cell.metadata["tags"] = [*cell.metadata.get("tags", []), IDLE]
    try:
        client.execute()
    except NoSuchKernel as error:
        raise FamulusError(f"Jupyter knows no kernel {error.name}.", fix="Run: famulus kernel install") from None
    except CellExecutionError as error:
        raise FamulusError(f"{_where(read.cells, begun, notebook)} failed: {_reason(error)}") from None
    except (DeadKernelError, RuntimeError) as error:
        place = _where(read.cells, begun, notebook) if begun else str(notebook)
        raise FamulusError(f"The kernel ended: {place}.") from error
    finally:
        for cell in idle:
            cell.metadata["tags"].remove(IDLE)
            if not cell.metadata["tags"]:
                del cell.metadata["tags"]


def _needs_nbclient(error: ImportError) -> FamulusError:
    fix = f'Run: "{sys.executable}" -m pip install nbclient'
    return FamulusError(f"Running notebooks needs nbclient ({error}).", fix=fix)


def _where(cells: list[Any], begun: list[Any], notebook: Path) -> str:
    """The cell that was begun last."""
    last = begun[-1]
    number = 1 + [id(cell) for cell in cells if cell.cell_type == "code" and cell.source.strip()].index(id(last))
    return f"Cell {number} of {notebook} (“{last.source.strip().splitlines()[0][:60]}”)"


def _reason(error: CellExecutionError) -> str:
    """The sentence of an error of ours; of another one its class and the first line of what it says."""
    from famulus.jupyter_kernel import errors

    said = re.sub(r"\x1b\[[0-9;]*m", "", str(error.evalue)).strip()
    if error.ename == errors.NotMine.__name__:
        return "Somebody else recorded the code of these words. Accept it in Jupyter, or run with --trust."
    if isinstance(getattr(errors, str(error.ename), None), type):
        return said
    return f"{error.ename}: {next(iter(said.splitlines()), '')}".removesuffix(": ")


def _exists(path: Path) -> StorageFailed:
    return StorageFailed(f"{path} is there already.", fix="Give another name with -o, or --force.")


def _may_write(target: Path, force: bool) -> None:
    """Raises :class:`StorageFailed` where it is known beforehand that the result cannot be written."""
    if target.exists() and not force:
        raise _exists(target)
    if not target.absolute().parent.is_dir():
        raise StorageFailed(f"There is no folder {target.absolute().parent}.", fix="Make it, or give another -o.")


def _write(target: Path, text: str, force: bool) -> None:
    """All of it or nothing."""
    _may_write(target, force)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise StorageFailed(f"{target} cannot be written ({reason}).", fix="Give another place with -o.") from error
