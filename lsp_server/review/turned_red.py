"""Tests that fail with a change and pass without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from famulus.lsp_server.execution.testserver import TOO_LONG, TestResult
from famulus.lsp_server.review.culprit import of_tests
from famulus.lsp_server.review.culprit_finding import enclosing
from famulus.lsp_server.review.finding import Finding, Grade, Place, Proof, Related, Side
from famulus.lsp_server.review.pieces import Pieces
from famulus.lsp_server.review.statements import bodies_of

if TYPE_CHECKING:
    from famulus.lsp_server.execution.workbench import Workbench
    from famulus.lsp_server.review.change import Change

MOST = 30
"""Tests that are run again with the old code."""
_NAMED = 3
_SIDES: tuple[Side, Side] = ("old", "new")


def turned_red(change: Change, bench: Workbench, red: Sequence[TestResult], seconds: float) -> list[str]:
    """Those of the failed tests that pass without the change. They are run with the old code, and again with the new
    one, so that neither a test that failed before nor one that fails by chance is told; ``seconds`` for each run."""
    names = [test.node for test in red if test.type != TOO_LONG][:MOST]
    passed = _passed(change, bench, names, seconds) if names else set()
    if not passed:
        return []
    still = {test.node for test in bench.server.run([n for n in names if n in passed], wall=seconds).red}
    return [name for name in names if name in still]


def findings(change: Change, tests: Sequence[TestResult]) -> Iterator[Finding]:
    """One for all tests that turned red at one place."""
    places: dict[tuple[str, int], list[TestResult]] = {}
    for test in tests:
        places.setdefault(_at(change, test), []).append(test)
    for (path, line), together in places.items():
        yield _finding(change, together, path, line)


def _passed(change: Change, bench: Workbench, names: Sequence[str], seconds: float) -> set[str]:
    """The tests that pass without the change: with the old code; or, where the test's file had to be adapted to the new
    one and the test itself is as it was, in their old file."""
    pieces = Pieces(change)
    tests = frozenset(piece.number for piece in pieces.all if of_tests(piece.path))
    try:
        bench.exchange(pieces.files(tests))
        passed = _passing(bench, names, seconds)
        were = {old: name for name in names if name not in passed and (old := _as_before(change, name))}
        if were:
            bench.exchange(pieces.files(frozenset()))
            passed |= {were[name] for name in _passing(bench, list(were), seconds)}
    finally:
        bench.exchange({})
    return passed


def _passing(bench: Workbench, names: Sequence[str], seconds: float) -> set[str]:
    """Those of the tests that pass now. A file that cannot be imported keeps pytest from running the others: then each
    file is run alone."""
    run = bench.server.run(names, wall=seconds)
    by_file: dict[str, list[str]] = {}
    for name in names:
        by_file.setdefault(name.partition("::")[0], []).append(name)
    runs = [run]
    if not run.ended and not run.tests and len(by_file) > 1:
        runs = [bench.server.run(own, wall=seconds) for own in by_file.values()]
    return {test.node for each in runs for test in each.tests if test.outcome == "passed"}.intersection(names)


def _as_before(change: Change, node: str) -> str:
    """What the test was called in its old file, if its function is the same there; "" if it is another, or new."""
    path, _, inner = node.partition("::")
    file = change.file(path)
    if file is None or file.old_path is None:
        return ""
    name = inner.partition("[")[0].replace("::", ".")
    sides = [{b.code for b in bodies_of(file, side) if b.name == name} for side in _SIDES]
    return f"{file.old_path}::{inner}" if sides[0] & sides[1] else ""


def _at(change: Change, test: TestResult) -> tuple[str, int]:
    """Where to look: the changed code that the failure came through, else the first changed line that the test ran,
    else the test."""
    through = [(path, line) for path, line in test.at if not of_tests(path) and change.file(path) is not None]
    if through:
        return through[-1]
    for path, lines in sorted(test.lines.items()):
        file = change.file(path)
        if file is not None and (ran := lines & file.changed_new_lines):
            return path, min(ran)
    own = test.node.partition("::")[0]
    return own, next((line for path, line in reversed(test.at) if path == own), 1)


def _finding(change: Change, tests: Sequence[TestResult], path: str, line: int) -> Finding:
    first = tests[0]
    shorts = [test.node.rpartition("::")[2] for test in tests]
    names = ", ".join(shorts[:_NAMED]) + (f" and {len(shorts) - _NAMED} more" if len(shorts) > _NAMED else "")
    said = first.message.splitlines()[0][:120] if first.message else ""
    failure = said if said.startswith(first.type) else f"{first.type}: {said}".rstrip(": ")
    file = change.file(path)
    own = first.node.partition("::")[0]
    own_line = next((at for where, at in first.at if where == own), 1)
    return Finding(
        rule="tests/red",
        message=f"{names} {'fails' if len(tests) == 1 else 'fail'} with this change and pass{'es' * (len(tests) == 1)} "
        "without it.",
        grade=Grade.WITNESSED,
        severity="error",
        place=Place(path=path, line=line, symbol=enclosing(file.new_text, line) if file is not None else ""),
        key=" ".join(sorted(test.node for test in tests)),
        proof=Proof(
            kind="runs",
            text=f"{first.node}: {failure}\nwhich part does it: famulus review --why {first.node}",
            data={"tests": [test.node for test in tests], "type": first.type},
        ),
        related=() if path == own else (Related(place=Place(path=own, line=own_line), message="the test"),),
        reach=len(tests),
    )
