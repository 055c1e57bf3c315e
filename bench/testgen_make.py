"""Tests for one function as a user gets them, what they notice, and a tenfold search where that is nothing."""

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
from famulus.bench.testgen_judge import Judge, mutants, statements
from famulus.bench.testgen_keep import Record, Verdict
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
_POOL = 12.0
"""Seconds for the tenfold search of one function, each for its inputs and for the changes."""


def made(chosen: Chosen, revision: str, budget: float = BUDGET) -> Record:
    """The function with its tests, not judged yet."""
    record = Record(chosen.key, chosen.path, chosen.name, len(statements(chosen.node)), revision, budget)
    with tempfile.TemporaryDirectory() as root:
        with processor_time.used() as used:
            found = _generated(chosen, Path(root), budget, record)
        record.seconds, record.processor = used.wall, used.processor
    for generated in found:
        record.suite.text = generated.text
        record.suite.dropped = sum(_LEFT_OUT in note for note in generated.notes)
        record.why = "" if generated.text else "; ".join(generated.notes) or "nothing was noticed"
        record.mutants = sum(result.mutants for result in generated.results)
        record.killed = sum(result.killed for result in generated.results)
    return record


def _generated(chosen: Chosen, root: Path, budget: float, record: Record) -> Sequence[Generated]:
    """What a user gets, or a note in the record of why there is nothing."""
    options = Options(budget=budget, interpreter=PYTHON)
    try:
        generator = Generator(Memory(chosen.project.files), root, options)
        return list(generator.run([Target(chosen.path, chosen.name)]))
    except (ExecutionFailed, UnknownTarget, TimeIsUp) as error:
        record.why = str(error)
        return ()


def judged(record: Record, judge: Judge, case: Case) -> None:
    """Run the record's tests on the right code and on every change."""
    chosen, text, dropped = case.chosen, record.suite.text, record.suite.dropped
    wanted = statements(chosen.node)
    record.suite.lines = (0, len(wanted))
    if text:
        suite, counted, lines = judge.look(test_place(chosen.path), text, chosen.path)
        record.importing = judge.importing
        suite.dropped = dropped
        suite.lines, suite.branches = counted.get(chosen.name, ((len(wanted & lines), len(wanted)), (0, 0)))
        record.suite = suite
    noticed = [bool(text) and judge.notices(chosen.path, one, import_again=case.again) for one in case.spoilt]
    record.verdicts = [
        Verdict(one.kind, one.line, f"{one.before} → {one.after}", ours=hit)
        for one, hit in zip(case.spoilt, noticed, strict=True)
    ]
    left = [number for number, hit in enumerate(noticed) if not hit]
    if not case.search:
        for verdict in record.verdicts:
            verdict.pool = True
    else:
        for number, shown in zip(left, searched(chosen, [case.spoilt[n] for n in left]), strict=True):
            record.verdicts[number].pool = shown
    record.judged = True


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
