"""``famulus eval``: how good a model is at what Famulus asks of it, beside another one on the same items."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from famulus.commands.terminal import output, print_json, waiting, write
from famulus.engine.errors import InvalidRequest

if TYPE_CHECKING:
    from famulus.engine.training.evaluation.experts import Usage
    from famulus.engine.training.evaluation.heldout import HeldOut
    from famulus.engine.training.evaluation.measures import Measure
    from famulus.engine.training.evaluation.part import Part
    from famulus.engine.training.evaluation.subject import Subject

PARTS = (
    *("lines", "spans", "functions", "text", "notebook", "edit", "summary", "values", "explain", "answers"),
    *("speed", "experts"),
)
SANDBOXED = ("functions", "notebook")
"""Parts that run what a model wrote."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("eval")(evaluate)


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL...", help="Catalog ids, names or paths (default: the model that is served)."),
    ] = None,
    base: Annotated[str, typer.Option(help="What to compare with (default: the base of an adapter).")] = "",
    only: Annotated[list[str] | None, typer.Option(metavar="PART", help=f"Only this part: {', '.join(PARTS)}.")] = None,
    items: Annotated[int, typer.Option(min=2, help="Items of each part, at most.")] = 320,
    resume: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep every item's values here, and go on from what it has.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw what each expert prefers into this SVG file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print figures and every item's values as JSON.")] = False,
) -> None:
    """Measure models on held-out code: filling holes, writing functions and cells, and speed."""
    from famulus.engine.training.evaluation import heldout

    unknown = next((part for part in only or () if part not in PARTS), None)
    if unknown is not None:
        raise typer.BadParameter(f"there is no part {unknown!r}; there are: {', '.join(PARTS)}.", param_hint="--only")
    known = heldout.read()
    wanted = _possible(list(only or PARTS), bool(only))
    subjects = _loaded(_names(models or [], base))
    chosen = _parts(known, wanted, items, len(subjects))
    used: list[Usage] = []
    try:
        _run(chosen, subjects, resume)
        if "experts" in wanted:
            used += _used(known, items, subjects, insisted="experts" in (only or ()))
    finally:  # also of what was interrupted: the items so far count
        measures = [m for part in chosen for m in part.measures if m.items]
        if as_json:
            print_json({**_told(measures, subjects), "experts": [found.told() for found in used]})
        elif measures:
            _show(measures, subjects)
        _tell_experts(used, plot, quiet=as_json)


def _names(models: list[str], base: str) -> list[str]:
    """The models by name, what is compared with first. Raises :class:`ModelNotFound`."""
    from famulus.engine.adapters import base_path
    from famulus.engine.catalog import Catalog
    from famulus.engine.checkpoint import ADAPTER
    from famulus.engine.served import choose
    from famulus.engine.settings import load_settings

    catalog = Catalog()
    found = list(models) or [choose(load_settings()).entry.id]
    for name in [*found, *([base] if base else [])]:
        catalog.choose(name, 0, ())  # is it on this machine?
    if base:
        found.insert(0, base)
    elif len(found) == 1:
        path = catalog.path(catalog.find(found[0]))
        if path is not None and (path / ADAPTER).is_file():
            found.insert(0, str(base_path(path)))
    doubled = next((name for name in found if found.count(name) > 1), None)
    if doubled is not None:
        raise InvalidRequest(f"{doubled} would be compared with itself.", fix="Name two different models.")
    return found


def _possible(wanted: list[str], insisted: bool) -> list[str]:
    """``wanted`` without the parts that cannot be run here, which is said; raised where they were asked for."""
    from famulus.sandbox.selftest import level

    needing = [part for part in wanted if part in SANDBOXED]
    found = level() if needing else None
    if found is None or found.backend is not None:
        return wanted
    left = [part for part in wanted if part not in SANDBOXED]
    sentence = f"What a model writes is not run on this machine: {found.reason}"
    if insisted or not left:
        raise InvalidRequest(sentence, fix=found.fix)
    typer.echo(f"{sentence} Left out: {', '.join(needing)}.", err=True)
    return left


def _loaded(names: list[str]) -> list[Subject]:
    from famulus.engine.settings import load_settings
    from famulus.engine.training.evaluation.subject import Subject

    settings = load_settings().model_dump()
    subjects: list[Subject] = []
    for name in names:
        with waiting(f"loading {name}"):
            subjects.append(Subject.load(name, settings, lambda _: None))
    return subjects


