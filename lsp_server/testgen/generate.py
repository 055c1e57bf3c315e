"""From targets to a test file that was proven; plain functions, no editor needed."""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from famulus.lsp_server.execution.constructors import Constructors
from famulus.lsp_server.execution.errors import ImportFailed
from famulus.lsp_server.execution.functions import Function, functions
from famulus.lsp_server.execution.inputs import Inputs, vocabulary
from famulus.lsp_server.execution.layout import Layout
from famulus.lsp_server.execution.mining import Mine, top_names
from famulus.lsp_server.execution.version import Version
from famulus.lsp_server.execution.workbench import Workbench
from famulus.lsp_server.review.change import Tree, decoded
from famulus.lsp_server.testgen import existing, proof, selection, writing
from famulus.lsp_server.testgen.case import Aim, Example, Result
from famulus.lsp_server.testgen.errors import UnknownTarget
from famulus.lsp_server.testgen.examples import Oracle
from famulus.lsp_server.testgen.kills import Kills, kills
from famulus.lsp_server.testgen.style import Style
from famulus.lsp_server.testgen.style import read as read_style
from famulus.lsp_server.testgen.target import Target, chosen

_EXAMPLES = 0.35
"""Part of a function's time in which answers are collected; the rest is for mutants."""
_SIMPLER = 0.7
"""Part of a function's time after which no simpler examples are looked for."""
_NEIGHBOURS = 6
"""Test files that are read for the project's style."""
_PROOF = 0.2
"""Part of the whole time that is kept for the proof."""


@dataclass(frozen=True)
class Options:
    """``budget``: seconds in all. ``most``: examples for one function. ``run``: whether a sandbox is demanded."""

    budget: float = 30.0
    most: int = 5
    interpreter: Path | None = None
    run: Literal["sandboxed", "unsafe"] = "sandboxed"


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
        started = time.monotonic()
        named = [(target, self._functions(target, lines)) for target in targets]
        paths = list(dict.fromkeys(target.path for target, found in named if found))
        if not paths:
            return
        with Workbench(
            self.tree, root=self.root, interpreter=self.options.interpreter, run=self.options.run, check=self.check
        ) as bench:
            folders = bench.layout.folders(paths)
            with Version(bench.python.path, bench.folder, folders, self.options.run, self.check) as version:
                for number, path in enumerate(paths):
                    wanted = [f for target, found in named if target.path == path for f in found]
                    left = self.options.budget - (time.monotonic() - started)
                    share = max(left, 1.0) / (len(paths) - number)
                    yield self._file(bench, version, path, list(dict.fromkeys(wanted)), share)

    def _functions(self, target: Target, lines: Mapping[str, frozenset[int]] | None) -> list[Function]:
        content = self.tree.read(target.path)
        if content is None:
            raise UnknownTarget(f"{target.path} is not a file of the project.", fix="Check the path.")
        found = functions(decoded(content))
        return chosen(target, found.values(), None if lines is None else lines.get(target.path, frozenset()))

    def _file(
        self, bench: Workbench, version: Version, path: str, wanted: Sequence[Function], seconds: float
    ) -> Generated:
        started = time.monotonic()
        deadline = started + seconds * (1 - _PROOF)
        source = decoded(self.tree.read(path) or b"")
        found = bench.layout.module(path)
        place = test_path(bench.layout, self.tree, path)
        content = self.tree.read(place)
        before = None if content is None else decoded(content)
        if found is None:
            return Generated(place, before, "", (), None, notes=[f"{path} cannot be imported by a name."])
        if before and not writing.parses(before):
            return Generated(place, before, "", (), None, notes=[f"{place} has a syntax error: mend it first."])
        oracle, mine, names = Oracle(version), Mine(self.tree), top_names(source)
        results = []
        for number, function in enumerate(wanted):
            self.progress(function.name)
            constructors = self._constructors(bench.layout, path, source, function)
            calls = mine.of(function, path, names).calls
            inputs = Inputs(function, constructors, constructors.words, found=calls)
            aim = Aim(path, found[0], source, function, tuple(constructors.imports))
            left = max(deadline - time.monotonic(), 0.5) / (len(wanted) - number)
            results.append(self._function(bench, oracle, aim, inputs, left))
        return self._written(bench, place, before, results, started)

    def _style(self, layout: Layout, before: str | None) -> Style:
        """That of the file that the tests are for, else of some of the project's test files."""
        if before:
            return read_style([before])
        return read_style(decoded(self.tree.read(path) or b"") for path in sorted(layout.tests())[:_NEIGHBOURS])

    def _constructors(self, layout: Layout, path: str, source: str, function: Function) -> Constructors:
        def find(name: str, importer: str) -> tuple[str, str, str] | None:
            known = layout.found(name, importer)
            content = self.tree.read(known[0]) if known else None
            return (known[0], decoded(content), known[1]) if known and content is not None else None

        return Constructors(path, source, vocabulary(function.node), find)

    def _function(self, bench: Workbench, oracle: Oracle, aim: Aim, inputs: Inputs, seconds: float) -> Result:
        started = time.monotonic()
        result = Result(aim)
        try:
            examples, result.refused = oracle.examples(aim, inputs, seconds=seconds * _EXAMPLES)
            if examples:
                found = kills(oracle.version, aim, examples, go_on=lambda: time.monotonic() < started + seconds)
                known = existing.killed(bench, aim, found.mutants, seconds=max(1.0, seconds / 3))
                if time.monotonic() < started + seconds * _SIMPLER:
                    examples, found = self._simpler(oracle, aim, examples, found, known or frozenset())
                self._choose(result, examples, found, known)
        except ImportFailed as error:
            result.refused = f"its module cannot be imported ({error.reason})"
        result.seconds = time.monotonic() - started
        return result

    def _simpler(
        self, oracle: Oracle, aim: Aim, examples: Sequence[Example], found: Kills, known: frozenset[int]
    ) -> tuple[list[Example], Kills]:
        """The examples, and simpler ones beside those that would be chosen, with what they all notice."""
        price = [selection.price(example.call, example.outcome) for example in examples]
        chosen = selection.cover(found.of, known=known, cost=price, most=self.options.most)
        more = oracle.more(aim, [examples[n] for n in selection.diverse(chosen, _traits(examples), self.options.most)])
        added = kills(oracle.version, aim, more, of=found.mutants)
        if added.mutants != found.mutants:
            return list(examples), found  # numbers would not mean the same
        return [*examples, *more], Kills(found.mutants, (*found.of, *added.of))

    def _choose(self, result: Result, examples: Sequence[Example], found: Kills, known: frozenset[int] | None) -> None:
        """The examples that add most to what the project's tests notice."""
        already = known or frozenset()
        price = [selection.price(example.call, example.outcome) for example in examples]
        cover = selection.cover(found.of, known=already, cost=price, most=self.options.most)
        most = self.options.most if known is None else len(cover)
        worth = [_richness(example) for example in examples]
        rich = selection.rich(cover, found.of, worth, price, most)
        positions = selection.diverse(rich, _traits(examples), most, order=price)
        result.examples = [examples[n] for n in positions]
        result.mutants = len(found.mutants)
        result.killed_before = None if known is None else len(known)
        result.killed = len(already.union(*(found.of[n] for n in positions)) if positions else already)
        if not positions:
            result.refused = "the tests that are there notice all that other tests could"

    def _written(
        self, bench: Workbench, place: str, before: str | None, results: Sequence[Result], started: float
    ) -> Generated:
        """The file, without the tests that do not hold."""
        taken = writing.names_of(before) if before else set()
        style = self._style(bench.layout, before)
        written: list[writing.Written] = []
        for result in results:
            used = taken | {one.name for one in written}
            written += writing.headed(result, writing.write(result.aim, result.examples, used, style))
        if before is not None:  # nothing else in the file may change, so they are formatted alone
            written = [replace(one, text=writing.formatted(one.text, self.root / place)) for one in written]
        notes = [f"{result.aim.function.name}: {result.refused}." for result in results if result.refused]
        proven = None
        text = ""
        while written:
            text = writing.module(written) if before is None else writing.appended(before, written)
            if before is None:
                text = writing.formatted(text, self.root / place)
            self.progress("running the tests five times")
            proven = proof.prove(bench, place, text, check=self.check)
            bad = (proven.failed | proven.flaky) & {one.name for one in written}
            if proven.holds or not bad:
                break
            notes += [f"{name} did not pass every time and was left out." for name in sorted(bad)]
            written = [one for one in written if one.name not in bad]
        if proven is not None and proven.broken:
            notes.append(f"The tests could not be run: {proven.broken}.")
            written, text = [], ""
        return Generated(
            place, before, text if written else "", results, proven, written, notes, time.monotonic() - started
        )


