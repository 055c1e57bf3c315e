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

_ITERATED = {"list", "set", "frozenset", "deque", "Sequence", "Iterable", "Iterator", "Generator", "Collection",
    "List", "Set",
             "FrozenSet", "AbstractSet", "MutableSequence", "dict", "Dict", "Mapping", "MutableMapping", "defaultdict",
             "Counter", "OrderedDict", "KeysView", "ValuesView", "Deque", "AsyncIterator", "AsyncIterable",
             "AsyncGenerator"}  # fmt: skip
_INDEXED = {"list", "deque", "Sequence", "List", "MutableSequence"}
_MAPPED = {"dict", "Dict", "Mapping", "MutableMapping", "defaultdict", "OrderedDict"}
_PASSING = {"builtins.iter", "builtins.sorted", "builtins.list", "builtins.reversed", "copy.copy", "copy.deepcopy"}


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
            return (Instance(value),) if self.resolver.classes.ordinary(value) else (UNKNOWN,)
        if isinstance(value, Method):
            return self._of_function(value.function, value)
        if isinstance(value, Symbol) and value.definition.kind == "function":
            return self._of_function(value, None)
        if isinstance(value, Instance):
            found = self.resolver.classes.attribute(value.of, "__call__", instance=True)
            return tuple(v for f in found if isinstance(f, Method) for v in self.of_call(f)) or (UNKNOWN,)
        if isinstance(value, Outside) and value.name.startswith("builtins."):
            plain = value.name[9:]
            if plain in ("str", "int", "float", "bool", "bytes", "list", "dict", "set", "tuple", "frozenset"):
                return (Made(value.name),)
        return (UNKNOWN,)

    def _of_function(self, function: Symbol, method: Method | None) -> tuple[Value, ...]:
        if not self.resolver.classes.keeps_result(function):
            return (UNKNOWN,)
        definition = function.definition
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
            return (Made("builtins.generator"),)
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
            dunder = "__iter__" if step == "<>" else "__getitem__"
            for found in self.resolver.classes.attribute(value.of, dunder, instance=True):
                if isinstance(found, Method):
                    results = self.of_call(found)
                    return results if step != "<>" else tuple(v for r in results for v in self.of_item(r, "<>"))
        return (UNKNOWN,)

    def _entered(self, value: Value) -> tuple[Value, ...]:
        if not isinstance(value, Instance):
            return (UNKNOWN,)
        for found in self.resolver.classes.attribute(value.of, "__enter__", instance=True):
            if isinstance(found, Method):
                return self.of_call(found)
        return (UNKNOWN,)
