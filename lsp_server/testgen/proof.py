"""The proof of a test file: it is run again and again, in other orders and with other hashes, in the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


def prove(bench: Workbench, path: str, text: str, *, check: Callable[[], None] = lambda: None) -> Proof:
    """Run the tests of ``text`` at ``path`` five times: three shuffled in forks of one process, and twice in new ones.

    Raises :class:`ExecutionFailed`."""
    bench.exchange({path: text.encode()})
    passed: dict[str, int] = {}
    seen: dict[str, int] = {}
    runs = 0
    broken = ""
    servers = [(bench.server, shuffle) for shuffle in (None, 1, 2)]
    others = [bench.another(seed) for seed in _SEEDS]
    try:
        for server, shuffle in [*servers, *((other, number + 3) for number, other in enumerate(others))]:
            check()
            run = server.run([path], wall=_WALL, shuffle=shuffle)
            runs += 1
            broken = broken or run.broken or run.ended or (run.errors[0].message if run.errors else "")
            for test in run.tests:
                name = test.node.rpartition("::")[2].partition("[")[0]
                seen[name] = seen.get(name, 0) + 1
                passed[name] = passed.get(name, 0) + (test.outcome == "passed")
    finally:
        for other in others:
            other.close()
        bench.exchange({})
    failed = frozenset(name for name in seen if not passed[name])
    return Proof(runs, len(seen), failed, frozenset(n for n in seen if 0 < passed[n] < seen[n]), broken)
