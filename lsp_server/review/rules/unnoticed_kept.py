"""What the tests of a project showed, kept as long as nothing that they can come to has changed.

They are kept with the state of all Python files, see :mod:`famulus.lsp_server.review.states`. A function that is added
to a test file is never without effect, since pytest may take it for a test; and where tests look at files or start
programs themselves, every Python file counts.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.execution.testserver import TestResult
from famulus.lsp_server.review.kept import Kept
from famulus.lsp_server.review.outline import Piece, lines_of
from famulus.lsp_server.review.rules.unnoticed_mutants import Changed, Seen
from famulus.lsp_server.review.states import named

if TYPE_CHECKING:
    from famulus.lsp_server.execution.mutants import Mutant
    from famulus.lsp_server.review.rule import Context

_LOOKS_AROUND = re.compile(
    r"\b(r?glob|iterdir|listdir|scandir|walk|subprocess|Popen|system|getsource\w*|compileall|doctest)\b|\.py\b"
)
"""By these, tests come to files that they do not import."""
_Lines = Mapping[str, frozenset[int]]


@dataclass(frozen=True)
class Ran:
    """One run of all tests to its end. ``traced``: the files whose lines are told; ``red``: tests that turned red;
    ``pieces``: where the pieces of all files that are told of were, see :func:`.lines_of`."""

    tests: tuple[TestResult, ...]
    imported: dict[str, frozenset[int]]
    blind: frozenset[str]
    red: tuple[str, ...]
    traced: frozenset[str]
    pieces: dict[str, list[tuple[str, list[int]]]]
    state: str


@dataclass(frozen=True)
class Tried:
    """One mutant. ``survives``: no test noticed it."""

    survives: bool
    state: str


class Tests:
    """The results of test files, of one review. ``python``: what runs them."""

    __test__ = False

    def __init__(self, context: Context, python: Path, tests: Sequence[str]) -> None:
        self._change, self._tests, self._fresh = context.change, tests, context.fresh
        self._states = context.states(python)
        self.mark, self.state = self._states.mark, self._states.state
        self._runs: Kept[Ran] = Kept(f"testruns-{self.mark}", Ran)
        self._tried: Kept[Tried] = Kept(f"mutants-{self.mark}", Tried)
        self.name = named([self._states.everywhere, *tests])
        """Names what counts besides the state."""
        self._differing: dict[str, dict[str, list[Piece]] | None] = {}

    def ran(self, changed: Sequence[Changed]) -> Ran | None:
        """The run, if it would be the same now, with the lines as they are now."""
        known = self._runs.get(self.name)
        differing = self.differences(known.state) if known is not None else None
        if known is None or differing is None:
            return None
        for part in changed:
            path = part.file.path
            if path not in known.traced and part.function.name not in {p.name for p in differing.get(path, ())}:
                return None
        told = differing.keys() & (known.pieces.keys() | {path for test in known.tests for path, _ in test.at})
        if told - known.pieces.keys():
            return None
        moved = {path: self._moves(known, path) for path in told}
        tests = tuple(
            replace(
                test,
                at=tuple((path, moved[path].get(line, line) if path in moved else line) for path, line in test.at),
                lines=_moved(test.lines, moved),
            )
            for test in known.tests
        )
        return replace(known, tests=tests, imported=_moved(known.imported, moved))

    def keep(self, seen: Seen, red: Sequence[str], traced: Sequence[str]) -> None:
        """Keeps a run of all tests."""
        told = {*traced, *seen.imported, *(path for test in seen.tests for path in (*test.lines, *dict(test.at)))}
        pieces = {path: lines_of(self._text(path)) for path in sorted(told)}
        imported, state = dict(seen.imported), self.state
        ran = Ran(tuple(seen.tests), imported, seen.blind, tuple(red), frozenset(traced), pieces, state)
        self._runs.put(self.name, ran)

    def survives(self, part: Changed, mutant: Mutant, tests: Sequence[str]) -> bool | None:
        """Whether no test notices a mutant, if that is known and holds."""
        known = self._tried.get(self._mutant(part, mutant, tests))
        if known is None or self.differences(known.state) is None:
            return None
        return known.survives

    def tried(self, part: Changed, mutant: Mutant, tests: Sequence[str], *, survives: bool) -> None:
        """Keeps what a mutant showed."""
        self._tried.put(self._mutant(part, mutant, tests), Tried(survives, self.state))

    def _mutant(self, part: Changed, mutant: Mutant, tests: Sequence[str]) -> str:
        span = part.function.lines
        own = "\n".join(part.file.new_text.split("\n")[span.start - 1 : span.stop - 1])
        where = f"{part.file.path} {part.function.name} {mutant.line - span.start} {mutant.column} {mutant.kind}"
        return named([self.name, own, where, mutant.before, mutant.after, *sorted(tests)])

    def end(self) -> None:
        """Keeps what later reviews compare with."""
        self._states.end()
        self._runs.sweep()
        self._tried.sweep()

    def differences(self, state: str) -> dict[str, list[Piece]] | None:
        """By path, what differs from an earlier state without any test being able to tell; None if one may."""
        if self._fresh:
            return None
        if state not in self._differing:
            self._differing[state] = self._unnoticeable(state)
        return self._differing[state]

    def _unnoticeable(self, state: str) -> dict[str, list[Piece]] | None:
        differing = self._states.differences(state)
        if not differing:
            return {} if differing is not None else None
        paths = self._states.paths
        roots = {*self._tests, *(path for path in paths if _is_special(path))}
        reached = self._states.reached(roots, roots)
        ours = [path for path in reached if _is_testing(path)]
        everything = any(_LOOKS_AROUND.search(self._text(path)) for path in ours)
        found: dict[str, list[Piece]] = {}
        for path, pieces in differing.items():
            counts = path in reached or everything or (pieces is None and _is_in_the_way(path, paths))
            if counts and (everything or _is_testing(path) or not self._states.idle(pieces, path, reached)):
                return None
            if pieces is not None:
                found[path] = pieces
        return found

    def _text(self, path: str) -> str:
        file = self._change.file(path)
        if file is not None and file.new_path == path:
            return file.new_text
        return (self._change.new.read(path) or b"").decode(errors="replace")

    def _moves(self, known: Ran, path: str) -> dict[int, int]:
        """Where the lines of a file are now; those of pieces that are gone are not there."""
        now = lines_of(self._text(path))
        here, there = ({digest for digest, _ in side} for side in (now, known.pieces[path]))
        both = zip(
            ((lines, digest) for digest, lines in known.pieces[path] if digest in here),
            (lines for digest, lines in now if digest in there),
            strict=True,
        )
        return {was: at for (before, _), after in both for was, at in zip(before, after, strict=True)}


def _moved(lines: _Lines, moves: Mapping[str, Mapping[int, int]]) -> dict[str, frozenset[int]]:
    return {
        path: frozenset(moves[path][line] for line in own if line in moves[path]) if path in moves else own
        for path, own in lines.items()
    }


def _is_special(path: str) -> bool:
    """Whether Python or pytest imports the file by itself."""
    return posixpath.basename(path) in ("conftest.py", "sitecustomize.py", "usercustomize.py")


def _is_testing(path: str) -> bool:
    """Whether functions of the file may be called for their names."""
    return is_test(path) or _is_special(path) or not {"tests", "test", "testing"}.isdisjoint(path.split("/")[:-1])


def _is_in_the_way(path: str, paths: frozenset[str]) -> bool:
    """Whether a new file may be imported instead of one that is not the project's."""
    return not is_test(path) and posixpath.join(posixpath.dirname(path), "__init__.py") not in paths
