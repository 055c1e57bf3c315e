"""From targets to a test file that was proven; plain functions, no editor needed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from famulus.lsp_server.execution.errors import ExecutionFailed, ImportFailed
from famulus.lsp_server.execution.functions import Function, functions
from famulus.lsp_server.execution.inputs import Inputs
from famulus.lsp_server.execution.layout import Layout
from famulus.lsp_server.execution.testserver import Framework, NoPytest
from famulus.lsp_server.execution.version import Version
from famulus.lsp_server.execution.workbench import Workbench
from famulus.lsp_server.review.change import Tree, decoded
from famulus.lsp_server.testgen import choosing, expectation, proof, selection, wording, writing
from famulus.lsp_server.testgen.aiming import Aims, Prepared
from famulus.lsp_server.testgen.case import Aim, Example, Result
from famulus.lsp_server.testgen.clock import Clock, TimeIsUp
from famulus.lsp_server.testgen.errors import UnknownTarget
from famulus.lsp_server.testgen.examples import Oracle
from famulus.lsp_server.testgen.existing import Existing
from famulus.lsp_server.testgen.fixtures import fixtures
from famulus.lsp_server.testgen.formatting import demanded, formatted
from famulus.lsp_server.testgen.kills import Kills, kills
from famulus.lsp_server.testgen.model import Model
from famulus.lsp_server.testgen.placing import test_path
from famulus.lsp_server.testgen.properties import Properties
from famulus.lsp_server.testgen.style import Style
from famulus.lsp_server.testgen.style import read as read_style
from famulus.lsp_server.testgen.target import Target, chosen
from famulus.lsp_server.testgen.unittesting import converted
from famulus.lsp_server.testgen.writing_properties import of_properties

_EXAMPLES = 0.35
"""Part of a function's time in which answers are collected; the rest is for mutants."""
_LOOKING = 0.3
"""Part of a function's time in which the project's own calls of it are looked for."""
_SIMPLER = 0.7
"""Part of a function's time after which no simpler examples are looked for."""
_PROPER = 0.9
"""The same for properties."""
_GRACE = 0.25
"""Part of the whole time that the proof may take beyond it: without it all that was found would be lost."""
_WORDS = 0.25
"""Part of a file's time that is kept for the model, if it is asked."""
_NEIGHBOURS = 6
"""Test files that are read for the project's style."""
_PROOF = 0.2
"""Part of the whole time that is kept for the proof, at least."""
_PROOF_MOST = 0.6
"""The same, at most: it is as long as starting pytest takes."""
_NAMED = 3
"""Functions that are named in one sentence."""


@dataclass(frozen=True)
class Options:
    """``budget``: seconds in all. ``most``: tests of one function, of which a table is one. ``run``: whether a
    sandbox is demanded. ``words``: whether the model is asked for names and for what it expects."""

    budget: float = 30.0
    most: int = 5
    interpreter: Path | None = None
    run: Literal["sandboxed", "unsafe"] = "sandboxed"
    framework: Framework = "pytest"
    words: bool = False


@dataclass
class Generated:
    """The tests of one file of code. ``path``: the test file; ``before``: what it held, None for a new one; ``text``:
    what it shall hold, empty if no test was found; ``notes``: sentences for the user."""

    path: str
    before: str | None
    text: str
    results: Sequence[Result]
    proof: proof.Proof | None
    written: Sequence[writing.Written] = ()
    notes: Sequence[str] = ()
    seconds: float = 0.0


