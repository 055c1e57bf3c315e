"""``famulus testgen``: tests that were run and that fail when the code is wrong. Exit status 1 if there are none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from famulus.commands.testgen_output import Made, Outputs
    from famulus.lsp_server.review.change import Tree
    from famulus.lsp_server.testgen.generate import Generated, Options


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("testgen")(generate)


def generate(
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="TARGET...", help="PATH.py, PATH.py::NAME or PATH.py:LINE; with --changed also REV."),
    ] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="For functions that differ from the last commit, REV, or within A..B.")
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the tests into the project.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show them: the default.")] = False,
    audit: Annotated[bool, typer.Option("--audit", help="List tests of TARGET... that notice nothing.")] = False,
    why: Annotated[
        bool, typer.Option("--why", help="Tell what the test TARGET notices, and what only it does.")
    ] = False,
    strengthen: Annotated[
        bool, typer.Option("--strengthen", help="Add to the test TARGET what no test notices yet.")
    ] = False,
    budget: Annotated[str, typer.Option(help="Time in all: 30s, 2m.")] = "30s",
    most: Annotated[int, typer.Option("--max-tests", min=1, max=50, help="Tests of one function; a table is one.")] = 5,
    form: Annotated[str, typer.Option("--format", metavar="FORM", help="terminal, json or stream.")] = "terminal",
    python: Annotated[
        Path | None, typer.Option("--python", help="The project's interpreter.", exists=True, dir_okay=False)
    ] = None,
    framework: Annotated[
        str, typer.Option(metavar="NAME", help="pytest, or unittest where the project's Python has no pytest.")
    ] = "pytest",
    words: Annotated[
        bool, typer.Option("--words", help="Also ask the model for names and arguments, and what it expects of calls.")
    ] = False,
    unsafe_run: Annotated[bool, typer.Option("--unsafe-run", help="Run code even without a sandbox.")] = False,
) -> None:
    """Make tests that were run and that fail when the code is wrong; show them, or --write them."""
    from famulus.commands import testgen_tests
    from famulus.commands.testgen_output import FORMS, Outputs
    from famulus.lsp_server.testgen.generate import Options

    if form not in FORMS:
        raise typer.BadParameter(f"{form!r} is none of {', '.join(FORMS)}.", param_hint="--format")
    if write and (dry_run or audit or why):
        raise typer.BadParameter("it contradicts --dry-run, --audit and --why.", param_hint="--write")
    modes = {"--changed": changed, "--audit": audit, "--why": why, "--strengthen": strengthen}
    wanted = [name for name, on in modes.items() if on]
    if len(wanted) > 1:
        raise typer.BadParameter(f"it contradicts {wanted[1]}.", param_hint=wanted[0])
    if not targets and not changed:
        raise typer.BadParameter("name a file, as in: famulus testgen shop.py", param_hint="TARGET")
    if framework not in ("pytest", "unittest"):
        raise typer.BadParameter(f"{framework!r} is none of pytest, unittest.", param_hint="--framework")
    run: Literal["sandboxed", "unsafe"] = "unsafe" if unsafe_run else "sandboxed"
    using: Literal["pytest", "unittest"] = "pytest" if framework == "pytest" else "unittest"
    options = Options(_seconds(budget), most, python, run, using, words)
    outputs = Outputs(form)
    if why:
        status = testgen_tests.why(targets or [], options, outputs)
    elif strengthen:
        status = testgen_tests.strengthen(targets or [], options, outputs, write=write)
    elif audit:
        status = _audit(targets or [], options, outputs)
    else:
        status = _made(targets or [], options, outputs, changed=changed, write=write)
    if status:
        raise typer.Exit(status)


@dataclass(frozen=True)
class _Work:
    """A project and what makes its tests, file by file."""

    root: Path
    tree: Tree
    files: Callable[[], Iterator[Made]]


def _made(targets: Sequence[str], options: Options, outputs: Outputs, *, changed: bool, write: bool) -> int:
    """Make the tests and put them out; the exit status."""
    from famulus.commands.application import EXIT_FAILED, EXIT_INTERRUPTED

    complete, useful = True, False
    opened = _of_change if changed else _of_targets
    try:
        with outputs.watched(), opened(targets, options, outputs) as work:
            outputs.begin(work.root)
            for made in work.files():
                _place(work, made, write=write)
                outputs.made(made)
                useful = useful or bool(made.one.text) or _enough(made.one)
    except KeyboardInterrupt:
        outputs.interrupted()
        complete = False
    outputs.end(complete=complete)
    return EXIT_INTERRUPTED if not complete else 0 if useful else EXIT_FAILED


def _enough(one: Generated) -> bool:
    """Whether there is nothing to write because the project's own tests notice all."""
    return bool(one.results) and all(r.killed_before is not None and r.killed == r.killed_before for r in one.results)


