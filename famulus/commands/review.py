"""``famulus review``: what a change breaks. Exit status 1 only by ``--fail-on``, 2 if nothing can be compared."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from famulus.commands.terminal import ReaderLeft
from famulus.engine.errors import FamulusError

if TYPE_CHECKING:
    from famulus.commands.review_output import Outputs
    from famulus.lsp_server.review.comparison import Compared
    from famulus.lsp_server.review.review import Options

EXIT_FOUND = 1
EXIT_USAGE = 2
_SELDOM = 100_000
"""Objects that are made, and not gone again, between two looks for garbage."""
WRITE = "write"
"""Instead of the name of a baseline: make one."""


class FailOn(StrEnum):
    """Grades of evidence, the best first."""

    PROVED = "proved"
    WITNESSED = "witnessed"
    MEASURED = "measured"
    MODEL_ONLY = "model-only"


class CannotReview(typer.TyperException):
    """The review could not begin. Not 1, which says that there are findings."""

    exit_code = EXIT_USAGE


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(review)


def review(
    targets: Annotated[
        list[str] | None, typer.Argument(metavar="REV | A..B | A...B | OLD NEW", help="What to compare.")
    ] = None,
    staged: Annotated[bool, typer.Option("--staged", help="What is staged for the next commit.")] = False,
    worktree: Annotated[
        bool, typer.Option("--worktree", help="The working tree, with untracked files: the default.")
    ] = False,
    since_push: Annotated[bool, typer.Option("--since-push", help="What a push would publish.")] = False,
    fail_on: Annotated[
        FailOn | None, typer.Option("--fail-on", help="Exit with 1 on a finding of this grade or a better one.")
    ] = None,
    forms: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="FORM[=FILE]",
            help="terminal, json, stream, sarif, markdown, github, github-review or gitlab; several with files.",
        ),
    ] = None,
    budget: Annotated[float, typer.Option("--budget", min=0, help="Seconds; 0 for as long as it takes.")] = 60.0,
    everything: Annotated[bool, typer.Option("--all", help="Show all findings of all grades.")] = False,
    rules: Annotated[list[str] | None, typer.Option("--rules", metavar="RULE", help="Only these rules.")] = None,
    skip: Annotated[list[str] | None, typer.Option("--skip", metavar="RULE", help="Not these rules.")] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="write|FILE", help="Write down all findings as settled; read another file.")
    ] = None,
    python: Annotated[
        Path | None, typer.Option("--python", help="The project's interpreter.", exists=True, dir_okay=False)
    ] = None,
    sarif: Annotated[
        list[Path] | None,
        typer.Option("--sarif", help="A SARIF report of another tool on the new side.", exists=True, dir_okay=False),
    ] = None,
    sarif_before: Annotated[
        list[Path] | None,
        typer.Option("--sarif-before", help="The same tool's on the old side.", exists=True, dir_okay=False),
    ] = None,
    why: Annotated[
        str | None,
        typer.Option("--why", metavar="TEST", help="Only this: which part of the change makes this test fail."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also tell it in the model's words, checked against the findings.")
    ] = False,
    no_run: Annotated[bool, typer.Option("--no-run", help="Run no code of the project.")] = False,
    unsafe_run: Annotated[bool, typer.Option("--unsafe-run", help="Run code even without a sandbox.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run again what earlier reviews have run.")] = False,
) -> None:
    """Say what a change breaks, with proof."""
    from famulus.commands.review_output import Outputs, UnknownForm
    from famulus.lsp_server.review.comparison import Asked, compared
    from famulus.lsp_server.review.review import Options

    if no_run and unsafe_run:
        raise CannotReview("--no-run and --unsafe-run contradict each other.")
    run_code: Literal["sandboxed", "unsafe", "no"] = "no" if no_run else "unsafe" if unsafe_run else "sandboxed"
    settled = Path(baseline) if baseline not in (None, WRITE) else None
    options = Options(budget or None, _listed(rules), _listed(skip), python, run_code, settled)
    options = replace(options, sarif_old=sarif_before or (), sarif_new=sarif or (), fresh=fresh)
    try:
        folder = Path.cwd()
    except OSError as error:
        raise CannotReview("The folder that you stand in is gone. Go into another one.") from error
    if why is not None:
        from famulus.lsp_server.review.culprit import Culprit

        back = not (targets or staged or since_push)
        options = replace(options, instead=(Culprit(why, back, folder),))
    try:
        outputs = Outputs(forms or ["terminal"], everything=everything)
        with _seldom_collected(), compared(Asked(tuple(targets or ()), staged, worktree, since_push, folder)) as found:
            status = _reviewed(found, options, outputs, fail_on, write_down=baseline == WRITE, explain=explain)
    except UnknownForm as error:
        raise typer.BadParameter(str(error), param_hint="--format") from error
    except FamulusError as error:
        raise CannotReview(str(error)) from error
    except (typer.TyperException, ReaderLeft, BrokenPipeError):
        raise
    except Exception as error:
        sentence = (
            f"The review itself failed ({type(error).__name__}: {error}). Run famulus --debug review for the place."
        )
        raise CannotReview(sentence) from error
    if status:
        sys.stdout.flush()
        raise typer.Exit(status)


@contextlib.contextmanager
def _seldom_collected() -> Iterator[None]:
    """What a review has read it keeps to its end: looking through it for garbage took a fifth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(_SELDOM, 50, 50)
    try:
        yield
    finally:
        gc.freeze()  # nor is it looked through at the end, by the one that ends
        gc.set_threshold(*before)


def _reviewed(
    found: Compared, options: Options, outputs: Outputs, fail_on: FailOn | None, *, write_down: bool, explain: bool
) -> int:
    """Runs the review and puts it out; the exit status."""
    from famulus.commands.application import EXIT_INTERRUPTED
    from famulus.lsp_server.review.finding import Grade
    from famulus.lsp_server.review.ignoring import BASELINE, write_baseline
    from famulus.lsp_server.review.review import Review

    running = Review(found.change, options, found.root, outputs.progress, notes=found.notes)
    with outputs.watched():
        outputs.begin(found.change, found.root)
        try:
            with contextlib.closing(running.run()) as findings:
                for finding in findings:
                    if running.unsettled(finding):
                        outputs.found(finding)
        except KeyboardInterrupt:
            outputs.interrupted()
    report = running.report()
    if explain and report.complete:
        report = outputs.explained(report, found.change)
    outputs.end(report, found.change)
    if not report.complete:
        return EXIT_INTERRUPTED
    if options.instead and any(run.state == "not possible" for run in report.runs):
        return EXIT_USAGE
    if write_down:
        file = (found.root or Path.cwd()) / BASELINE
        write_baseline(running.found, file)
        count = len(running.found)
        print(f"famulus: {count} finding{' is' if count == 1 else 's are'} settled in {file}", file=sys.stderr)
        return 0
    return EXIT_FOUND if fail_on is not None and report.reaches(Grade(fail_on.value)) else 0


def _listed(given: list[str] | None) -> tuple[str, ...]:
    """Names from options that may be given several times, or once with commas."""
    return tuple(name.strip() for part in given or () for name in part.split(",") if name.strip())
