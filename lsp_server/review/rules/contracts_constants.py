"""Rule 2, constants: another value that other files compare with, another type with which users cannot do the same."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from famulus.lsp_server.review.finding import Certainty, Finding, Related
from famulus.lsp_server.review.index.annotations import parsed, same_source
from famulus.lsp_server.review.index.changes import Changes, Pair
from famulus.lsp_server.review.index.naming import uses
from famulus.lsp_server.review.index.paths import steps
from famulus.lsp_server.review.index.values import Symbol, Use
from famulus.lsp_server.review.rules.callsites_words import untouched
from famulus.lsp_server.review.rules.contracts_finding import made

_COMPARING = ("compare:==", "compare:order", "compare:is")
_NO_CONSTANTS = {"__version__", "version", "__all__", "__author__", "__date__", "VERSION"}
_NEEDED = {"index": "__getitem__", "iter": "__iter__", "len": "__len__", "unpack": "__iter__"}
_DOING = {"index": "takes an item from", "iter": "iterates over", "len": "takes the length of", "unpack": "unpacks"}
_NUMBERS = (int, float, complex)


def changed(pair: Pair) -> bool:
    """Whether a constant has another value."""
    old, new = pair.old.definition, pair.new.definition
    if old.kind != "value" or new.kind != "value" or same_source(old.source, new.source):
        return False
    if new.name in _NO_CONSTANTS or not new.name.isupper():
        return False
    return _literal(pair.old) is not None and _literal(pair.new) is not None


def _literal(symbol: Symbol) -> Any:
    """The value of a name that is bound once, to a literal; None if it is another one, or None itself."""
    bindings = symbol.scope.bindings.get(symbol.name, [])
    tree = parsed(symbol.definition.source) if symbol.definition.source and len(bindings) == 1 else None
    try:
        return ast.literal_eval(tree) if tree is not None else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def check(changes: Changes, pair: Pair) -> Iterator[Finding]:
    """Users that cannot do with the new value what they did with the old one; else those that compare with it."""
    was, now = _literal(pair.old), _literal(pair.new)
    users = [use for use in uses(changes.new, {pair.new.name}) if untouched(changes, use)]
    if type(was) is not type(now):
        found = [finding for use in users for finding in _misused(changes, pair, use, was, now)]
        yield from found
        if found:
            return
    if not isinstance(was, (list, tuple, dict, set)) and not isinstance(now, (list, tuple, dict, set)):
        yield from _compared(changes, pair, users)


def _misused(changes: Changes, pair: Pair, use: Use, was: Any, now: Any) -> Iterator[Finding]:
    """What a user does with a constant and its new type cannot do."""
    step, name = _after(changes, use, pair.new), pair.new.name
    if step is None:
        return
    kinds = f"{type(was).__name__} → {type(now).__name__}"
    certainty: Certainty = "certain"
    what = use.reference.use.partition(":")[0].partition(" ")[0] if not step else "index" if step[0] == "[" else ""
    if step.startswith("."):
        if hasattr(now, step[1:]) or not hasattr(was, step[1:]):
            return
        text = f"uses `{name}{step}`, but {name} is a {type(now).__name__} now"
    elif what in _NEEDED:
        if hasattr(now, _NEEDED[what]) or not hasattr(was, _NEEDED[what]):
            return
        text = f"{_DOING[what]} {name}, which is a {type(now).__name__} now"
    elif what in ("op", "compare") and isinstance(was, _NUMBERS) != isinstance(now, _NUMBERS):
        if what == "compare" and use.reference.use != "compare:order":
            return
        text = f"{'computes' if what == 'op' else 'compares'} with {name}, which is a {type(now).__name__} now"
        certainty = "likely"
    else:
        return
    difference = f"is {pair.new.definition.source}; it was {pair.old.definition.source}"
    yield made(changes, use.module, use.reference, "constant", text, pair, f"{difference} ({kinds})", certainty)


def _compared(changes: Changes, pair: Pair, users: list[Use]) -> Iterator[Finding]:
    """A constant with another value that other files compare with."""
    new = pair.new
    found = [
        use
        for use in users
        if use.module is not new.module
        and use.reference.use in _COMPARING
        and use.reference.call is None
        and _after(changes, use, new) == ""
    ]
    if found:
        before, after = pair.old.definition.source, new.definition.source
        first = changes.new.place(found[0].module, found[0].reference)
        count = "one comparison relies" if len(found) == 1 else f"{len(found)} comparisons rely"
        text = f"makes {new.name} {after} where it was {before}; {count} on it, as {first}"
        related = [Related(place=changes.new.place(u.module, u.reference), message="compares with it.") for u in found]
        difference = f"is {after}; it was {before}"
        yield made(changes, new.module, new.definition, "constant", text, pair, difference, "certain", "note",
                   len(found), related)  # fmt: skip


def _after(changes: Changes, use: Use, constant: Symbol) -> str | None:
    """The first step that a reference takes from the constant, "" for none; None if it does not name it.

    The constant's value is resolved, so the name is looked up one step before."""
    root, following = steps(use.reference.path)
    if root == constant.name and constant.owner is None:
        return (following[0] if following else "") if _bound(changes, use, root, constant) else None
    resolver = changes.new.resolver
    for position, step in enumerate(following):
        if step == f".{constant.name}":
            base = root + "".join(following[:position])
            owners = resolver.resolve(use.module, use.reference.scope, base)
            if all(owner is (constant.owner or constant.module) for owner in owners):
                return following[position + 1] if position + 1 < len(following) else ""
    return None


def _bound(changes: Changes, use: Use, name: str, constant: Symbol) -> bool:
    """Whether a plain name means the constant: that of its own module, or imported."""
    facts, scope = use.module.facts, use.reference.scope
    assert facts is not None
    while scope > 0 and name not in facts.scopes[scope].bindings:
        scope = facts.scopes[scope].parent
    bindings = facts.scopes[scope].bindings.get(name, [])
    if len(bindings) != 1:
        return False
    if bindings[0].kind == "definition":
        return use.module.symbols[bindings[0].index] is constant
    if bindings[0].kind != "import":
        return False
    found = facts.imports[bindings[0].index]
    return found.attribute == constant.name and changes.new.imported(use.module, found) is constant.module
