"""``famulus review``: what a change breaks. Exit status 1 only by ``--fail-on``, 2 if nothing can be compared."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from famulus.commands.terminal import write
from famulus.engine.errors import FamulusError

if TYPE_CHECKING:
    from famulus.lsp_server.review.review import Report, Review

EXIT_FOUND = 1
EXIT_USAGE = 2


class Format(StrEnum):
    """How the report is written."""

    JSON = "json"


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
        list[str] | None, typer.Argument(metavar="[REV | A..B | A...B | OLD NEW]", help="What to compare.")
    ] = None,
    staged: Annotated[bool, typer.Option("--staged", help="Review what is staged for the next commit.")] = False,
    worktree: Annotated[
        bool, typer.Option("--worktree", help="Review the working tree with untracked files; the default.")
    ] = False,
    since_push: Annotated[bool, typer.Option("--since-push", help="Review what a push would publish.")] = False,
    fail_on: Annotated[
        FailOn | None, typer.Option("--fail-on", help="Exit with 1 on a finding of this grade or a better one.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to write the report.")] = Format.JSON,
    budget: Annotated[float, typer.Option("--budget", min=0, help="Seconds; 0 for as long as it takes.")] = 60.0,
    everything: Annotated[bool, typer.Option("--all", help="Show all findings of all grades.")] = False,
    python: Annotated[
        Path | None, typer.Option("--python", help="The project's interpreter.", exists=True, dir_okay=False)
    ] = None,
    unsafe_run: Annotated[bool, typer.Option("--unsafe-run", help="Run code even without a sandbox.")] = False,
    rules: Annotated[list[str] | None, typer.Option("--rules", help="Only these rules, as call-site.")] = None,
    skip: Annotated[list[str] | None, typer.Option("--skip", help="Not these rules.")] = None,
) -> None:
    """Say what a change breaks, with proof."""
    from famulus.lsp_server.review.comparison import Asked, compared
    from famulus.lsp_server.review.finding import Grade
    from famulus.lsp_server.review.review import Options, Review

    asked = Asked(tuple(targets or ()), staged, worktree, since_push, Path.cwd())
    options = Options(
        budget=budget or None,
        only=_listed(rules),
        skipped=_listed(skip),
        interpreter=python,
        run_code="unsafe" if unsafe_run else "sandboxed",
    )
    try:
        with compared(asked) as found:
            running = Review(found.change, options, found.root, lambda text: None)
            report = _done(running)
    except FamulusError as error:
        raise CannotReview(str(error)) from error
    from famulus.lsp_server.review.report import as_json

    write(as_json.text(report, report.shown(everything=everything)))
    if not report.complete:
        raise KeyboardInterrupt
    if fail_on is not None and report.reaches(Grade(fail_on.value)):
        sys.stdout.flush()
        raise typer.Exit(EXIT_FOUND)


def _done(running: Review) -> Report:
    """The report; of what was found so far after Ctrl-C."""
    try:
        for _ in running.run():
            pass
    except KeyboardInterrupt:
        pass
    return running.report()


def _listed(given: list[str] | None) -> tuple[str, ...]:
    """Names from options that may be given several times, or once with commas."""
    return tuple(name.strip() for part in given or () for name in part.split(",") if name.strip())
