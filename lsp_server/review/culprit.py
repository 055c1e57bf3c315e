"""Which part of a change makes a test fail: found by running the test with some parts of the change and without others.

It is run in a private copy; the user's files, index and repository are not touched.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from famulus.engine.errors import InvalidRequest
from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.execution.testserver import TestResult, TestRun
from famulus.lsp_server.execution.workbench import Workbench
from famulus.lsp_server.review.change import Change, decoded
from famulus.lsp_server.review.comparison import Asked, Compared, compared
from famulus.lsp_server.review.culprit_finding import Explanation
from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.git import UnknownRevision
from famulus.lsp_server.review.narrowing import Narrowing, Verdict
from famulus.lsp_server.review.pieces import Pieces
from famulus.lsp_server.review.rule import Context, Stage, TimeUp
from famulus.lsp_server.review.suspicion import suspects

if TYPE_CHECKING:
    from famulus.lsp_server.execution.testserver import TestServer

SECONDS = 60.0
"""For one run of the test."""
FARTHEST = 64
"""Commits back at which a version is looked for in which the test passes."""
TRIES = 3
"""Runs after which a test that does not do what it should is believed."""
MOST_CULPRITS = 3
"""Culprits, each of which makes the test fail alone, that are looked for."""
_MOST_TRACED = 500  # files
_TELLING = ("TypeError", "AttributeError", "NameError", "UnboundLocalError", "ImportError", "ModuleNotFoundError")
"""Errors that half of a change makes as easily as the whole: of these the message counts as well."""
_VARIES = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)?")


class NothingToExplain(InvalidRequest):
    """The test does not fail, is not there, or there is no version in which it passes."""


@dataclass(frozen=True)
class Failure:
    """How the test fails: what must be the same for a failure to count."""

    type: str
    message: str
    ended: str = ""

    @classmethod
    def of(cls, result: TestResult) -> Failure:
        """The failure of one result."""
        return cls(result.type, _VARIES.sub("#", result.message) if result.type in _TELLING else "")


@dataclass
class Trial:
    """One test on one bench, with any parts of a change. ``runs`` counts how often it was run."""

    bench: Workbench
    test: str
    runs: int = 0
    failure: Failure | None = None
    pieces: Pieces | None = None
    always: frozenset[int] = frozenset()

    @property
    def server(self) -> TestServer:
        """Runs it."""
        return self.bench.server

    def run(self, trace: Sequence[str] = ()) -> TestRun:
        """Run the test as the files are."""
        self.runs += 1
        return self.server.run([self.test], wall=SECONDS, trace=trace)

    def ask(self, chosen: frozenset[int]) -> Verdict:
        """How the test fares with these parts."""
        assert self.pieces is not None
        files = self.pieces.files(chosen | self.always)
        if not all(_parses(path, content, self.bench) for path, content in files.items()):
            return "unresolved"
        self.bench.exchange(files)
        return self.judged(self.run())

    def judged(self, run: TestRun) -> Verdict:
        """A run's verdict, by the failure that is explained."""
        result = outcome(run, self.test)
        if run.ended or result is None:
            return "fails" if self.failure and run.ended and run.ended == self.failure.ended else "unresolved"
        if not result.red:
            return "passes" if result.outcome == "passed" else "unresolved"
        return "fails" if self.failure is None or Failure.of(result) == self.failure else "unresolved"


def outcome(run: TestRun, test: str) -> TestResult | None:
    """The result of the test: of its own node, of the first that fails of those it stands for, or of its file."""
    own = [result for result in run.tests if result.node == test or result.node.startswith((f"{test}[", f"{test}::"))]
    if not own:
        return run.errors[0] if run.errors else None
    return next((result for result in own if result.red), own[0])


