"""Which statements of two versions of a file differ in more than their layout.

Statements are put side by side block by block. What has the same canonical form is proven, and so is a function whose
header and whose code are the same; the inside of other compound statements is looked at in turn.
"""

from __future__ import annotations

import ast
import difflib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from famulus.lsp_server.review.equality.canonical import Definition, Function, Keys, Source, blocks, end_of, start_of
from famulus.lsp_server.review.equality.codes import code_of, same_function

_LONG = 400
"""Statements in a block from which on the line difference is believed at once."""


_TELLING = 4
"""Characters of a line from which on it tells statements apart."""


@dataclass(frozen=True, slots=True)
class Loose:
    """A statement that has no counterpart on the other side. ``block``: the list it stands in; ``index``: where."""

    scope: str
    node: ast.stmt
    block: Sequence[ast.stmt]
    index: int


@dataclass
class Comparison:
    """Two versions of a file, compared by :meth:`run`.

    ``open_old``, ``open_new``: lines of code that are not proven. ``changed``: dotted names of the functions and
    classes whose own code differs, the empty name for the file's top. ``rewritten``: functions that are written in
    another way but compile to the same. ``twins``: the blocks that were compared with each other, by identity.
    ``late`` is asked before what takes long; once it says so, no more code is compiled, and ``hurried`` is set.
    """

    old: Source
    new: Source
    keys: Keys
    shift: Callable[[int, int], int | None]
    open_old: set[int] = field(default_factory=set)
    open_new: set[int] = field(default_factory=set)
    changed: dict[str, None] = field(default_factory=dict)
    rewritten: dict[str, None] = field(default_factory=dict)
    loose_old: list[Loose] = field(default_factory=list)
    loose_new: list[Loose] = field(default_factory=list)
    twins: dict[int, list[ast.stmt]] = field(default_factory=dict)
    late: Callable[[], bool] = lambda: False
    hurried: bool = False

    def run(self) -> Comparison:
        """Compares all."""
        self._blocks(self.old.tree.body, self.new.tree.body, "")
        return self

    def _blocks(self, old: list[ast.stmt], new: list[ast.stmt], scope: str) -> None:
        self.twins[id(new)] = old
        links = self._links(old, new)
        same: set[tuple[int, int]] = set()
        if self._may_repeat(old):
            same = set(_matches([self.keys.of(s) for s in old], [self.keys.of(s) for s in new]))
        if not same or not _in_order(same.union(links)):
            same = {pair for pair, whole in links.items() if whole}
            for i, k in _between(sorted(links), len(old), len(new)):
                found = _matches([self.keys.of(old[n]) for n in i], [self.keys.of(new[n]) for n in k])
                same.update((i.start + a, k.start + b) for a, b in found)
        for a, b in links.keys() - same:
            if not links[a, b] and self.keys.of(old[a]) != self.keys.of(new[b]):
                self._pair(old[a], new[b], scope)
        for i, k in _between(sorted(same.union(links)), len(old), len(new)):
            self._unequal(old, i, new, k, scope)

    def _may_repeat(self, block: list[ast.stmt]) -> bool:
        """Whether a block is one of a function, where the same short statement may stand twice."""
        return len(block) < _LONG and not any(isinstance(s, Definition) for s in block)

    def _links(self, old: list[ast.stmt], new: list[ast.stmt]) -> dict[tuple[int, int], bool]:
        """Statements of which the line difference takes a line for unchanged, so that they are each other's versions;
        with it whether it takes all for unchanged. What is proven must not contradict what a reader sees as changed."""
        starts = [start_of(s) for s in new]
        found = {}
        below = -1
        for n, statement in enumerate(old):
            first, last = start_of(statement), end_of(statement)
            for line in range(first, last + 1):
                shift = self.shift(line, line)
                if shift is None or (line > first and len(self.old.lines[line - 1].strip()) < _TELLING):
                    continue
                other = bisect_right(starts, line + shift) - 1
                if other > below and line + shift <= end_of(new[other]) and _label(statement) == _label(new[other]):
                    whole = self.shift(first, last) is not None and end_of(new[other]) == last + shift
                    whole = whole and starts[other] == first + shift and new[other].col_offset == statement.col_offset
                    found[n, other] = whole
                    below = other
                break
        return found

    def _unequal(self, old: list[ast.stmt], i: range, new: list[ast.stmt], k: range, scope: str) -> None:
        pairs = list(self._paired(old, i, new, k))
        for a, b in pairs:
            self._pair(old[a], new[b], scope)
        with_old, with_new = {a for a, _ in pairs}, {b for _, b in pairs}
        for a in i:
            if a not in with_old:
                self.loose_old.append(Loose(scope, old[a], old, a))
                self.open_old.update(_lines(old[a]))
                self._touch(scope, old[a])
        for b in k:
            if b not in with_new:
                self.loose_new.append(Loose(scope, new[b], new, b))
                self.open_new.update(_lines(new[b]))
                self._touch(scope, new[b])

    def _paired(self, old: list[ast.stmt], i: range, new: list[ast.stmt], k: range) -> Iterator[tuple[int, int]]:
        """Statements that are versions of each other: first by name or header, then, in between, by their kind."""
        labels: list[Callable[[ast.stmt], object]] = [self._named, _kind]
        spans = [(i, k)]
        for label in labels:
            rest: list[tuple[range, range]] = []
            for a, b in spans:
                left, right = [label(old[n]) for n in a], [label(new[n]) for n in b]
                pairs = list(_matches(left, right))
                yield from ((a.start + i, b.start + k) for i, k in pairs)
                for i, k in _between(pairs, len(a), len(b)):
                    rest.append(
                        (range(a.start + i.start, a.start + i.stop), range(b.start + k.start, b.start + k.stop))
                    )
            spans = [(a, b) for a, b in rest if a and b]

    def _named(self, statement: ast.stmt) -> object:
        if isinstance(statement, Definition):
            return type(statement), statement.name
        return self.keys.header(statement) if blocks(statement) else statement

    def _pair(self, old: ast.stmt, new: ast.stmt, scope: str) -> None:
        same_header = self.keys.header(old) == self.keys.header(new)
        if same_header and isinstance(old, Function) and isinstance(new, Function) and self._same_code(old, new):
            self.rewritten[_inner(scope, new)] = None
            return
        if not same_header:
            self.open_old.update(header_lines(old, self.old))
            self.open_new.update(header_lines(new, self.new))
            self.changed[_inner(scope, new)] = None
        left, right = dict(blocks(old)), dict(blocks(new))
        for name in left.keys() | right.keys():
            self._blocks(left.get(name, []), right.get(name, []), _inner(scope, new))

    def _same_code(self, old: Function, new: Function) -> bool:
        self.hurried = self.hurried or self.late()
        if self.hurried:
            return False
        left, right = code_of(self.old, old), code_of(self.new, new)
        return left is not None and right is not None and same_function(old, new, left, right)

    def _touch(self, scope: str, statement: ast.stmt) -> None:
        self.changed[_inner(scope, statement)] = None