def _place(work: _Work, made: Made, *, write: bool) -> None:
    """Work out where the tests come, and put them there if that is wanted. Raises :class:`CannotPlace`."""
    from famulus.lsp_server.testgen.placing import insertions, placed, save

    one = made.one
    if not one.text:
        return
    content = None if one.before is None else work.tree.read(one.path)
    if one.before is not None:
        made.inserted = insertions(one.before, one.text)
    text = one.text.encode() if content is None else placed(content, made.inserted)
    if write:
        save(work.root / one.path, work.root, text, content)
        made.saved = True


@contextlib.contextmanager
def _of_targets(targets: Sequence[str], options: Options, outputs: Outputs) -> Iterator[_Work]:
    """The files that are named."""
    from famulus.commands.testgen_output import Made
    from famulus.lsp_server.testgen.generate import Generator
    from famulus.lsp_server.testgen.project import named, opened

    with opened(named(targets, Path.cwd()), Path.cwd()) as project:
        generator = Generator(project.tree, project.root, options, outputs.progress)
        yield _Work(project.root, project.tree, lambda: (Made(one) for one in generator.run(project.targets)))


_NEW, _OLD = 0.6, 0.3
"""Parts of the time for tests of the new and of the old version; the rest is for runs on the other one."""


@contextlib.contextmanager
def _of_change(targets: Sequence[str], options: Options, outputs: Outputs) -> Iterator[_Work]:
    """The functions that a change touches; targets that are no file are the revisions."""
    from famulus.commands.testgen_output import Made
    from famulus.engine.errors import InvalidRequest
    from famulus.lsp_server.review.comparison import Asked, compared
    from famulus.lsp_server.review.git import NoRepository
    from famulus.lsp_server.testgen.changed import OtherVersion, labelled, shared, touched, witnesses
    from famulus.lsp_server.testgen.errors import NothingToWrite
    from famulus.lsp_server.testgen.generate import Generator
    from famulus.lsp_server.testgen.project import relative

    paths = [text for text in targets if text.endswith(".py")]
    revisions = tuple(text for text in targets if not text.endswith(".py"))
    if len(revisions) > 1:
        raise InvalidRequest("--changed takes one revision, REV or A..B.", fix="Name files as PATH.py.")
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(compared(Asked(revisions, folder=Path.cwd())))
        except NoRepository as error:
            raise InvalidRequest("There is no git repository here.", fix="Go into one, or name a file.") from error
        change, root = found.change, found.root
        if root is None:
            raise InvalidRequest("There is no working tree here.", fix="Go into a repository that has one.")
        only = relative(paths, Path.cwd(), root)
        here = touched(change, only=only)
        if not here.targets:
            raise NothingToWrite(f"No function differs ({change.title}).", fix="Name a file to test it all.")

        def files() -> Iterator[Made]:
            new = Generator(change.new, root, shared(options, _NEW), outputs.progress)
            with OtherVersion(change.old, root, options) as before, OtherVersion(change.new, root, options) as now:
                for one in new.run(here.targets, here.lines):
                    labels, notes = labelled(change, one, before) if one.text else ({}, [])
                    yield Made(one, labels=labels, notes=notes)
                old = Generator(change.old, root, shared(options, _OLD), outputs.progress)
                for one, failing in witnesses(change, old, now, only):
                    yield Made(_without_text(one), witnesses=failing)

        yield _Work(root, change.new, files)


def _without_text(one: Generated) -> Generated:
    """Tests of the old version are not for the project as it is."""
    from dataclasses import replace

    return replace(one, text="", results=(), notes=(), written=())


def _audit(paths: Sequence[str], options: Options, outputs: Outputs) -> int:
    """Judge the tests in files and folders; the exit status."""
    from famulus.commands.application import EXIT_INTERRUPTED
    from famulus.lsp_server.execution.workbench import Workbench
    from famulus.lsp_server.testgen.audit import Audit, audit
    from famulus.lsp_server.testgen.clock import Clock, TimeIsUp
    from famulus.lsp_server.testgen.project import suites

    found, interrupted = Audit(), False
    try:
        with outputs.watched(), suites(paths, Path.cwd()) as (root, tree, files):
            outputs.begin(root)
            python, run = options.interpreter, options.run
            clock = Clock.of(options.budget)
            with Workbench(tree, root=root, interpreter=python, run=run, check=clock.check) as bench:
                audit(bench, files, clock=clock, progress=outputs.progress, into=found)
    except TimeIsUp:
        found.notes.append("The time was up before the project's tests could be run: give more with --budget.")
    except KeyboardInterrupt:
        outputs.interrupted()
        found.complete, interrupted = False, True
    outputs.audited(found)
    return EXIT_INTERRUPTED if interrupted else 0


def _seconds(text: str) -> float:
    """``30``, ``30s``, ``2m``."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in ("s", "m") else (text, "s")
    try:
        value = float(number) * (60 if unit == "m" else 1)
    except ValueError:
        value = 0.0
    if not 0 < value <= 24 * 3600:
        raise typer.BadParameter(f"{text!r} is no time such as 30s or 2m.", param_hint="--budget")
    return value
