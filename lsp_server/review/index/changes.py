"""Which definitions differ between two versions of a project, and what became of those that are gone."""

from __future__ import annotations

import ast
import difflib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from famulus.lsp_server.review.change import Change
from famulus.lsp_server.review.index.annotations import same_source
from famulus.lsp_server.review.index.facts import Parameter
from famulus.lsp_server.review.index.project import Project
from famulus.lsp_server.review.index.values import Module, Symbol

_ALIKE = 0.75
"""Bodies with so much in common (of 1) are one function under two names."""
_ALIKE_NAMED = 0.5
"""The same, for two definitions with one name in two files."""


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

    @cached_property
    def successors(self) -> dict[Symbol, Symbol]:
        """What became of removed definitions: the same, renamed or moved."""
        found: dict[Symbol, Symbol] = {}
        taken: set[Symbol] = set()
        for file in self.change.python():
            if file.status == "renamed":
                before, after = self.old.module(file.old_path or ""), self.new.module(file.new_path or "")
                for name, symbol in before.by_qualname.items() if before else ():
                    if after is not None and name in after.by_qualname:
                        found[symbol] = after.by_qualname[name]
        for threshold in (1.0, _ALIKE):
            for symbol in self.removed:
                if symbol not in found and symbol.definition.kind != "value":
                    others = [o for o in self.added if o not in taken and self._comparable(symbol, o)]
                    other = max(others, key=lambda o: self._alike(symbol, o), default=None)
                    if other is not None and self._alike(symbol, other) >= self._needed(symbol, other, threshold):
                        found[symbol] = other
                        taken.add(other)
        return found

    @staticmethod
    def _comparable(old: Symbol, new: Symbol) -> bool:
        if old.definition.kind != new.definition.kind:
            return False
        small = old.definition.end_line - old.definition.line < 1
        return old.name == new.name or ((old.owner is None) == (new.owner is None) and not small)

    @staticmethod
    def _needed(old: Symbol, new: Symbol, threshold: float) -> float:
        return min(threshold, _ALIKE_NAMED) if old.name == new.name and threshold < 1 else threshold

    def _alike(self, old: Symbol, new: Symbol) -> float:
        left, right = self._body(self.old, old), self._body(self.new, new)
        if not left or not right:
            return 0.0
        if left == right:
            return 1.0
        matcher = difflib.SequenceMatcher(None, left.split(), right.split(), autojunk=False)
        return min(0.99, matcher.ratio()) if matcher.real_quick_ratio() > _ALIKE_NAMED else 0.0

    @cached_property
    def _bodies(self) -> dict[Symbol, str]:
        return {}

    def _body(self, project: Project, symbol: Symbol) -> str:
        """The body, without its docstring, as the compiler sees it."""
        if symbol not in self._bodies:
            self._bodies[symbol] = _dumped(project, symbol)
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
        for before, after in self._ancestors.items():
            if after is symbol:
                return before
        module = self.old_module(symbol.module)
        return module.by_qualname.get(symbol.qualname) if module is not None else None

    @cached_property
    def _ancestors(self) -> dict[Symbol, Symbol]:
        return dict(self.successors)


def _dumped(project: Project, symbol: Symbol) -> str:
    definition = symbol.definition
    lines = project.lines(symbol.module.path)[definition.start - 1 : definition.end_line]
    indent = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
    try:
        tree = ast.parse("\n".join(line[indent:] if not line[:indent].strip() else line for line in lines)).body[0]
    except (SyntaxError, IndexError, ValueError):
        return ""
    body = getattr(tree, "body", [])
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:] or body
    return " ".join(ast.dump(node).replace("(", "( ").replace(",", " ") for node in body)


def same_parameters(old: tuple[Parameter, ...], new: tuple[Parameter, ...]) -> bool:
    """Whether two parameter lists take the same calls and give the same defaults."""
    return len(old) == len(new) and all(
        a.name == b.name and a.kind == b.kind and same_source(a.default, b.default)
        for a, b in zip(old, new, strict=True)
    )


def mark(text: str) -> str:
    """A short name for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
