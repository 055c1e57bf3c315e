"""What calling, iterating, indexing and entering give."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.lsp_server.review.index.values import (
    UNKNOWN,
    Awaitable,
    Instance,
    Made,
    Method,
    Outside,
    Partial,
    Symbol,
    Value,
)

if TYPE_CHECKING:
    from famulus.lsp_server.review.index.resolution import Resolver

_ITERATED = {
    "AbstractSet", "AsyncGenerator", "AsyncIterable", "AsyncIterator", "Collection", "Counter", "Deque", "Dict",
    "FrozenSet", "Generator", "Iterable", "Iterator", "KeysView", "List", "Mapping", "MutableMapping",
    "MutableSequence", "OrderedDict", "Sequence", "Set", "ValuesView", "defaultdict", "deque", "dict", "frozenset",
    "generator", "list", "set",
}  # fmt: skip
_INDEXED = {"list", "deque", "Sequence", "List", "MutableSequence"}
_MAPPED = {"dict", "Dict", "Mapping", "MutableMapping", "defaultdict", "OrderedDict"}
_MANAGER = "contextlib.AbstractContextManager"


class Results:
    """Values that come out of other values."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        self._running: set[Symbol] = set()

    def of_call(self, value: Value) -> tuple[Value, ...]:
        """``value()``."""
        if isinstance(value, Partial):
            return self.of_call(value.inner)
        if isinstance(value, Symbol) and value.definition.kind == "class":
            return (Instance(value, True),) if self.resolver.classes.ordinary(value) else (UNKNOWN,)
        if isinstance(value, Method):
            return self._of_function(value.function, value)
        if isinstance(value, Symbol) and value.definition.kind == "function":
            return self._of_function(value, None)
        if isinstance(value, Symbol) and value.is_named_tuple:
            return (Made(value.dotted),)
        if isinstance(value, Instance):
            found = self.resolver.classes.attribute(value.of, "__call__", instance=True)
            return tuple(v for f in found if isinstance(f, Method) for v in self.of_call(f)) or (UNKNOWN,)
        if isinstance(value, Outside) and value.name.startswith("builtins."):
            plain = value.name[9:]
            if plain in ("str", "int", "float", "bool", "bytes", "list", "dict", "set", "tuple", "frozenset"):
                return (Made(value.name),)
        return (UNKNOWN,)

    def _of_function(self, function: Symbol, method: Method | None) -> tuple[Value, ...]:
        definition = function.definition
        if [d.path.rpartition(".")[2] for d in definition.decorators] == ["contextmanager"]:
            return (Made(_MANAGER, (self._yielded(function),)),)
        if not self.resolver.classes.keeps_result(function):
            return (UNKNOWN,)
        if function in self._running:
            return (UNKNOWN,)
        self._running.add(function)
        try:
            values = self._declared(function, method) or self._seen(function, method)
        finally:
            self._running.discard(function)
        if definition.is_async and not definition.generator:
            return (Awaitable(values),)
        return values

    def _declared(self, function: Symbol, method: Method | None) -> tuple[Value, ...]:
        annotation = function.definition.annotation
        if not annotation:
            return ()
        if method is not None and annotation.strip("\"'").rpartition(".")[2] == "Self":
            return (Instance(method.of),)
        inner = function.definition.body
        parent = function.module.facts.scopes[inner].parent if function.module.facts else 0
        return self.resolver.annotations.values(function.module, parent, annotation)

    def _seen(self, function: Symbol, method: Method | None) -> tuple[Value, ...]:
        definition = function.definition
        if definition.generator:
            return (Made("builtins.generator", (self._yielded(function),)),)
        first = definition.parameters[0].name if definition.parameters else ""
        values: list[Value] = []
        for path in definition.returns:
            if method is not None and path == first:
                values.append(Instance(method.of) if method.instance else method.of)
            elif method is not None and not method.instance and path == f"{first}()":
                values.append(Instance(method.of))
            else:
                values.extend(self.resolver.resolve(function.module, definition.body, path))
        return tuple(dict.fromkeys(values)) or (UNKNOWN,)

    def _yielded(self, function: Symbol) -> tuple[Value, ...]:
        """What a generator function yields."""
        for declared in self._declared(function, None):
            if isinstance(declared, Made) and declared.arguments:
                return declared.arguments[0]
        definition = function.definition
        values = [v for p in definition.yields for v in self.resolver.resolve(function.module, definition.body, p)]
        return tuple(dict.fromkeys(values)) or (UNKNOWN,)

    def of_item(self, value: Value, step: str) -> tuple[Value, ...]:
        """``value[...]``, an element of it, or what ``with value as`` binds."""
        if step == "@":
            return self._entered(value)
        if isinstance(value, Made):
            name = value.name.rpartition(".")[2]
            inner = value.arguments
            if name in ("tuple", "Tuple") and inner:
                digits = step[1:-1] if step[0] == "[" else ""
                if digits and int(digits) < len(inner):
                    return inner[int(digits)]
                return inner[0] if len(inner) == 1 else (UNKNOWN,)
            if step == "<>" and name in _ITERATED and inner:
                return inner[0]
            if step[0] == "[" and name in _INDEXED and inner:
                return inner[0]
            if step[0] == "[" and name in _MAPPED and len(inner) == 2:
                return inner[1]
        if isinstance(value, Instance):
            return self._element(value) if step == "<>" else self._of_method(value, "__getitem__")
        return (UNKNOWN,)

    def _element(self, value: Instance) -> tuple[Value, ...]:
        """What iterating over an object of the project gives."""
        found: list[Value] = []
        for iterator in self._of_method(value, "__iter__"):
            if isinstance(iterator, Instance):
                found.extend(self._of_method(iterator, "__next__"))
            else:
                found.extend(self.of_item(iterator, "<>"))
        return tuple(dict.fromkeys(found)) or (UNKNOWN,)

    def _of_method(self, value: Instance, name: str) -> tuple[Value, ...]:
        found = self.resolver.classes.attribute(value.of, name, instance=True)
        results = [v for f in found for v in (self.of_call(f) if isinstance(f, Method) else (UNKNOWN,))]
        return tuple(dict.fromkeys(results)) or (UNKNOWN,)

    def _entered(self, value: Value) -> tuple[Value, ...]:
        if isinstance(value, Made) and value.name == _MANAGER and value.arguments:
            return value.arguments[0]
        return self._of_method(value, "__enter__") if isinstance(value, Instance) else (UNKNOWN,)
