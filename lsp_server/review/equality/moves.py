"""Functions and classes that are found word for word in another place.

A function that moved within its block is proven to behave the same if its own header and everything that it moved past
do nothing when they are reached but bind other names. (The order of names in a namespace, as ``vars()`` lists them, is
then another; classes that may look at it, with a decorator, a metaclass or bases of unknown kind, are left out.)
"""

from __future__ import annotations

import ast
import builtins
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from famulus.lsp_server.review.equality.canonical import Definition, Function, Source, end_of, form, start_of
from famulus.lsp_server.review.equality.statements import Comparison, Loose

_TYPES = frozenset(name for name, value in vars(builtins).items() if isinstance(value, type))
_TYPING = ("typing", "typing_extensions", "collections.abc", "types")
_BODY = 2
"""A definition of fewer statements is too common to be called moved."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """A definition that has no counterpart in the other version of its file. ``form``: the same for the same code;
    ``telling``: finding it elsewhere says something."""

    form: str
    scope: str
    name: str
    line: int
    end_line: int
    telling: bool


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What is gone from a file, and what has come. ``proven``: places in both of one function that only moved within
    its block, with nothing able to tell."""

    gone: tuple[Leftover, ...] = ()
    come: tuple[Leftover, ...] = ()
    proven: frozenset[tuple[int, int]] = frozenset()


def leftovers(comparison: Comparison) -> Leftovers:
    """What a comparison has left over."""
    old = [loose for loose in comparison.loose_old if isinstance(loose.node, Definition)]
    new = [loose for loose in comparison.loose_new if isinstance(loose.node, Definition)]
    gone, come = tuple(map(_leftover, old)), tuple(map(_leftover, new))
    by_form: dict[str, list[int]] = {}
    for i, was in enumerate(gone):
        by_form.setdefault(was.form, []).append(i)
    proof = _Proof(comparison)
    pairs = ((i, k) for k, now in enumerate(come) for i in by_form.get(now.form, ()))
    return Leftovers(gone, come, frozenset((i, k) for i, k in pairs if proof.moved(old[i], new[k])))


def _leftover(loose: Loose) -> Leftover:
    assert isinstance(loose.node, Definition)
    telling = sum(isinstance(n, ast.stmt) for n in ast.walk(loose.node)) > _BODY
    place = start_of(loose.node), end_of(loose.node)
    return Leftover(form(loose.node), loose.scope, loose.node.name, *place, telling)


class _Proof:
    """Whether functions may stand where they stand now, with nothing able to tell."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison

    @cached_property
    def _sides(self) -> tuple[_Safe, _Safe]:
        return _Safe(self._comparison.old), _Safe(self._comparison.new)

    def moved(self, old: Loose, new: Loose) -> bool:
        """Whether ``old`` may stand where ``new`` stands."""
        comparison = self._comparison
        if not isinstance(new.node, Function) or comparison.twins.get(id(new.block)) is not old.block:
            return False
        keys, name = comparison.keys, new.node.name
        before = [(keys.of(s), s) for s in old.block[: old.index]], [(keys.of(s), s) for s in new.block[: new.index]]
        crossed = [*_only(before[0], before[1]), *_only(before[1], before[0])]
        for safe, block in zip(self._sides, (old.block, new.block), strict=True):
            if sum(name in _binds(s) for s in block) != 1 or not safe.owner(block):
                return False
            if not safe.inert(new.node) or not all(safe.inert(s) for s in crossed):
                return False
        return True


def _only(these: Sequence[tuple[int, ast.stmt]], others: Sequence[tuple[int, ast.stmt]]) -> Iterable[ast.stmt]:
    left = Counter(key for key, _ in others)
    for key, statement in these:
        if left[key]:
            left[key] -= 1
        else:
            yield statement


def _binds(statement: ast.stmt) -> set[str]:
    """Names that a statement may bind, or all names it speaks of where that is not plain."""
    if isinstance(statement, Definition):
        return {statement.name}
    found = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    found |= {n.name for n in ast.walk(statement) if isinstance(n, Definition)}
    return found | {(n.asname or n.name).split(".")[0] for n in ast.walk(statement) if isinstance(n, ast.alias)}


class _Safe:
    """What in a file does nothing when it is reached but bind a name."""

    def __init__(self, side: Source) -> None:
        self._side = side
        body = side.tree.body
        imports = [s for s in body if isinstance(s, ast.ImportFrom)]
        self._lazy = any(s.module == "__future__" and any(a.name == "annotations" for a in s.names) for s in imports)
        bound: Counter[str] = Counter(name for s in body for name in _binds(s))
        typing = {a.asname or a.name for s in imports if s.module in _TYPING for a in s.names}
        star = any(a.name == "*" for s in imports for a in s.names)
        self._types = set() if star else (_TYPES - bound.keys()) | {n for n in typing if bound[n] == 1}

    def owner(self, block: Sequence[ast.stmt]) -> bool:
        """Whether the owner of a block does not look at the order in it: the file, a function, or a plain class."""
        if block is self._side.tree.body:
            return True
        for node in ast.walk(self._side.tree):
            if getattr(node, "body", None) is block:
                return isinstance(node, Function) or (isinstance(node, ast.ClassDef) and self._plain_class(node))
        return False

    def inert(self, statement: ast.stmt) -> bool:
        """Whether a statement only binds names."""
        if isinstance(statement, ast.Pass):
            return True
        if isinstance(statement, Function):
            return not statement.decorator_list and self._arguments(statement)
        if isinstance(statement, ast.ClassDef):
            return self._plain_class(statement) and all(self.inert(s) for s in statement.body)
        if isinstance(statement, ast.Assign):
            return all(isinstance(t, ast.Name) for t in statement.targets) and _literal(statement.value)
        return False

    def _plain_class(self, node: ast.ClassDef) -> bool:
        bases = all(isinstance(b, ast.Name) and b.id in self._types for b in node.bases)
        return not (node.decorator_list or node.keywords or getattr(node, "type_params", [])) and bases

    def _arguments(self, function: Function) -> bool:
        arguments = function.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        hints = [a.annotation for a in named if a is not None] + [function.returns]
        if getattr(function, "type_params", []):
            return False
        defaults = [*arguments.defaults, *arguments.kw_defaults]
        return all(d is None or _literal(d) for d in defaults) and (
            self._lazy or all(h is None or self._hint(h) for h in hints)
        )

    def _hint(self, node: ast.expr) -> bool:
        """Whether reading an annotation runs no code of the project."""
        if isinstance(node, ast.Constant):
            return True
        if isinstance(node, ast.Name):
            return node.id in self._types
        if isinstance(node, ast.Subscript):
            return self._hint(node.value) and self._hint(node.slice)
        if isinstance(node, ast.Tuple | ast.List):
            return all(self._hint(item) for item in node.elts)
        return (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.BitOr)
            and all(self._hint(side) for side in (node.left, node.right))
        )


def _literal(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant)
    return isinstance(node, ast.Tuple | ast.List) and all(_literal(item) for item in node.elts)


def matched(gone: Sequence[Leftover], come: Sequence[Leftover]) -> list[tuple[int, int]]:
    """Definitions that are gone from one place and stand, the same, in another, by their places; each is used once."""
    by_form: dict[str, list[int]] = {}
    for i, was in enumerate(gone):
        by_form.setdefault(was.form, []).append(i)
    pairs = []
    for k, now in enumerate(come):
        candidates = by_form.get(now.form)
        if candidates:
            near = next((i for i in candidates if gone[i].scope == now.scope), candidates[0])
            candidates.remove(near)
            pairs.append((near, k))
    return pairs
