"""Rule 2, exceptions: callers whose handlers no longer match what is raised."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from dataclasses import dataclass

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.index.changes import Changes, Pair
from famulus.lsp_server.review.index.facts import Raise
from famulus.lsp_server.review.index.project import Project
from famulus.lsp_server.review.index.values import Instance, Module, Outside, Symbol, Use, Value
from famulus.lsp_server.review.rules.callsites_words import called, unchanged
from famulus.lsp_server.review.rules.contracts_callers import Callers
from famulus.lsp_server.review.rules.contracts_finding import made

_OF_MISUSE = {
    f"builtins.{name}" for name in ("AssertionError", "NotImplementedError", "RuntimeError", "SystemExit", "TypeError")
}
"""What is raised where the caller is wrong, so that nobody catches it."""


def rebased(changes: Changes) -> set[Symbol]:
    """Classes of the new side that inherit from others than before."""
    found = set()
    for pair in changes.pairs:
        both = pair.new.definition.kind == pair.old.definition.kind == "class"
        if both and _ancestors(changes.old, pair.old) != _ancestors(changes.new, pair.new):
            found.add(pair.new)
    return found


def _ancestors(project: Project, cls: Symbol) -> set[str]:
    return {_name(value) for value in project.resolver.classes.line(cls)}


def _name(value: Value) -> str:
    return value.dotted if isinstance(value, Symbol) else value.name if isinstance(value, Outside) else "?"


def pairs(changes: Changes, rebased_classes: set[Symbol]) -> list[Pair]:
    """Functions that raise other exceptions than before, or the same with other bases."""
    found = []
    for pair in changes.pairs:
        old, new = pair.old.definition, pair.new.definition
        if old.kind == new.kind == "function" and {r.path for r in old.raises} != {r.path for r in new.raises}:
            found.append(pair)
    names = {cls.name for cls in rebased_classes}
    for module in changes.new.modules if names else ():
        before = changes.old_module(module)
        if before is None or module.facts is None or names.isdisjoint(module.facts.names):
            continue
        for name, symbol in module.by_qualname.items():
            if any(r.path.rpartition(".")[2] in names for r in symbol.definition.raises) and name in before.by_qualname:
                found.append(Pair(before.by_qualname[name], symbol))
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class _Raised:
    """What a function raises otherwise than before, each with the names of its bases. ``kept``: what it raised before
    and raises still; ``none``: it now returns None somewhere."""

    lost: dict[str, set[str]]
    fresh: dict[str, set[str]]
    kept: dict[str, set[str]]
    none: bool


def check(changes: Changes, found: list[Pair], callers: Callers) -> Iterator[Finding]:
    """Handlers around calls that do not catch what is raised now, or wait for what no longer comes; also around calls
    of unchanged functions that call a changed one and let its exceptions pass."""
    through: dict[tuple[Pair, Symbol], _Raised] = {}
    for pair in found:
        difference = _difference(changes, pair)
        for use in callers.calls(pair.new) if difference is not None else ():
            assert difference is not None
            yield from _handlers(changes, pair, use, difference)
            function = _around(use)
            if function is not None and (passed := _passed(changes, use, function, difference)) is not None:
                through[pair, function] = passed
    above = Callers(changes, (function for _, function in through))
    for (pair, function), passed in through.items():
        for use in above.calls(function):
            yield from _handlers(changes, pair, use, passed)


def _difference(changes: Changes, pair: Pair) -> _Raised | None:
    """What a function raises otherwise than before; None if nothing, or if it is not known."""
    was, now = raised(changes.old, pair.old), raised(changes.new, pair.new)
    if was is None or now is None:
        return None
    before = {_name(v): _ancestors_of(changes.old, v) for v in was}
    after = {_name(v): _ancestors_of(changes.new, v) for v in now}
    inlined, extracted = _moved(changes, pair)
    found = _Raised(
        lost={n: up for n, up in before.items() if after.get(n) != up and _last(n) not in extracted},
        fresh={n: up for n, up in after.items() if before.get(n) != up and _last(n) not in inlined},
        kept={n: up for n, up in after.items() if before.get(n) == up},
        none="#None" in pair.new.definition.returns and "#None" not in pair.old.definition.returns,
    )
    return found if found.fresh or found.lost else None


def _around(use: Use) -> Symbol | None:
    """The function in which a call stands."""
    facts, scope = use.module.facts, use.reference.scope
    while facts is not None and facts.scopes[scope].kind == "comprehension":
        scope = facts.scopes[scope].parent
    inside = facts is not None and facts.scopes[scope].kind == "function"
    return use.module.symbols[facts.scopes[scope].definition] if inside and facts is not None else None


def _passed(changes: Changes, use: Use, function: Symbol, found: _Raised) -> _Raised | None:
    """What an unchanged function, which makes the call, lets pass of exceptions in the place of others; None for
    nothing, or if it may do something about them."""
    if use.reference.guard >= 0 or use.reference.use == "handed on" or not unchanged(changes, function):
        return None
    if function.definition.generator or not changes.new.resolver.classes.keeps_result(function):
        return None
    own = _raises(function)
    lost = {name: up for name, up in found.lost.items() if _last(name) not in own}
    return _Raised(lost, found.fresh, {}, none=False) if lost and found.fresh else None


def _moved(changes: Changes, pair: Pair) -> tuple[set[str], set[str]]:
    """Names of exceptions that other functions of the file no longer raise, and that they now raise: the ``raise`` may
    only have come out of a helper, or gone into one."""
    partners = {p.new: p.old for p in changes.pairs if p.new.module is pair.new.module}
    old = {s: _raises(s) for s in pair.old.module.symbols if s is not pair.old}
    new = {s: _raises(s) for s in pair.new.module.symbols if s is not pair.new}
    known = set(partners.values())
    gone = [names for s, names in old.items() if s not in known]
    gone += [old.get(o, set()) - _raises(n) for n, o in partners.items() if n is not pair.new]
    come = [names - _raises(partners[s]) if s in partners else names for s, names in new.items()]
    return set().union(*gone), set().union(*come)


def _raises(symbol: Symbol) -> set[str]:
    return {_last(r.path.removesuffix("()")) for r in symbol.definition.raises}


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _handlers(changes: Changes, pair: Pair, use: Use, found: _Raised) -> Iterator[Finding]:
    facts = use.module.facts
    at = use.reference.guard
    if facts is None or at < 0:
        return
    guard = facts.guards[at]
    caught: set[str] = set()
    while at >= 0:
        caught |= _caught(changes, use.module, at)
        at = facts.guards[at].outer
    if "?" in caught:
        return
    own = _caught(changes, use.module, use.reference.guard)
    escaped = [name for name, up in found.fresh.items() if not up & caught]
    matched = [name for name, up in found.lost.items() if up & own]
    kept = [name for name, up in found.kept.items() if up & own]
    if escaped and matched:
        text, difference = _instead(use, escaped[0], matched[0], expected=guard.expected)
    elif kept and not guard.expected and (wanted := [n for n in escaped if n not in _OF_MISUSE]):
        name, beside = _last(wanted[0]), _last(kept[0])
        text = f"catches {beside} from {called(use.reference)}(), but not {name}, which it can now raise as well"
        difference = f"can raise {name} now, besides {beside}"
    elif matched and not kept and not found.fresh and found.none and _alone(use):
        name = _last(matched[0])
        text = f"waits for {name} from {called(use.reference)}(), which now returns None instead"
        difference = f"returns None where it raised {name}"
    else:
        return
    yield made(changes, use.module, use.reference, "exception", text, pair, difference, "likely")


def _instead(use: Use, now: str, was: str, *, expected: bool) -> tuple[str, str]:
    """The words for one exception in the place of another."""
    name, before, callee = _last(now), _last(was), called(use.reference)
    if now == was:
        difference = f"raises {name} with other bases"
        text = f"no longer catches {name} from {callee}(), which has other bases now"
    else:
        difference = f"can raise {name} now, raised instead of {before}"
        text = f"does not catch {name}, which {callee}() now raises instead of {before}"
    return (f"expects {before} from {callee}(), which now raises {name}" if expected else text), difference


def _alone(use: Use) -> bool:
    """Whether nothing else is called in the ``try``."""
    facts, guard = use.module.facts, use.reference.guard
    others = [r for r in facts.references if r.guard == guard and r.call is not None] if facts is not None else []
    return len(others) == 1


def _caught(changes: Changes, module: Module, guard: int) -> set[str]:
    """Names of what one ``try`` catches; ``?`` for what is not known, and for everything."""
    assert module.facts is not None
    found: set[str] = set()
    for path in module.facts.guards[guard].catches:
        values = changes.new.resolver.resolve(module, module.facts.guards[guard].scope, path) if path else ()
        found |= {_name(v) for v in values} or {"builtins.BaseException"}
    return found


def raised(project: Project, function: Symbol) -> list[Value] | None:
    """What a function raises by name and does not catch itself; None if one of these is not known."""
    found: list[Value] = []
    for item in function.definition.raises:
        values = project.resolver.resolve(function.module, function.definition.body, item.path)
        for value in values:
            kind: Value = value.of if isinstance(value, Instance) else value
            if not isinstance(kind, (Symbol, Outside)) or not _exception(project, kind):
                return None
            if not _kept_in(project, function, item, kind):
                found.append(kind)
    return found


def _exception(project: Project, value: Symbol | Outside) -> bool:
    if isinstance(value, Symbol):
        return value.definition.kind == "class"
    found = getattr(builtins, value.name.removeprefix("builtins."), None)
    return not value.name.startswith("builtins.") or (isinstance(found, type) and issubclass(found, BaseException))


def _kept_in(project: Project, function: Symbol, item: Raise, value: Value) -> bool:
    facts = function.module.facts
    at = item.guard
    while facts is not None and at >= 0:
        for path in facts.guards[at].catches:
            if not path:
                return True
            names = {_name(v) for v in project.resolver.resolve(function.module, facts.guards[at].scope, path)}
            if names & _ancestors_of(project, value):
                return True
        at = facts.guards[at].outer
    return False


def _ancestors_of(project: Project, value: Value) -> set[str]:
    """The names of an exception and of all classes above it."""
    found: set[str] = set()
    line = project.resolver.classes.line(value) if isinstance(value, Symbol) else (value,)
    for above in line:
        found.add(_name(above))
        if isinstance(above, Outside):
            cls = getattr(builtins, above.name.removeprefix("builtins."), None)
            if above.name.startswith("builtins.") and isinstance(cls, type):
                found.update(f"builtins.{c.__name__}" for c in cls.__mro__)
    return found
