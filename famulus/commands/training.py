"""``famulus train``: a model learns from a folder of the user's, and shows whether it helped."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from famulus.commands import models
from famulus.commands.terminal import grid, output, waiting, write
from famulus.engine.errors import InvalidRequest

if TYPE_CHECKING:
    from famulus.engine.training.corpus import Documents
    from famulus.engine.training.loop import Report
    from famulus.engine.training.recipe import Recipe

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages", "venv", "env", "build", "dist"})
"""Folders that a walk leaves out; so it does those whose names begin with a dot."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(train)


def train(
    folder: Annotated[Path, typer.Argument(help="What to learn from.")] = Path(),
    name: Annotated[str, typer.Option(help="What the adapter is called (default: the folder's name).")] = "",
    base: Annotated[str, typer.Option(help="The model that learns: a catalog id or a path.")] = "",
    from_git: Annotated[bool, typer.Option("--from-git", help="Learn from what git tracks in the repository.")] = False,
    minutes: Annotated[float, typer.Option(help="About how long it may take.", min=0.1)] = 10.0,
    precision: Annotated[str, typer.Option(help="Of the frozen model: bf16, fp32, int4 (QLoRA).")] = "",
    recipe: Annotated[Path | None, typer.Option(help="A TOML file that says more (see docs/training.md).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be learned from, and stop.")] = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Keep an adapter that did not help.")] = False,
    use: Annotated[bool, typer.Option("--use", help="Serve the adapter from then on, without a restart.")] = False,
) -> None:
    """Fine-tune a model on a folder of your own. Everything stays on this machine."""
    from famulus.engine.catalog import model_roots
    from famulus.engine.folders import folders

    if not folder.is_dir():
        raise InvalidRequest(f"There is no folder {folder}.")
    name = name or folder.resolve().name.lower()
    if Path(name).name != name or name.startswith("."):
        raise InvalidRequest(f"An adapter cannot be called {name!r}.", fix="Give it a plain name with --name.")
    chosen = _recipe(recipe, base, minutes, precision)
    found = _documents(folder, from_git)
    _tell(found, folder)
    if dry_run:
        return
    if len(found.documents) < 2:
        raise InvalidRequest(f"{folder} holds too little to learn from: two source files at least.")
    target, state = model_roots()[0] / name, folders().cache / "training" / name
    if target.exists() and not (target / "adapter_config.json").is_file():
        raise InvalidRequest(f"There is a model called {name} already.", fix="Name another with --name.")
    kept = _run(found, chosen, target, state, anyway)
    if kept and use:
        models.take(name)
    elif kept:
        write(f"To use it: famulus models use {name}\n")


def _recipe(path: Path | None, base: str, minutes: float, precision: str) -> Recipe:
    from famulus.engine.training.recipe import LowRankSize, Recipe, Steps, check, read_recipe

    given: dict[str, Any] = {name: value for name, value in (("base", base), ("precision", precision)) if value}
    if path is not None:
        found = replace(read_recipe(path), **given)
        check(found)
        return found
    run = Steps(length=512, batch=4, micro=2, steps=1_000_000, rate=3e-4, warmup=10, minutes=minutes, save_every=20)
    size = LowRankSize(rank=16, alpha=32.0, targets=TARGETS)
    found = replace(Recipe(low_rank=size, run=run), **given)
    check(found)
    return found


def _documents(folder: Path, from_git: bool) -> Documents:
    from famulus.engine.policy import Policy
    from famulus.engine.training.corpus import read_documents
    from famulus.lsp_server.review.git import Repository, fields

    top = folder.resolve()
    names = list(_walk(top)) if not from_git else []
    if from_git:
        repository = Repository.around(folder)
        if repository.top is None:
            raise InvalidRequest(f"The repository of {folder} has no work tree.")
        top = repository.top
        names = sorted(fields(repository.run("ls-files", "-z")))
    return read_documents(top, names, Policy([top]))


def _walk(folder: Path) -> Iterator[str]:
    for place, inside, files in os.walk(folder):
        inside[:] = sorted(n for n in inside if n not in SKIPPED and not n.startswith("."))
        for name in sorted(files):
            yield os.path.relpath(os.path.join(place, name), folder)


def _tell(found: Documents, folder: Path) -> None:
    size = sum(len(d.text) for d in found.documents)
    write(f"{len(found.documents)} source files of {folder.resolve()}, {size / 1e3:.0f} thousand characters.\n")
    for reason, count in sorted(found.left_out.items(), key=lambda pair: -pair[1]):
        write(f"  left out: {count} files, {reason}\n")


def _run(found: Documents, recipe: Recipe, target: Path, state: Path, anyway: bool) -> bool:
    """Trains and measures → whether an adapter was kept."""
    from famulus.engine.templates import FillFormat
    from famulus.engine.training import loop, personal
    from famulus.engine.training.corpus import hold_back
    from famulus.engine.training.saved import fixed
    from famulus.engine.training.start import finish, start

    with waiting("loading the model"):
        started = start(recipe)
    learned, held = hold_back(found.documents, personal.HELD)
    fill = FillFormat.detect(started.tokenizer, started.checkpoint.config)
    packed = personal.packed_items(learned, started.tokenizer, fill, recipe)
    with waiting("measuring before"):
        before = personal.measure(started.trained, held, started.tokenizer, recipe)
        asked = loop.run_digest(recipe, packed)
        recipe = fixed(state, asked, recipe, lambda: personal.fitted(started.trained, packed, recipe))
    with _progress(recipe.run.steps) as show:
        loop.train(started.trained, packed, recipe, state, show)
    with waiting("measuring after"):
        after = personal.measure(started.trained, held, started.tokenizer, recipe)
    rows = [
        ("learned from", f"{len(learned)} files, {packed.counted} tokens, {recipe.run.steps} steps"),
        (
            "bits per byte",
            f"{before.bits:.3f} → {after.bits:.3f} ({after.bits / before.bits - 1:+.1%}), {len(held)} other files",
        ),
    ]
    output().print(grid(rows))
    if after.bits >= before.bits and not anyway:
        shutil.rmtree(state, ignore_errors=True)
        write("It did not help, so nothing was kept.\n")
        return False
    _keep(lambda folder: finish(started, recipe, folder), target)
    shutil.rmtree(state, ignore_errors=True)
    write(f"The adapter is in {target}\n")
    return True


def _keep(make: Callable[[Path], None], target: Path) -> None:
    """Puts what ``make`` writes in the place of ``target``: a running engine may be reading the one before."""
    building = target.parent / f".training-{os.getpid()}" / target.name
    try:
        make(building)
        if target.exists():
            target.replace(building.with_name("before"))
        building.replace(target)
    finally:
        shutil.rmtree(building.parent, ignore_errors=True)


@contextlib.contextmanager
def _progress(steps: int) -> Iterator[Callable[[Report], None]]:
    """A bar on standard error, nothing where nobody is watching; an interrupted run says how it goes on."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, markup=False, emoji=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=steps)

        def show(report: Report) -> None:
            text = f"step {report.step}/{report.steps}  loss {report.loss:.3f}  {report.rate:.0f} tokens/s"
            bar.update(task, completed=report.step, description=text)

        try:
            yield show
        except KeyboardInterrupt:
            console.print("Interrupted. The same command goes on from here.")
            raise
