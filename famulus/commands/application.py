"""The ``famulus`` command with its subcommands. Exit status: 0 done, 1 the job failed, 2 wrong usage, 130 interrupted.

Every failure is one sentence on standard error; a traceback is shown only with ``--debug``. Modules of the
engine are imported inside the commands, so that ``famulus --help`` answers at once.
"""

from __future__ import annotations

import io
import os
import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from famulus import __version__
from famulus.commands import (
    bench,
    completing,
    doctor,
    evaluating,
    kernel,
    lsp,
    models,
    notebook,
    review,
    serving,
    stats,
    testgen,
    tour,
    training,
    version,
)
from famulus.commands.terminal import ReaderLeft
from famulus.engine.errors import FamulusError

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

app = typer.Typer(
    name="famulus",
    help="A developer assistant that lives on your own machine.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


@dataclass
class Run:
    """What the global options of one run said."""

    debug: bool = False


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"famulus {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Global options, which stand before the command."""
    context.obj.debug = debug
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


for _group in (tour, serving, completing, review, testgen, training, evaluating, lsp, stats):
    _group.register(app)
app.add_typer(models.app)
app.add_typer(kernel.app)
app.add_typer(notebook.app)
for _group in (doctor, version, bench):
    _group.register(app)


def run(arguments: list[str]) -> int:
    """Do what the arguments say; the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows "?", not a failure
    said = Run()
    try:
        status = typer.main.get_command(app).main(arguments, "famulus", standalone_mode=False, obj=said)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        return failed(error, said)
    return status if isinstance(status, int) else 0


def failed(error: BaseException, run: Run) -> int:
    """Say why a command failed; its exit status. Called while the exception is handled."""
    if isinstance(error, ReaderLeft | BrokenPipeError):
        # Nobody reads any more; the interpreter must not complain about it while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return EXIT_INTERRUPTED
    if isinstance(error, typer.TyperException):
        return _fail(_usage(error), error.exit_code, run)
    if isinstance(error, FamulusError):
        return _fail(str(error), EXIT_FAILED, run)
    sentence = f"Famulus itself failed ({type(error).__name__}: {error}). Run it again with --debug for the place."
    return _fail(sentence, EXIT_FAILED, run)


def _usage(error: typer.TyperException) -> str:
    """The sentence, and where to read more."""
    context = getattr(error, "ctx", None)
    sentence = error.format_message().rstrip(".")
    return f"{sentence}. See: {context.command_path} --help" if context is not None else sentence


def _fail(sentence: str, status: int, run: Run) -> int:
    """Called while an exception is handled."""
    if run.debug:
        import traceback

        traceback.print_exc()
    print(f"famulus: {' '.join(sentence.split())}", file=sys.stderr)
    return status
