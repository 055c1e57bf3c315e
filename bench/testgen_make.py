"""Tests for functions of a module as a user gets them, what they notice, and a tenfold search where that is nothing."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from unittest.mock import patch

from famulus.bench import processor_time
from famulus.bench.testgen_holdout import Spoilt
from famulus.bench.testgen_judge import Judge, Looked, mutants, statements
from famulus.bench.testgen_keep import Record, Suite, Verdict
from famulus.bench.testgen_sample import Chosen
from famulus.lsp_server.execution.errors import ExecutionFailed
from famulus.lsp_server.execution.functions import functions
from famulus.lsp_server.execution.layout import Layout
from famulus.lsp_server.execution.version import Version
from famulus.lsp_server.review.change import Memory
from famulus.lsp_server.testgen import examples as oracles
from famulus.lsp_server.testgen.aiming import Aims
from famulus.lsp_server.testgen.clock import TimeIsUp
from famulus.lsp_server.testgen.errors import UnknownTarget
from famulus.lsp_server.testgen.generate import Generated, Generator, Options
from famulus.lsp_server.testgen.kills import kills
from famulus.lsp_server.testgen.target import Target


@dataclass(frozen=True)
class Case:
    """A function and what is done to it. ``again``: its module has to be imported again for that; ``search``: whether
    ten times the inputs are tried where the tests notice nothing; else there is a call that shows each change."""

    chosen: Chosen
    changes: Callable[[], Sequence[Spoilt]]
    again: bool
    search: bool

    @cached_property
    def spoilt(self) -> Sequence[Spoilt]:
        """The function with each change."""
        return self.changes()


PYTHON = Path(sys.executable)
BUDGET = 15.0
"""Seconds that a function may take: the goal."""
TENFOLD = 10
_LEFT_OUT = "did not pass every time"
_POOL = 6.0
"""Seconds for the tenfold search of one function, each for its inputs and for the changes."""


@dataclass(frozen=True)
class Made:
    """Tests of functions of one module. ``names``: of the tests of each function; ``records``: one for each function,
    not judged yet."""

    text: str
    names: Mapping[str, frozenset[str]]
    records: Sequence[Record]
    seconds: float


def made(group: Sequence[Chosen], revision: str, budget: float = BUDGET) -> Made:
    """The functions of one module with their tests. ``budget``: seconds for each, all together have the sum."""
    records = {
        one.name: Record(one.key, one.path, one.name, len(statements(one.node)), revision, budget) for one in group
    }
    with tempfile.TemporaryDirectory() as root, processor_time.used() as used:
        generated, failed = _generated(group, Path(root), budget * len(group))
    names: dict[str, frozenset[str]] = {}
    for record in records.values():
        record.seconds, record.processor = used.wall / len(group), used.processor / len(group)
        record.why = failed or "nothing was noticed"
    notes = generated.notes if generated else ()
    for result in generated.results if generated else ():
        record = records[result.aim.function.name]
        own = [*result.examples, *result.properties]
        written = generated.written if generated and generated.text else ()
        names[record.name] = frozenset(w.name for w in written if any(e is o for e in w.examples for o in own))
        record.suite.dropped = sum(_LEFT_OUT in note and _test_of(record.name, note) for note in notes)
        record.mutants, record.killed = result.mutants, result.killed
        record.why = "" if names[record.name] else result.refused or "; ".join(notes) or "nothing was noticed"
    return Made(generated.text if generated else "", names, list(records.values()), used.wall)


def _test_of(function: str, note: str) -> bool:
    """Whether a note speaks of a test that has the function's name in its own."""
    return function.rpartition(".")[2].lower().strip("_") in note.partition(" ")[0].lower()


