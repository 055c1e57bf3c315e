"""What the tests of a suite are good for: which of them notice nothing when the code that they run is wrong."""

from __future__ import annotations

import ast
import contextlib
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from famulus.lsp_server.execution.functions import functions
from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.execution.mutants import Mutant, equivalent, mutants
from famulus.lsp_server.execution.testserver import TestResult
from famulus.lsp_server.execution.workbench import Workbench
from famulus.lsp_server.review.change import decoded
from famulus.lsp_server.review.suite.collected import Test, collected
from famulus.lsp_server.testgen.clock import Clock, TimeIsUp

Verdict = Literal["no assertion", "only mocks", "runs no code of the project", "kills nothing"]

_COLLECTING, _RUNNING = 0.4, 0.6
"""Parts of the time that is left in which the tests are collected, and run."""
_EACH = 12
"""Mutants of one function."""
_MOCKED = ("assert_called", "assert_any_call", "assert_has_calls", "assert_not_called", "assert_awaited")


@dataclass
class Judged:
    """One test. ``tried``: mutants of code that it runs; ``killed``: those that it noticed; ``line``: where it is."""

    node: str
    path: str
    line: int
    tried: int = 0
    killed: int = 0
    verdict: Verdict | None = None


@dataclass
class Audit:
    """The verdicts so far. ``mutants``: those that were tried; ``red``: tests that fail by themselves; ``complete``:
    whether each test that could was given its mutants; ``notes``: sentences for the user."""

    tests: dict[str, Judged] = field(default_factory=dict)
    mutants: int = 0
    red: list[str] = field(default_factory=list)
    complete: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def idle(self) -> list[Judged]:
        """The tests that are good for nothing, in the order of their files."""
        return sorted((t for t in self.tests.values() if t.verdict), key=lambda t: (t.path, t.line, t.node))


def audit(
    bench: Workbench,
    files: Sequence[str],
    *,
    clock: Clock,
    progress: Callable[[str], None] = lambda text: None,
    into: Audit | None = None,
) -> Audit:
    """Judge the tests of these files; ``into`` holds what is known when this is interrupted. Ends when the time of
    ``clock`` is up.

    Mutants are put into each function that the tests run, one at a time; a test that has noticed one is not run again.
    Raises :class:`ExecutionFailed`."""
    found = into if into is not None else Audit()
    with contextlib.suppress(TimeIsUp):
        _judge(bench, files, clock, progress, found)
    return found


def _judge(bench: Workbench, files: Sequence[str], clock: Clock, progress: Callable[[str], None], found: Audit) -> None:
    progress("running the tests")
    sources = [p for p in bench.tree.paths() if p.endswith(".py") and not is_test(p) and not p.endswith("conftest.py")]
    held = bench.server.hold(list(files), wall=clock.left * _COLLECTING, trace=sources)
    if held.broken or held.ended:
        late = "there was not enough time: give more with --budget"
        reason = held.broken or held.said or (late if held.ended == "wall" else "they did not end")
        found.notes.append(f"The tests could not be run: {reason}.")
        return
    found.notes += [f"{error.node}: {error.message.splitlines()[0]}" for error in held.errors if error.message]
    run = bench.server.again(held.collected, wall=clock.left * _RUNNING, trace=True)
    green = [test for test in run.tests if test.outcome == "passed"]
    found.red = [test.node for test in run.red]
    _static_verdicts(bench, files, green, sources, found)
    if run.ended == "wall":
        number = len(held.collected) - len(run.tests)
        found.notes.append(f"No time was left to run {number} of {len(held.collected)} tests: give more with --budget.")
    for path, mutant, touching in _rounds(bench, green, sources):
        clock.check()
        asked = [test for test in touching if not found.tests[test.node].killed]
        if asked:
            progress(f"mutants of {path}")
            _try(bench, found, path, mutant, asked)
    bench.server.release()
    found.complete = run.ended != "wall"
    for judged in found.tests.values():
        if judged.verdict is None and not judged.killed and found.complete:
            judged.verdict = "kills nothing" if judged.tried else None


def _static_verdicts(
    bench: Workbench, files: Sequence[str], green: Sequence[TestResult], sources: Sequence[str], found: Audit
) -> None:
    """What is known without mutants."""
    written = _written(bench, files)
    for test in green:
        path, _, name = test.node.partition("::")
        own = written.get((path, name.partition("[")[0].replace("::", ".")))
        found.tests[test.node] = Judged(test.node, path, own.node.lineno if own else 1, verdict=_static(own))
    reached = {test.node for test in green if any(test.lines.get(path) for path in sources)}
    for judged in found.tests.values():
        if judged.verdict is None and judged.node not in reached:
            judged.verdict = "runs no code of the project"


def _try(bench: Workbench, found: Audit, path: str, mutant: Mutant, asked: Sequence[TestResult]) -> None:
    wall = max(1.0, 20 * sum(test.seconds for test in asked))
    noticed = bench.server.noticed(path, mutant, [test.node for test in asked], wall=wall)
    if noticed is None:
        return
    found.mutants += 1
    for test in asked:
        found.tests[test.node].tried += 1
        found.tests[test.node].killed += test.node in noticed


def _rounds(
    bench: Workbench, green: Sequence[TestResult], sources: Sequence[str]
) -> Iterator[tuple[str, Mutant, list[TestResult]]]:
    """Mutants with the tests that run their function: the first of each function, then the second of each."""
    waiting = []
    for path in sources:
        reaching = [test for test in green if test.lines.get(path)]
        source = decoded(bench.tree.read(path) or b"") if reaching else ""
        for function in functions(source).values():
            body = frozenset(function.lines) - {function.lines.start}
            touching = [test for test in reaching if body & test.lines[path]]
            if touching:
                here = _of(source, function.name, function.lines)
                waiting.append([(path, mutant, touching) for mutant in here])
    for row in itertools.zip_longest(*waiting):
        yield from (one for one in row if one is not None)


def _of(source: str, name: str, lines: range) -> list[Mutant]:
    """Mutants of a function, evenly chosen."""
    found = [m for m in mutants(source, lines) if m.function == name]
    step = max(1.0, len(found) / _EACH)
    some = [found[int(n * step)] for n in range(min(_EACH, len(found)))]
    return [mutant for mutant in some if not equivalent(source, mutant.source)]


def _written(bench: Workbench, files: Collection[str]) -> Mapping[tuple[str, str], Test]:
    found = {}
    for path in files:
        try:
            tree = ast.parse(decoded(bench.tree.read(path) or b""))
        except (SyntaxError, ValueError, RecursionError):
            continue
        found.update({(path, test.name): test for test in collected(tree, path)})
    return found


def _static(test: Test | None) -> Verdict | None:
    """What the source of a test says already."""
    if test is None:
        return None
    asserting = [n for n in ast.walk(test.node) if isinstance(n, ast.Assert)]
    demands = test.demands
    if not demands and not asserting:
        return "no assertion"
    calls = [n.func.attr for n in ast.walk(test.node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    mocked = [name for name in calls if name.startswith(_MOCKED)]
    return "only mocks" if mocked and not asserting and len(demands) <= len(mocked) else None
