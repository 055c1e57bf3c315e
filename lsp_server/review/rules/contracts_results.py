"""Rule 2, results: another number of values, None, a generator, a coroutine; held against what callers do with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.index.changes import Changes, Pair
from famulus.lsp_server.review.index.facts import Reference
from famulus.lsp_server.review.index.values import (
    Awaitable,
    Instance,
    Made,
    Method,
    Outside,
    Symbol,
    Unknown,
    Use,
    Value,
)
from famulus.lsp_server.review.rules import contracts_none as none
from famulus.lsp_server.review.rules.callsites_words import called, counted
from famulus.lsp_server.review.rules.contracts_callers import NONE, Callers
from famulus.lsp_server.review.rules.contracts_finding import doing, made

_CONTAINERS = {"#list", "#tuple", "#set", "#dict", "#str"}
_CONTAINER_TYPES = {"list", "tuple", "set", "dict", "List", "Tuple", "Set", "Dict", "frozenset", "str", "bytes"}
_OF_COROUTINE = {"attr:close", "attr:send", "attr:throw", "attr:add_done_callback", "attr:cr_frame"}
_NEEDS_RESULT = (
    "attr:",
    "index",
    "op",
    "iter",
    "len",
    "unpack:",
    "compare:",
    "call",
    "with",
    "test",
    "format",
    "discard",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a function gives. ``arity``: of the tuples that it always returns; ``element``: of those that it yields."""

    coroutine: bool
    generator: bool
    none: bool
    value: bool
    container: bool
    arity: int | None
    element: int | None


def changed(pair: Pair) -> bool:
    """Whether what the function gives looks different."""
    old, new = pair.old.definition, pair.new.definition
    if old.kind != "function" or new.kind != "function":
        return False
    return any(getattr(old, f) != getattr(new, f) for f in ("returns", "yields", "generator", "is_async", "annotation"))


def check(changes: Changes, pair: Pair, callers: Callers) -> Iterator[Finding]:
    """Callers that cannot use what the function now gives."""
    old, new = shape(changes, pair.old, 0), shape(changes, pair.new, 1)
    if old is None or new is None or old == new:
        return
    for use in callers.calls(pair.new):
        outcomes = callers.outcomes(use)
        if old.coroutine != new.coroutine:
            yield from _awaiting(changes, pair, use, outcomes, new)
        elif old.generator != new.generator:
            yield from _iterating(changes, pair, use, outcomes, old, new)
        else:
            yield from _unpacking(changes, pair, use, outcomes, old, new)
            if new.none and not old.none and old.value and not none.only_said(changes, pair):
                yield from none.check(changes, pair, use, outcomes)


def shape(changes: Changes, symbol: Symbol, side: int) -> Shape | None:
    """What a function gives; None if its decorators change that, or if it is only a stub."""
    project = changes.new if side else changes.old
    if not project.resolver.classes.keeps_result(symbol) or project.resolver.classes.kind(symbol) == "property":
        return None
    definition = symbol.definition
    values = [path for path in definition.returns if path != "#None"]
    declared = [v for v in _declared(changes, symbol, side) if not isinstance(v, Unknown)]
    generator = definition.generator or (bool(values) and all(v == "#generator" for v in values))
    arities = {_arity(v) for v in values}
    if None in arities or not arities:
        arities = {
            len(v.arguments) for v in declared if isinstance(v, Made) and v.name == "builtins.tuple" and v.arguments
        }
    names = {v.name.rpartition(".")[2] for v in declared if isinstance(v, Made) and v != NONE}
    return Shape(
        coroutine=definition.is_async and not definition.generator,
        generator=generator,
        none=not generator and ("#None" in definition.returns or NONE in declared),
        value=bool(values) or bool(names),
        container=(bool(values) and all(v.partition(":")[0] in _CONTAINERS for v in values))
        or (bool(names) and names <= _CONTAINER_TYPES),
        arity=arities.pop() if len(arities) == 1 and not generator else None,
        element=next(iter({_arity(y) for y in definition.yields}), None) if len(set(definition.yields)) == 1 else None,
    )  # fmt: skip


def _arity(path: str) -> int | None:
    return int(path.partition(":")[2]) if path.startswith("#tuple:") and path[7:].isdigit() else None


