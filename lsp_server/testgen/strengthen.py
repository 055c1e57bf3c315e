"""Makes a test notice what no test notices: an assertion about what it has in hand already, else a further case."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from famulus.lsp_server.execution.errors import ImportFailed
from famulus.lsp_server.execution.functions import functions
from famulus.lsp_server.execution.mutants import Mutant
from famulus.lsp_server.execution.rendering import expression
from famulus.lsp_server.execution.version import Version
from famulus.lsp_server.execution.workbench import Workbench
from famulus.lsp_server.review.change import decoded
from famulus.lsp_server.review.suite.collected import Test
from famulus.lsp_server.testgen import extras, selection, style
from famulus.lsp_server.testgen.aiming import Aims
from famulus.lsp_server.testgen.assertions import body
from famulus.lsp_server.testgen.clock import Clock, TimeIsUp
from famulus.lsp_server.testgen.examples import Oracle
from famulus.lsp_server.testgen.extras import Extra
from famulus.lsp_server.testgen.kills import kills
from famulus.lsp_server.testgen.placing import Insertion
from famulus.lsp_server.testgen.proof import Proof, name_of, prove
from famulus.lsp_server.testgen.purpose import Met, Purpose, lines_of, purpose

_JUDGING = 0.45
"""Part of the time in which surviving mutants are looked for."""
_LOOKING = 0.7
"""Part of the time after which nothing more is looked for; the rest is for the proof."""
_MOST = 3
"""Assertions or cases that are added at once."""
_CASES = 6
"""Cases of one function that are tried in the test."""
_WALL = 60.0
_GIVEN = re.compile(r"\b(capsys|monkeypatch|tmp_path)\b")
"""Fixtures that a test would have to be given."""

Kind = Literal["assertion", "case"]


@dataclass
class Strengthened:
    """``inserted``: the lines that make ``text`` of ``before``, empty if there are none; ``gained``: what the test
    notices with them that no test noticed before; ``why``: why there is nothing, as a sentence."""

    path: str
    before: str
    purpose: Purpose
    inserted: Sequence[Insertion] = ()
    text: str = ""
    kind: Kind | None = None
    gained: Sequence[Met] = ()
    proof: Proof | None = None
    why: str = ""


@dataclass
class Strengthener:
    """Works on tests of one version of a project. ``bench``: where its tests run."""

    bench: Workbench
    clock: Clock
    run: Literal["sandboxed", "unsafe"] = "sandboxed"
    progress: Callable[[str], None] = field(default=lambda text: None)

    def of(self, test: Test) -> Strengthened:
        """The test with what it lacks, proven by five runs. Raises :class:`ExecutionFailed`."""
        whole, started = self.clock.left, time.monotonic()
        before = decoded(self.bench.tree.read(test.path) or b"")
        with self.clock.until(started + whole * _JUDGING):
            found = purpose(self.bench, test, self.clock, progress=self.progress)
        made = Strengthened(test.path, before, found)
        if found.broken or not found.surviving:
            made.why = found.broken or _enough(found)
            return made
        if not extras.can_grow(test):
            made.why = "All of it stands in one line, so nothing can be added."
            return made
        try:
            with self.clock.until(started + whole * _LOOKING):
                chosen, kind = self._assertions(test, before, found), "assertion"
                if not chosen:
                    chosen, kind = self._cases(test, before, found), "case"
            if not chosen:
                made.why = "No assertion and no further case was found that would notice what survives."
                return made
            self._prove(made, test, chosen, "assertion" if kind == "assertion" else "case")
        except TimeIsUp:
            made.why = "The time was up before anything was proven: give more with --budget."
        return made

    def _assertions(self, test: Test, before: str, found: Purpose) -> list[Extra]:
        """Assertions about what the test has in hand."""
        self.progress("looking at what the test has in hand")
        names = {name.removesuffix(".__init__").rpartition(".")[2] for _, name in found.functions}
        text = with_lines(before, test, Extra(tuple(extras.probe(test, names))))
        self.bench.exchange({test.path: text.encode()})
        went = self.bench.server.run([found.node], wall=_WALL).tests
        offered = extras.demands(test, [result.message for result in went])
        return self._useful(test, before, found, offered)

    def _cases(self, test: Test, before: str, found: Purpose) -> list[Extra]:
        """Further calls of the functions that the test is for."""
        self.bench.exchange({})
        aims = Aims(self.bench.tree, self.bench.layout, self.clock.check)
        paths = [path for path, _ in found.functions]
        offered: list[Extra] = []
        with Version(
            self.bench.python.path, self.bench.folder, self.bench.layout.folders(paths), self.run, self.clock.check
        ) as version:
            for path, name in found.functions:
                mutants = [one.mutant for one in found.surviving if (one.path, one.mutant.function) == (path, name)]
                if mutants:
                    self.progress(f"looking for cases of {name}")
                    offered += self._of_function(aims, version, test, path, name, mutants)
        return self._useful(test, before, found, offered)

    def _of_function(
        self, aims: Aims, version: Version, test: Test, path: str, name: str, mutants: Sequence[Mutant]
    ) -> list[Extra]:
        source = decoded(self.bench.tree.read(path) or b"")
        function = functions(source)[name]
        prepared = aims.of(path, source, function, self.clock.left * 0.2)
        if prepared is None:
            return []
        aim = prepared.aim
        try:
            examples, _ = Oracle(version).examples(
                aim, prepared.inputs, seconds=self.clock.left * 0.4, unreached=prepared.unreached
            )
            noticed = kills(version, aim, examples, of=mutants, go_on=lambda: self.clock.left > 0)
        except ImportFailed:
            return []
        sizes = [float(len(example.call.text)) for example in examples]
        found: list[Extra] = []
        own = [p.name for p in function.parameters if p.kind in ("position", "either")]
        rows = decoded(self.bench.tree.read(test.path) or b"").split("\n")
        tabled = extras.table_end(test, rows) is not None
        for position in selection.cover(noticed.of, cost=sizes, most=_CASES):
            example = examples[position]
            text = body(aim, example.call, example.outcome)
            value = expression(example.outcome.value) if example.outcome.kind == "value" else ""
            row = extras.row(test, example.call, value, own) if tabled and value else None
            if row is not None:
                found.append(row)
            elif text is not None and not test.cases and not _GIVEN.search(text.text):
                found.append(Extra(text.lines, text.imports))
        return found

    def _useful(self, test: Test, before: str, found: Purpose, offered: Sequence[Extra]) -> list[Extra]:
        """The fewest of what is offered that notice the most of what survives; each is tried in a copy of the test."""
        if not offered:
            return []
        self.progress("trying what could be added")
        text, names = with_copies(before, test, offered)
        self.bench.exchange({test.path: text.encode()})
        held = self.bench.server.hold([test.path], wall=_WALL)
        nodes = [node for node in held.collected if name_of(node) in names]
        run = self.bench.server.again(nodes, wall=_WALL).tests
        bad = {name_of(one.node) for one in run if one.outcome != "passed"}
        good = [node for node in nodes if name_of(node) not in bad]
        wall = max(1.0, 20 * sum(one.seconds for one in run))
        map_of = {name: set[int]() for name in names}
        for number, met in enumerate(found.surviving):
            if not good or self.clock.left <= 0:
                break
            for node in self.bench.server.noticed(met.path, met.mutant, good, wall=wall) or ():
                map_of[name_of(node)].add(number)
        self.bench.server.release()
        sizes = [float(sum(map(len, extra.lines))) for extra in offered]
        chosen = selection.cover([map_of[name] for name in names], cost=sizes, most=_MOST)
        return [offered[n] for n in sorted(chosen)]

    def _prove(self, made: Strengthened, test: Test, chosen: Sequence[Extra], kind: Kind) -> None:
        """Put what was chosen in place, and run it."""
        self.progress("running the test five times")
        quote = style.read([made.before]).quote
        own = [replace(extra, lines=tuple(style.in_quotes(line, quote) for line in extra.lines)) for extra in chosen]
        inserted = placed_lines(made.before, test, own)
        text = with_insertions(made.before, inserted)
        name = test.name.rpartition(".")[2]
        proof = prove(self.bench, test.path, text, {name}, check=self.clock.check)
        if not proof.holds:
            made.why = "With what could be added it did not pass every time."
            return
        self.bench.exchange({test.path: text.encode()})
        held = self.bench.server.hold([test.path], wall=_WALL)
        nodes = [node for node in held.collected if node.partition("[")[0] == made.purpose.node]
        gained = [m for m in made.purpose.surviving if self.bench.server.noticed(m.path, m.mutant, nodes, wall=5.0)]
        self.bench.server.release()
        if not gained:
            made.why = "What could be added notices nothing in the test as it stands."
            return
        made.inserted, made.text, made.kind, made.gained, made.proof = inserted, text, kind, gained, proof


def _enough(found: Purpose) -> str:
    others = "" if len(found.noticed) == len(found.met) else ", or other tests do"
    return f"There is nothing to add: it notices all {len(found.met)} mutants of what it runs{others}."


def placed_lines(before: str, test: Test, chosen: Sequence[Extra]) -> list[Insertion]:
    """Where the lines come into the file, imports included."""
    rows = before.split("\n")
    space = extras.indent(test, rows)
    imports = tuple(dict.fromkeys(line for extra in chosen for line in extra.imports))
    found = extras.imported(before, imports)
    table = extras.table_end(test, rows)
    for extra in chosen:
        at = table if extra.row and table is not None else (test.node.end_lineno or test.node.lineno)
        lead = " " * (len(rows[at]) - len(rows[at].lstrip()) + 4) if extra.row else space
        found.append(Insertion(at, "".join(f"{lead}{line}\n" if line else "\n" for line in extra.lines)))
    merged: dict[int, str] = {}
    for part in found:
        merged[part.line] = merged.get(part.line, "") + part.text
    return [Insertion(line, merged[line]) for line in sorted(merged)]


def with_lines(before: str, test: Test, extra: Extra) -> str:
    """The file with lines at the end of a test."""
    return with_insertions(before, placed_lines(before, test, [extra]))


def with_insertions(before: str, inserted: Sequence[Insertion]) -> str:
    """The file with lines put in."""
    rows = [row + "\n" for row in before.removesuffix("\n").split("\n")]
    for part in sorted(inserted, key=lambda one: one.line)[::-1]:
        rows.insert(part.line, part.text)
    return "".join(rows)


def with_copies(before: str, test: Test, offered: Sequence[Extra]) -> tuple[str, list[str]]:
    """The file with a copy of the test for each extra, which has that one, and the names of the copies."""
    own, name = lines_of(test), test.name.rpartition(".")[2]
    names, copies = [], []
    for number, extra in enumerate(offered):
        grown = with_lines(before, test, Extra(extra.lines, (), extra.row))
        more = len(grown.split("\n")) - len(with_insertions(before, ()).split("\n"))
        copy = grown.split("\n")[own.start - 1 : own.stop - 1 + more]
        names.append(f"{name}_famulus_{number}")
        head = test.node.lineno - own.start + (more if extra.row else 0)
        copy[head] = copy[head].replace(f"def {name}", f"def {names[-1]}", 1)
        copies += copy
    imports = tuple(dict.fromkeys(line for extra in offered for line in extra.imports))
    parts = [Insertion(test.node.end_lineno or 0, "".join(f"{line}\n" for line in copies))]
    return with_insertions(before, [*parts, *extras.imported(before, imports)]), names