@dataclass
class Culprit:
    """The rule behind ``famulus review --why TEST``. ``back``: if the test fails on the old side as well, look further
    back for a version in which it passes; the new side is then the working tree of ``folder``."""

    test: str
    back: bool = False
    folder: Path = field(default_factory=Path)

    name = "culprit"
    title = "the part of the change that makes the test fail"
    stage = Stage.RUN

    def check(self, context: Context) -> Iterator[Finding]:
        """The culprits, each with how often the test was run to find it. Raises :class:`NothingToExplain`."""
        if context.run_code == "no":
            raise NothingToExplain("To find out why a test fails it has to be run.", fix="Leave out --no-run.")
        context.progress("Preparing a copy of the project")
        check = context.clock.check
        with Workbench(
            context.change.new, root=context.root, interpreter=context.interpreter, run=context.run_code, check=check
        ) as bench:
            if bench.python.note:
                context.left_out.append(bench.python.note)
            trial = Trial(bench, named(self.test, bench))
            paths = [path for path in context.change.new.paths() if path.endswith(".py")]
            traced = [file.path for file in context.change.python()][:_MOST_TRACED]
            if self.back:
                traced = paths[:_MOST_TRACED]
            context.progress(f"Running {trial.test}")
            red, result = _red(trial, traced)
            with self._green(context, trial) as found:
                yield from _explained(context, trial, found.change, red, result)

    def _green(self, context: Context, trial: Trial) -> AbstractContextManager[Compared]:
        """The change from a version in which the test passes."""
        return _Walk(self, context, trial)


@dataclass
class _Walk(AbstractContextManager[Compared]):
    """Goes back until the test passes; holds the trees of the change that it found."""

    rule: Culprit
    context: Context
    trial: Trial
    _open: AbstractContextManager[Compared] | None = None

    def __enter__(self) -> Compared:
        given = self.context.change
        if given.files and _passes(self.trial, given):
            return Compared(given, self.context.root)
        if not self.rule.back:
            where = given.title.partition("..")[0] or "the old side"
            raise NothingToExplain(
                f"{self.trial.test} does not pass on the old side of {given.title} either.",
                fix=f"Name an older version than {where} in which it passes, as GOOD..BAD.",
            )
        distance = 1
        while distance <= FARTHEST:
            name = f"HEAD~{distance}"
            self.context.progress(f"Running {self.trial.test} on {name}")
            opened = compared(Asked((name,), folder=self.rule.folder))
            try:
                found = opened.__enter__()
            except UnknownRevision:
                break
            self._open = opened
            if found.change.files and _passes(self.trial, found.change):
                self.context.facts["range"] = f"{name} is the last version looked at in which {self.trial.test} passes"
                return found
            self.__exit__(None, None, None)
            distance *= 2
        raise NothingToExplain(
            f"No version was found in which {self.trial.test} passes, as far back as HEAD~{distance // 2 or 1}.",
            fix="Name one: famulus review --why TEST GOOD..BAD.",
        )

    def __exit__(self, *details: object) -> None:
        if self._open is not None:
            opened, self._open = self._open, None
            opened.__exit__(None, None, None)


def named(test: str, bench: Workbench) -> str:
    """The id of the test that is meant by an id, a path, or the bare name of a function. Raises
    :class:`NothingToExplain` if there is none, or more than one."""
    path = test.partition("::")[0].replace("\\", "/").removeprefix("./")
    if bench.tree.digest(path) is not None:
        return path + test[len(test.partition("::")[0]) :]
    if "::" in test or path.endswith(".py"):
        raise NothingToExplain(
            f"There is no file {path}.", fix="Name the test as pytest does: tests/test_x.py::test_y."
        )
    wanted = re.compile(
        rb"^(class\s+\w+|[ \t]*(?:async\s+)?def\s+" + re.escape(test.partition("[")[0].encode()) + rb"\b)", re.M
    )
    found = []
    for file in bench.layout.tests():
        group = b""
        for match in wanted.finditer(bench.tree.read(file) or b""):
            if match[0].startswith(b"class"):
                group = match[0].split()[1]
            else:
                inside = f"{group.decode()}::" if match[0][:1] in b" \t" and group else ""
                found.append(f"{file}::{inside}{test}")
    if len(found) != 1:
        which = f"{len(found)} tests are" if found else "No test is"
        raise NothingToExplain(f"{which} called {test}.", fix="Name it as pytest does: tests/test_x.py::test_y.")
    return found[0]


