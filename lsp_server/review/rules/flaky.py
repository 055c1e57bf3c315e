"""New and changed tests that pass and fail with the same code."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from famulus.lsp_server.execution.interpreter import located
from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.execution.testserver import NoPytest, TestResult, TestServer
from famulus.lsp_server.execution.workbench import Workbench
from famulus.lsp_server.review.change import FileChange
from famulus.lsp_server.review.finding import Certainty, Finding, Grade, Place, Proof
from famulus.lsp_server.review.narrowing import Narrowing, Suspect, Verdict
from famulus.lsp_server.review.rule import Context, Rule, Stage, TimeUp
from famulus.lsp_server.review.rules.flaky_kept import Outcomes

SEEDS = (1, 2)
"""Of the hashes."""
RUNS: tuple[tuple[int, int | None, bool], ...] = (
    (1, None, False), (2, None, True), (2, 1, False), (1, 1, True), (2, 2, False),
)  # fmt: skip
"""Seed, shuffle and whether from behind: any two tests are run in both orders. Each has random numbers of its own."""
MOST_TESTS = 200
SEED_OF_HASHES = "on the seed of the hashes (most likely the order of a set)"
_REPEATS = 2  # after the run that is known
_SHORTEST = 3  # runs without which nothing is said on the tests
_CAUSES = (
    ("random numbers", re.compile(r"\brandom\b|\brandint\b|\bshuffle\b|\buuid|\bsecrets\b|\brng\b|\bfaker?\b")),
    ("the clock", re.compile(r"\btime\b|\bsleep\b|\bnow\(|\btoday\(|\bperf_counter\b|\bmonotonic\b|\btimeout\b")),
    ("threads or processes", re.compile(r"\b[Tt]hread|\basyncio\b|\bsubprocess\b|\bmultiprocessing\b|\bfutures\b")),
)
"""What a test that is different each time usually depends on, by words in its source."""


@dataclass(frozen=True)
class NewTest:
    """A test function that is new or changed. ``name``: as in the ids of pytest, with its class."""

    path: str
    name: str
    line: int
    source: str
    new: bool

    def stands_for(self, node: str) -> bool:
        """Whether a test of pytest is this function, or one of its cases."""
        return node == f"{self.path}::{self.name}" or node.startswith(f"{self.path}::{self.name}[")


@dataclass(frozen=True)
class OneRun:
    """One run of the tests: with which seed, in which order, and how they went."""

    seed: int
    order: tuple[str, ...]
    results: dict[str, TestResult] = field(hash=False)


class Flaky:
    """The rule."""

    name = "flaky"
    title = "new tests that do not always pass"
    stage = Stage.RUN

    def idle(self, context: Context) -> bool:
        """Without new or changed tests there is nothing to run."""
        return not any(is_test(file.path) and file.new is not None for file in context.change.python())

    def check(self, context: Context) -> Iterator[Finding]:
        """Tests that both passed and failed."""
        tests = [test for file in context.change.python() for test in changed_tests(file, context.neutral)][:MOST_TESTS]
        if not tests or context.run_code == "no":
            return
        path, _ = located(context.root, context.interpreter)
        kept = Outcomes(context, path, tests) if context.run_code == "sandboxed" else None
        known = kept.known() if kept is not None else None
        if known is None:
            known = yield from self._run(context, tests)
            if kept is not None and known is not None:
                kept.keep(known)
        else:
            yield from known

    def _run(self, context: Context, tests: Sequence[NewTest]) -> Generator[Finding, None, list[Finding] | None]:
        """The findings; at the end all of them, or None if something was left out."""
        context.progress(f"Running {len(tests)} new or changed tests {len(RUNS)} times")
        assert context.run_code != "no"
        told = len(context.left_out)
        found: list[Finding] = []
        try:
            with (
                Workbench(
                    context.change.new,
                    root=context.root,
                    interpreter=context.interpreter,
                    run=context.run_code,
                    seed=SEEDS[0],
                    check=context.clock.check,
                ) as bench,
                ExitStack() as stack,
            ):
                servers = {SEEDS[0]: bench.server}
                for seed in SEEDS[1:]:
                    servers[seed] = stack.enter_context(bench.another(seed))
                looking = _found(context, servers, tests)
                while True:
                    try:
                        found.append(next(looking))
                    except StopIteration as end:
                        return found if end.value and len(context.left_out) == told else None
                    yield found[-1]
        except NoPytest as error:
            context.left_out.append(f"The tests were not run: {error}")
        return None


def changed_tests(file: FileChange, neutral: dict[str, frozenset[int]]) -> Iterator[NewTest]:
    """The test functions of a test file that a change touches."""
    if file.new is None or not is_test(file.path):
        return
    try:
        tree = ast.parse(file.new_text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    lines = file.changed_new_lines - neutral.get(file.path, frozenset())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for prefix, body in (("", tree.body), *((f"{node.name}::", node.body) for node in classes)):
        for node in body:
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or not node.name.startswith("test"):
                continue
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            span = range(first, (node.end_lineno or node.lineno) + 1)
            if not lines.isdisjoint(span):
                source = ast.get_source_segment(file.new_text, node) or ""
                new = all(line in file.changed_new_lines for line in span)
                yield NewTest(file.path, f"{prefix}{node.name}", node.lineno, source, new)


def _found(
    context: Context, servers: dict[int, TestServer], tests: Sequence[NewTest]
) -> Generator[Finding, None, bool]:
    """Gives at the end whether all runs came to their end."""
    files = list(dict.fromkeys(test.path for test in tests))
    runs: list[OneRun] = []
    trouble = ""
    try:
        for chance, (seed, shuffle, reverse) in enumerate(RUNS, 1):
            wall = min(context.clock.left / 2, 120.0)
            run = servers[seed].run(files, wall=wall, shuffle=shuffle, reverse=reverse, chance=chance)
            if run.ended or not run.tests:
                trouble = run.said or (run.errors[0].message if run.errors else "")
                break
            runs.append(OneRun(seed, run.collected, {result.node: result for result in run.tests}))
    except TimeUp:
        pass
    if len(runs) < _SHORTEST:
        why = f" ({trouble})" if trouble else ""
        context.left_out.append(
            f"Whether new tests are flaky was not seen: {len(runs)} of {len(RUNS)} runs came to an end{why}."
        )
        return False
    for test in tests:
        nodes = sorted({node for run in runs for node in run.results if test.stands_for(node)})
        for node in nodes:
            outcomes = [run.results[node].outcome for run in runs if node in run.results]
            if "passed" in outcomes and any(outcome in ("failed", "error") for outcome in outcomes):
                cause = ""
                try:
                    cause = _Cause(servers, runs, node, test).words()
                except TimeUp:
                    context.left_out.append(f"Why {node} is flaky was not found out in the time there was.")
                ordinary = not test.new and cause.startswith("on the order")  # it did before the change as well
                yield _finding(test, node, runs, cause, "possible" if ordinary else "certain")
                break
    return len(runs) == len(RUNS)


@dataclass
class _Cause:
    """Finds out what it depends on whether a test passes."""

    servers: dict[int, TestServer]
    runs: Sequence[OneRun]
    node: str
    test: NewTest
    chances: Iterator[int] = field(default_factory=lambda: itertools.count(len(RUNS) + 1))

    def words(self) -> str:
        """As the end of a sentence; empty if it was not found out."""
        bad = next(run for run in self.runs if run.results[self.node].red)
        good = next(run for run in self.runs if run.results[self.node].outcome == "passed")
        if self._always(bad.seed, bad.order) is not True or self._always(good.seed, good.order) is not False:
            return self._by_words()
        if self._always(good.seed, bad.order) is False:
            return SEED_OF_HASHES
        if self._always(bad.seed, good.order) is False:
            return "on the order of the tests" + self._neighbour(bad, good)
        return self._by_words()

    def _always(self, seed: int, order: Sequence[str]) -> bool | None:
        """Whether it fails each time like this; None if it does not always do the same."""
        seen = {self._red(seed, order) for _ in range(_REPEATS)}
        return seen.pop() if len(seen) == 1 else None

    def _red(self, seed: int, order: Sequence[str]) -> bool:
        result = self.servers[seed].run(order, ordered=True, chance=next(self.chances)).of(self.node)
        return result is not None and result.red

    def _neighbour(self, bad: OneRun, good: OneRun) -> str:
        """Which other test makes it fail by running before, or is needed before."""
        alone = self._red(bad.seed, [self.node])
        order = good.order if alone else bad.order
        before = order[: order.index(self.node)]
        if not before:
            return ""

        def ask(chosen: frozenset[str]) -> Verdict:
            names = [name for name in before if name in chosen]
            return "fails" if self._red(bad.seed, [*names, self.node]) is not alone else "passes"

        found = Narrowing(ask).culprits([Suspect(name) for name in before])
        names = ", ".join(name.rpartition("::")[2] for name in found)
        return f": it passes only after {names}" if alone else f": it fails after {names}"

    def _by_words(self) -> str:
        found = next((cause for cause, words in _CAUSES if words.search(self.test.source)), "")
        return f"on {found}" if found else ""


def _finding(test: NewTest, node: str, runs: Sequence[OneRun], cause: str, certainty: Certainty) -> Finding:
    results = [(run, run.results[node]) for run in runs if node in run.results]
    red = [result for _, result in results if result.red]
    short = node.rpartition("::")[2]
    depends = f", depending {cause}" if cause else ""
    told = ", ".join(f"{'fails' if result.red else 'passes'} (hash seed {run.seed})" for run, result in results)
    said = red[0].message.splitlines()[0][:120] if red[0].message else red[0].type
    return Finding(
        rule="flaky",
        message=f"{short} is flaky: with the same code it failed in {len(red)} of {len(results)} runs{depends}.",
        grade=Grade.MEASURED,
        certainty=certainty,
        place=Place(path=test.path, line=test.line, symbol=test.name.replace("::", ".")),
        key=f"{test.path} {test.name}",
        proof=Proof(
            kind="runs",
            text=f"in different orders: {told}\n{red[0].type}: {said}",
            data={
                "test": node,
                "failed": len(red),
                "cause": cause,
                "runs": [{"seed": run.seed, "outcome": result.outcome} for run, result in results],
            },
        ),
    )


RULE: Rule = Flaky()
