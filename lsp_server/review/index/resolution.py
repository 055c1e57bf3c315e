"""What a path means: names looked up through scopes and imports, attributes through modules, classes and objects."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import TYPE_CHECKING

from famulus.lsp_server.review.index.annotations import Annotations
from famulus.lsp_server.review.index.classes import Classes
from famulus.lsp_server.review.index.facts import ANY, Binding, Import
from famulus.lsp_server.review.index.paths import steps
from famulus.lsp_server.review.index.results import Results
from famulus.lsp_server.review.index.values import (
    UNKNOWN,
    Above,
    Awaitable,
    Gone,
    Instance,
    Made,
    Module,
    Outside,
    Partial,
    Symbol,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from famulus.lsp_server.review.index.project import Project

_BUILTINS = frozenset(dir(builtins))
_MODULE_NAMES = frozenset({"__name__", "__file__", "__doc__", "__path__", "__spec__", "__package__", "__dict__",
    "__all__",
                           "__loader__", "__builtins__", "__annotations__", "__class__", "__module__", "__qualname__",
                           "__version__"})  # fmt: skip
_DEEP = 60
"""Steps that hang on each other; whoever writes more of them is not followed."""
_MANY = 12
"""More meanings than this are no knowledge."""
Values = tuple[Value, ...]
_NONE = Made("builtins.None")


class Resolver:
    """Resolves paths in one version of a project. Every answer is remembered."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.classes = Classes(self)
        self.annotations = Annotations(self)
        self.results = Results(self)
        self._known: dict[tuple[Module, int, str], Values] = {}
        self._running: set[tuple[object, ...]] = set()

    def resolve(self, module: Module, scope: int, path: str) -> Values:
        """What ``path`` can be at ``scope`` of ``module``; never empty."""
        key = (module, scope, path)
        if key in self._known:
            return self._known[key]
        if key in self._running or len(self._running) > _DEEP:
            return (UNKNOWN,)
        self._running.add(key)
        try:
            name, following = steps(path)
            values: Values = self._super(module, scope) if name == "super" else self.lookup(module, scope, name)
            if name == "super" and following[:1] == ("()",):
                following = following[1:]
            exact = not self.is_parameter(module, scope, name)
            for step in following:
                values = merged(v for value in _without_none(values) for v in self.step(value, step, exact=exact))
        finally:
            self._running.discard(key)
        self._known[key] = values
        return values

    @staticmethod
    def is_parameter(module: Module, scope: int, name: str) -> bool:
        """Whether a name is what a caller gave: a class may then be one below the class that is known."""
        scopes = module.facts.scopes if module.facts is not None else []
        while scope > 0 and name not in scopes[scope].bindings:
            scope = scopes[scope].parent
        return scope > 0 and any(b.kind == "parameter" for b in scopes[scope].bindings[name])

    def step(self, value: Value, step: str, *, exact: bool = True) -> Values:
        """One step of a path, from one value. ``exact``: a class is this one, not one below it."""
        if isinstance(value, (Unknown, Gone)):
            return (value,) if isinstance(value, Gone) else (UNKNOWN,)
        if step[0] == ".":
            return self.attribute(value, step[1:], exact=exact)
        if step == "()":
            values = self.results.of_call(value)
            return values if exact else tuple(Instance(v.of) if isinstance(v, Instance) else v for v in values)
        if step == "^":
            return value.results if isinstance(value, Awaitable) else (UNKNOWN,)
        if step[0] == "!":
            count, _, names = step[1:].partition(":")
            return (Partial(value, int(count), tuple(n for n in names.split(",") if n)),)
        return self.results.of_item(value, step)

    # names

    def lookup(self, module: Module, scope: int, name: str) -> Values:
        """What a plain name means at a scope."""
        if name.startswith("#"):
            return (Made("builtins." + name[1:].partition(":")[0]),) if len(name) > 1 else (UNKNOWN,)
        facts = module.facts
        if facts is None:
            return (UNKNOWN,)
        at = scope
        while at >= 0:
            found = facts.scopes[at]
            if name in found.bindings and (found.kind != "class" or at == scope):
                return self._bound(module, at, name, found.bindings[name])
            at = found.parent
        return self._global(module, name)

    def _global(self, module: Module, name: str) -> Values:
        if found := self._starred(module, name):
            return found
        if name in _BUILTINS:
            return (Outside("builtins." + name),)
        return (UNKNOWN,) if name in _MODULE_NAMES else (Gone(module, name),)

    def _bound(self, module: Module, scope: int, name: str, bindings: Iterable[Binding]) -> Values:
        return merged(v for binding in bindings for v in self._value(module, scope, name, binding))

    def _value(self, module: Module, scope: int, name: str, binding: Binding) -> Values:
        facts = module.facts
        assert facts is not None
        if binding.kind == "definition":
            symbol = module.symbols[binding.index]
            return (symbol,) if symbol.definition.kind != "value" else self.of_assignment(symbol)
        if binding.kind == "import":
            return self.of_import(module, facts.imports[binding.index])
        if binding.kind == "parameter":
            return self._parameter(module, scope, name, binding)
        if binding.annotation:
            return self.annotations.values(module, scope, binding.annotation)
        if binding.value:
            return self.resolve(module, binding.index if binding.kind == "attribute" else scope, binding.value)
        return (UNKNOWN,)

    def of_assignment(self, symbol: Symbol) -> Values:
        """What a name that a module or class body assigns stands for: its value, if it can be followed, else itself."""
        definition = symbol.definition
        if definition.annotation and definition.annotation.rpartition(".")[2] != "TypeAlias":
            values = self.annotations.values(symbol.module, definition.scope, definition.annotation)
            if any(not isinstance(v, Unknown) for v in values):
                return values
        key = ("assignment", symbol)
        if not definition.returns or key in self._running:
            return (symbol,)
        self._running.add(key)
        try:
            found = merged(
                v for path in definition.returns for v in self.resolve(symbol.module, definition.scope, path)
            )
        finally:
            self._running.discard(key)
        return tuple(symbol if isinstance(v, Unknown) else v for v in found)

    def _parameter(self, module: Module, scope: int, name: str, binding: Binding) -> Values:
        facts = module.facts
        assert facts is not None
        found = facts.scopes[scope]
        if found.kind == "function" and facts.scopes[found.parent].kind == "class":
            function = module.symbols[found.definition]
            parameters = function.definition.parameters
            if parameters and parameters[0].name == name and not binding.annotation:
                kind = self.classes.kind(function)
                owner = function.owner
                if owner is not None and kind in ("method", "property"):
                    return (Instance(owner),)
                if owner is not None and kind == "classmethod":
                    return (owner,)
        if binding.annotation:
            return self.annotations.values(module, facts.scopes[scope].parent, binding.annotation)
        return (UNKNOWN,)

    def of_import(self, module: Module, found: Import) -> Values:
        """What an import binds."""
        target = self.project.imported(module, found)
        if found.attribute is None:
            if target is None:
                return self._missing_module(module, found)
            if found.name != found.module:
                return (target,)
            first = self.project.find(found.module.partition(".")[0], module)
            return (first,) if first is not None else (UNKNOWN,)
        if target is None:
            return self._missing_module(module, found)
        values = self.attribute(target, found.attribute)
        if len(values) == 1 and isinstance(values[0], Gone) and values[0].through is None:
            gone = values[0]
            if gone.owner is target and gone.name == found.attribute:
                return (Gone(target, found.attribute, (module, found)),)
        return values

    def _missing_module(self, module: Module, found: Import) -> Values:
        """A module that is not there: outside, or missing from a package of the project."""
        package: Module | None
        if found.level:
            package = self.project.imported(module, Import(0, "", None, found.level, "", 0, 0, 0, 0))
            name = found.module
        else:
            first, _, name = found.module.partition(".")
            package = self.project.find(first, module) if name else None
        if package is None or not name:
            return (Outside(f"{found.module}.{found.attribute}" if found.attribute else found.module),)
        for part in name.split("."):
            inner = self.project.submodule(package, part)
            if inner is None:
                if package.facts is not None and part in package.facts.scopes[0].bindings:
                    return (UNKNOWN,)
                return (Gone(package, part, (module, found)),)
            package = inner
        return (UNKNOWN,)

    def _starred(self, module: Module, name: str) -> Values:
        """What star imports bring under a name; empty if they bring nothing."""
        facts = module.facts
        key = ("star", module, name)
        if facts is None or key in self._running:
            return ()
        self._running.add(key)
        try:
            hidden: Values = ()
            for found in reversed(facts.imports):
                if found.attribute != "*":
                    continue
                target = self.project.imported(module, found)
                if target is None:
                    if not isinstance(self._missing_module(module, found)[0], Gone):
                        return (UNKNOWN,)
                    continue
                exports = target.facts.exports if target.facts is not None else None
                public = name in exports if exports is not None else not name.startswith("_")
                values = self.attribute(target, name)
                there = not all(isinstance(v, Gone) for v in values)
                if public and there:
                    return values
                if there:
                    hidden = (Gone(target, name, (module, found), hidden=True),)
            return hidden if name not in _BUILTINS else ()
        finally:
            self._running.discard(key)

    # attributes

    def attribute(self, value: Value, name: str, *, exact: bool = True) -> Values:
        """``value.name``. ``exact``: as with :meth:`step`."""
        if isinstance(value, Module):
            return self._of_module(value, name)
        if isinstance(value, Symbol):
            if value.definition.kind == "class":
                return self.classes.attribute(value, name, instance=False, exact=exact)
            return (UNKNOWN,)
        if isinstance(value, Instance):
            return self.classes.attribute(value.of, name, instance=True, exact=value.exact)
        if isinstance(value, Outside):
            return (Outside(f"{value.name}.{name}"),)
        if isinstance(value, Above):
            return self.classes.above(value.of, name, value.instance)
        return (UNKNOWN,)

    def _of_module(self, module: Module, name: str) -> Values:
        key = (module, -1, name)
        if key in self._known:
            return self._known[key]
        if key in self._running:
            inner = self.project.submodule(module, name)
            return (inner,) if inner is not None else (UNKNOWN,)
        self._running.add(key)
        try:
            found = self._member(module, name)
        finally:
            self._running.discard(key)
        self._known[key] = found
        return found

    def _member(self, module: Module, name: str) -> Values:
        facts = module.facts
        if facts is None:
            inner = self.project.submodule(module, name)
            return (inner,) if inner is not None else (Gone(module, name),)
        if name in facts.scopes[0].bindings:
            return self._bound(module, 0, name, facts.scopes[0].bindings[name])
        inner = self.project.submodule(module, name)
        if inner is not None:
            return (inner,)
        if found := self._starred(module, name):
            return found if not (isinstance(found[0], Gone) and found[0].hidden) else (Gone(module, name),)
        if (
            name in _MODULE_NAMES
            or "__getattr__" in facts.scopes[0].bindings
            or not {name, ANY}.isdisjoint(facts.stored)
        ):
            return (UNKNOWN,)
        return (Gone(module, name),)

    def _super(self, module: Module, scope: int) -> Values:
        """``super()``: what stands above the class around the method around a scope."""
        facts = module.facts
        assert facts is not None
        at = scope
        while at > 0:
            found = facts.scopes[at]
            if found.kind == "function" and facts.scopes[found.parent].kind == "class":
                method = module.symbols[found.definition]
                owner = method.owner
                assert owner is not None
                return (Above(owner, self.classes.kind(method) != "classmethod"),)
            at = found.parent
        return (UNKNOWN,)


def _without_none(values: Values) -> Values:
    """Only what a step can be taken from: it fails on None, and with anything else it goes on."""
    left = tuple(v for v in values if v != _NONE)
    return left or values


def merged(values: Iterable[Value]) -> Values:
    """Each value once, in order; :data:`UNKNOWN` for too many or none."""
    found = tuple(dict.fromkeys(values))
    found = tuple(v for v in found if not (isinstance(v, Instance) and v.exact and Instance(v.of) in found))
    return found if 0 < len(found) <= _MANY else (UNKNOWN,)
