"""``famulus testgen``: tests that were run and that fail when the code is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from famulus.lsp_server.testgen.generate import Generated


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("testgen")(generate)


def generate(
    targets: Annotated[list[str], typer.Argument(metavar="TARGET...", help="PATH.py, PATH.py::NAME or PATH.py:LINE.")],
    write: Annotated[bool, typer.Option("--write", help="Write the tests into the project.")] = False,
    budget: Annotated[str, typer.Option(help="Time in all: 30s, 2m.")] = "30s",
    most: Annotated[int, typer.Option("--max-tests", min=1, max=50, help="Examples for one function.")] = 5,
    form: Annotated[str, typer.Option("--format", metavar="FORM", help="terminal or json.")] = "terminal",
    python: Annotated[
        Path | None, typer.Option("--python", help="The project's interpreter.", exists=True, dir_okay=False)
    ] = None,
    unsafe_run: Annotated[bool, typer.Option("--unsafe-run", help="Run code even without a sandbox.")] = False,
) -> None:
    """Make tests that were run and that fail when the code is wrong; show them, or --write them."""
    from famulus.lsp_server.testgen.generate import Generator, Options
    from famulus.lsp_server.testgen.project import opened
    from famulus.lsp_server.testgen.target import parse

    if form not in ("terminal", "json"):
        raise typer.BadParameter(f"{form!r} is none of terminal, json.", param_hint="--format")
    options = Options(_seconds(budget), most, python, "unsafe" if unsafe_run else "sandboxed")
    with opened([parse(text) for text in targets], Path.cwd()) as project:
        generator = Generator(project.tree, project.root, options, progress=_progress)
        found = list(generator.run(project.targets))
    if form == "json":
        print(json.dumps({"files": [_plain(one) for one in found]}, indent=2))
    for one in found:
        if form == "terminal":
            _show(one, whole=not write)
        if write and one.text:
            path = project.root / one.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(one.text, encoding="utf-8")
    if not any(one.text for one in found):
        raise typer.Exit(1)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _seconds(text: str) -> float:
    """``30``, ``30s``, ``2m``."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in "sm" and text else (text, "s")
    try:
        value = float(number) * (60 if unit == "m" else 1)
    except ValueError:
        value = 0.0
    if not 0 < value <= 24 * 3600:
        raise typer.BadParameter(f"{text!r} is no time such as 30s or 2m.", param_hint="--budget")
    return value


def _show(one: Generated, *, whole: bool) -> None:
    if whole and one.text:
        print("".join(f"{test.text}\n\n" for test in one.written) if one.before is not None else one.text)
    for line in _summary(one):
        print(line, file=sys.stderr if whole else sys.stdout)


def _summary(one: Generated) -> Sequence[str]:
    lines = [
        f"{one.path}: {len(one.written)} tests"
        + (f", {one.proof.runs} runs, none failed" if one.proof and one.proof.holds else "")
        + f" ({one.seconds:.1f} s)"
    ]
    for result in one.results:
        if result.mutants:
            before = "" if result.killed_before is None else f"{result.killed_before} → "
            lines.append(f"  {result.aim.function.name}: {before}{result.killed} of {result.mutants} mutants noticed")
    return [*lines, *(f"  {note}" for note in one.notes)]


def _plain(one: Generated) -> dict[str, Any]:
    return {
        "path": one.path,
        "new": one.before is None,
        "text": one.text,
        "tests": [test.name for test in one.written],
        "runs": one.proof.runs if one.proof else 0,
        "functions": [
            {
                "name": result.aim.function.name,
                "path": result.aim.path,
                "mutants": result.mutants,
                "killed_before": result.killed_before,
                "killed": result.killed,
                "refused": result.refused,
            }
            for result in one.results
        ],
        "notes": list(one.notes),
        "seconds": round(one.seconds, 2),
    }
