"""The peer's turn: it makes tests of the same functions in the same time, and they are judged in the same way."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from famulus.bench.testgen_judge import Judge
from famulus.bench.testgen_keep import Keep, Module, Record
from famulus.bench.testgen_make import PYTHON, Case, test_place
from famulus.bench.testgen_pynguin import Pynguin
from famulus.lsp_server.execution.layout import Layout
from famulus.lsp_server.review.change import Memory

_AT_ONCE = 2


def measure(
    keep: Keep, part: str, listed: Sequence[Case], peer: Pynguin, counter: Path | None, seed: int
) -> None:  # fmt: skip
    """Let it make tests for the modules of all functions that were measured, and judge them."""
    records = keep.records(part)
    known = keep.modules(f"peer-{part}")
    groups = _groups([case for case in listed if case.chosen.key in records])
    todo = []
    for group in groups:
        module = known.get(key(group))
        if module is None:
            first = group[0].chosen
            name = Layout(Memory(first.project.files)).module(first.path)
            budget = sum(records[case.chosen.key].seconds for case in group)
            names = [case.chosen.name for case in group]
            answer = peer.tests(first.project.files, name[0] if name else "", names, budget, seed)
            module = Module(key(group), budget, answer.seconds, failed=answer.failed)
            module.suite.text = answer.text
            keep.add(f"peer-{part}", module)
            told = f"{module.key}: Pynguin, {answer.seconds:.1f} of {budget:.1f} s {answer.failed}"
            print(told, file=sys.stderr, flush=True)
        if not module.verdicts:
            todo.append((group, module))

    def judge(one: tuple[Sequence[Case], Module]) -> None:
        judged(*one, counter)
        keep.add(f"peer-{part}", one[1])

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(judge, todo))


def judged(group: Sequence[Case], module: Module, counter: Path | None) -> None:
    """Run its tests on the right code and on every change of each function."""
    first, text = group[0].chosen, module.suite.text
    module.verdicts = {case.chosen.key: [False] * len(case.spoilt) for case in group}
    if not text:
        return
    with Judge(first.project.files, PYTHON, counter) as judge:
        module.suite, counted, _ = judge.look(test_place(first.path), text, first.path)
        for case in group:
            name = case.chosen.name
            module.coverage[name] = counted.get(name, ((0, 0), (0, 0)))
            noticed = [judge.notices(first.path, one, import_again=case.again) for one in case.spoilt]
            module.verdicts[case.chosen.key] = list(noticed)


def merged(keep: Keep, part: str, listed: Sequence[Case]) -> list[Record]:
    """What is kept of these functions and judged, with what the peer's tests noticed."""
    records = {name: record for name, record in keep.records(part).items() if record.judged}
    for module in keep.modules(f"peer-{part}").values():
        for name, noticed in module.verdicts.items():
            verdicts = records[name].verdicts if name in records else []
            for verdict, hit in zip(verdicts, noticed, strict=False):
                verdict.peer = hit
    return [records[case.chosen.key] for case in listed if case.chosen.key in records]


def _groups(listed: Sequence[Case]) -> list[list[Case]]:
    """The functions of each module."""
    ordered = sorted(listed, key=lambda case: (case.chosen.project.name, case.chosen.path))
    return [
        list(group)
        for _, group in itertools.groupby(ordered, key=lambda case: (case.chosen.project.name, case.chosen.path))
    ]


def key(group: Sequence[Case]) -> str:
    """A name for a module with just these functions."""
    first = group[0].chosen
    return f"{first.project.name}:{first.path}:{','.join(sorted(case.chosen.name for case in group))}"
