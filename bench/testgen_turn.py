"""One module of ``famulus bench testgen``: tests by Famulus, by the peer in as much time, and what both notice.

Each module has a process of its own, so that what one uses is told apart and two can be at work.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from famulus.bench.testgen_judge import Judge
from famulus.bench.testgen_keep import Module, Record
from famulus.bench.testgen_make import PYTHON, Case, judged, made, pooled, tenfold
from famulus.bench.testgen_pynguin import Pynguin
from famulus.lsp_server.execution.layout import Layout
from famulus.lsp_server.review.change import Memory

AT_ONCE = 2
"""Modules, each with about one process at work."""
LEAST = 15.0
"""Seconds that the peer has for a module at least."""


@dataclass(frozen=True)
class Setting:
    """How all modules are measured. ``budget``: seconds for a function; ``peer``, ``counter``: where these are
    installed, if they shall be asked."""

    revision: str
    budget: float
    seed: int
    peer: Path | None
    counter: Path | None


def turns(modules: Sequence[Sequence[Case]], setting: Setting) -> Iterator[tuple[Sequence[Record], Module | None]]:
    """What became of each module, as it is ready."""
    # A process for each module: what is exchanged in it for the tenfold search must not reach the next one.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(AT_ONCE, mp_context=context, max_tasks_per_child=1) as pool:
        try:
            for done in as_completed([pool.submit(turn, cases, setting) for cases in modules]):
                yield done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def turn(cases: Sequence[Case], setting: Setting) -> tuple[Sequence[Record], Module | None]:
    """One module."""
    first = cases[0].chosen
    ours = made([case.chosen for case in cases], setting.revision, setting.budget)
    module = _of_peer(cases, ours.seconds, setting) if setting.peer else None
    with Judge(first.project.files, PYTHON, setting.counter) as judge:
        theirs = judged(ours, judge, cases, module.suite.text if module else "")
    if module and theirs:
        module.suite = theirs.suite()
        module.coverage = {name: theirs.coverage[name] for name in module.functions if name in theirs.coverage}
    by_name = {case.chosen.name: case for case in cases}
    with tenfold():
        for record in ours.records:
            if module:
                for verdict in record.verdicts:
                    verdict.peer = bool(verdict.peer)
            pooled(record, by_name[record.name])
    return ours.records, module


def _of_peer(cases: Sequence[Case], seconds: float, setting: Setting) -> Module:
    """The peer's tests of the module, not judged yet."""
    assert setting.peer
    first, names = cases[0].chosen, [case.chosen.name for case in cases]
    budget = max(LEAST, seconds)
    named = Layout(Memory(first.project.files)).module(first.path)
    answer = Pynguin(setting.peer).tests(first.project.files, named[0] if named else "", names, budget, setting.seed)
    module = Module(key(cases), budget, answer.seconds, answer.starting, names, failed=answer.failed)
    module.suite.text = answer.text
    return module


def grouped(listed: Sequence[Case]) -> list[list[Case]]:
    """The functions of each module, in the order in which the modules were drawn."""
    found: dict[tuple[str, str], list[Case]] = {}
    for case in listed:
        found.setdefault((case.chosen.project.name, case.chosen.path), []).append(case)
    return list(found.values())


def key(cases: Sequence[Case]) -> str:
    """A name for a module with just these functions."""
    first = cases[0].chosen
    return f"{first.project.name}:{first.path}:{','.join(sorted(case.chosen.name for case in cases))}"
