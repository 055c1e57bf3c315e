"""What the project's own tests notice already: only what adds to it is worth proposing."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from famulus.lsp_server.execution.mutants import Mutant
from famulus.lsp_server.execution.workbench import Workbench
from famulus.lsp_server.testgen.case import Aim

_MOST_FILES = 8
_MOST_TESTS = 40
_WALL = 30.0


def killed(bench: Workbench, aim: Aim, mutants: Sequence[Mutant], *, seconds: float) -> frozenset[int] | None:
    """Positions of the mutants that the project's tests notice; None if no test of it runs the function.

    Mutants for which the time is too short count as not noticed. Raises :class:`ExecutionFailed`."""
    deadline = time.monotonic() + seconds
    files = [path for path in bench.layout.tests() if _speaks_of(aim, bench.tree.read(path) or b"")][:_MOST_FILES]
    if not files or not mutants:
        return None
    bench.exchange({})
    run = bench.server.hold(files, wall=_left(deadline), trace=[aim.path])
    if run.ended or run.broken:
        return None
    first = bench.server.again(run.collected[: 5 * _MOST_TESTS], wall=_left(deadline), trace=True)
    lines = frozenset(aim.function.lines) - {aim.function.lines.start}
    touching = [t for t in first.tests if t.outcome == "passed" and lines & t.lines.get(aim.path, frozenset())]
    if not touching:
        return None
    tests = [test.node for test in touching[:_MOST_TESTS]]
    wall = max(1.0, 20 * sum(test.seconds for test in touching))
    found = set()
    for position, mutant in enumerate(mutants):
        if time.monotonic() > deadline:
            break
        if bench.server.survives(aim.path, mutant, tests, wall=wall) is False:
            found.add(position)
    bench.server.release()
    return frozenset(found)


def _left(deadline: float) -> float:
    """Seconds for a run of tests: some even where the time is over, since an import needs them."""
    return min(_WALL, max(2.0, deadline - time.monotonic()))


def _speaks_of(aim: Aim, content: bytes) -> bool:
    """Whether a test file names the function, or its class, and the module or the package that it is imported from."""
    name = aim.function.owner.name if aim.function.owner else aim.function.node.name
    parts = aim.module.split(".")
    return all(
        re.search(rb"\b(%s)\b" % b"|".join(re.escape(word.encode()) for word in words), content)
        for words in ([name], [parts[0], parts[-1]])
    )
