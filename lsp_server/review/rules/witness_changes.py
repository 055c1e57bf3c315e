"""Which functions of a change are called in both versions, and with which parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from famulus.lsp_server.execution.functions import Function, Parameter, functions_in
from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.review.change import FileChange
from famulus.lsp_server.review.kept import Kept, digest_of, python_mark
from famulus.lsp_server.review.rule import Context

VERSION = 1
"""Raised whenever the same two files give other functions."""
_POSITIONAL = ("position", "either")


class _Sides:
    """The functions of both versions of a file, read when one of them is asked for."""

    def __init__(self, file: FileChange) -> None:
        self._file = file

    @cached_property
    def old(self) -> dict[str, Function]:
        """By dotted name."""
        return functions_in(self._file.old_tree) if self._file.old_tree is not None else {}

    @cached_property
    def new(self) -> dict[str, Function]:
        """By dotted name."""
        return functions_in(self._file.new_tree) if self._file.new_tree is not None else {}


class _Place(NamedTuple):
    """Of one function: its name, where the change is and all its lines on the new side, and its head on the old one."""

    name: str
    line: int
    first: int
    stop: int
    old_line: int
    called: str


@dataclass(frozen=True)
class Changed:
    """A function that may answer differently. ``line``: of the new side, where the change is; ``lines``: all of it
    there; ``old_line``: its head on the old side; ``called``: the name by which code calls it."""

    file: FileChange
    name: str
    line: int
    lines: range
    old_line: int
    called: str
    _sides: _Sides

    @property
    def old(self) -> Function:
        """The old version."""
        return self._sides.old[self.name]

    @property
    def new(self) -> Function:
        """The new version."""
        return self._sides.new[self.name]

    @property
    def parameters(self) -> Sequence[Parameter]:
        """Those that calls may give in both versions."""
        return shared(self.old, self.new) or ()


def changed(context: Context) -> Iterator[Changed]:
    """Functions whose code differs, or that read a constant of their module that differs."""
    kept = Kept(f"changed-{VERSION}-{python_mark()}", list[_Place])
    for file in context.change.python():
        if file.old is None or file.new is None or is_test(file.path) or not file.path.endswith(".py"):
            continue
        neutral = context.neutral.get(file.path, frozenset())
        sides = _Sides(file)
        digest = digest_of(file.old, file.new, ",".join(map(str, sorted(neutral))).encode())
        places = kept.get(digest)
        if places is None:
            places = list(_places(file, sides, neutral))
            kept.put(digest, places)
        for place in places:
            lines = range(place.first, place.stop)
            yield Changed(file, place.name, place.line, lines, place.old_line, place.called, sides)
    kept.sweep()


def _places(file: FileChange, sides: _Sides, neutral: frozenset[int]) -> Iterator[_Place]:
    if file.old_tree is None or file.new_tree is None:
        return
    was, now = sides.old, sides.new
    old_lines, new_lines = file.old_text.split("\n"), file.new_text.split("\n")
    constants = {n: line for n, line in _constants(file.old_tree, file.new_tree).items() if line not in neutral}
    for name in (name for name in now if name in was):
        old, new = was[name], now[name]
        own = file.changed_new_lines & frozenset(new.lines)
        lines = sorted(own - neutral) or sorted(own)
        if old.how != new.how:
            continue
        same = _text(old, old_lines) == _text(new, new_lines)  # the same lines are the same code
        if not same and old.shape != new.shape and not (lines and neutral.issuperset(lines)):
            line = lines[0] if lines else new.node.lineno
        else:
            if not constants:
                continue
            read = {node.id for node in ast.walk(new.node) if isinstance(node, ast.Name)} & constants.keys()
            if not read:
                continue
            line = min(constants[constant] for constant in read)
        if shared(old, new) is not None:
            special = old.owner is not None and old.node.name.startswith("__")
            called = old.owner.name if special and old.owner else old.node.name
            yield _Place(name, line, new.lines.start, new.lines.stop, old.node.lineno, called)


def _text(function: Function, lines: Sequence[str]) -> Sequence[str]:
    return lines[function.lines.start - 1 : function.lines.stop - 1]


def _constants(*sides: ast.Module) -> dict[str, int]:
    """Names that both versions of a file assign at their top, to other values; and the line of the new one."""
    values: list[dict[str, tuple[str, int]]] = []
    for side in sides:
        found: dict[str, tuple[str, int]] = {}
        for node in side.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    if isinstance(target, ast.Name):
                        found[target.id] = (ast.dump(node.value), node.lineno)
        values.append(found)
    old, new = values
    return {name: new[name][1] for name in old.keys() & new.keys() if old[name][0] != new[name][0]}


def shared(old: Function, new: Function) -> tuple[Parameter, ...] | None:
    """Parameters that calls may give in both versions; None if no call fits both."""
    if old.parameters == new.parameters:
        return old.parameters
    left, right = ([p for p in function.parameters if p.kind in _POSITIONAL] for function in (old, new))
    both: list[Parameter] = []
    for before, after in zip(left, right, strict=False):
        if before.name != after.name and before.default is not None and after.default is not None:
            break  # other optional parameters: a value for one means nothing for the other
        both.append(before if before.required or not after.required else after)
    rest = [*left[len(both) :], *right[len(both) :]]
    named = {p.name: p for p in new.parameters if p.kind == "keyword"}
    by_name = [p for p in old.parameters if p.kind == "keyword" and p.name in named]
    missing = [p for p in named.values() if p.required and p.name not in {known.name for known in by_name}]
    missing += [p for p in old.parameters if p.kind == "keyword" and p.required and p.name not in named]
    return None if missing or any(p.required for p in rest) else (*both, *by_name)
