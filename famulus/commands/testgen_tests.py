"""``famulus testgen --why`` and ``--strengthen``: what a test is for, and what it lacks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from famulus.commands.terminal import output, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from famulus.commands.testgen_output import Outputs
    from famulus.lsp_server.execution.workbench import Workbench
    from famulus.lsp_server.review.suite.collected import Test
    from famulus.lsp_server.testgen.clock import Clock
    from famulus.lsp_server.testgen.generate import Options
    from famulus.lsp_server.testgen.purpose import Purpose
    from famulus.lsp_server.testgen.strengthen import Strengthened

    Work = Callable[[Workbench, Test, Clock, Outputs, list[dict[str, Any]]], bool]


def why(targets: Sequence[str], options: Options, outputs: Outputs) -> int:
    """Tell what tests notice; the exit status."""

    def one(bench: Workbench, test: Test, clock: Clock, outputs: Outputs, told: list[dict[str, Any]]) -> bool:
        from famulus.lsp_server.testgen.purpose import purpose

        found = purpose(bench, test, clock, progress=outputs.progress)
        told.append(_purpose(found))
        outputs.say("why", **told[-1])
        if outputs.form == "terminal":
            output().print(Text(told[-1]["text"].replace("`", "")))
        return bool(found.met)

    return _each(targets, options, outputs, one, "tests")


def strengthen(targets: Sequence[str], options: Options, outputs: Outputs, *, write: bool) -> int:
    """Add to tests what they lack; the exit status."""

    def one(bench: Workbench, test: Test, clock: Clock, outputs: Outputs, told: list[dict[str, Any]]) -> bool:
        from famulus.lsp_server.testgen.strengthen import Strengthener

        made = Strengthener(bench, clock, options.run, outputs.progress).of(test)
        saved = bool(made.text and write)
        if saved:
            _save(outputs.root, made)
        told.append(_strengthened(made, saved=saved))
        outputs.say("file", file=told[-1])
        if outputs.form == "terminal":
            _show(made, saved=saved)
        return bool(made.text) or bool(made.purpose.met and not made.purpose.surviving)

    return _each(targets, options, outputs, one, "files")


def _each(targets: Sequence[str], options: Options, outputs: Outputs, one: Work, called: str) -> int:
    """``one`` for each test, in one copy of the project; ``called``: what the document calls the answers."""
    from famulus.commands.application import EXIT_FAILED, EXIT_INTERRUPTED
    from famulus.lsp_server.execution.errors import ExecutionFailed
    from famulus.lsp_server.execution.workbench import Workbench
    from famulus.lsp_server.testgen.clock import Clock, TimeIsUp
    from famulus.lsp_server.testgen.project import named, opened
    from famulus.lsp_server.testgen.purpose import find

    told: list[dict[str, Any]] = []
    well = complete = True
    clock = Clock.of(options.budget)
    try:
        with outputs.watched(), opened(named(targets, Path.cwd()), Path.cwd()) as project:
            outputs.begin(project.root)
            tests = [find(project.tree, target) for target in project.targets]
            with Workbench(
                project.tree,
                root=project.root,
                interpreter=options.interpreter,
                run=options.run,
                check=clock.check,
            ) as bench:
                for number, test in enumerate(tests):
                    with clock.until(time.monotonic() + clock.left / (len(tests) - number)):
                        well = one(bench, test, clock, outputs, told) and well
    except TimeIsUp:
        raise ExecutionFailed(
            "The time was up before the project's tests could be run.", fix="Give more with --budget."
        ) from None
    except KeyboardInterrupt:
        outputs.interrupted()
        complete = False
    if outputs.form == "json":
        print_json({"complete": complete, called: told})
    outputs.say("end", complete=complete)
    return EXIT_INTERRUPTED if not complete else 0 if well else EXIT_FAILED


def _save(root: Path, made: Strengthened) -> None:
    """Write the lines into the file. Raises :class:`CannotPlace`."""
    from famulus.lsp_server.review.change import decoded
    from famulus.lsp_server.testgen.errors import CannotPlace
    from famulus.lsp_server.testgen.placing import placed, save

    file = root / made.path
    content = file.read_bytes()
    if decoded(content) != made.before:
        raise CannotPlace(f"{file} changed meanwhile and was left as it is.", fix="Run it again.")
    save(file, root, placed(content, made.inserted), content)


def _purpose(found: Purpose) -> dict[str, Any]:
    from famulus.lsp_server.testgen.purpose import told

    return {
        "test": found.node,
        "line": found.line,
        "functions": [{"path": path, "name": name} for path, name in found.functions],
        "mutants": len(found.met),
        "noticed": [str(one) for one in found.noticed],
        "only": [str(one) for one in found.only],
        "surviving": [str(one) for one in found.surviving],
        "complete": found.complete,
        "broken": found.broken,
        "text": told(found),
    }


def _strengthened(made: Strengthened, *, saved: bool) -> dict[str, Any]:
    """As a file of generated tests is told, so that an editor places both alike."""
    from famulus.commands.testgen_output import digest

    return {
        "path": made.path,
        "new": False,
        "digest": digest(made.before),
        "written": saved,
        "text": made.text,
        "insertions": [{"line": part.line, "text": part.text} for part in made.inserted],
        "runs": made.proof.runs if made.proof else 0,
        "kind": made.kind,
        "gained": [str(one) for one in made.gained],
        "notes": [made.why] if made.why else [],
        "note": summary(made) if made.text else "",
        "functions": [],
        "test": _purpose(made.purpose),
    }


def summary(made: Strengthened) -> str:
    """What was added and what it is good for, in a sentence."""
    number, name = len(made.gained), made.purpose.node.rpartition("::")[2]
    runs = f", run {made.proof.runs} times" if made.proof else ""
    return f"{name} notices {number} more mutant{'' if number == 1 else 's'} with this {made.kind}{runs}"


def _show(made: Strengthened, *, saved: bool) -> None:
    from famulus.commands.testgen_output import print_patch

    console = output()
    if made.text and not saved:
        print_patch(made.before, made.text, made.path, console)
    name = made.purpose.node.rpartition("::")[2]
    console.print(
        Text(f"{summary(made)}{', written' if saved else ''}:" if made.text else f"{name}: {made.why}", "bold")
    )
    for one in made.gained:
        console.print(f"  {one}".replace("`", ""))