@dataclass
class Generator:
    """Makes tests for one version of a project. ``root``: the user's folder. Nothing in it is written or run."""

    tree: Tree
    root: Path
    options: Options = field(default_factory=Options)
    progress: Callable[[str], None] = lambda text: None
    check: Callable[[], None] = lambda: None

    def run(self, targets: Sequence[Target], lines: Mapping[str, frozenset[int]] | None = None) -> Iterator[Generated]:
        """The tests for each file that is named, as they are ready; ``lines``: only functions that touch these lines of
        a file.

        Raises :class:`UnknownTarget`, :class:`ExecutionFailed`, :class:`NoPytest`."""
        clock = Clock.of(self.options.budget, self.check)
        named = [(target, self._functions(target, lines)) for target in targets]
        paths = list(dict.fromkeys(target.path for target, found in named if found))
        if not paths:
            return
        try:
            bench = Workbench(
                self.tree,
                root=self.root,
                interpreter=self.options.interpreter,
                run=self.options.run,
                check=clock.check,
                framework=self.options.framework,
            )
        except NoPytest as error:
            fix = "Install it there, name another Python with --python, or take --framework unittest."
            raise NoPytest(error.message, fix=fix) from None
        except TimeIsUp:
            raise ExecutionFailed(
                "The time was up before the project's tests could be run.", fix="Give more with --budget."
            ) from None
        with bench:
            aims = Aims(self.tree, bench.layout, clock.check)
            folders = bench.layout.folders(paths)
            with Version(bench.python.path, bench.folder, folders, self.options.run, clock.check) as version:
                for number, path in enumerate(paths):
                    wanted = [f for target, found in named if target.path == path for f in found]
                    if clock.left <= 0 and number:
                        yield self._late(bench.layout, path)
                        continue
                    share = max(clock.left, 1.0) / (len(paths) - number)
                    with clock.until(time.monotonic() + share):
                        yield self._file(bench, version, aims, path, list(dict.fromkeys(wanted)), clock)

    def _functions(self, target: Target, lines: Mapping[str, frozenset[int]] | None) -> list[Function]:
        content = self.tree.read(target.path)
        if content is None:
            raise UnknownTarget(f"{target.path} is not a file of the project.", fix="Check the path.")
        found = functions(decoded(content))
        return chosen(target, found.values(), None if lines is None else lines.get(target.path, frozenset()))

    def _late(self, layout: Layout, path: str) -> Generated:
        """A file for which no time is left."""
        note = f"No time was left for {path}: give more with --budget."
        return Generated(test_path(layout, self.tree, path), None, "", (), None, notes=[note])

    def _file(
        self, bench: Workbench, version: Version, aims: Aims, path: str, wanted: Sequence[Function], clock: Clock
    ) -> Generated:
        started = time.monotonic()
        in_all = clock.left
        source = decoded(self.tree.read(path) or b"")
        place = test_path(bench.layout, self.tree, path)
        content = self.tree.read(place)
        before = None if content is None else decoded(content)
        module = bench.layout.module(path)
        if module is None:
            return Generated(place, before, "", (), None, notes=[f"{path} cannot be imported by a name."])
        if before and not writing.parses(before):
            return Generated(place, before, "", (), None, notes=[f"{place} has a syntax error: mend it first."])
        model = Model(self._for_words(in_all)) if self.options.words else None
        aims.fixtures = fixtures(self.tree, place) if self.options.framework == "pytest" else ()
        oracle = Oracle(version)
        names = {f.owner.name if f.owner else f.node.name for f in wanted}
        known = Existing(bench, path, module[0], names)
        style = self._style(bench.layout, place, before)
        results: list[Result] = []
        late: list[str] = []
        for number, function in enumerate(wanted):
            self.progress(function.name)
            importing = max(version.importing, known.importing, bench.starting / 2)
            proof_time = 2.2 * bench.starting + 4 * importing + 0.7
            kept = min(max(proof_time, _PROOF * in_all), _PROOF_MOST * in_all)
            searching = started + in_all - kept - self._for_words(in_all)
            left = (searching - time.monotonic()) / (len(wanted) - number)
            try:
                with clock.until(searching):
                    prepared = aims.of(path, source, function, left * _LOOKING)
                    if prepared is not None:
                        if model is not None:
                            prepared.inputs.add(model.calls(function))
                        others = aims.others(path, source)
                        one = self._function(known, oracle, prepared, others, left, style)
                        results.append(one)
            except TimeIsUp:
                late.append(function.name)
        known.close()
        made = self._written(bench, place, before, results, started, clock, style, model)
        hasty = [result.aim.function.name for result in results if result.untried > result.mutants]
        unasked = [result.aim.function.name for result in results if result.unasked > result.mutants / 2]
        for said, named in (
            ("No time was left for", late),
            ("There was no time for most mutants of", hasty),
            ("There was no time to run the tests that are there on most mutants of", unasked),
        ):
            if named:
                rest = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
                made.notes = [*made.notes, f"{said} {', '.join(named[:_NAMED])}{rest}: give more with --budget."]
        return made

    def _for_words(self, seconds: float) -> float:
        """Of so many seconds those in which the model is asked."""
        return min(wording.SECONDS, _WORDS * seconds) if self.options.words else 0.0

    def _style(self, layout: Layout, place: str, before: str | None) -> Style:
        """That of the file that the tests are for, else of some of the project's tests, with what its rules ask for."""
        near = [before] if before else []
        if not before:
            near = [decoded(self.tree.read(path) or b"") for path in sorted(layout.tests())[:_NEIGHBOURS]]
        style = demanded(read_style(near), self.root / place, self.root)
        return style if self.options.framework == "pytest" else replace(style, form="unittest", tables=False)

    def _function(
        self,
        tests: Existing,
        oracle: Oracle,
        prepared: Prepared,
        others: Callable[[str], Inputs | None],
        seconds: float,
        style: Style,
    ) -> Result:
        started = time.monotonic()
        aim = prepared.aim
        result = Result(aim)
        if aim.function.is_declared_only:
            result.refused = "it has no code of its own"
        elif self.options.framework == "pytest" and aim.function.how == "function" and aim.function.name[:4] == "test":
            result.refused = "pytest would take it for a test wherever it is imported"
        if result.refused:
            return result
        try:
            answered, result.refused = oracle.examples(
                aim, prepared.inputs, seconds=seconds * _EXAMPLES, unreached=prepared.unreached
            )
            examples, result.unexpected = expectation.without(aim, answered)
            if answered and not examples:
                result.refused = "all that it answers contradicts its documentation"
            if examples:
                found = kills(oracle.version, aim, examples, go_on=lambda: time.monotonic() < started + seconds)
                result.untried = found.untried
                known = None
                with contextlib.suppress(TimeIsUp):  # what was found is given, without what other tests notice
                    known = tests.killed(aim, found.mutants, seconds=max(1.0, seconds / 3))
                    result.unasked = tests.untried
                if time.monotonic() < started + seconds * _SIMPLER:
                    with contextlib.suppress(TimeIsUp):
                        examples, found = self._simpler(oracle, aim, examples, found, known or frozenset())
                result.reached = tests.reach
                self._choose(result, examples, found, known, style)
                with contextlib.suppress(TimeIsUp):
                    until = started + seconds * _PROPER
                    ask = Properties(oracle.version, aim, others, lambda: time.monotonic() < until)
                    result.properties = ask.found(found.mutants, found.killed | (known or frozenset()))
        except ImportFailed as error:
            result.refused = f"its module cannot be imported ({error.reason})"
        result.seconds = time.monotonic() - started
        return result

    def _simpler(
        self, oracle: Oracle, aim: Aim, examples: Sequence[Example], found: Kills, known: frozenset[int]
    ) -> tuple[list[Example], Kills]:
        """The examples, and simpler ones beside those that would be chosen, with what they all notice."""
        price = [selection.price(aim.function, example.call, example.outcome) for example in examples]
        chosen = selection.cover(found.of, known=known, cost=price, most=self.options.most)
        more = oracle.more(
            aim, [examples[n] for n in selection.diverse(chosen, selection.traits(examples), self.options.most)]
        )
        more, _ = expectation.without(aim, more)
        added = kills(oracle.version, aim, more, of=found.mutants)
        if added.mutants != found.mutants:
            return list(examples), found  # numbers would not mean the same
        return [*examples, *more], Kills(found.mutants, (*found.of, *added.of))

    def _choose(
        self, result: Result, examples: Sequence[Example], found: Kills, known: frozenset[int] | None, style: Style
    ) -> None:
        """The examples that add most to what the project's tests notice."""
        positions = choosing.best(result.aim, examples, found, known, self.options.most, style)
        result.examples = [examples[n] for n in positions]
        result.mutants = len(found.mutants)
        result.kills = [found.of[n] for n in positions]
        result.known = known
        if found.mutants and not found.killed and not known:
            result.examples, result.kills = (), ()
            result.refused = "no call was found that notices a change of its code"
        elif not positions:
            result.refused = "no test was found that notices more than those that are there"

    def _written(
        self,
        bench: Workbench,
        place: str,
        before: str | None,
        results: Sequence[Result],
        started: float,
        clock: Clock,
        style: Style,
        model: Model | None,
    ) -> Generated:
        """The file, without the tests that do not hold."""
        taken = writing.names_of(before) if before else set()
        written: list[writing.Written] = []
        if model is not None:
            model.limit(clock.left / 2)
        notes: list[str] = []
        for result in results:
            used = taken | {one.name for one in written}
            made = writing.write(result.aim, result.examples, used, style)
            if model is not None:
                made = model.named(result.aim, made, used)
                notes += model.surprises(result.aim, result.examples)
            used |= {one.name for one in made}
            made += of_properties(result.aim, result.properties, used, style)
            if style.form == "unittest":
                made = [plain for one in made if (plain := converted(one)) is not None]
                result.keep([example for one in made for example in one.examples])
            written += made
        notes = [f"Unexpected result: {said}." for said in notes] + (model.notes if model is not None else [])
        notes += [f"{result.aim.function.name}: {result.refused}." for result in results if result.refused]
        notes += [f"Unexpected result: {said}. No test pins it." for result in results for said in result.unexpected]
        proven = None
        text = ""
        while written:
            text = self._text(place, before, writing.headed(results, written), style)
            self.progress("running the tests five times")
            try:
                with clock.longer(_GRACE * self.options.budget):
                    proven = proof.prove(bench, place, text, {one.name for one in written}, check=clock.check)
            except TimeIsUp:
                notes.append("The time was up before the tests had been run five times: give more with --budget.")
                written = []
                break
            bad = (proven.failed | proven.flaky) & {one.name for one in written}
            if proven.holds or not bad:
                break
            notes += [f"{name} did not pass every time and was left out." for name in sorted(bad)]
            written = [one for one in written if one.name not in bad]
            for result in results:
                result.keep([example for one in written for example in one.examples])
        if proven is not None and proven.broken:
            notes.append(f"The tests could not be run: {proven.broken}.")
            written, text = [], ""
        return Generated(
            place, before, text if written else "", results, proven, written, notes, time.monotonic() - started
        )

    def _text(self, place: str, before: str | None, written: Sequence[writing.Written], style: Style) -> str:
        """The file with the tests, in the project's format."""
        file = self.root / place
        if before is None:
            return formatted(writing.module(written, style), file, self.root, style)
        tail = writing.rendered(written, style, writing.names_of(before))
        return writing.appended(before, written, "\n\n" + formatted(tail, file, self.root, style, part=True))
