"""Which definitions differ between two versions of a project, and what became of those that are gone."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from famulus.lsp_server.review.change import Change, FileChange
from famulus.lsp_server.review.index.annotations import same_source
from famulus.lsp_server.review.index.facts import Parameter
from famulus.lsp_server.review.index.project import Project
from famulus.lsp_server.review.index.values import Module, Symbol

_ALIKE = 0.75
"""Bodies with so much in common (of 1) are one function under two names."""
_ALIKE_NAMED = 0.5
"""The same, for two definitions of one name."""
_COMPARED = 40
"""New definitions that an old one is compared with."""


@dataclass(frozen=True)
class Pair:
    """One definition on both sides."""

    old: Symbol
    new: Symbol


class Changes:
    """The differences between the definitions of two versions."""

    def __init__(self, change: Change, old: Project, new: Project) -> None:
        self.change, self.old, self.new = change, old, new

    @cached_property
    def files(self) -> list[tuple[Module | None, Module | None]]:
        """The changed Python files on both sides."""
        found = []
        for file in self.change.python():
            before = self.old.module(file.old_path) if file.old_path else None
            after = self.new.module(file.new_path) if file.new_path else None
            unreadable = (before is None and file.old_path) or (after is None and file.new_path)
            if not unreadable:
                found.append((before, after))
        return found

    @cached_property
    def pairs(self) -> list[Pair]:
        """Definitions that stand under one name in both versions of a changed file."""
        found = []
        for before, after in self.files:
            if before is not None and after is not None:
                for name, symbol in before.by_qualname.items():
                    if name in after.by_qualname:
                        found.append(Pair(symbol, after.by_qualname[name]))
        return found

    @cached_property
    def removed(self) -> list[Symbol]:
        """Definitions of the old side that are not there any more under their name."""
        return list(self._only(0))

    @cached_property
    def added(self) -> list[Symbol]:
        """Definitions of the new side that were not there."""
        return list(self._only(1))

    def _only(self, side: int) -> Iterator[Symbol]:
        for pair in self.files:
            here, there = pair[side], pair[1 - side]
            if here is not None:
                known = there.by_qualname if there is not None else {}
                yield from (symbol for name, symbol in here.by_qualname.items() if name not in known)

    def successor(self, symbol: Symbol) -> Symbol | None:
        """What became of a definition that is gone under its name: renamed or moved; None if nothing did."""
        if symbol not in self._successors:
            self._successors[symbol] = self._successor(symbol)
        return self._successors[symbol]

    def moved(self, module: Module | None) -> Module | None:
        """What became of a module that is gone under its path; None if nothing did."""
        file = self._by_old_path.get(module.path) if module is not None else None
        return (
            self.new.module(file.new_path) if file is not None and file.status == "renamed" and file.new_path else None
        )

    def _successor(self, symbol: Symbol) -> Symbol | None:
        file = self._by_old_path.get(symbol.module.path)
        after = self.new.module(file.new_path) if file is not None and file.new_path else None
        if after is not None and file is not None and file.status == "renamed" and symbol.qualname in after.by_qualname:
            return after.by_qualname[symbol.qualname]
        if symbol.definition.kind == "value" or symbol not in self._gone:
            return None
        best, most = None, 0.0
        for other in self._candidates(symbol):
            alike = self._alike(symbol, other)
            if alike > most and alike >= (_ALIKE_NAMED if other.name == symbol.name else _ALIKE):
                best, most = other, alike
        return best

    def _candidates(self, symbol: Symbol) -> list[Symbol]:
        """New definitions of its name, wherever they stand, and those of other names beside its old place."""
        beside = [o for o in self._added_by_path.get(symbol.module.path, ()) if self._comparable(symbol, o)]
        named = [o for o in self._added_by_name.get(symbol.name, ()) if o.definition.kind == symbol.definition.kind]
        return list(dict.fromkeys([*named, *beside]))[:_COMPARED]

    @staticmethod
    def _comparable(old: Symbol, new: Symbol) -> bool:
        small = old.definition.end_line - old.definition.line < 1
        same_owner = (old.owner.qualname if old.owner else "") == (new.owner.qualname if new.owner else "")
        return old.definition.kind == new.definition.kind and same_owner and not small

    @cached_property
    def _successors(self) -> dict[Symbol, Symbol | None]:
        return {}

    @cached_property
    def _gone(self) -> frozenset[Symbol]:
        return frozenset(self.removed)

    @cached_property
    def _by_old_path(self) -> dict[str, FileChange]:
        return {file.old_path: file for file in self.change.python() if file.old_path}

    @cached_property
    def _added_by_path(self) -> dict[str, list[Symbol]]:
        """By the path that their file had on the old side."""
        found: dict[str, list[Symbol]] = {}
        for symbol in self.added:
            file = self.change.file(symbol.module.path)
            found.setdefault(file.old_path if file is not None and file.old_path else symbol.module.path, []).append(
                symbol
            )
        return found

    @cached_property
    def _added_by_name(self) -> dict[str, list[Symbol]]:
        found: dict[str, list[Symbol]] = {}
        for symbol in self.added:
            found.setdefault(symbol.name, []).append(symbol)
        return found

    def _alike(self, old: Symbol, new: Symbol) -> float:
        """How much of two bodies is common, from 0 to 1."""
        left, right = self._body(self.old, old), self._body(self.new, new)
        if not left or not right:
            return 0.0
        return 2 * (left & right).total() / (left.total() + right.total())

    @cached_property
    def _bodies(self) -> dict[Symbol, Counter[str]]:
        return {}

    def _body(self, project: Project, symbol: Symbol) -> Counter[str]:
        """The words of the body, without its docstring, as the compiler sees it."""
        if symbol not in self._bodies:
            self._bodies[symbol] = Counter(_dumped(project, symbol).split())
        return self._bodies[symbol]

    def old_module(self, module: Module) -> Module | None:
        """The old version of a file of the new side."""
        file = self.change.file(module.path)
        path = module.path if file is None else file.old_path
        return self.old.module(path) if path is not None else None

    def old_scope(self, module: Module, scope: int) -> tuple[Module, int] | None:
        """Where a scope of the new side stood; None if it did not."""
        before = self.old_module(module)
        if before is None or before.facts is None or module.facts is None:
            return None
        if self.change.file(module.path) is None:
            return before, scope
        names = module.scope_names(scope)
        while names not in before.scopes_by_name and names[0] in ("comprehension", "lambda"):
            scope = module.facts.scopes[scope].parent
            names = module.scope_names(scope)
        found = before.scopes_by_name.get(names)
        return (before, found) if found is not None else None

    def old_symbol(self, symbol: Symbol) -> Symbol | None:
        """The old version of a definition of the new side."""
        module = self.old_module(symbol.module)
        if module is not None and symbol.qualname in module.by_qualname:
            return module.by_qualname[symbol.qualname]
        for before in self._removed_by_name.get(symbol.name, []) + self._removed_by_path.get(symbol.module.path, []):
            if self.successor(before) is symbol:
                return before
        return None

    @cached_property
    def _removed_by_name(self) -> dict[str, list[Symbol]]:
        found: dict[str, list[Symbol]] = {}
        for symbol in self.removed:
            found.setdefault(symbol.name, []).append(symbol)
        return found

    @cached_property
    def _removed_by_path(self) -> dict[str, list[Symbol]]:
        found: dict[str, list[Symbol]] = {}
        for symbol in self.removed:
            found.setdefault(symbol.module.path, []).append(symbol)
        return found


def _dumped(project: Project, symbol: Symbol) -> str:
    body = getattr(project.tree_of(symbol), "body", [])
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:] or body
    return " ".join(ast.dump(node).replace("(", "( ").replace(",", " ") for node in body)


def same_parameters(old: tuple[Parameter, ...], new: tuple[Parameter, ...]) -> bool:
    """Whether two parameter lists take the same calls and give the same defaults."""
    return len(old) == len(new) and all(
        a.name == b.name and a.kind == b.kind and same_source(a.default, b.default)
        for a, b in zip(old, new, strict=True)
    )