def _parts(known: HeldOut, wanted: Sequence[str], items: int, models: int) -> list[Part]:
    from famulus.engine.training.evaluation.parts import parts
    from famulus.jupyter_kernel.finish import with_imports
    from famulus.jupyter_kernel.schema import Schema
    from famulus.jupyter_kernel.writing import cleaned

    def finish(text: str) -> str:
        code = cleaned(text)
        return with_imports(code, Schema()) if code else ""

    return list(parts(known, wanted, items, models, finish))


def _used(known: HeldOut, items: int, subjects: Sequence[Subject], *, insisted: bool) -> list[Usage]:
    """What the experts do, of the models that have any. Raises :class:`InvalidRequest` where that was asked for and
    none has."""
    from famulus.engine.training.evaluation.experts import usage

    texts = [excerpt.text for excerpt in known.excerpts[:items]]
    with waiting("watching the experts"):
        found = [made for subject in subjects if (made := usage(subject, texts)) is not None]
    if insisted and not found:
        names = " and ".join(subject.name for subject in subjects)
        raise InvalidRequest(f"There are no experts in {names} to watch.", fix="Name a mixture of experts.")
    return found


def _tell_experts(used: Sequence[Usage], plot: Path | None, *, quiet: bool) -> None:
    from famulus.commands.terminal import grid
    from famulus.engine.training.evaluation.experts import plot as drawn

    for found in used if not quiet else ():
        rows = [
            ("experts a token meets", f"{found.active:.2f} of {found.counts.shape[1]}"),
            ("evenness of their loads", f"{found.entropy:.3f} (1: all alike)"),
            ("dead experts", f"{found.dead} of {found.loads.size}"),
        ]
        for kind, layer, expert, times in found.strongest():
            rows.append((f"  {kind}", f"{times:.1f} times as often to expert {expert} of layer {layer}"))
        write(f"\n{found.model}\n")
        output().print(grid(rows))
    if plot is not None and used:
        plot.write_text(drawn(used[-1]), encoding="utf-8")


def _run(chosen: Sequence[Part], subjects: Sequence[Subject], resume: Path | None) -> None:
    from famulus.engine.training.evaluation.kept import Kept

    kept = Kept(resume, [subject.name for subject in subjects]) if resume else None
    with _progress(sum(len(part.steps) for part in chosen)) as done:
        for part in chosen:
            for number, step in enumerate(part.steps):
                if kept:
                    kept.step(part, number, subjects)
                else:
                    step(subjects)
                done(f"{part.name} {number + 1}/{len(part.steps)}")


@contextlib.contextmanager
def _progress(steps: int) -> Iterator[Callable[[str], None]]:
    """A bar on standard error, nothing where nobody is watching."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, markup=False, emoji=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("measuring", total=steps)
        try:
            yield lambda text: bar.update(task, advance=1, description=text)
        except KeyboardInterrupt:
            console.print("Interrupted. The figures are of the items until then.")
            raise


def _show(measures: Sequence[Measure], subjects: Sequence[Subject]) -> None:
    from rich.table import Table

    from famulus.engine.hardware import machine
    from famulus.engine.training.evaluation.measures import said

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("part")
    table.add_column("measure")
    for column in ("items", *(s.name for s in subjects), *(f"{s.name} - {subjects[0].name}" for s in subjects[1:])):
        table.add_column(column, justify="right")
    for m in measures:
        cells = [said(m, value, *edges) for value, edges in zip(m.found(), m.intervals(), strict=True)]
        cells += [said(m, *row) for row in m.differences()[1:]]
        table.add_row(m.part, m.what, str(m.items), *cells)
    output(soft_wrap=False).print(table)
    write(f"In brackets: 95 % of 2000 bootstrap samples of the items. {machine()}\n")


def _told(measures: Sequence[Measure], subjects: Sequence[Subject]) -> dict[str, Any]:
    from famulus import __version__
    from famulus.engine.hardware import machine

    return {
        "version": __version__,
        "machine": machine(),
        "models": [s.name for s in subjects],
        "measures": [measure.told() for measure in measures],
    }
