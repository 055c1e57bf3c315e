"""Which test of the new side is the version of which test of the old one, over all files of a change."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from famulus.lsp_server.review.change import Change, FileChange, parsed
from famulus.lsp_server.review.equality.canonical import Definition, Function
from famulus.lsp_server.review.suite.collected import Test, collected, is_test_file, names_in

_EMPTY = ast.Module([], [])
_ALIKE = 0.5
"""Part of a test's demands that another must have to be called its new version."""


@dataclass
class TestFile:
    """A changed file with tests. A side that is not there, or cannot be parsed, is an empty tree."""

    __test__ = False

    file: FileChange
    old: ast.Module
    new: ast.Module
    readable: bool

    @cached_property
    def old_tests(self) -> list[Test]:
        """The tests before."""
        return list(collected(self.old, self.file.path))

    @cached_property
    def new_tests(self) -> list[Test]:
        """The tests now."""
        return list(collected(self.new, self.file.path))


@dataclass
class Suite:
    """The tests that a change touches. ``pairs``: old and new version; ``gone``, ``come``: those without another."""

    change: Change
    files: list[TestFile] = field(default_factory=list)
    pairs: list[tuple[Test, Test]] = field(default_factory=list)
    gone: list[Test] = field(default_factory=list)
    come: list[Test] = field(default_factory=list)

    @cached_property
    def lost_names(self) -> frozenset[str]:
        """Identifiers that the changed files of the program no longer have: what they named was taken away."""
        old: set[str] = set()
        new: set[str] = set()
        for file in self.change.python():
            if not is_test_file(file.path):
                old |= names_in(file.old_tree or _EMPTY)
                new |= names_in(file.new_tree or _EMPTY)
        return frozenset(old - new)

    @cached_property
    def gained(self) -> Counter[str]:
        """Demands that some test now has and had not before, wherever they were before."""
        before = Counter(d.text for f in self.files for t in f.old_tests for d in t.demands)
        now = Counter(d.text for f in self.files for t in f.new_tests for d in t.demands)
        return now - before

    @cached_property
    def helpers(self) -> frozenset[str]:
        """Functions of the test files, no tests, that assert something."""
        found = set()
        for file in self.files:
            for node in ast.walk(file.new):
                if isinstance(node, Function) and Test(node.name, node, "").demands:
                    found.add(node.name)
        return frozenset(found)

    @cached_property
    def new_functions(self) -> frozenset[str]:
        """Functions and classes that the change adds, anywhere."""
        old: set[str] = set()
        new: set[str] = set()
        for file in self.change.python():
            for tree, found in ((file.old_tree, old), (file.new_tree, new)):
                found.update(n.name for n in ast.walk(tree or _EMPTY) if isinstance(n, Definition))
        return frozenset(new - old)

    @cached_property
    def bases(self) -> dict[str, set[str]]:
        """The classes that the changed files define, with the last names of their bases."""
        found: dict[str, set[str]] = {}
        for file in self.change.python():
            for node in ast.walk(file.new_tree or _EMPTY):
                if isinstance(node, ast.ClassDef):
                    found[node.name] = {ast.unparse(b).rpartition(".")[2] for b in node.bases}
        return found

    def file(self, test: Test) -> FileChange:
        """The file of a test."""
        return next(f.file for f in self.files if f.file.path == test.path)


def suite(change: Change) -> Suite:
    """Reads the changed test files and pairs their tests."""
    made = Suite(change)
    for file in change.python():
        if is_test_file(file.path) or is_test_file(file.old_path or ""):
            old, new = file.old_tree, file.new_tree
            made.files.append(TestFile(file, old or _EMPTY, new or _EMPTY, old is not None and new is not None))
    made.files = [f for f in made.files if f.readable]
    gone = [t for f in made.files for t in f.old_tests]
    come = [t for f in made.files for t in f.new_tests]
    for key in _KEYS:
        gone, come = _pair(made, gone, come, key)
    made.gone, made.come = _pair_alike(made, gone, come)
    return made


def subject(change: Change, old: ast.Module, test: Test) -> str:
    """A name that a test takes from the project and that the new version still defines; empty if none is found."""
    paths = change.new.paths()
    for node in ast.walk(old):
        for module, name in _imported(node):
            if (name or module.rpartition(".")[2]) not in test.names:
                continue
            parts = [p for p in module.split(".") if p]
            found = [p for p in paths if parts and _is_module(p, parts) and not is_test_file(p)]
            for path in found:
                text = (change.new.read(path) or b"").decode("utf-8", "replace")
                defined = names_in(parsed(text) or _EMPTY)
                if name in defined:
                    return name
                used = defined & test.called if not name else frozenset()
                if used:
                    return min(used)
    return ""


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            yield node.module, alias.name
            yield f"{node.module}.{alias.name}", ""
    elif isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, ""


def _is_module(path: str, parts: list[str]) -> bool:
    pure = PurePosixPath(path)
    steps = pure.parent.parts if pure.name == "__init__.py" else (*pure.parent.parts, pure.stem)
    return pure.suffix == ".py" and list(steps[-len(parts) :]) == parts


_KEYS: tuple[Callable[[Test], object], ...] = (
    lambda test: (test.path, test.name),
    lambda test: (test.node.name, test.body),
    lambda test: (test.path, test.body),
    lambda test: test.name,
    lambda test: test.body,
)
"""What makes two tests versions of each other, surest first; each only counts where it means one on either side."""


def _pair(
    made: Suite, gone: list[Test], come: list[Test], key: Callable[[Test], object]
) -> tuple[list[Test], list[Test]]:
    if not gone or not come:
        return gone, come
    old, new = {key(t): t for t in gone}, {key(t): t for t in come}
    shared = old.keys() & new.keys()
    made.pairs += [(old[k], new[k]) for k in old if k in shared]
    paired = {id(t) for k in shared for t in (old[k], new[k])}
    return [t for t in gone if id(t) not in paired], [t for t in come if id(t) not in paired]


def _pair_alike(made: Suite, gone: list[Test], come: list[Test]) -> tuple[list[Test], list[Test]]:
    """Renamed and changed at once: tests of one file that demand mostly the same."""
    left = list(come)
    lost = []
    for test in gone:
        texts = {d.text for d in test.demands}
        best = max(
            (t for t in left if t.path == test.path),
            key=lambda t: len(texts & {d.text for d in t.demands}),
            default=None,
        )
        if best is not None and texts and len(texts & {d.text for d in best.demands}) >= _ALIKE * len(texts):
            made.pairs.append((test, best))
            left.remove(best)
        else:
            lost.append(test)
    return lost, left
