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

    target = out or notebook.with_name(f"{notebook.stem}-frozen.ipynb")
    if target.suffix not in (".ipynb", ".py"):
        raise typer.BadParameter("FILE ends with .ipynb or .py.", param_hint="--out")
    frozen = export.freeze(export.read(notebook), Recordings(notebook.absolute().parent))
    text = export.script(frozen) if target.suffix == ".py" else json.dumps(frozen, indent=1, ensure_ascii=False) + "\n"
    _write(target, text, force or target.absolute() == notebook.absolute())
    output().print(f"{target} runs without Famulus.")


@app.command()
def run(
    notebook: Notebook,
    out: Out = None,
    force: Force = False,
    on_change: Annotated[
        OnChange, typer.Option(help="What to do with words whose recording no longer fits the data.")
    ] = OnChange.STOP,
) -> None:
    """Run a notebook from its recordings: the same code as before, without a model.

    Without -o the notebook keeps its old outputs and the command says only whether every cell ran.
    """
    try:
        import nbformat
        from jupyter_client.kernelspec import NoSuchKernel
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, DeadKernelError
    except ImportError as error:
        fix = f'Run: "{sys.executable}" -m pip install nbclient'
        raise FamulusError(f"Running notebooks needs nbclient ({error}).", fix=fix) from None
    from famulus.jupyter_kernel import export

    read = nbformat.from_dict(export.read(notebook))  # type: ignore[no-untyped-call]
    if out is not None and out.exists() and not force:
        raise _exists(out)
    named = read.metadata.get("kernelspec", {}).get("name", "")
    client = NotebookClient(
        read,
        kernel_name=named if named.startswith("famulus") else "famulus",
        resources={"metadata": {"path": str(notebook.absolute().parent)}},
        extra_arguments=[f"--FamulusKernel.on_change={on_change.value}"],
        timeout=None,
    )
    try:
        client.execute()
    except NoSuchKernel as error:
        raise FamulusError(f"Jupyter knows no kernel {error.name}.", fix="Run: famulus kernel install") from None
    except DeadKernelError as error:
        raise FamulusError(f"The kernel of {notebook} ended.") from error
    except CellExecutionError as error:
        raise FamulusError(f"{_where(read.cells, notebook)} failed: {_last_line(error)}") from None
    if out is not None:
        _write(out, nbformat.writes(read) + "\n", force)  # type: ignore[no-untyped-call]
    output().print(f"All cells of {notebook} ran.")


def _where(cells: list[Any], notebook: Path) -> str:
    """The cell that failed: the last one that has an error among its outputs."""
    for number, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), start=1):
        if any(one.output_type == "error" for one in cell.outputs):
            start = cell.source.strip().splitlines()[0][:60]
            return f"Cell {number} of {notebook} (“{start}”)"
    return f"A cell of {notebook}"


def _last_line(error: CellExecutionError) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", f"{error.ename}: {error.evalue}")
    return text.strip().splitlines()[-1] if text.strip() else "no reason was given"


def _exists(path: Path) -> StorageFailed:
    return StorageFailed(f"{path} is there already.", fix="Give another name with -o, or --force.")


def _write(target: Path, text: str, force: bool) -> None:
    """All of it or nothing."""
    from famulus.engine.folders import storage_failed

    if target.exists() and not force:
        raise _exists(target)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise storage_failed(target, error) from error
