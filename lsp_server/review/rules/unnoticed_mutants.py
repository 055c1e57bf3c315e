"""Small changes to changed lines that tests run, of which no test takes notice."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from famulus.lsp_server.execution.errors import ExecutionFailed
from famulus.lsp_server.execution.mutants import KINDS, Mutant, equivalent, mutants
from famulus.lsp_server.execution.testserver import TestResult
from famulus.lsp_server.review.change import FileChange
from famulus.lsp_server.review.finding import Finding, Grade, Place, Proof
from famulus.lsp_server.review.rule import Context, TimeUp
from famulus.lsp_server.review.rules.unnoticed_bench import Bench
from famulus.lsp_server.review.statements import FunctionBody, Statement

if TYPE_CHECKING:
    from famulus.lsp_server.review.rules.unnoticed_kept import Tests

MOST_OF_A_FUNCTION = 3
"""Mutants of one function that are reported."""
_SLOWEST = 20.0  # seconds of tests that a mutant is worth
_NAMED = 3  # tests that a message names


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


@dataclass
class Mutation:
    """Tries mutants of changed lines that tests run, the most telling ones of all functions first."""

    context: Context
    bench: Bench
    seen: Seen
    changed: Sequence[Changed]
    kept: Tests | None = None
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
            if self.bench.opened is not None:
                with suppress(ExecutionFailed, TimeUp):
                    self.bench.opened.exchange({})
            if self.tried:
                self.context.facts["mutants"] = f"{self.noticed} of {self.tried} small changes were noticed by a test"
            if reached < len(waiting):
                self.context.left_out.append(
                    f"Of {len(waiting)} small changes to changed lines {reached} were tried in the time there was."
                )

    def _candidates(self) -> list[tuple[Changed, Mutant, list[TestResult]]]:
        """Mutants of lines that passing tests run; in turn from each function, so that a short time is spread."""
        parts: dict[str, list[tuple[Changed, set[int]]]] = {}
        for part in self.changed:
            if part.file.new is None or not _is_utf8(part.file.new):
                continue
            lines = {line for s in part.statements for line in s.lines} & self._lines(part)
            lines = {line for line in lines if self.seen.touching(part.file.path, line, part.function)}
            if lines:
                parts.setdefault(part.file.path, []).append((part, lines))
        ranked = []
        for own in parts.values():
            every = mutants(own[0][0].file.new_text, set().union(*(lines for _, lines in own)))
            every.sort(key=lambda m: (KINDS.index(m.kind), m.line, m.column))
            for part, lines in own:
                rank = 0
                for mutant in every:
                    if not mutant.function or mutant.line not in lines:
                        continue
                    tests = self.seen.touching(part.file.path, mutant.line, part.function)
                    if sum(test.seconds for test in tests) <= _SLOWEST:
                        ranked.append((rank, part, mutant, tests))
                        rank += 1
        ranked.sort(key=lambda item: (item[0], item[1].file.path, item[2].line))
        return [(part, mutant, tests) for _, part, mutant, tests in ranked]

    def _lines(self, part: Changed) -> frozenset[int]:
        neutral = self.context.neutral.get(part.file.path, frozenset())
        return part.file.changed_new_lines - neutral

    def _survives(self, part: Changed, mutant: Mutant, tests: Sequence[TestResult]) -> bool:
        """Whether no test notices: quickly where the tests are held, then once more from the beginning."""
        names = [test.node for test in tests]
        wall = 3.0 + 5 * sum(test.seconds for test in tests)
        survives = self.kept.survives(part, mutant, names) if self.kept is not None else None
        if survives is None:
            if equivalent(part.file.new_text, mutant.source):
                return False
            survives = self._run(part, mutant, names, wall)
            if survives is not None and self.kept is not None:
                self.kept.tried(part, mutant, names, survives=survives)
        self.tried += 1
        self.noticed += not survives
        return bool(survives)

    def _run(self, part: Changed, mutant: Mutant, names: Sequence[str], wall: float) -> bool | None:
        """Whether it survives; None if that it does not is only a matter of time."""
        bench, _ = self.bench.open()
        began = time.monotonic()
        survives = bench.server.survives(part.file.path, mutant, names, wall=wall)
        if survives is False:
            return False if time.monotonic() - began < wall else None
        bench.exchange({part.file.path: mutant.source.encode()})
        run = bench.server.run(names, wall=wall + 30.0)
        bench.exchange({})
        return None if run.ended == "wall" else not run.ended and not run.red and len(run.tests) == len(names)


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
