"""The proof of a test file: it is run again and again, in other orders and with other hashes, in the sandbox."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from famulus.lsp_server.execution.testserver import TestRun
from famulus.lsp_server.execution.workbench import Workbench

_SEEDS = (2, 3)
_WALL = 60.0


@dataclass(frozen=True)
class Proof:
    """``failed`` and ``flaky``: names of tests that never passed, and of those that did so only at times."""

    runs: int
    tests: int
    failed: frozenset[str] = frozenset()
    flaky: frozenset[str] = frozenset()
    broken: str = ""

    @property
    def holds(self) -> bool:
        """Whether every test passed in every run."""
        return not (self.failed or self.flaky or self.broken) and self.tests > 0


def prove(
    bench: Workbench, path: str, text: str, names: Collection[str], *, check: Callable[[], None] = lambda: None
) -> Proof:
    """Run the tests called ``names`` of ``text`` at ``path`` five times: in three orders in copies of one process that
    has collected them, and shuffled in two new ones.

    Raises :class:`ExecutionFailed`."""
    bench.exchange({path: text.encode()})
    others = [bench.another(seed) for seed in _SEEDS]
    runs: list[TestRun] = []
    try:
        for other in others:
            other.launch()  # they start while the first runs are made
        held = bench.server.hold([path], wall=_WALL)
        nodes = [node for node in held.collected if name_of(node) in names]
        orders = [nodes, nodes[::-1], random.Random(1).sample(nodes, len(nodes))]
        for order in orders if nodes else ():
            check()
            runs.append(bench.server.again(order, wall=_WALL))
        bench.server.release()
        for number, server in enumerate(others if nodes else ()):
            check()
            runs.append(server.run(nodes, wall=_WALL, shuffle=number + 3))
    finally:
        for other in others:
            other.close()
        bench.exchange({})
    broken = next(filter(None, map(_broken, [held, *runs])), "")
    passed: Counter[str] = Counter(name_of(t.node) for run in runs for t in run.tests if t.outcome == "passed")
    seen: Counter[str] = Counter(name_of(test.node) for run in runs for test in run.tests)
    flaky = frozenset(name for name in seen if 0 < passed[name] < seen[name])
    return Proof(len(runs), len(seen), frozenset(seen) - frozenset(passed), flaky, broken)


def name_of(node: str) -> str:
    """The name of a test's function in the id that pytest gives to the test."""
    return node.partition("[")[0].rpartition("::")[2]


def _broken(run: TestRun) -> str:
    return run.broken or run.ended or (run.errors[0].message if run.errors else "")
