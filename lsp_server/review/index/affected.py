"""Which names a change can break: those of definitions that are gone, take other arguments or inherit otherwise."""

from __future__ import annotations

from functools import cached_property

from famulus.lsp_server.review.index.changes import Changes, Pair, same_parameters
from famulus.lsp_server.review.index.facts import Definition
from famulus.lsp_server.review.index.project import Project
from famulus.lsp_server.review.index.values import Awaitable, Instance, Module, Symbol


class Affected:
    """The simple names under which users of changed definitions are to be looked for."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes

    @cached_property
    def names(self) -> frozenset[str]:
        """All of them."""
        found: set[str] = set()
        for symbol in self.changes.removed:
            found.update(self._of_removed(symbol))
        for before, after in self.changes.files:
            found.update(self._of_module(before, after))
        for pair in self.changes.pairs:
            if pair.old.definition.kind == "class" and pair.new.definition.kind == "class":
                found.update(self._of_class(pair))
            else:
                if _other(pair.old.definition, pair.new.definition):
                    found.update(self._of_function(pair))
                found.update(self._of_result(pair))
        return frozenset(found)

    @cached_property
    def methods(self) -> dict[str, list[Pair]]:
        """Methods whose parameters or way of being called changed, by name."""
        found: dict[str, list[Pair]] = {}
        for pair in self.changes.pairs:
            method = pair.old.owner is not None and pair.old.definition.kind == pair.new.definition.kind == "function"
            if method and _other(pair.old.definition, pair.new.definition):
                found.setdefault(pair.old.name, []).append(pair)
        return found

    @cached_property
    def lost_methods(self) -> dict[str, list[Symbol]]:
        """Methods that are gone under their name, by name."""
        found: dict[str, list[Symbol]] = {}
        for symbol in self.changes.removed:
            if symbol.owner is not None and symbol.definition.kind == "function":
                found.setdefault(symbol.name, []).append(symbol)
        return found

    @cached_property
    def inherited(self) -> frozenset[str]:
        """Names that objects of a class may have lost: those of methods that are gone, and of bases that are others."""
        found = set(self.lost_methods)
        for pair in self.changes.pairs:
            if pair.old.definition.kind == pair.new.definition.kind == "class":
                found |= self._of_other_bases(pair)
        return frozenset(found)

    def _of_other_bases(self, pair: Pair) -> set[str]:
        """All names of a class whose head changed, with those that it inherited."""
        old, new = pair.old.definition, pair.new.definition
        if old.bases != new.bases or old.keywords != new.keywords or old.decorators != new.decorators:
            return _names_of(self.changes.old, pair.old)
        return set()

    def _of_result(self, pair: Pair) -> set[str]:
        """What objects that a function gives had, and those of another class that it gives now have not."""
        old, new = pair.old.definition, pair.new.definition
        if old.kind != "function" or (old.annotation, old.returns) == (new.annotation, new.returns):
            return set()
        had, have = _classes_given(self.changes.old, pair.old), _classes_given(self.changes.new, pair.new)
        if not had or not have:
            return set()
        left = set.intersection(*(_names_of(self.changes.new, cls) for cls in have))
        return set().union(*(_names_of(self.changes.old, cls) for cls in had)) - left

    def _of_removed(self, symbol: Symbol) -> set[str]:
        found = {symbol.name}
        if symbol.name in ("__init__", "__new__", "__call__") and symbol.owner is not None:
            found |= self._class_names(symbol.owner)
        owner = symbol.owner
        if owner is not None and symbol.definition.kind == "value":
            found |= self._class_names(owner)
        return found

    def _of_function(self, pair: Pair) -> set[str]:
        found = {pair.new.name}
        if pair.new.name in ("__init__", "__new__", "__call__") and pair.new.owner is not None:
            found |= self._class_names(pair.new.owner)
        if pair.new.owner is not None and pair.new.definition.kind == "value":
            found |= self._class_names(pair.new.owner)
        return found

    def _of_class(self, pair: Pair) -> set[str]:
        old, new = pair.old.definition, pair.new.definition
        found: set[str] = set()
        if old.bases != new.bases or old.keywords != new.keywords or old.decorators != new.decorators:
            found |= self._class_names(pair.new) | self._of_other_bases(pair)
        if old.source != new.source:
            found |= self._class_names(pair.new)
        assert pair.old.module.facts is not None and pair.new.module.facts is not None
        was = pair.old.module.facts.scopes[old.body]
        now = pair.new.module.facts.scopes[new.body]
        found.update(set(was.attributes) - set(now.attributes) - set(now.bindings))
        fields_before = [(n, b) for n, b in was.bindings.items() if _is_field(pair.old.module, b[0].index, b[0].kind)]
        fields_now = [n for n, b in now.bindings.items() if _is_field(pair.new.module, b[0].index, b[0].kind)]
        if [n for n, _ in fields_before] != fields_now:
            found |= self._class_names(pair.new)
        return found

    def _of_module(self, before: Module | None, after: Module | None) -> set[str]:
        """Names that a module imported and no longer has, and modules that are no longer there."""
        if before is None or before.facts is None:
            return set()
        if after is None or after.facts is None or after.name != before.name:
            return {before.name.rpartition(".")[2], *before.facts.scopes[0].bindings}
        was, now = before.facts, after.facts
        found = set(was.scopes[0].bindings) - set(now.scopes[0].bindings)
        if was.exports is not None and now.exports is not None:
            found |= set(was.exports) - set(now.exports)
        elif now.exports is not None:
            found |= set(was.scopes[0].bindings) - set(now.exports)
        stars = [(i.module, i.level) for i in was.imports if i.attribute == "*"]
        for module, level in stars:
            if (module, level) not in [(i.module, i.level) for i in now.imports if i.attribute == "*"]:
                for item in was.imports:
                    if (item.module, item.level, item.attribute) == (module, level, "*"):
                        target = self.changes.old.imported(before, item)
                        if target is not None and target.facts is not None:
                            found |= set(target.facts.scopes[0].bindings)
        return found

    def _class_names(self, cls: Symbol) -> set[str]:
        """A class and all that inherit its constructor, on both sides."""
        found = {cls.name, "__init__"}
        for project in (self.changes.old, self.changes.new):
            same = project.by_name.get(cls.module.name)
            here = same.by_qualname.get(cls.qualname) if same is not None else None
            if here is not None:
                found.update(child.name for child in project.resolver.classes.subclasses(here))
        return found


def _classes_given(project: Project, function: Symbol) -> list[Symbol]:
    """The project's classes of what a function gives, awaited or not."""
    values = project.resolver.results.of_call(function)
    values += tuple(v for value in values if isinstance(value, Awaitable) for v in value.results)
    return [value.of for value in values if isinstance(value, Instance)]


def _names_of(project: Project, cls: Symbol) -> set[str]:
    """All names of a class, with those that it inherits."""
    found: set[str] = set()
    for above in project.resolver.classes.line(cls):
        if isinstance(above, Symbol) and above.module.facts is not None:
            scope = above.module.facts.scopes[above.definition.body]
            found.update(scope.bindings, scope.attributes)
    return found


def _is_field(module: Module, index: int, kind: str) -> bool:
    return kind == "definition" and module.symbols[index].definition.kind == "value"


def _other(old: Definition, new: Definition) -> bool:
    """Whether calls of one may fail for the other."""
    if old.kind != new.kind:
        return True
    if old.kind == "function":
        return not same_parameters(old.parameters, new.parameters) or [d.source for d in old.decorators] != [
            d.source for d in new.decorators
        ]
    return old.kind == "value" and (old.source != new.source or old.annotation != new.annotation)
