"""Why a test exists: which changes of the code it notices, and which of them no other test does."""

from __future__ import annotations

import ast
import difflib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from famulus.lsp_server.execution.functions import Function, functions
from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.execution.mutants import Mutant, equivalent, mutants
from famulus.lsp_server.execution.testserver import TestResult
from famulus.lsp_server.execution.workbench import Workbench
from famulus.lsp_server.review.change import Tree, decoded
from famulus.lsp_server.review.suite.collected import Test, collected
from famulus.lsp_server.testgen.clock import Clock, TimeIsUp
from famulus.lsp_server.testgen.errors import UnknownTarget
from famulus.lsp_server.testgen.existing import speaking
from famulus.lsp_server.testgen.target import Target

MOST = 40
"""Mutants of one function that are tried."""
_FUNCTIONS = 4
"""Functions that a test is for, at the most."""
_OTHERS = 60
"""Other tests that are run on a mutant."""
_WALL = 60.0


@dataclass(frozen=True)
class Met:
    """A mutant of a function in ``path`` that the test was run on. ``by_it``: whether it was noticed by the test;
    ``by_others``: whether by any other."""

    path: str
    mutant: Mutant
    by_it: bool
    by_others: bool

    def __str__(self) -> str:
        return f"{self.path}:{self.mutant.line}: {self.mutant}"


@dataclass
class Purpose:
    """What is known of a test so far. ``node``: ``PATH::CLASS::NAME``; ``functions``: the paths and dotted names of
    those that it is for; ``others``: how many other tests run them; ``broken``: why nothing can be said, as a
    sentence; ``complete``: whether all was tried that was meant to be."""

    node: str
    line: int
    functions: list[tuple[str, str]] = field(default_factory=list)
    met: list[Met] = field(default_factory=list)
    others: int = 0
    broken: str = ""
    complete: bool = False

    @property
    def noticed(self) -> list[Met]:
        """What it notices."""
        return [one for one in self.met if one.by_it]

    @property
    def only(self) -> list[Met]:
        """What nothing but it notices."""
        return [one for one in self.noticed if not one.by_others]

    @property
    def surviving(self) -> list[Met]:
        """What no test notices."""
        return [one for one in self.met if not one.by_it and not one.by_others]


def find(tree: Tree, target: Target) -> Test:
    """The test that is meant. Raises :class:`UnknownTarget`."""
    if not is_test(target.path):
        raise UnknownTarget(f"{target.path} is no file of tests.", fix="Write tests/test_FILE.py::test_NAME.")
    source = tree.read(target.path)
    if source is None:
        raise UnknownTarget(f"{target.path} is not a file of the project.", fix="Check the path.")
    tests = list(collected(ast.parse(decoded(source)), target.path))
    name = target.name.partition("[")[0]
    found = [t for t in tests if t.name == name or (target.line and target.line in lines_of(t))]
    found = found or [t for t in tests if name and t.name.rpartition(".")[2] == name]
    if len(found) == 1:
        return found[0]
    names = [test.name for test in tests]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if not names:
        raise UnknownTarget(f"{target.path} holds no tests.", fix="Name a file that does.")
    fix = f"Did you mean {' or '.join(near)}?" if near else f"It has {', '.join(names[:5])}."
    raise UnknownTarget(f"{target} names no single test.", fix=fix)


def lines_of(test: Test) -> range:
    """Its lines, decorators included."""
    node = test.node
    return range(min([node.lineno, *(d.lineno for d in node.decorator_list)]), (node.end_lineno or node.lineno) + 1)


def purpose(
    bench: Workbench,
    test: Test,
    clock: Clock,
    *,
    progress: Callable[[str], None] = lambda text: None,
    into: Purpose | None = None,
) -> Purpose:
    """Run a test and those that run the same functions on mutants of these; ``into`` holds what is known when this is
    interrupted. Ends when the time of ``clock`` is up.

    Raises :class:`ExecutionFailed`."""
    node = "::".join([test.path, *test.name.split(".")])
    found = into if into is not None else Purpose(node, test.node.lineno)
    try:
        _fill(bench, test, clock, progress, found)
    except TimeIsUp:
        found.broken = found.broken or (
            "" if found.met else "The time was up before it was run on a mutant: give more with --budget."
        )
    return found