def _generated(group: Sequence[Chosen], root: Path, budget: float) -> tuple[Generated | None, str]:
    """What a user gets, or why there is nothing."""
    options = Options(budget=budget, interpreter=PYTHON)
    try:
        generator = Generator(Memory(group[0].project.files), root, options)
        for generated in generator.run([Target(one.path, one.name) for one in group]):
            return generated, ""
    except (ExecutionFailed, UnknownTarget, TimeIsUp) as error:
        return None, str(error)
    return None, ""


def judged(made: Made, judge: Judge, cases: Sequence[Case], peer: str = "") -> Looked | None:
    """Run the tests, and the peer's, on the right code and on every change; what the peer's are like."""
    path = cases[0].chosen.path
    records = {record.name: record for record in made.records}
    ours = judge.look(test_place(path), made.text, path) if made.text else None
    for case in cases:
        record, wanted = records[case.chosen.name], statements(case.chosen.node)
        dropped, record.suite = record.suite.dropped, ours.suite(made.names.get(record.name, ())) if ours else Suite()
        record.suite.dropped, record.suite.lines = dropped, (0, len(wanted))
        if ours:
            record.importing = judge.importing
            lines, branches = ours.coverage.get(record.name, ((len(wanted & ours.lines), len(wanted)), (0, 0)))
            record.suite.lines, record.suite.branches = lines, branches
        record.verdicts = [
            Verdict(one.kind, one.line, f"{one.before} → {one.after}", ours=bool(ours) and noticed(judge, case, one))
            for one in case.spoilt
        ]
    theirs = judge.look(test_place(path), peer, path) if peer else None
    if peer:
        for case in cases:
            for verdict, one in zip(records[case.chosen.name].verdicts, case.spoilt, strict=True):
                verdict.peer = noticed(judge, case, one)
    return theirs


def noticed(judge: Judge, case: Case, one: Spoilt) -> bool:
    """Whether the tests that the judge looked at last notice a change."""
    return judge.notices(case.chosen.path, one, import_again=case.again)


def pooled(record: Record, case: Case) -> None:
    """Look with ten times the inputs for what nobody noticed."""
    if not case.search:
        for verdict in record.verdicts:
            verdict.pool = True
        return
    left = [number for number, verdict in enumerate(record.verdicts) if not verdict.killable]
    for number, shown in zip(left, searched(case.chosen, [case.spoilt[n] for n in left]), strict=True):
        record.verdicts[number].pool = shown


def test_place(path: str) -> str:
    """Where the tests stand while they are judged: the top of the project, which every layout imports from."""
    return f"test_of_{Path(path).stem}.py"


@contextlib.contextmanager
def tenfold() -> Iterator[None]:
    """Inside, :func:`searched` tries ten times what the generator does."""
    rounds, most = TENFOLD * oracles._ROUNDS, TENFOLD * oracles.MOST
    with patch.object(oracles, "_ROUNDS", rounds), patch.object(oracles, "MOST", most):
        yield


def searched(chosen: Chosen, spoilt: Sequence[Spoilt]) -> list[bool]:
    """Which changes ten times the inputs notice, with the answers that a test could state."""
    if not spoilt:
        return []
    noticed = [False] * len(spoilt)
    function = functions(chosen.text).get(chosen.name)
    if function is None:
        return noticed
    project = Memory(chosen.project.files)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), chosen.project.files)
        with Version(PYTHON, Path(folder)) as version:
            try:
                prepared = Aims(project, Layout(project)).of(chosen.path, chosen.text, function, 5.0)
                if prepared is None:
                    return noticed
                examples, _ = oracles.Oracle(version).examples(prepared.aim, prepared.inputs, seconds=_POOL)
                until = time.monotonic() + _POOL
                for number, mutant in enumerate(mutants(spoilt)):
                    found = kills(version, prepared.aim, examples, of=[mutant]) if examples else None
                    noticed[number] = bool(found and found.killed)
                    if time.monotonic() > until:
                        break
            except ExecutionFailed:
                return noticed
    return noticed


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put the files of a project into a folder."""
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
