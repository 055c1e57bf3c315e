"""Tests for one function as a user gets them, what they notice, and a tenfold search where that is nothing."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

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

PYTHON = Path(sys.executable)
BUDGET = 15.0
"""Seconds that a function may take: the goal."""
TENFOLD = 10
_LEFT_OUT = "did not pass every time"
_POOL = 12.0
"""Seconds for the tenfold search of one function, each for its inputs and for the changes."""


def made(chosen: Chosen, revision: str, budget: float = BUDGET) -> Record:
    """The function with its tests, not judged yet."""
    record = Record(chosen.key, f"{chosen.project.name}:{chosen.path}", len(statements(chosen.node)), revision)
    with tempfile.TemporaryDirectory() as root:
        started, before = time.perf_counter(), _processor()
        try:
            options = Options(budget=budget, interpreter=PYTHON)
            generator = Generator(Memory(chosen.project.files), Path(root), options)
            found: Sequence[Generated] = list(generator.run([Target(chosen.path, chosen.name)]))
        except (ExecutionFailed, UnknownTarget, TimeIsUp) as error:
            found, record.why = (), str(error)
        record.seconds, record.processor = time.perf_counter() - started, _processor() - before
    for generated in found:
        record.suite.text = generated.text
        record.suite.dropped = sum(_LEFT_OUT in note for note in generated.notes)
        record.why = "" if generated.text else "; ".join(generated.notes) or "nothing was noticed"
        record.mutants = sum(result.mutants for result in generated.results)
        record.killed = sum(result.killed for result in generated.results)
    return record


def _processor() -> float:
    """Seconds of this process and of the children that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def judged(record: Record, judge: Judge, chosen: Chosen, spoilt: Sequence[Spoilt], *, import_again: bool) -> None:
    """Run the record's tests on the right code and on every change."""
    text = record.suite.text
    if text:
        dropped = record.suite.dropped
        began = time.perf_counter()
        suite, run = judge.look(test_place(chosen), text, chosen.path)
        record.importing = (time.perf_counter() - began) / 10
        suite.dropped = dropped
        wanted = statements(chosen.node)
        reached = {line for test in run.tests for line in test.lines.get(chosen.path, ())}
        suite.lines = (len(wanted & reached), len(wanted))
        record.suite = suite
    else:
        record.suite.lines = (0, len(statements(chosen.node)))
    for one in spoilt:
        noticed = bool(text) and judge.notices(chosen.path, one, import_again=import_again)
        record.verdicts.append(Verdict(one.kind, one.line, f"{one.before} → {one.after}", ours=noticed))


def test_place(chosen: Chosen) -> str:
    """Where the tests stand while they are judged: the top of the project, which every layout imports from."""
    return f"test_of_{Path(chosen.path).stem}.py"


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
        _write(Path(folder), chosen.project.files)
        with (
            Version(PYTHON, Path(folder)) as version,
            patch.object(oracles, "_ROUNDS", TENFOLD * oracles._ROUNDS),
            patch.object(oracles, "MOST", TENFOLD * oracles.MOST),
        ):
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


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
