"""Tests that fail with a change and pass without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from famulus.lsp_server.execution.testserver import TOO_LONG, TestResult
from famulus.lsp_server.review.culprit import of_tests
from famulus.lsp_server.review.culprit_finding import enclosing
from famulus.lsp_server.review.finding import Finding, Grade, Place, Proof, Related
from famulus.lsp_server.review.pieces import Pieces

if TYPE_CHECKING:
    from famulus.lsp_server.execution.workbench import Workbench
    from famulus.lsp_server.review.change import Change

MOST = 30
"""Tests that are run again with the old code."""
_NAMED = 3


def turned_red(change: Change, bench: Workbench, red: Sequence[TestResult], seconds: float) -> Iterator[Finding]:
    """One finding for all tests that fail at one place. They are run with the old code, and again with the new one, so
    that neither a test that failed before nor one that fails by chance is told; ``seconds`` for each run."""
    chosen = [test for test in red if test.type != TOO_LONG][:MOST]
    names = [test.node for test in chosen]
    if not names:
        return
    pieces = Pieces(change)
    tests = frozenset(piece.number for piece in pieces.all if of_tests(piece.path))
    bench.exchange(pieces.files(tests))
    before = bench.server.run(names, wall=seconds)
    bench.exchange({})
    passed = {test.node for test in before.tests if test.outcome == "passed"}
    if not passed:
        return
    still = {test.node for test in bench.server.run([n for n in names if n in passed], wall=seconds).red}
    places: dict[tuple[str, int], list[TestResult]] = {}
    for test in chosen:
        if test.node in still:
            places.setdefault(_at(change, test), []).append(test)
    for (path, line), together in places.items():
        yield _finding(change, together, path, line)


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
