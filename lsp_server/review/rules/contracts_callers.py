"""Who calls changed functions, and what they do with the result."""

from __future__ import annotations

from collections.abc import Iterable

from famulus.lsp_server.review.index.changes import Changes
from famulus.lsp_server.review.index.facts import Reference
from famulus.lsp_server.review.index.naming import uses
from famulus.lsp_server.review.index.paths import steps
from famulus.lsp_server.review.index.values import Made, Method, Module, Partial, Symbol, Use, Value

NONE = Made("builtins.None")
_TESTING = ("test", "compare:is", "compare:==", "match")


class Callers:
    """The references that mean one of ``targets`` (new side) and nothing else; found in one pass over the project."""

    def __init__(self, changes: Changes, targets: Iterable[Symbol]) -> None:
        self.changes = changes
        self.found: dict[Symbol, list[Use]] = {symbol: [] for symbol in targets}
        names = {name for symbol in self.found for name in _names(changes, symbol)}
        for use in uses(changes.new, names) if names else ():
            target = self._target(use)
            if target in self.found:
                self.found[target].append(use)

    def _target(self, use: Use) -> Symbol | None:
        values = self.changes.new.resolver.resolve(use.module, use.reference.scope, use.reference.path)
        meant = {_symbol(self.changes, value) for value in values if value != NONE}
        return meant.pop() if len(meant) == 1 else None

    def of(self, symbol: Symbol) -> list[Use]:
        """All references that mean it."""
        return self.found[symbol]

    def calls(self, symbol: Symbol) -> list[Use]:
        """Those that call it."""
        return [use for use in self.found[symbol] if use.reference.call is not None]

    def outcomes(self, use: Use) -> list[tuple[str, Reference]]:
        """What a caller does with the result: the use of the call itself, or, where the result is given a name that
        means nothing else in its scope, the uses of the name."""
        kind = use.reference.use
        awaited = "await " if kind.startswith("await ") else ""
        if not kind.removeprefix("await ").startswith("="):
            return [(kind, use.reference)]
        name = kind.removeprefix("await ")[1:]
        return [(awaited + what, where) for what, where in self._of_name(use, name)]

    def _of_name(self, use: Use, name: str) -> list[tuple[str, Reference]]:
        facts = use.module.facts
        assert facts is not None
        scope = use.reference.scope
        bindings = facts.scopes[scope].bindings.get(name, [])
        if facts.scopes[scope].kind != "function" or len(bindings) != 1 or bindings[0].kind != "value":
            return []
        found = []
        for reference in facts.references:
            root, following = steps(reference.path)
            if root != name or not _inside(use.module, reference.scope, scope):
                continue
            if reference.line < use.reference.line:
                continue
            if not following:
                found.append(("call" if reference.call is not None else reference.use, reference))
            elif following[0][0] == ".":
                found.append((f"attr:{following[0][1:]}", reference))
            elif following[0][0] == "[":
                found.append(("index", reference))
        return found


def tested(outcomes: list[tuple[str, Reference]]) -> bool:
    """Whether somebody looks first what the result is."""
    return any(kind.removeprefix("await ") in _TESTING or kind.endswith("=") for kind, _ in outcomes)


def _inside(module: Module, scope: int, outer: int) -> bool:
    """Whether ``scope`` is ``outer`` or a comprehension or lambda in it."""
    assert module.facts is not None
    while scope > outer and module.facts.scopes[scope].kind in ("comprehension", "lambda"):
        scope = module.facts.scopes[scope].parent
    return scope == outer


def _symbol(changes: Changes, value: Value) -> Symbol | None:
    if isinstance(value, Partial):
        return _symbol(changes, value.inner)
    if isinstance(value, Method):
        return value.function
    if isinstance(value, Symbol) and value.definition.kind == "class":
        found = changes.new.signatures.constructor(value)
        return found.function if found is not None else value
    return value if isinstance(value, Symbol) else None


def _names(changes: Changes, symbol: Symbol) -> set[str]:
    owner = symbol.owner if symbol.name in ("__init__", "__new__") else symbol
    if owner is None or owner.definition.kind != "class":
        return {symbol.name}
    return {owner.name, symbol.name, *(child.name for child in changes.new.resolver.classes.subclasses(owner))}
