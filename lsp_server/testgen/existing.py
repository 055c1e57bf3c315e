"""What the project's own tests notice already: only what adds to it is worth proposing."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from famulus.lsp_server.execution.errors import ExecutionFailed
from famulus.lsp_server.execution.mutants import Mutant
from famulus.lsp_server.execution.testserver import TestRun
from famulus.lsp_server.execution.workbench import Workbench
from famulus.lsp_server.testgen.case import Aim
from famulus.lsp_server.testgen.clock import TimeIsUp
from famulus.lsp_server.testgen.coverage import Reach, together

_MOST_FILES = 8
_MOST_TESTS = 40
_WALL = 30.0


@dataclass
class Existing:
    """The project's tests of the functions of one file, collected once. ``module``: its dotted name, ``names``: of its
    functions, or of their classes."""

    bench: Workbench
    path: str
    module: str
    names: Collection[str]
    importing: float = 0.0
    """Seconds that collecting took, known afterwards."""
    untried: int = 0
    """Mutants for which the time was too short when :meth:`killed` was asked last."""
    _first: TestRun | None = None
    _held: bool = False

    def killed(self, aim: Aim, mutants: Sequence[Mutant], *, seconds: float) -> frozenset[int] | None:
        """Positions of the mutants that these tests notice; None if none of them runs the function.

        Mutants for which the time is too short count as not noticed."""
        deadline = time.monotonic() + seconds
        found: set[int] = set()
        self.untried = 0
        try:
            tests, wall = self._touching(aim, deadline) if mutants else ([], 0.0)
            if not tests:
                return None
            for position, mutant in enumerate(mutants):
                self.untried = len(mutants) - position
                if time.monotonic() > deadline:
                    break
                if self.bench.server.survives(aim.path, mutant, tests, wall=wall) is False:
                    found.add(position)
            else:
                self.untried = 0
        except (TimeIsUp, ExecutionFailed):  # or a mutant ended the process that held the tests
            self._held = False
            return frozenset(found) if found else None
        return frozenset(found)

    @property
    def reach(self) -> Reach:
        """What the tests run of the file, known after :meth:`killed`."""
        passed = [test for test in self._first.tests if test.outcome == "passed"] if self._first else []
        nothing: frozenset[tuple[int, int]] = frozenset()
        return together(Reach(t.lines.get(self.path, frozenset()), t.arcs.get(self.path, nothing)) for t in passed)

    def _touching(self, aim: Aim, deadline: float) -> tuple[list[str], float]:
        """Tests that run the function, and seconds in which they all do with any mutant."""
        if self._first is None:
            self._first = self._collected(deadline)
        elif not self._held and self._first.tests:
            self._collected(deadline)  # the process that held them was ended
        lines = frozenset(aim.function.lines) - {aim.function.lines.start}
        passed = [test for test in self._first.tests if test.outcome == "passed"]
        touching = [test for test in passed if lines & test.lines.get(aim.path, frozenset())][:_MOST_TESTS]
        return [test.node for test in touching], max(1.0, 20 * sum(test.seconds for test in touching))

    def _collected(self, deadline: float) -> TestRun:
        files = speaking(self.bench, self.module, self.names)
        if not files:
            return TestRun()
        self.bench.exchange({})
        began = time.monotonic()
        run = self.bench.server.hold(files, wall=_left(deadline), trace=[self.path], arcs=True)
        self.importing = (time.monotonic() - began) / len(files)
        self._held = not (run.ended or run.broken)
        if not self._held or self._first is not None:
            return self._first or TestRun()
        return self.bench.server.again(run.collected[: 5 * _MOST_TESTS], wall=_left(deadline), trace=True)

    def close(self) -> None:
        """Let go of the tests."""
        if self._held:
            self._held = False
            with contextlib.suppress(TimeIsUp):
                self.bench.server.release()


def speaking(bench: Workbench, module: str, names: Collection[str]) -> list[str]:
    """Test files that name one of ``names`` and the module, or the package that it is imported from; those that name
    the most first."""
    parts = module.split(".")
    apart = [re.compile(rb"\b%s\b" % re.escape(name.encode())) for name in sorted(names)]
    from_there = re.compile(rb"\b(%s|%s)\b" % (re.escape(parts[0].encode()), re.escape(parts[-1].encode())))
    found = []
    for path in bench.layout.tests():
        content = bench.tree.read(path) or b""
        if from_there.search(content) and (count := sum(bool(name.search(content)) for name in apart)):
            found.append((-count, path))
    return [path for _, path in sorted(found)[:_MOST_FILES]]


def _left(deadline: float) -> float:
    """Seconds for a run of tests: some even where the time is over, since an import needs them."""
    return min(_WALL, max(2.0, deadline - time.monotonic()))
