"""Tests for a change: which functions it touches, and what each test says about the two versions."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from famulus.lsp_server.execution.errors import ExecutionFailed
from famulus.lsp_server.execution.functions import functions
from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.execution.workbench import Workbench
from famulus.lsp_server.review.change import Change, FileChange, Tree
from famulus.lsp_server.testgen.generate import Generated, Generator, Options
from famulus.lsp_server.testgen.target import Target
from famulus.lsp_server.testgen.writing import Written

Label = Literal["pins today's behaviour", "shows the change", "regression witness"]
PINS: Label = "pins today's behaviour"
SHOWS: Label = "shows the change"
WITNESS: Label = "regression witness"

_WALL = 60.0


@dataclass(frozen=True)
class Touched:
    """The functions of one side that a change touches: ``targets``, and the ``lines`` of these functions by path."""

    targets: tuple[Target, ...]
    lines: Mapping[str, frozenset[int]]


def touched(change: Change, *, old: bool = False, only: Collection[str] = ()) -> Touched:
    """Functions whose code the change touches, comments and docstrings aside; new ones count on the new side.

    ``old``: those of the old side that the new one still has. ``only``: paths outside of which nothing counts."""
    lines = {}
    for file in change.python():
        path = file.old_path if old else file.new_path
        if path is None or is_test(path) or path.endswith(".pyi") or (only and file.path not in only):
            continue
        if found := _lines(file, old=old):
            lines[path] = found
    return Touched(tuple(Target(path) for path in lines), lines)


def _lines(file: FileChange, *, old: bool) -> frozenset[int]:
    here, there = (functions(text) for text in (file.old_text, file.new_text)[:: 1 if old else -1])
    return frozenset(
        line
        for name, function in here.items()
        if (name in there and there[name].shape != function.shape) or (name not in there and not old)
        for line in function.lines
    )


class OtherVersion:
    """The other version of a project, in which tests that were made for this one are run as well.

    Use it in a ``with`` block. It starts when it is first asked."""

    def __init__(self, tree: Tree, root: Path, options: Options) -> None:
        self._tree, self._root, self._options = tree, root, options
        self._bench: Workbench | None = None

    def passed(self, one: Generated) -> Mapping[str, bool]:
        """Which of the written tests pass there; those that the run did not come to are left out.

        Raises :class:`ExecutionFailed` if none can be run there."""
        if self._bench is None:
            chosen = self._options
            self._bench = Workbench(
                self._tree,
                root=self._root,
                interpreter=chosen.interpreter,
                run=chosen.run,
                framework=chosen.framework,
            )
        self._bench.exchange({one.path: one.text.encode()})
        run = self._bench.server.run([one.path], wall=_WALL)
        went: dict[str, bool] = {}
        for test in run.tests:
            name = test.node.rpartition("::")[2].partition("[")[0]
            went[name] = went.get(name, True) and test.outcome == "passed"
        if run.ended or (run.broken and not run.errors):
            return {test.name: went[test.name] for test in one.written if test.name in went}
        # What is not run there at all, as the import fails, does not pass.
        return {test.name: went.get(test.name, False) for test in one.written}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bench is not None:
            self._bench.close()


def labelled(change: Change, one: Generated, before: OtherVersion) -> tuple[Mapping[str, Label], list[str]]:
    """What each test of the new side says about the change, and notes for the user."""
    try:
        labels = {name: PINS if passed else SHOWS for name, passed in before.passed(one).items()}
        unknown = [test.name for test in one.written if test.name not in labels]
        return labels, [f"{name} was not run on the old version." for name in unknown]
    except ExecutionFailed as error:
        return {}, [f"The tests could not be run on the old version: {error.message}"]


def witnesses(
    change: Change, generator: Generator, new: OtherVersion, only: Collection[str] = ()
) -> Iterator[tuple[Generated, Sequence[Written]]]:
    """Tests that pass before the change and fail after it; they are to be read, not to be written.

    ``generator``: for the old side."""
    found = touched(change, old=True, only=only)
    if not found.targets:
        return
    with contextlib.suppress(ExecutionFailed):
        for one in generator.run(found.targets, found.lines):
            if one.text:
                passed = new.passed(one)
                failing = [test for test in one.written if not passed.get(test.name, True)]
                if failing:
                    yield one, failing


def shared(options: Options, part: float) -> Options:
    """The same with a part of the time."""
    return replace(options, budget=options.budget * part)
