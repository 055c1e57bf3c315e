"""What tests are worth: they are run by pytest on the right code, ten times, and on code that is wrong."""

from __future__ import annotations

import ast
import random
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from famulus.bench.testgen_coverage import Parts, reached
from famulus.bench.testgen_holdout import Spoilt
from famulus.bench.testgen_keep import Suite
from famulus.bench.testgen_plain import AnyFunction
from famulus.lsp_server.execution.mutants import Mutant
from famulus.lsp_server.execution.sourcetext import SourceText
from famulus.lsp_server.execution.workbench import Workbench
from famulus.lsp_server.review.change import Memory

RUNS = 10
_SEEDS = (11, 12)
_FRESH = (0, 1, 2)
_WALL = 60.0
_EACH = 2.0


@dataclass(frozen=True)
class Looked:
    """A file of tests that was run ten times. ``coverage``: lines and branches by function, if they can be counted;
    ``lines``: of the code that were run."""

    text: str
    nodes: Sequence[str]
    always_red: frozenset[str]
    flaky: frozenset[str]
    expected: frozenset[str]
    coverage: Mapping[str, Parts]
    lines: frozenset[int]

    def suite(self, names: Collection[str] | None = None) -> Suite:
        """What the tests are like; ``names``: only these of them."""
        nodes = [node for node in self.nodes if names is None or _name(node) in names]
        tests = [node for node in _tests(self.text) if names is None or node.name in names]
        return Suite(
            self.text if nodes else "",
            tests=len({_name(node) for node in nodes}),
            rows=len(nodes),
            bare=sum(not _asserts(node) for node in tests),
            red=len(self.always_red.intersection(nodes)),
            flaky=len(self.flaky.intersection(nodes)),
            expected=len(self.expected.intersection(nodes)),
        )


class Judge:
    """A project with its tests ready to run. ``counter``: where the package coverage is, if branches shall be counted.
    Use it in a ``with`` block."""

    def __init__(self, files: Mapping[str, bytes], python: Path, counter: Path | None = None) -> None:
        self.counter = counter
        self.bench = Workbench(Memory(files), root=None, interpreter=python)
        self.others = [self.bench.another(seed) for seed in _SEEDS]
        self.importing = 0.0
        """Seconds in which pytest collected the tests, which imports the project."""
        self._files: dict[str, bytes | None] = {}
        self._nodes: list[str] = []
        self._wall = 1.0

    def look(self, place: str, text: str, path: str) -> Looked:
        """Run the tests of ``text``, which stands at ``place``, of the code at ``path`` ten times; those that fail are
        not asked later."""
        self._files = {place: text.encode()}
        self.bench.exchange(self._files)
        began = time.perf_counter()
        held = self.bench.server.hold([place], wall=_WALL, trace=[path])
        self.importing = time.perf_counter() - began
        nodes = list(held.collected)
        runs = [self.bench.server.again(_order(nodes, n), wall=_WALL, trace=n == 0) for n in range(RUNS - len(_FRESH))]
        for number in _FRESH if nodes else ():
            runs.append(self.others[number % 2].run(nodes, wall=_WALL, shuffle=number))
        red = Counter(test.node for run in runs for test in run.tests if test.red)
        seen = Counter(test.node for run in runs for test in run.tests)
        self._nodes = [node for node in nodes if not red[node] and seen[node]]
        seconds = sum(test.seconds for test in runs[0].tests) if nodes else 0.0
        self._wall = max(_EACH, 20 * seconds)
        first = runs[0].tests if nodes else ()
        return Looked(
            text,
            nodes,
            frozenset(node for node in nodes if red[node] == seen[node] or seen[node] == 0),
            frozenset(node for node in nodes if 0 < red[node] < seen[node]),
            frozenset(test.node for test in first if test.outcome == "skipped"),
            reached(self.counter, self.bench.folder, place, path) if self.counter and nodes else {},
            frozenset(line for test in first for line in test.lines.get(path, ())),
        )

    def notices(self, path: str, spoilt: Spoilt, *, import_again: bool = False) -> bool:
        """Whether a test fails with the code of ``spoilt``. ``import_again``: the change is not only of what runs when
        the function is called."""
        if not self._nodes:
            return False
        if not import_again:
            mutant = _mutant(spoilt)
            survives = self.bench.server.survives(path, mutant, self._nodes, wall=self._wall)
            if survives is not None:
                return not survives
        other = self.others[0]
        self.bench.exchange({**self._files, path: spoilt.source.encode()})
        run = other.run(self._nodes, wall=self._wall + 10.0)
        self.bench.exchange(self._files)
        return bool(run.ended or run.red or run.broken or len(run.tests) < len(self._nodes))

    def close(self) -> None:
        """End its processes."""
        for other in self.others:
            other.close()
        self.bench.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _mutant(spoilt: Spoilt) -> Mutant:
    """In the form that the test server and the search take."""
    text = SourceText(spoilt.source)
    return Mutant(
        "call", spoilt.line, 1, spoilt.before, spoilt.after, spoilt.function, spoilt.first, text, 0, 0, ""
    )  # fmt: skip


def mutants(spoilt: Sequence[Spoilt]) -> list[Mutant]:
    """All in that form."""
    return [_mutant(one) for one in spoilt]


def _order(nodes: Sequence[str], number: int) -> list[str]:
    return list(nodes) if number == 0 else random.Random(number).sample(nodes, len(nodes))


def _name(node: str) -> str:
    """That of the test function of a node of pytest."""
    return node.partition("[")[0].rpartition("::")[2]


def _tests(text: str) -> list[AnyFunction]:
    if not text:
        return []
    nodes = ast.walk(ast.parse(text))
    return [node for node in nodes if isinstance(node, AnyFunction) and node.name.startswith("test")]


def _asserts(test: AnyFunction) -> bool:
    """Whether a test states anything: an assertion, ``pytest.raises``, a testing function of a library."""
    for node in ast.walk(test):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name.startswith("assert") or name in ("raises", "warns"):
                return True
    return False


def statements(function: AnyFunction) -> set[int]:
    """First lines of its statements, without a docstring."""
    return {
        node.lineno
        for part in function.body
        for node in ast.walk(part)
        if isinstance(node, ast.stmt) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    }
