"""Rule 2, assignments: attributes that can no longer be set, held against those who set them.

An attribute is read-only if it is a property without a setter, if its class is a frozen data class or a named tuple, or
if ``__slots__`` leaves it out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from famulus.lsp_server.review.finding import Certainty, Finding
from famulus.lsp_server.review.index.annotations import parsed
from famulus.lsp_server.review.index.changes import Changes, Pair
from famulus.lsp_server.review.index.classes import provided
from famulus.lsp_server.review.index.project import Project
from famulus.lsp_server.review.index.signatures import dataclass_options
from famulus.lsp_server.review.index.values import Instance, Outside, Symbol, Unknown, Use, Value
from famulus.lsp_server.review.rules.callsites_gone import ready
from famulus.lsp_server.review.rules.callsites_guess import everyday
from famulus.lsp_server.review.rules.callsites_words import untouched, written
from famulus.lsp_server.review.rules.contracts_callers import NONE
from famulus.lsp_server.review.rules.contracts_finding import made

_READY = {"AttributeError", "FrozenInstanceError", "Exception", "BaseException", ""}


def check(changes: Changes) -> Iterator[Finding]:
    """Assignments and deletions that went through before and raise ``AttributeError`` now."""
    names = _names(changes)
    for use in _stores(changes, names):
        base, _, name = use.reference.path.rpartition(".")
        if not untouched(changes, use):
            continue
        values = [v for v in changes.new.resolver.resolve(use.module, use.reference.scope, base) if v != NONE]
        known = not all(isinstance(value, Unknown) for value in values)
        cause = _cause(changes, use, base, name, values) if known else _guessed(changes, use, name)
        if cause is None or ready(use.module, use.reference.guard, _READY):
            continue
        pair, difference = cause
        line = changes.new.lines(use.module.path)[use.reference.line - 1].lstrip()
        text = f"{'deletes' if line.startswith('del ') else 'sets'} `{written(use.reference.path)}`, "
        text += "which is read-only now"
        certainty: Certainty = "certain" if known else "likely"
        yield made(changes, use.module, use.reference, "read-only", text, pair, difference, certainty)


def _stores(changes: Changes, names: set[str]) -> Iterator[Use]:
    """References that set an attribute of one of these names."""
    for module in changes.new.modules if names else ():
        if module.facts is not None and not names.isdisjoint(module.facts.names):
            for reference in module.facts.references:
                if reference.use == "store" and reference.path.rpartition(".")[2] in names:
                    yield Use(module, reference)


def _names(changes: Changes) -> set[str]:
    """Names of attributes that may have become read-only."""
    found = {s.name for s in changes.added if _is_property(s)}
    for pair in changes.pairs:
        old, new = pair.old.definition, pair.new.definition
        if old.kind == new.kind == "class":
            heads = [[d.source for d in s.decorators] for s in (old, new)]
            if old.bases != new.bases or heads[0] != heads[1] or _slots(pair.old) != _slots(pair.new):
                assert pair.old.module.facts is not None
                scope = pair.old.module.facts.scopes[old.body]
                found |= {*scope.bindings, *scope.attributes, *(_slots(pair.old) or ())}
        elif _is_property(pair.new) and not _is_property(pair.old):
            found.add(pair.new.name)
    return found


def _guessed(changes: Changes, use: Use, name: str) -> tuple[Pair, str] | None:
    """The same for a parameter of which nothing is known: one class has such an attribute, and the file names it."""
    base = use.reference.path.rpartition(".")[0]
    if name in everyday() or not changes.new.resolver.is_parameter(use.module, use.reference.scope, base):
        return None
    sides = [
        [s for m in project.modules for s in m.symbols if s.definition.kind == "class" and name in provided(s)]
        for project in (changes.old, changes.new)
    ]
    if [len(owners) for owners in sides] != [1, 1]:
        return None
    old, new = sides[0][0], sides[1][0]
    cause = _read_only(changes.new, new, name)
    if cause is None or changes.old_symbol(new) is not old or _read_only(changes.old, old, name) is not None:
        return None
    named = use.module is new.module or (use.module.facts is not None and new.name in use.module.facts.names)
    return (Pair(changes.old_symbol(cause[0]) or old, cause[0]), cause[1]) if named else None


def _cause(changes: Changes, use: Use, base: str, name: str, receivers: Sequence[Value]) -> tuple[Pair, str] | None:
    """The definition that makes an assignment fail now, and in what it differs; None if it failed before as well, or
    need not fail."""
    place = changes.old_scope(use.module, use.reference.scope)
    before = changes.old.resolver.resolve(*place, base) if place is not None else ()
    classes = changes.new.resolver.classes
    cause = None
    for value in receivers:
        if not isinstance(value, Instance) or (not value.exact and classes.provided_below(value.of, name)):
            return None
        cause = _read_only(changes.new, value.of, name)
        if cause is None:
            return None
    was = [v.of for v in before if isinstance(v, Instance)]
    if cause is None or not was or any(_read_only(changes.old, cls, name) is not None for cls in was):
        return None
    symbol, difference = cause
    return Pair(changes.old_symbol(symbol) or was[0], symbol), difference


def _read_only(project: Project, cls: Symbol, name: str) -> tuple[Symbol, str] | None:
    """What keeps an attribute of objects of a class from being set, and why; None if nothing that is seen does."""
    classes = project.resolver.classes
    if not classes.known(cls) or next(classes.members(cls, "__setattr__"), None) is not None:
        return None
    slots: set[str] | None = set()
    for value in classes.line(cls):
        if isinstance(value, Outside):
            slots = slots if value.name == "builtins.object" else None
            continue
        assert isinstance(value, Symbol)
        own = value.module.by_qualname.get(f"{value.qualname}.{name}")
        if own is not None and own.definition.kind != "value":
            return (own, "is a property without a setter now") if _is_property(own) else None
        if (dataclass_options(value) or {}).get("frozen") is True:
            return value, "is frozen now"
        if own is not None:
            return (value, "is a named tuple now") if classes.is_named_tuple(value) else None
        here = _slots(value)
        slots = None if slots is None or here is None else slots | here
    if slots is None or name in slots or "__dict__" in slots:
        return None
    return cls, f"has no `{name}` in its `__slots__` now"


def _slots(cls: Symbol) -> frozenset[str] | None:
    """The names in ``__slots__`` of a class; None if it has none, or computes them."""
    own = cls.module.by_qualname.get(f"{cls.qualname}.__slots__")
    tree = parsed(own.definition.source) if own is not None else None
    try:
        names = ast.literal_eval(tree) if tree is not None else None
    except (ValueError, TypeError):
        return None
    return frozenset([names] if isinstance(names, str) else names) if names is not None else None


def _is_property(symbol: Symbol) -> bool:
    """Whether it is a property that cannot be set."""
    definition = symbol.definition
    if symbol.owner is None or not any(d.path in ("property", "abc.abstractproperty") for d in definition.decorators):
        return False
    same = (s.definition for s in symbol.module.symbols if s.definition.scope == definition.scope)
    return not any(s.name == symbol.name and d.path == f"{s.name}.setter" for s in same for d in s.decorators)
