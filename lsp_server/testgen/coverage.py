"""Statements and branches of a function, and how many of them calls and tests have run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from famulus.lsp_server.execution.functions import Function


@dataclass(frozen=True)
class Reach:
    """What was run of a file: ``lines``, and ``arcs``, pairs of lines that followed each other; 0 is the end."""

    lines: frozenset[int] = frozenset()
    arcs: frozenset[tuple[int, int]] = frozenset()

    def __or__(self, other: Reach) -> Reach:
        return Reach(self.lines | other.lines, self.arcs | other.arcs)


@dataclass(frozen=True)
class Coverage:
    """How many statements and branches there are, and how many of them were run."""

    statements: int = 0
    statements_run: int = 0
    branches: int = 0
    branches_run: int = 0

    def __add__(self, other: Coverage) -> Coverage:
        return Coverage(
            self.statements + other.statements, self.statements_run + other.statements_run,
            self.branches + other.branches, self.branches_run + other.branches_run,
        )  # fmt: skip


def together(reaches: Iterable[Reach]) -> Reach:
    """All that any of them has run."""
    found = Reach()
    for reach in reaches:
        found |= reach
    return found


def coverage(function: Function, reach: Reach) -> Coverage:
    """How much of a function was run. A branch is one way out of an ``if``, a loop or a ``case``."""
    spans = list(_statements(function))
    ways = list(_branches(function))
    taken = 0
    for head, inner in ways:
        out = {b for a, b in reach.arcs if a in head and b not in head}
        taken += (inner.start in out) + any(b not in inner for b in out)
    return Coverage(len(spans), sum(not reach.lines.isdisjoint(span) for span in spans), 2 * len(ways), taken)


def _statements(function: Function) -> Iterator[range]:
    """Lines of each statement of a function, of compound ones those of the head."""
    for node in ast.walk(function.node):
        documents = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not isinstance(node, ast.stmt) or node is function.node or documents:
            continue
        if not isinstance(node, ast.Try | ast.Global | ast.Nonlocal | ast.Pass):
            yield _head(node)


def _head(node: ast.stmt) -> range:
    inner = getattr(node, "body", None)
    end = inner[0].lineno - 1 if inner else node.end_lineno or node.lineno
    return range(node.lineno, max(end, node.lineno) + 1)


def _branches(function: Function) -> Iterator[tuple[range, range]]:
    """Lines of the head and of the body of what may be entered or not; what stands in one line is none."""
    for node in ast.walk(function.node):
        if isinstance(node, ast.If | ast.While | ast.For | ast.AsyncFor):
            head, body = _head(node), node.body
        elif isinstance(node, ast.match_case):
            head, body = range(node.pattern.lineno, node.body[0].lineno), node.body
        else:
            continue
        endless = isinstance(node, ast.While) and isinstance(node.test, ast.Constant)
        if body[0].lineno > head.start and not endless:
            yield head, range(body[0].lineno, (body[-1].end_lineno or body[-1].lineno) + 1)
