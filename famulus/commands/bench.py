"""``famulus bench NAME``: runs a benchmark of the checkout. Benchmarks are not part of an installation."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
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
    """Names of the modules that are benchmarks; none where Famulus was installed without them."""
    if importlib.util.find_spec("famulus.bench") is None:
        return []
    folder = importlib.import_module("famulus.bench").__path__
    return sorted(module.name for module in pkgutil.iter_modules(folder) if not module.name.startswith("_"))