def _richness(example: Example) -> float:
    """How much of the function an example shows; 0 for those that a reader would wonder about."""
    strange = not example.call.text.isascii() or "\\" in example.call.text
    if example.outcome.kind != "value" or strange:
        return 0.0
    text = "".join(example.call.expressions)
    different = len(set(re.findall(r"\w+", text))) / 10 + (text != text.lower()) / 10
    return len(example.outcome.lines) + min(different, 0.6) + min(len(example.outcome.shown()), 30) / 100


def _traits(examples: Sequence[Example]) -> list[frozenset[object]]:
    """What tells the kinds of answer apart: the exception, or the lines that were run, the parameters that are given,
    and the values that have no other like them."""
    found: list[frozenset[object]] = []
    for example in examples:
        call, outcome = example.call, example.outcome
        plain = str(outcome.value[1]) if outcome.value[:1] in (["bool"], ["const"]) else ""
        given = (len(call.args), *(name for name, _ in call.kwargs))
        found.append(
            frozenset({outcome.exception, outcome.lines} if outcome.exception else {outcome.lines, plain, given})
        )
    return found


def test_path(layout: Layout, tree: Tree, path: str) -> str:
    """Where the tests of the module at ``path`` stand, or would: beside other tests of it, in ``tests``, beside it."""
    name = f"test_{posixpath.basename(path)}"
    package = posixpath.basename(posixpath.dirname(path)).encode()
    named = [p for p in layout.tests() if posixpath.basename(p) in (name, name[5:-3] + "_test.py")]
    here = posixpath.dirname(path)
    # Others have modules of this name as well.
    named = [p for p in named if posixpath.dirname(p) == here or package in (tree.read(p) or b"")]
    if named:
        folder = here.split("/")
        return max(named, key=lambda p: (len(set(p.split("/")) & set(folder)), -len(p), p))
    module = layout.module(path)
    apart = module is not None and module[1] not in ("", *layout.declared)  # a file in tests/ could not import it
    if not apart and any(p.startswith("tests/") for p in tree.paths()):
        return f"tests/{name}"
    return posixpath.join(here, name)
