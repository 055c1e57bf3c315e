"""Mutants on which generated tests are judged: of kinds by which no test was chosen, and written apart from
``lsp_server/execution/mutants.py``.

Deleted statements (assignments and whole blocks; calls and raises are mutants of the selection), slices that are off by
one, arguments swapped, and another variable of the function in a variable's place.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from famulus.bench.testgen_plain import AnyFunction
from famulus.bench.testgen_sample import Chosen

KINDS = ("statement deleted", "slice off by one", "arguments swapped", "wrong variable")
_ASKING = frozenset(("isinstance", "issubclass", "hasattr", "min", "max", "debug", "info", "warn", "warning", "log"))
"""Calls in which nobody swaps arguments, or whose order is nobody's business."""
_QUIET = ("log", "logger", "logging", "warnings")


@dataclass(frozen=True)
class Spoilt:
    """One change of one function. ``source``: the module with it; ``function`` and ``first`` as :class:`Chosen`."""

    kind: str
    line: int
    before: str
    after: str
    function: str
    first: int
    source: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.kind}: {self.before} → {self.after}"


def held_out(chosen: Chosen, most: int, seed: int) -> list[Spoilt]:
    """At most ``most`` mutants, one of each kind in turn, drawn by the seed."""
    dice = random.Random(f"{seed} {chosen.key}")
    groups: dict[str, list[tuple[str, ast.AST, str]]] = {kind: [] for kind in KINDS}
    for change in changes(chosen.node, dice):
        groups[change[0]].append(change)
    for group in groups.values():
        dice.shuffle(group)
    found: list[Spoilt] = []
    while any(groups.values()) and len(found) < most:
        for kind in KINDS:
            while groups[kind] and len(found) < most:
                made = _spoilt(chosen, *groups[kind].pop())
                if made is not None:
                    found.append(made)
                    break
    return found


def _spoilt(chosen: Chosen, kind: str, node: ast.AST, text: str) -> Spoilt | None:
    """The module with one piece exchanged; None if that is no code."""
    source, (start, end) = chosen.text, _span(chosen.text, node)
    before = source[start:end]
    changed = source[:start] + text + source[end:]
    try:
        compile(changed, chosen.path, "exec", dont_inherit=True)
    except SyntaxError:
        return None
    line = source.count("\n", 0, start) + 1
    return Spoilt(kind, line, _short(before), _short(text), chosen.name, chosen.first, changed)


def _span(source: str, node: ast.AST) -> tuple[int, int]:
    """Where a node stands, in characters; ``ast`` counts bytes."""
    lines = source.splitlines(keepends=True)

    def place(line: int, column: int) -> int:
        return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())

    assert isinstance(node, ast.stmt | ast.expr) and node.end_lineno and node.end_col_offset is not None
    return place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 60 else flat[:59] + "…"


def changes(function: AnyFunction, dice: random.Random) -> Iterator[tuple[str, ast.AST, str]]:
    """Kind, node and the text for its place, of every change."""
    bound = _bound(function)
    for node in _inside(function.body):
        if _deleted(node):
            yield KINDS[0], node, "pass"
        if isinstance(node, ast.Slice):
            yield from _slices(node)
        if isinstance(node, ast.Call):
            yield from _swapped(node)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in bound:
            others = sorted(o for o, line in bound.items() if o != node.id and line < node.lineno)
            if others:
                yield KINDS[3], node, dice.choice(others)


def _inside(body: Sequence[ast.stmt]) -> Iterator[ast.AST]:
    """Nodes whose change a caller should notice: not the texts of exceptions, assertions, logging, nested texts."""
    skipped = (ast.Raise, ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)
    for node in body:
        todo: list[ast.AST] = [node]
        while todo:
            one = todo.pop()
            if isinstance(one, skipped) or _talks(one):
                continue
            yield one
            left = {id(one.annotation)} if isinstance(one, ast.AnnAssign | ast.arg) else set()
            if isinstance(one, AnyFunction):
                left |= {id(part) for part in (*one.decorator_list, one.returns, one.args)}
            todo += [child for child in ast.iter_child_nodes(one) if id(child) not in left]


def _talks(node: ast.AST) -> bool:
    """Whether it is a docstring, or tells a log something."""
    if not isinstance(node, ast.Expr):
        return False
    if isinstance(node.value, ast.Constant):
        return True
    return isinstance(node.value, ast.Call) and ast.unparse(node.value.func).split(".")[0].lower() in _QUIET


def _deleted(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return not all(isinstance(part, ast.Raise) for part in node.body)
    if isinstance(node, ast.AnnAssign):
        return node.value is not None
    return isinstance(node, ast.Assign | ast.AugAssign | ast.For | ast.While | ast.Delete)


def _slices(node: ast.Slice) -> Iterator[tuple[str, ast.AST, str]]:
    """Bounds that are one too low or too high; a number is never raised, which the selection does as well."""
    low, high = (None if bound is None else ast.unparse(bound) for bound in (node.lower, node.upper))
    step = "" if node.step is None else f":{ast.unparse(node.step)}"
    made = [(low or "1", high or "") if low is None else (low, high or "-1")]
    for bound, place in ((node.lower, 0), (node.upper, 1)):
        if bound is None:
            continue
        number = ast.unparse(bound).lstrip("-").isdigit()
        for change in ("- 1",) if number else ("- 1", "+ 1"):
            pair = [low or "", high or ""]
            pair[place] = str(int(ast.unparse(bound)) - 1) if number else f"({ast.unparse(bound)}) {change}"
            made.append((pair[0], pair[1]))
    for left, right in made:
        if (left, right) != (low or "", high or ""):
            yield KINDS[1], node, f"{left}:{right}{step}"


def _swapped(node: ast.Call) -> Iterator[tuple[str, ast.AST, str]]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
    if name in _ASKING or any(isinstance(argument, ast.Starred) for argument in node.args):
        return
    texts = [ast.unparse(argument) for argument in node.args]
    for number in range(len(texts) - 1):
        if texts[number] != texts[number + 1]:
            swapped = [*texts[:number], texts[number + 1], texts[number], *texts[number + 2 :]]
            named = [f"{k.arg}={ast.unparse(k.value)}" if k.arg else f"**{ast.unparse(k.value)}" for k in node.keywords]
            yield KINDS[2], node, f"{ast.unparse(node.func)}({', '.join([*swapped, *named])})"


def _bound(function: AnyFunction) -> dict[str, int]:
    """Its variables with the line from which they have a value; without ``self`` and ``cls``."""
    found: dict[str, int] = {}
    arguments = function.args
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        found[argument.arg] = 0
    scopes = (*_nested(function),)
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in scopes:
            found.setdefault(node.id, node.end_lineno or node.lineno)
    return {name: line for name, line in found.items() if name not in ("self", "cls", "_")}


def _nested(function: AnyFunction) -> Iterator[int]:
    """Nodes in scopes of their own."""
    for node in ast.walk(function):
        inner = isinstance(node, AnyFunction | ast.Lambda) and node is not function
        if inner or isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            yield from (id(part) for part in ast.walk(node))
