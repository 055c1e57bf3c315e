"""``famulus models``: which models there are, choosing, fetching, checking and removing them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from famulus.commands.terminal import grid, output, print_json, waiting, write
from famulus.engine.errors import InvalidRequest, ModelNotFound

if TYPE_CHECKING:
    from famulus.engine.catalog import Catalog, Entry, Precision
    from famulus.engine.manifest import Progress

app = typer.Typer(name="models", help="List, fetch, check and remove models.", invoke_without_command=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="A catalog id (see: famulus models list), or a path.")]


@app.callback()
def group(context: typer.Context) -> None:
    """List, fetch, check and remove models."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@app.command("list")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False) -> None:
    """List the known models, and those of your own."""
    from rich.table import Table

    from famulus.engine.catalog import Catalog

    catalog = Catalog()
    entries = [(entry, catalog.path(entry)) for entry in catalog]
    entries += [(entry, path) for entry, path in catalog.on_disk() if entry not in list(catalog)]
    if as_json:
        print_json([describe(entry, path) for entry, path in entries])
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("model", no_wrap=True)
    table.add_column("on disk")
    table.add_column("runs")
    table.add_column("memory", justify="right", no_wrap=True)
    table.add_column("context", justify="right")
    table.add_column("licence", overflow="fold")
    for entry, path in entries:
        memory = f"{entry.memory('int4') / 1e9:.1f} GB" if entry.parameters else "?"
        disk, runs = "yes" if path else "-", "yes" if runnable(entry) else "not yet"
        table.add_row(entry.id, disk, runs, memory, str(entry.context or "?"), entry.licence or "?")
    output().print(table)


@app.command()
def info(id: Id) -> None:
    """Show what is known about a model, and its card where it has one."""
    from famulus.engine.catalog import AdapterSource, Catalog, not_here
    from famulus.engine.manifest import CARD

    catalog = Catalog()
    entry = catalog.find(id)
    path = catalog.path(entry)
    rows = [("id", entry.id), ("title", entry.title), ("family", entry.family), ("licence", entry.licence)]
    rows += [("source", str(entry.source))]
    if entry.parameters:
        rows.append(("parameters", f"{entry.parameters / 1e6:.0f} million, {entry.active / 1e6:.0f} active per token"))
        precisions: tuple[Precision, ...] = ("int4", "int8", "bf16")
        sizes = ", ".join(f"{entry.memory(name) / 1e9:.2f} GB in {name}" for name in precisions)
        rows.append(("memory", sizes))
    if not runnable(entry):
        rows.append(("runs", "not yet: this version has no such family"))
    elif path is not None:
        rows += opened(path)
    if entry.context:
        rows.append(("context", f"{entry.context} tokens"))
    fetching = f"no; fetch it with: famulus models pull {entry.id}"
    absent = f"no: {not_here(entry)}" if isinstance(entry.source, AdapterSource) else fetching
    rows.append(("on disk", str(path) if path else absent))
    output().print(grid([(name, value) for name, value in rows if value]))
    if path is not None and (path / CARD).is_file():
        write("\n" + (path / CARD).read_text(encoding="utf-8", errors="replace"))


def opened(path: Path) -> list[tuple[str, str]]:
    """Whether the model at ``path`` can be run, from its own configuration, and how much of it one token meets."""
    from famulus.engine.checkpoint import open_checkpoint
    from famulus.engine.errors import BadWeights
    from famulus.engine.served import model_size

    try:
        checkpoint = open_checkpoint(path)
        size = model_size(checkpoint)
    except BadWeights as error:
        return [("runs", f"no: {error.message}")]
    rows = [("runs", f"yes, as {checkpoint.config['model_type']}")]
    if size.active:
        most, total = ((some + size.embedding) / 1e6 for some in (size.active, size.parameters))
        rows.append(("experts", f"one token meets at most {most:.0f} of {total:.0f} million parameters"))
    return rows


@app.command()
def use(id: Id) -> None:
    """Serve a model from now on; a running engine changes over without losing a request."""
    take(id)