def _declared(changes: Changes, symbol: Symbol, side: int) -> tuple[Value, ...]:
    definition = symbol.definition
    if not definition.annotation:
        return ()
    resolver = (changes.new if side else changes.old).resolver
    return resolver.annotations.values(symbol.module, definition.scope, definition.annotation)


def _unpacking(
    changes: Changes, pair: Pair, use: Use, outcomes: list[tuple[str, Reference]], old: Shape, new: Shape
) -> Iterator[Finding]:
    for kind, where in outcomes:
        kind = kind.removeprefix("await ").removeprefix("async ")
        was, now = (old.element, new.element) if kind.startswith("iter ") else (old.arity, new.arity)
        wanted = kind.removeprefix("iter ").removeprefix("unpack:")
        if was is None or now is None or was == now or "unpack:" not in kind:
            continue
        count = int(wanted.rstrip("+"))
        if count == was != now if not wanted.endswith("+") else now < count <= was:
            verb = "yields" if kind.startswith("iter ") else "returns"
            text = f"unpacks {counted(count, 'value')} from {called(use.reference)}(), "
            text += f"which now {verb} {counted(now, 'value')}"
            yield made(changes, use.module, where, "arity", text, pair, f"{verb} {was} → {now}")


def _awaiting(
    changes: Changes, pair: Pair, use: Use, outcomes: list[tuple[str, Reference]], new: Shape
) -> Iterator[Finding]:
    if new.coroutine:
        if any(kind.startswith(("await", "async", "yield", "return", "arg", "element")) for kind, _ in outcomes):
            return
        for kind, where in outcomes:
            if kind.startswith(_NEEDS_RESULT) and kind not in _OF_COROUTINE:
                text = f"does not await {called(use.reference)}(), which is now async"
                yield made(changes, use.module, where, "not-awaited", text, pair, "is async now")
                return
    elif use.reference.use.startswith("await "):
        values = changes.new.resolver.results.of_call(_value(changes, use))
        if any(_awaitable(changes, v) for v in values):
            return
        sure = not any(isinstance(v, (Unknown, Symbol, Method, Outside)) for v in values)
        text = f"awaits {called(use.reference)}(), which is no longer async"
        yield made(
            changes,
            use.module,
            use.reference,
            "awaited",
            text,
            pair,
            "is not async now",
            "certain" if sure else "possible",
        )


def _awaitable(changes: Changes, value: Value) -> bool:
    """Whether a value can be awaited, as far as can be seen."""
    if isinstance(value, Instance):
        classes = changes.new.resolver.classes
        return not classes.known(value.of) or next(classes.members(value.of, "__await__"), None) is not None
    return isinstance(value, Awaitable) or (isinstance(value, Made) and not value.name.startswith("builtins."))


def _value(changes: Changes, use: Use) -> Value:
    return changes.new.resolver.resolve(use.module, use.reference.scope, use.reference.path)[0]


def _iterating(
    changes: Changes, pair: Pair, use: Use, outcomes: list[tuple[str, Reference]], old: Shape, new: Shape
) -> Iterator[Finding]:
    name = called(use.reference)
    if new.generator:
        if use.reference.use == "discard" and pair.new.definition.generator:
            text = (
                f"calls {name}() for its effect, but it is now a generator and does nothing until it is iterated over"
            )
            yield made(changes, use.module, use.reference, "generator", text, pair, "is a generator now")
            return
        twice = [where for kind, where in outcomes if kind.startswith("iter")]
        for kind, where in outcomes:
            if kind in ("len", "index", "op", "test", "call") or kind.startswith("compare") or (
                kind.startswith("attr:") and old.container and kind not in _OF_COROUTINE
            ):  # fmt: skip
                text = f"{doing(kind)} of {name}(), which now gives a generator"
                yield made(changes, use.module, where, "generator", text, pair, "gives a generator now")
                return
        if len(twice) > 1 and old.container:
            text = f"iterates a second time over the result of {name}(), which now gives a generator"
            yield made(changes, use.module, twice[1], "generator", text, pair, "gives a generator now")
    else:
        for kind, where in outcomes:
            if kind == "next" or kind in ("attr:send", "attr:throw", "attr:__next__"):
                text = f"{doing(kind)} of {name}(), which no longer gives a generator"
                yield made(changes, use.module, where, "generator", text, pair, "gives no generator now")
                return
