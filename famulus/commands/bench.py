"""``famulus bench NAME``: runs a benchmark of the checkout. Benchmarks are not part of an installation."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from famulus.engine.errors import InvalidRequest


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})(
        bench
    )


def bench(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The benchmark; without it they are listed.")] = None,
) -> None:
    """Measure this machine. What follows NAME goes to the benchmark."""
    known = benchmarks()
    if name is None or name in ("--help", "-h"):
        typer.echo(f"Benchmarks: {', '.join(known)}" if known else "There are no benchmarks in this installation.")
        return
    if not known:
        raise InvalidRequest("Benchmarks exist only in a checkout of the project.", fix="Clone it and run `make tour`.")
    if name not in known:
        raise typer.BadParameter(f"there is no benchmark {name!r}; there are: {', '.join(known)}.", param_hint="NAME")
    raise typer.Exit(importlib.import_module(f"famulus.bench.{name}").main(context.args) or 0)


def benchmarks() -> list[str]:
    """Modules of ``famulus.bench`` with ``main(arguments)``; none where Famulus was installed without them."""
    found = importlib.util.find_spec("famulus.bench")
    if found is None or not found.submodule_search_locations:
        return []
    files = sorted(Path(found.submodule_search_locations[0]).glob("*.py"))
    return [file.stem for file in files if "\ndef main(arguments" in file.read_text(encoding="utf-8")]