def take(id: str) -> None:
    """Sets the model, and has a running engine load it first: one that cannot be loaded is not set.

    Raises what opening and loading a model raises.
    """
    from famulus.engine import launch
    from famulus.engine.catalog import Catalog, LocalSource
    from famulus.engine.client import Client
    from famulus.engine.settings import write_model

    catalog = Catalog()
    entry, path = _on_disk(catalog, id)
    inside = [root / f"{id}{end}" for root in catalog.roots for end in ("", ".gguf")]
    name = str(path) if isinstance(entry.source, LocalSource) and path not in inside else id
    address = launch.find()
    if address is not None:
        with waiting(f"loading {entry.id}"):
            served = Client(address).use(name)
        told = f"The engine serves {served['id']} now."
    else:
        from famulus.engine.checkpoint import open_checkpoint
        from famulus.engine.served import model_size

        model_size(open_checkpoint(path))
        told = f"The next engine that starts will serve {entry.id}."
    file = write_model(name)
    write(f"{told} It is set in {file}\n")


@app.command()
def pull(id: Id) -> None:
    """Fetch a model; an interrupted download goes on where it stopped."""
    from famulus.engine import download
    from famulus.engine.catalog import Catalog

    catalog = Catalog()
    entry = catalog.find(id)
    found = catalog.path(entry)
    if not runnable(entry):
        write(f"This version of Famulus cannot run the family {entry.family} yet.\n")
    if entry.licence and found is None:
        write(f"{entry.id} is published under the licence {entry.licence}.\n")
    with progress() as show:
        folder = download.pull(entry, found.parent if found else catalog.roots[0], show)
    write(f"{entry.id} is in {folder}\n")


@app.command()
def verify(id: Id) -> None:
    """Compare every file of a model with its recorded digest."""
    from famulus.engine import manifest
    from famulus.engine.catalog import Catalog

    entry, path = _on_disk(Catalog(), id)
    with progress() as show:
        done = manifest.verify(path, show)
    write(f"{entry.id}: {len(done.files)} of {len(done.files)} files are as they were fetched ({path})\n")


@app.command()
def remove(id: Id) -> None:
    """Delete a fetched model."""
    from famulus.engine import download
    from famulus.engine.catalog import Catalog, LocalSource, own_roots

    catalog = Catalog()
    entry = catalog.find(id)
    if isinstance(entry.source, LocalSource):
        raise InvalidRequest(f"{entry.source} was not fetched by Famulus.", fix="Delete it yourself.")
    own = own_roots()
    removed = [download.remove(entry, root) for root in catalog.roots if root not in own]
    path = catalog.path(entry)
    if any(removed):
        write(f"{entry.id} is removed.\n")
    elif path is not None:
        raise InvalidRequest(f"{entry.id} belongs to the installation in {path.parent}.", fix="It stays.")
    else:
        raise ModelNotFound(f"{entry.id} is not on this machine.")


def describe(entry: Entry, path: Path | None) -> dict[str, Any]:
    """An entry of the catalog for programs; sizes in bytes."""
    return {
        "id": entry.id,
        "title": entry.title,
        "family": entry.family,
        "licence": entry.licence,
        "source": str(entry.source),
        "context": entry.context,
        "parameters": entry.parameters,
        "memory": entry.memory("int4"),
        "runs": runnable(entry),
        "path": str(path) if path else None,
    }


def runnable(entry: Entry) -> bool:
    """Can this version run the model's family? A model of the user's own tells its family only when it is opened."""
    from famulus.engine.models import FAMILIES

    return not entry.family or entry.family in FAMILIES


@contextlib.contextmanager
def progress() -> Iterator[Progress | None]:
    """A progress bar on standard error; None where nobody is watching."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True, markup=False, emoji=False)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None)

        def show(file: str, done: int, total: int) -> None:
            bar.update(task, description=file, completed=done, total=total or None)

        yield show


def _on_disk(catalog: Catalog, id: str) -> tuple[Entry, Path]:
    """Raises :class:`ModelNotFound` for an unknown model and for one that is not on disk."""
    entry = catalog.find(id)
    path = catalog.path(entry)
    if path is None:
        raise ModelNotFound(f"{entry.id} is not on this machine.", fix=f"Run: famulus models pull {entry.id}")
    return entry, path