def _fill(bench: Workbench, test: Test, clock: Clock, progress: Callable[[str], None], found: Purpose) -> None:
    progress("running the test")
    sources = [p for p in bench.tree.paths() if p.endswith(".py") and not is_test(p) and not p.endswith("conftest.py")]
    held = bench.server.hold([test.path], wall=_WALL, trace=sources)
    if held.broken or held.ended or held.errors:
        reason = held.broken or held.said or (held.errors[0].message if held.errors else "it did not end")
        found.broken = f"The tests in {test.path} cannot be run: {reason.splitlines()[0].rstrip('.')}."
        return
    own = [one for one in held.collected if one.partition("[")[0] == found.node]
    went = bench.server.again(own, wall=_WALL, trace=True).tests
    found.broken = _unusable(went)
    if found.broken:
        return
    touched = _functions(bench.tree, test, went)
    found.functions = [(path, function.name) for path, _, function in touched]
    if not touched:
        found.broken = "It runs no function of the project."
        return
    progress("running the tests beside it")
    files = _beside(bench, touched, test.path)
    held = bench.server.hold(files, wall=_WALL, trace={path for path, _, _ in touched})
    own = [one for one in held.collected if one.partition("[")[0] == found.node]
    wanted = [one for one in held.collected if one not in own][: 10 * _OTHERS]
    runs = bench.server.again(wanted, wall=max(2.0, clock.left / 4), trace=True).tests
    beside = [one for one in runs if one.outcome == "passed"]
    wall = max(1.0, 20 * sum(one.seconds for one in went))
    reaching = {
        (path, function.name): [one for one in beside if _body(function) & one.lines.get(path, frozenset())][:_OTHERS]
        for path, _, function in touched
    }
    found.others = len({one.node for tests in reaching.values() for one in tests})
    for path, name, mutant in _rounds(touched):
        clock.check()
        progress(f"a mutant of {name}")
        noticed = bench.server.noticed(path, mutant, own, wall=wall)
        if noticed is None:
            continue
        nodes = [one.node for one in reaching[path, name]]
        limit = max(1.0, 20 * sum(one.seconds for one in reaching[path, name]))
        others = bool(nodes) and bench.server.survives(path, mutant, nodes, wall=limit) is False
        found.met.append(Met(path, mutant, bool(noticed), others))
    bench.server.release()
    found.complete = True


def _unusable(went: Sequence[TestResult]) -> str:
    """Why a test cannot be judged, as a sentence."""
    if not went:
        return "pytest does not run it."
    red = next((one for one in went if one.red), None)
    if red is not None:
        return f"It fails already: {red.type}{': ' if red.message else ''}{(red.message.splitlines() or [''])[0]}."
    return "It is skipped." if all(one.outcome == "skipped" for one in went) else ""


Touched = tuple[str, str, Function]
"""Path, source, function."""


def _functions(tree: Tree, test: Test, went: Sequence[TestResult]) -> list[Touched]:
    """The functions of the project that a test is for: those that it names, else those of which it runs the most."""
    lines: dict[str, set[int]] = {}
    for result in went:
        for path, those in result.lines.items():
            lines.setdefault(path, set()).update(those)
    found: list[tuple[bool, int, Touched]] = []
    for path, reached in lines.items():
        source = decoded(tree.read(path) or b"")
        for function in functions(source).values():
            if count := len(_body(function) & reached):
                found.append((_named(function, test.names), -count, (path, source, function)))
    named = any(one[0] for one in found)
    chosen = sorted((one for one in found if one[0] or not named), key=lambda one: (one[1], one[2][:1]))
    return [touched for _, _, touched in chosen[:_FUNCTIONS]]


def _named(function: Function, names: Iterable[str]) -> bool:
    word = function.node.name
    if function.owner is not None and word.startswith("__"):
        word = function.owner.name
    return word in set(names)


def _body(function: Function) -> frozenset[int]:
    return frozenset(function.lines) - {function.lines.start}


def _beside(bench: Workbench, touched: Sequence[Touched], path: str) -> list[str]:
    """The files whose tests may run the same functions; that of the test first."""
    files: dict[str, None] = {path: None}
    names: Mapping[str, set[str]] = {}
    for code, _, function in touched:
        names = {**names, code: names.get(code, set()) | {function.owner.name if function.owner else function.name}}
    for code, words in names.items():
        module = bench.layout.module(code)
        if module is not None:
            files |= dict.fromkeys(speaking(bench, module[0], words))
    return list(files)


def _rounds(touched: Sequence[Touched]) -> Iterator[tuple[str, str, Mutant]]:
    """Mutants: the first of each function, then the second of each."""
    rows = []
    for path, source, function in touched:
        found = [m for m in mutants(source, function.lines) if m.function == function.name]
        found = [mutant for mutant in found if not equivalent(source, mutant.source)]
        step = max(1.0, len(found) / MOST)
        some = [found[int(n * step)] for n in range(min(MOST, len(found)))]
        rows.append([(path, function.name, mutant) for mutant in some])
    for row in itertools.zip_longest(*rows):
        yield from (one for one in row if one is not None)


def told(found: Purpose) -> str:
    """What a reader wants to know, as Markdown."""
    name = found.node.rpartition("::")[2]
    if found.broken and not found.met:
        return f"Nothing can be said of `{name}`: {found.broken[0].lower()}{found.broken[1:]}"
    functions = " and ".join(f"`{function}`" for _, function in found.functions)
    tried, noticed, only = len(found.met), len(found.noticed), len(found.only)
    lines = [f"`{name}` notices {noticed} of {tried} small changes to {functions}."]
    if not noticed:
        lines.append("It would pass if the code were wrong in any of these ways.")
    elif only:
        lines += [f"Without it nobody would notice {only if only > 1 else 'this one'}:", ""]
        lines += [f"- {one}" for one in found.only]
    else:
        what = "It is" if noticed == 1 else "Each of them is"
        lines.append(f"{what} noticed by another test as well ({found.others} run the same code).")
    if found.surviving:
        rest = len(found.surviving)
        lines += ["", f"No test at all notices {rest if rest > 1 else 'this one'}:", ""]
        lines += [f"- {one}" for one in found.surviving]
    if not found.complete:
        lines += ["", "The time was up before all changes were tried."]
    return "\n".join(lines)
