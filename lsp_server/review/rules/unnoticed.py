"""Tests that turn red, changed lines that no test runs, and those that tests run without looking at what they do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from famulus.lsp_server.execution.errors import ExecutionFailed
from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.execution.mutants import KINDS, Mutant, equivalent, mutants
from famulus.lsp_server.execution.testserver import NoPytest, TestResult, TestRun
from famulus.lsp_server.execution.workbench import Workbench
from famulus.lsp_server.review.change import FileChange
from famulus.lsp_server.review.finding import Certainty, Finding, Grade, Place, Proof
from famulus.lsp_server.review.importers import related_tests
from famulus.lsp_server.review.rule import Clock, Context, Rule, Stage, TimeUp
from famulus.lsp_server.review.statements import FunctionBody, Statement, bodies_of
from famulus.lsp_server.review.turned_red import turned_red

MOST_OF_A_FUNCTION = 3
"""Mutants of one function that are reported."""
FIRST_RUN = 0.5
"""Part of the time in which the tests must have run once."""
_SLOWEST = 20.0  # seconds of tests that a mutant is worth
_EACH = 10.0  # seconds for one test
_NAMED = 3  # tests and functions that a message names


@dataclass(frozen=True)
class Changed:
    """The changed statements of one function, or those of them that no test runs. ``unknown``: no test runs any
    statement of the function."""

    file: FileChange
    function: FunctionBody
    statements: tuple[Statement, ...]
    unknown: bool = False


@dataclass
class Seen:
    """What the run of the tests showed. ``complete``: all ran to their end, so that what was not run is not run by any
    test; ``blind``: files in which a test failed halfway."""

    tests: Sequence[TestResult]
    imported: dict[str, frozenset[int]]
    complete: bool
    blind: frozenset[str]
    passing: list[TestResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.passing = sorted((t for t in self.tests if t.outcome == "passed"), key=lambda t: t.seconds)

    def ran(self, path: str, statement: Statement) -> bool:
        """Whether any test ran the statement."""
        return any(self._on(test.lines.get(path, frozenset()), statement) for test in self.tests) or self._on(
            self.imported.get(path, frozenset()), statement
        )

    def knows(self, path: str, function: FunctionBody) -> bool:
        """Whether any test ran any statement of the function."""
        return any(self.ran(path, statement) for statement in function.statements)

    def touching(self, path: str, line: int, function: FunctionBody) -> list[TestResult]:
        """Passing tests that ran the statement of a line, the quickest first."""
        around = [s for s in function.statements if line in s.lines]
        if not around:
            return []
        statement = min(around, key=lambda s: len(s.lines))
        return [test for test in self.passing if self._on(test.lines.get(path, frozenset()), statement)]

    @staticmethod
    def _on(lines: frozenset[int], statement: Statement) -> bool:
        return not lines.isdisjoint(statement.lines)


class Unnoticed:
    """The rule."""

    name = "tests"
    title = "tests that turn red, and changed lines that no test would notice"
    stage = Stage.RUN

    def check(self, context: Context) -> Iterator[Finding]:
        """What turned red first, then what no test runs, then what tests run and do not check."""
        files = [file for file in context.change.python() if _is_code(file)]
        parts = [part for file in files for part in _changed(file, context.neutral.get(file.path, frozenset()))]
        names = {part.function.node.name for part in parts}
        were = {
            body.code for file in context.change.python() for body in bodies_of(file, "old") if body.node.name in names
        }
        changed = [part for part in parts if part.function.code not in were]  # the others only moved
        if not changed:
            return
        if context.run_code == "no":
            context.left_out.append("The tests were not run, since no code is run.")
            return
        tests = related_tests(context.new, [part.file.path for part in changed])
        if not tests:
            if not any(is_test(path) for path in context.change.new.paths()):
                context.left_out.append("Which changed lines no test notices was not looked at: there are no tests.")
                return
            yield from _never_run([replace(part, unknown=True) for part in changed], "no test imports the file")
            return
        try:
            with Workbench(
                context.change.new,
                root=context.root,
                interpreter=context.interpreter,
                run=context.run_code,
                check=context.clock.check,
            ) as bench:
                yield from self._with(context, bench, tests, changed)
        except NoPytest as error:
            context.left_out.append(f"The tests were not run: {error}")

    def _with(
        self, context: Context, bench: Workbench, tests: Sequence[str], changed: Sequence[Changed]
    ) -> Iterator[Finding]:
        if bench.python.note:
            context.left_out.append(bench.python.note)
        paths = sorted({part.file.path for part in changed})
        context.progress(f"Running {len(tests)} test files that import the changed code")
        wall = _seconds(context.clock)
        held = bench.server.hold(tests, wall=wall, each=min(_EACH, wall / 5), trace=paths)
        seen = _run(context, bench, held)
        if seen is None:
            return
        yield from turned_red(context.change, bench, [test for test in seen.tests if test.red], wall)
        not_run = [
            replace(part, statements=missing, unknown=not seen.knows(part.file.path, part.function))
            for part in changed
            if part.file.path not in seen.blind
            and (missing := tuple(s for s in part.statements if not seen.ran(part.file.path, s)))
        ]
        lines = sum(len(part.statements) for part in changed)
        if seen.complete:
            gone = sum(len(part.statements) for part in not_run)
            context.facts["tests"] = f"{lines - gone} of {lines} changed statements are run by tests"
            certainty: Certainty = "possible" if any(test.red for test in seen.tests) else "certain"
            yield from _never_run(not_run, f"{len(seen.tests)} tests ran", certainty)
        yield from Mutation(context, bench, seen, changed).findings()


def _seconds(clock: Clock) -> float:
    return min(clock.left * FIRST_RUN, 600.0)


def _run(context: Context, bench: Workbench, held: TestRun) -> Seen | None:
    """Run what is held once, with its lines. None if there is nothing to go by."""
    if not held.collected:
        told = held.errors[0].message if held.errors else held.said or held.broken
        late = "pytest was not done with importing them in the time there was" if held.ended == "wall" else ""
        reason = told or late or "pytest found none in the files that import the code"
        context.left_out.append(f"Which changed lines no test notices was not looked at: no test could run ({reason}).")
        return None
    run = bench.server.again(held.collected, wall=_seconds(context.clock), trace=True)
    if run.ended:
        context.left_out.append(
            f"Of {len(held.collected)} tests that import the changed code {len(run.tests)} ran in the time there was, "
            "so nothing is said on lines that no test runs."
        )
    elif held.errors:
        context.left_out.append(
            f"{len(held.errors)} test files that import the changed code could not be collected "
            f"({held.errors[0].node}: {held.errors[0].message}), so nothing is said on lines that no test runs."
        )
    blind = frozenset(path for test in run.red for path in test.lines)
    return Seen(run.tests, dict(held.imported), not run.ended and not held.errors, blind)


def _is_code(file: FileChange) -> bool:
    folders = file.path.split("/")
    if file.new is None or not file.path.endswith(".py") or is_test(file.path) or folders[-1] == "conftest.py":
        return False
    return not {"tests", "test", "testing", "docs", "doc", "examples", "benchmarks"} & set(folders[:-1])


def _changed(file: FileChange, neutral: frozenset[int]) -> Iterator[Changed]:
    lines = file.changed_new_lines - neutral
    for function in bodies_of(file, "new"):
        statements = tuple(s for s in function.statements if not lines.isdisjoint(s.lines))
        if statements:
            yield Changed(file, function, statements)


# -- not run


def _never_run(parts: Sequence[Changed], proof: str, certainty: Certainty = "certain") -> Iterator[Finding]:
    """One finding for each function, or one for all functions of a file that are not run at all.

    Not certain where a test failed: it might have run them."""
    by_file: dict[str, list[Changed]] = {}
    for part in parts:
        by_file.setdefault(part.file.path, []).append(part)
    for path, own in by_file.items():
        unknown = [part for part in own if part.unknown]
        if len(unknown) > 1:
            names = ", ".join(part.function.name for part in unknown[:_NAMED])
            more = ", …" if len(unknown) > _NAMED else ""
            message = f"No test runs {len(unknown)} changed functions of {path}: {names}{more}."
            yield _not_run(path, unknown[0], message, proof, certainty)
            own = [part for part in own if not part.unknown]
        for part in own:
            first, last = part.statements[0].first, part.statements[-1].last
            where = f"line {first}" if first == last else f"{len(part.statements)} changed lines"
            what = f"`{part.function.name}`" if part.unknown else f"{where} of `{part.function.name}`"
            yield _not_run(path, part, f"No test runs {what}.", proof, certainty)


def _not_run(path: str, part: Changed, message: str, proof: str, certainty: Certainty) -> Finding:
    lines = [statement.first for statement in part.statements]
    return Finding(
        rule="tests/not-run",
        message=message,
        grade=Grade.MEASURED,
        severity="note",
        certainty=certainty,
        place=Place(path=path, line=lines[0], end_line=part.statements[-1].last, symbol=part.function.name),
        key=f"{path} {part.function.name} not run",
        proof=Proof(kind="runs", text=f"not run: {_ranges(lines)}; {proof}", data={"lines": lines}),
    )


def _ranges(lines: Iterable[int]) -> str:
    """``4-6, 9``."""
    found: list[list[int]] = []
    for line in sorted(set(lines)):
        if found and line == found[-1][1] + 1:
            found[-1][1] = line
        else:
            found.append([line, line])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


# -- mutants


@dataclass
class Mutation:
    """Tries mutants of changed lines that tests run, the most telling ones of all functions first."""

    context: Context
    bench: Workbench
    seen: Seen
    changed: Sequence[Changed]
    tried: int = 0
    noticed: int = 0

    def findings(self) -> Iterator[Finding]:
        """The mutants that no test noticed."""
        waiting = self._candidates()
        found: dict[tuple[str, str], list[int]] = {}
        reached = 0
        try:
            for reached, (part, mutant, tests) in enumerate(waiting):
                own = found.setdefault((part.file.path, part.function.name), [])
                if len(own) >= MOST_OF_A_FUNCTION or mutant.line in own:
                    continue
                self.context.clock.check()
                self.context.progress(f"Mutant {reached + 1} of {len(waiting)}: {part.file.path}:{mutant.line}")
                if self._survives(part, mutant, tests):
                    own.append(mutant.line)
                    yield _survivor(part, mutant, tests)
            reached = len(waiting)
        except TimeUp:
            pass
        finally:
            with suppress(ExecutionFailed, TimeUp):
                self.bench.exchange({})
            if self.tried:
                self.context.facts["mutants"] = f"{self.noticed} of {self.tried} small changes were noticed by a test"
            if reached < len(waiting):
                self.context.left_out.append(
                    f"Of {len(waiting)} small changes to changed lines {reached} were tried in the time there was."
                )

    def _candidates(self) -> list[tuple[Changed, Mutant, list[TestResult]]]:
        """Mutants of lines that passing tests run; in turn from each function, so that a short time is spread."""
        ranked = []
        for part in self.changed:
            if part.file.new is None or not _is_utf8(part.file.new):
                continue
            lines = {line for s in part.statements for line in s.lines} & self._lines(part)
            own = [m for m in mutants(part.file.new_text, lines) if m.function]
            own.sort(key=lambda m: (KINDS.index(m.kind), m.line, m.column))
            rank = 0
            for mutant in own:
                tests = self.seen.touching(part.file.path, mutant.line, part.function)
                if tests and sum(test.seconds for test in tests) <= _SLOWEST:
                    ranked.append((rank, part, mutant, tests))
                    rank += 1
        ranked.sort(key=lambda item: (item[0], item[1].file.path, item[2].line))
        return [(part, mutant, tests) for _, part, mutant, tests in ranked]

    def _lines(self, part: Changed) -> frozenset[int]:
        neutral = self.context.neutral.get(part.file.path, frozenset())
        return part.file.changed_new_lines - neutral

    def _survives(self, part: Changed, mutant: Mutant, tests: Sequence[TestResult]) -> bool:
        """Whether no test notices: quickly where the tests are held, then once more from the beginning."""
        if equivalent(part.file.new_text, mutant.source):
            return False
        wall = 3.0 + 5 * sum(test.seconds for test in tests)
        names = [test.node for test in tests]
        survives = self.bench.server.survives(part.file.path, mutant, names, wall=wall)
        self.tried += 1
        if survives is not False:
            self.bench.exchange({part.file.path: mutant.source.encode()})
            run = self.bench.server.run(names, wall=wall + 30.0)
            self.bench.exchange({})
            survives = not run.ended and not run.red and len(run.tests) == len(names)
        self.noticed += not survives
        return survives


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _survivor(part: Changed, mutant: Mutant, tests: Sequence[TestResult]) -> Finding:
    count = len(tests)
    who = "the one test that runs this line passes" if count == 1 else f"the {count} tests that run this line all pass"
    names = ", ".join(test.node for test in tests[:_NAMED]) + (f" and {count - _NAMED} more" if count > _NAMED else "")
    line = mutant.source.split("\n")[mutant.line - 1].strip()
    return Finding(
        rule="tests/unnoticed",
        message=f"{str(mutant)[0].upper()}{str(mutant)[1:]} in `{part.function.name}` breaks no test: {who}.",
        grade=Grade.MEASURED,
        severity="note",
        place=Place(path=part.file.path, line=mutant.line, column=mutant.column, symbol=part.function.name),
        key=f"{part.file.path} {part.function.name} {mutant.kind} {mutant.before} {mutant.after}",
        proof=Proof(
            kind="mutant",
            text=f"with `{line}` these pass: {names}",
            data={
                "before": mutant.before,
                "after": mutant.after,
                "kind": mutant.kind,
                "tests": [test.node for test in tests],
            },
        ),
    )


RULE: Rule = Unnoticed()
