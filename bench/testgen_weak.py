"""How much the tests of the sample project gain: it ships with tests that look at little."""

from __future__ import annotations

from functools import reduce
from operator import add

from famulus.bench.report import table
from famulus.commands.tour import FILES
from famulus.commands.tour_testgen import MODULE, SAMPLE, run_testgen
from famulus.lsp_server.testgen.case import Result
from famulus.lsp_server.testgen.coverage import Coverage

GOAL = 40
"""Per cent that lines and branches together shall grow by."""


def measured() -> str:
    """A table: what the sample's own tests reach and notice, and what they do with those that are made."""
    shown = run_testgen(FILES)
    results = [result for made in shown.made for result in made.one.results]
    before, after = (reduce(add, sides, Coverage()) for sides in zip(*(r.coverage for r in results), strict=True))
    mutants = sum(result.mutants for result in results)
    rows = [
        ["statements", before.statements_run, after.statements_run, after.statements],
        ["branches", before.branches_run, after.branches_run, after.branches],
        ["mutants", _noticed(results, before=True), _noticed(results, before=False), mutants],
    ]
    gain = 100 * ((after.statements_run + after.branches_run) / max(1, before.statements_run + before.branches_run) - 1)
    said = f"Lines and branches together: {gain:+.0f} % (goal: +{GOAL} %), in {shown.time / 1000:.1f} s."
    return f"{table([f'{SAMPLE}/{MODULE}', 'its own tests', 'with ours', 'of'], rows)}\n\n{said}"


def _noticed(results: list[Result], *, before: bool) -> int:
    return sum((result.killed_before or 0) if before else result.killed for result in results)