def _red(trial: Trial, traced: Sequence[str]) -> tuple[TestRun, TestResult | None]:
    """The failing run on the new side. Raises :class:`NothingToExplain` if it does not fail every time."""
    seen: list[str] = []
    for _ in range(TRIES):
        run = trial.run(traced)
        result = outcome(run, trial.test)
        if run.ended:
            trial.failure = Failure("", "", run.ended)
            return run, result
        if result is None:
            raise NothingToExplain(
                f"pytest finds no test {trial.test}.", fix="Check its name with pytest --collect-only."
            )
        if result.red:
            if seen:
                raise NothingToExplain(
                    f"{trial.test} is flaky: of {len(seen) + 1} runs of the same code the last failed.",
                    fix="Make it steady first; famulus review tells why new tests are flaky.",
                )
            trial.failure = Failure.of(result)
            trial.test = result.node if "::" in result.node else trial.test
            return run, result
        seen.append(result.outcome)
    raise NothingToExplain(f"{trial.test} does not fail: {TRIES} runs, all {seen[0]}.")


def _passes(trial: Trial, change: Change) -> bool:
    """Whether the test passes on the old side of a change, with the new side's tests if it is not there."""
    trial.pieces = Pieces(change)
    trial.always = frozenset()
    trial.bench.exchange(trial.pieces.files(frozenset()))
    path = trial.test.partition("::")[0]
    if change.old.digest(path) is not None:
        result = outcome(trial.run(), trial.test)
        if result is not None and not result.red:
            return result.outcome == "passed"
        if result is not None and "::" in result.node and result.node == trial.test:
            return False
    tests = frozenset(piece.number for piece in trial.pieces.all if of_tests(piece.path))
    if not tests or len(tests) == len(trial.pieces.all):
        return False
    trial.always = tests
    trial.bench.exchange(trial.pieces.files(tests))
    result = outcome(trial.run(), trial.test)
    return result is not None and result.outcome == "passed"


def of_tests(path: str) -> bool:
    """Whether a file belongs to the tests rather than to what they test."""
    folders = path.split("/")
    return is_test(path) or folders[-1] == "conftest.py" or bool({"tests", "test", "testing"} & set(folders[:-1]))


def _explained(
    context: Context, trial: Trial, change: Change, red: TestRun, result: TestResult | None
) -> Iterator[Finding]:
    assert trial.pieces is not None
    parts = [piece for piece in trial.pieces.all if piece.number not in trial.always]
    remaining = suspects(parts, red, result)
    search = _Search(context, trial, len(parts))
    everything = frozenset(piece.number for piece in parts)
    narrowing = Narrowing(search.ask, {everything: "fails", frozenset(): "passes"})
    for _ in range(MOST_CULPRITS):
        try:
            found = narrowing.culprits(remaining)
            remaining = [suspect for suspect in remaining if suspect.part not in found]
            rest = narrowing.verdict(frozenset(suspect.part for suspect in remaining)) if remaining else "passes"
        except TimeUp:
            context.left_out.append(
                f"{trial.runs} runs were not enough to find which of {len(parts)} parts makes the test fail."
            )
            raise
        culprits = sorted((trial.pieces.all[number] for number in found), key=lambda piece: piece.number)
        hangs = trial.failure is not None and bool(trial.failure.ended)
        told = Explanation(trial.test, trial.runs, len(parts), change.title, rest, result, hangs)
        yield told.finding(culprits, trial.bench.tree)
        if rest != "fails":
            return


@dataclass
class _Search:
    """Asks a trial and tells how far it is."""

    context: Context
    trial: Trial
    parts: int

    def ask(self, chosen: frozenset[int]) -> Verdict:
        """The verdict on a subset."""
        self.context.clock.check()
        self.context.progress(f"Run {self.trial.runs + 1}: with {len(chosen)} of {self.parts} parts of the change")
        return self.trial.ask(chosen)


def _parses(path: str, content: bytes | None, bench: Workbench) -> bool:
    """Whether a file is Python that can be read, as far as it is in the new version: an answer that needs no run."""
    if not path.endswith(".py") or content is None or content == bench.tree.read(path):
        return True
    try:
        ast.parse(decoded(content))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        try:
            ast.parse(decoded(bench.tree.read(path) or b""))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return True
        return False
    return True