def _inner(scope: str, statement: ast.stmt) -> str:
    return f"{scope}.{statement.name}".lstrip(".") if isinstance(statement, Definition) else scope


def _matches(left: Sequence[object], right: Sequence[object]) -> Iterator[tuple[int, int]]:
    for block in difflib.SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks():
        yield from ((block.a + n, block.b + n) for n in range(block.size))


def _in_order(pairs: Iterable[tuple[int, int]]) -> bool:
    """Whether pairs neither cross nor share a side."""
    ordered = sorted(pairs)
    return all(a < c and b < d for (a, b), (c, d) in pairwise(ordered))


def _label(statement: ast.stmt) -> tuple[type, str]:
    return type(statement), statement.name if isinstance(statement, Definition) else ""


def _between(pairs: Sequence[tuple[int, int]], old: int, new: int) -> Iterator[tuple[range, range]]:
    """What lies between pairs that stand in order, on both sides."""
    a, b = 0, 0
    for i, k in (*pairs, (old, new)):
        if a < i or b < k:
            yield range(a, i), range(b, k)
        a, b = i + 1, k + 1


def _kind(statement: ast.stmt) -> object:
    return type(statement) if blocks(statement) and not isinstance(statement, Definition) else statement


def _lines(statement: ast.stmt) -> range:
    return range(start_of(statement), end_of(statement) + 1)


def header_lines(statement: ast.stmt, side: Source) -> set[int]:
    """The lines of a compound statement that are not only those of statements inside, ``else:`` and such included."""
    found = set(_lines(statement))
    for _, block in blocks(statement):
        for inner in block:
            own = set(_lines(inner))
            if side.lines[start_of(inner) - 1].encode()[: inner.col_offset].strip():
                own.discard(start_of(inner))
            found -= own
    return found
