"""Classes of a project: who stands above whom, what their members are, and how methods are bound."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from famulus.lsp_server.review.index.aliases import WORDS
from famulus.lsp_server.review.index.facts import Binding, Definition
from famulus.lsp_server.review.index.values import UNKNOWN, Gone, Instance, Method, Outside, Symbol, Value

if TYPE_CHECKING:
    from famulus.lsp_server.review.index.resolution import Resolver

Kind = Literal["function", "method", "classmethod", "staticmethod", "property"]
_PLAIN_BASES = {"builtins.object", "abc.ABC", "typing.Generic", "typing.Protocol", "typing_extensions.Protocol",
    "typing.NamedTuple",
                "enum.Enum", "enum.IntEnum", "enum.StrEnum", "enum.Flag", "enum.IntFlag"}  # fmt: skip
_PLAIN_METACLASSES = {"abc.ABCMeta", "ABCMeta", "type", "EnumMeta", "enum.EnumMeta"}
_ENUMS = {"enum.Enum", "enum.IntEnum", "enum.StrEnum", "enum.Flag", "enum.IntFlag"}
_KEEPING_RESULT = {
    "staticmethod", "classmethod", "abc.abstractmethod", "abstractmethod", "functools.lru_cache", "lru_cache", "cache",
    "functools.cache", "override", "typing.override", "final", "typing.final", "functools.wraps", "wraps", "deprecated",
}  # fmt: skip


class Classes:
    """The classes of one version."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        self._lines: dict[Symbol, tuple[Value, ...]] = {}
        self._kinds: dict[Symbol, Kind] = {}

    def bases(self, cls: Symbol) -> tuple[Value, ...]:
        """The direct bases; what stands for several is one unknown."""
        found: list[Value] = []
        for path in cls.definition.bases:
            if cls.definition.source and self.resolver.project.signatures.named_tuple(cls) is not None:
                found.append(Outside("typing.NamedTuple"))
                continue
            bare = path.rstrip("[]0123456789")
            values = self.resolver.resolve(cls.module, cls.definition.scope, bare)
            found.append(values[0] if len(values) == 1 else UNKNOWN)
        return tuple(found)

    def line(self, cls: Symbol) -> tuple[Value, ...]:
        """The class and all above it, in the order in which attributes are looked up; strangers stand as they are.

        The order is depth first with what comes twice kept at its last place: the same as Python's for the hierarchies
        that people write.
        """
        if cls in self._lines:
            return self._lines[cls]
        self._lines[cls] = (cls, UNKNOWN)
        order: list[Value] = [cls]
        for base in self.bases(cls):
            order.extend(self.line(base) if isinstance(base, Symbol) and base.definition.kind == "class" else (base,))
        last = {value: index for index, value in enumerate(order)}
        self._lines[cls] = tuple(value for index, value in enumerate(order) if last[value] == index)
        return self._lines[cls]

    def known(self, cls: Symbol) -> bool:
        """Whether all that a class inherits is in view."""
        return all(self._in_view(v) for v in self.line(cls)) and not any(
            (name == "metaclass" and source not in _PLAIN_METACLASSES) or name == "**"
            for v in self.line(cls)
            if isinstance(v, Symbol)
            for name, source in v.definition.keywords
        )

    @staticmethod
    def _in_view(value: Value) -> bool:
        if isinstance(value, Symbol):
            return value.definition.kind == "class"
        return isinstance(value, Outside) and (value.name in _PLAIN_BASES or _builtin(value.name) is not None)

    def ordinary(self, cls: Symbol) -> bool:
        """Whether calling the class makes an object of it."""
        return not any(
            name == "metaclass" and source not in _PLAIN_METACLASSES for name, source in cls.definition.keywords
        )

    def is_enum(self, cls: Symbol) -> bool:
        """Whether it is an enumeration."""
        return any(isinstance(v, Outside) and v.name in _ENUMS for v in self.line(cls))

    def is_named_tuple(self, cls: Symbol) -> bool:
        """Whether its objects are tuples whose items have names."""
        return any(isinstance(v, Outside) and v.name == "typing.NamedTuple" for v in self.line(cls))

    def is_typed_dict(self, cls: Symbol) -> bool:
        """Whether it says which keys a dictionary has."""
        return any(isinstance(v, Outside) and v.name.endswith(".TypedDict") for v in self.line(cls))

    def members(self, cls: Symbol, name: str) -> Iterator[Symbol]:
        """Definitions of a name in the class and above it, in order of lookup."""
        for value in self.line(cls):
            if isinstance(value, Symbol):
                found = value.module.by_qualname.get(f"{value.qualname}.{name}")
                if found is not None:
                    yield found

    def attribute(self, cls: Symbol, name: str, *, instance: bool, exact: bool = False) -> tuple[Value, ...]:
        """``cls.name``, or ``object.name`` for an object of the class; ``exact``: of no class below it."""
        return self._attribute(cls, name, instance, self.line(cls), exact=exact)

    def above(self, cls: Symbol, name: str, instance: bool) -> tuple[Value, ...]:
        """``super().name`` in the class."""
        return self._attribute(cls, name, instance, self.line(cls)[1:])

    def _attribute(
        self, cls: Symbol, name: str, instance: bool, line: tuple[Value, ...], *, exact: bool = False
    ) -> tuple[Value, ...]:
        for value in line:
            if not isinstance(value, Symbol) or value.definition.kind != "class" or value.module.facts is None:
                if not self._in_view(value) or name in _names_of(value):
                    return (UNKNOWN,)
                continue
            scope = value.module.facts.scopes[value.definition.body]
            if name in scope.bindings:
                return tuple(v for b in scope.bindings[name] for v in self._member(value, name, b.index, instance, cls))
            if name in WORDS.findall(value.definition.source):
                return (UNKNOWN,)
            if instance and name in scope.attributes:
                return self._stored(value, name)
        dunder = name.startswith("__") and name.endswith("__")
        if dunder or not self.known(cls) or self._dynamic(cls, name, exact=exact):
            return (UNKNOWN,)
        if not instance and any(isinstance(v, Symbol) and name in self._attributes(v) for v in line):
            return (UNKNOWN,)
        return (Gone(cls, name),)

    def _stored(self, cls: Symbol, name: str) -> tuple[Value, ...]:
        """What the methods of a class store in ``self.name``."""
        found: list[Value] = []
        for binding in self._attributes(cls)[name]:
            if binding.annotation:
                found.extend(self.resolver.annotations.values(cls.module, cls.definition.scope, binding.annotation))
            elif binding.value == "#None":
                continue
            elif binding.value:
                found.extend(self.resolver.resolve(cls.module, binding.index, binding.value))
            else:
                found.append(UNKNOWN)
        found = [UNKNOWN if isinstance(v, Gone) else v for v in found]
        return tuple(dict.fromkeys(found)) or (UNKNOWN,)

    @staticmethod
    def _attributes(cls: Symbol) -> dict[str, list[Binding]]:
        assert cls.module.facts is not None
        return cls.module.facts.scopes[cls.definition.body].attributes

    def _member(self, cls: Symbol, name: str, index: int, instance: bool, of: Symbol) -> tuple[Value, ...]:
        assert cls.module.facts is not None
        if index < 0:
            return (UNKNOWN,)
        scope = cls.module.facts.scopes[cls.definition.body]
        kinds = {b.kind for b in scope.bindings[name] if b.index == index}
        if kinds != {"definition"}:
            return self.resolver.resolve(cls.module, cls.definition.body, name)
        symbol = cls.module.symbols[index]
        definition = symbol.definition
        if definition.kind == "class":
            return (symbol,)
        if definition.kind == "value":
            return self._value(cls, symbol, instance)
        kind = self.kind(symbol)
        if kind == "property":
            if not instance:
                return (UNKNOWN,)
            return self.resolver.results._of_function(symbol, Method(symbol, of, True))
        if kind == "staticmethod":
            return (symbol,)
        return (Method(symbol, of, instance or kind == "classmethod"),)

    def _value(self, cls: Symbol, symbol: Symbol, instance: bool) -> tuple[Value, ...]:
        if self.is_enum(cls) and not symbol.name.startswith("_"):
            return (Instance(cls),)
        found = self.resolver.of_assignment(symbol)
        if any((isinstance(v, Symbol) and v.definition.kind == "function") or self._descriptor(v) for v in found):
            return (UNKNOWN,)
        return found

    def _descriptor(self, value: Value) -> bool:
        return isinstance(value, Instance) and any(
            next(self.members(value.of, n), None) for n in ("__get__", "__set__")
        )

    def _dynamic(self, cls: Symbol, name: str, *, exact: bool) -> bool:
        """Whether an attribute can appear that no definition shows."""
        if any(next(self.members(cls, hook), None) for hook in ("__getattr__", "__getattribute__")):
            return True
        if name in self._stored_anywhere or (not exact and self.provided_below(cls, name)):
            return True
        return any(self._decorated(v) for v in self.line(cls) if isinstance(v, Symbol))

    def _decorated(self, cls: Symbol) -> bool:
        plain = {"dataclass", "dataclasses.dataclass", "final", "typing.final", "total_ordering",
            "functools.total_ordering", "unique",
                 "enum.unique", "runtime_checkable", "typing.runtime_checkable", "deprecated"}  # fmt: skip
        return any(d.path not in plain for d in cls.definition.decorators)

    @cached_property
    def _stored_anywhere(self) -> frozenset[str]:
        return frozenset(name for m in self.resolver.project.modules if m.facts for name in m.facts.stored)

    def provided_below(self, cls: Symbol, name: str) -> bool:
        """Whether a class below it, or beside it, has an attribute."""
        return any(name in provided(below) for below in self.below(cls))

    @cached_property
    def _children(self) -> dict[Symbol, list[Symbol]]:
        found: dict[Symbol, list[Symbol]] = {}
        for module in self.resolver.project.modules:
            for symbol in module.symbols:
                if symbol.definition.kind == "class":
                    for base in self.bases(symbol):
                        if isinstance(base, Symbol):
                            found.setdefault(base, []).append(symbol)
        return found

    def below(self, cls: Symbol) -> list[Symbol]:
        """All classes that inherit from it, and those that share a child with it (mixins)."""
        found: dict[Symbol, None] = {}
        waiting = list(self._children.get(cls, []))
        while waiting:
            child = waiting.pop()
            if child not in found and child is not cls:
                found[child] = None
                waiting.extend(self._children.get(child, []))
                beside = [b for b in self.line(child)[1:] if isinstance(b, Symbol) and b.definition.kind == "class"]
                waiting.extend(b for b in beside if b is not cls and b not in found and b not in self.line(cls))
        return list(found)

    def subclasses(self, cls: Symbol) -> list[Symbol]:
        """All classes that inherit from it."""
        return [child for child in self.below(cls) if cls in self.line(child)]

    def kind(self, function: Symbol) -> Kind:
        """How a function is bound when it is reached through an object."""
        if function not in self._kinds:
            self._kinds[function] = self._kind(function.definition, function.owner is not None)
        return self._kinds[function]

    def _kind(self, definition: Definition, member: bool) -> Kind:
        if not member:
            return "function"
        for decorator in definition.decorators:
            last = decorator.path.rpartition(".")[2]
            if last in ("staticmethod", "classmethod"):
                return last  # type: ignore[return-value]
            if last in (
                "property",
                "cached_property",
                "getter",
                "setter",
                "deleter",
                "abstractproperty",
                "hybrid_property",
            ):
                return "property"
        if definition.name == "__new__":
            return "staticmethod"
        return "classmethod" if definition.name in ("__init_subclass__", "__class_getitem__") else "method"

    def keeps_result(self, function: Symbol) -> bool:
        """Whether the decorators of a function leave its result as it is."""
        return all(
            d.path in _KEEPING_RESULT or d.path.rpartition(".")[2] in ("property", "cached_property")
            for d in function.definition.decorators
        )


def provided(cls: Symbol) -> set[str]:
    """The attributes that the body of a class and its methods bind."""
    assert cls.module.facts is not None
    scope = cls.module.facts.scopes[cls.definition.body]
    return {*scope.bindings, *scope.attributes}


def _builtin(name: str) -> type | None:
    """The built-in class of this name; ``object`` counts, others like ``list`` as well."""
    found = getattr(builtins, name[9:], None) if name.startswith("builtins.") else None
    return found if isinstance(found, type) else None


def _names_of(value: Value) -> frozenset[str]:
    if isinstance(value, Outside):
        if value.name in _ENUMS:
            return frozenset({"name", "value", "_name_", "_value_", "_missing_", "_generate_next_value_", "_ignore_"})
        if value.name == "typing.NamedTuple":
            return frozenset(dir(tuple)) | {"_asdict", "_replace", "_fields", "_make", "_field_defaults"}
        found = _builtin(value.name)
        return frozenset(dir(found)) if found is not None and found is not object else frozenset()
    return frozenset()
