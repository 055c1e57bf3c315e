"""Rule 1, calls whose receiver is not known: the name of the method has to tell whose it is.

Only where all that is known of the receiver fits; or, if nothing is, where the project has one method of that name and
no common class outside has one. In both cases the arguments must have fitted before.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from functools import cache
from pkgutil import resolve_name

from famulus.lsp_server.review.finding import Finding, Grade, Proof, Related
from famulus.lsp_server.review.index.affected import Affected
from famulus.lsp_server.review.index.binding import bind, without_first
from famulus.lsp_server.review.index.changes import Changes, Pair
from famulus.lsp_server.review.index.facts import Shape
from famulus.lsp_server.review.index.project import Project
from famulus.lsp_server.review.index.signatures import Signature
from famulus.lsp_server.review.index.values import Gone, Instance, Made, Method, Symbol, Unknown, Use, Value
from famulus.lsp_server.review.rules import callsites_words as words
from famulus.lsp_server.review.rules.callsites_gone import before, ready

_CLASSES = """
    str bytes list dict set tuple int float object type BaseException property io.StringIO io.TextIOWrapper io.BytesIO
    pathlib.Path re.Pattern re.Match threading.Thread threading.Event threading.Condition asyncio.BaseEventLoop
    asyncio.Task asyncio.Queue asyncio.StreamReader asyncio.StreamWriter asyncio.Transport concurrent.futures.Future
    concurrent.futures.Executor queue.Queue socket.socket subprocess.Popen datetime.datetime datetime.timedelta
    datetime.tzinfo decimal.Decimal collections.deque collections.OrderedDict collections.Counter
    collections.ChainMap collections.UserDict logging.Logger logging.Handler argparse.ArgumentParser
    contextlib.ExitStack email.message.Message unittest.TestCase unittest.mock.Mock ast.NodeVisitor
"""
"""Common classes outside, by name: only imported where the name of a method is all that is known."""
_COMMON = frozenset(
    """
    add all any append apply args call cancel clear close commit connect copy create cursor debug delete display
    done draw error eval exec execute fetch fetchall fetchone filter find first fit flush forward get get_context
    group handle head info init insert invoke items json last length load log map mean merge method name next notify
    on open order_by parse patch plot post predict process publish put query read receive register remove render
    replace request reset result rollback run sample save scalar search select send set show shutdown sort start
    step stop submit subscribe sum super to train transform update upload url validate value values view wait
    warning write
    """.split()  # noqa: SIM905
)


@cache
def everyday() -> frozenset[str]:
    """Names of methods and attributes that say nothing about whose they are."""
    names = (name if "." in name else f"builtins.{name}" for name in _CLASSES.split())
    return _COMMON.union(*(dir(resolve_name(name)) for name in names))


def of_call(changes: Changes, affected: Affected, use: Use) -> Iterator[Finding]:
    """A call on an unknown receiver that fitted the one method of that name before and fits it no more."""
    base, _, name = use.reference.path.rpartition(".")
    shape = use.reference.call
    if not base or shape is None or not name.isidentifier() or name.startswith("__"):
        return
    receivers = changes.new.resolver.resolve(use.module, use.reference.scope, base)
    known = {v for v in receivers if not isinstance(v, Unknown) and v != Made("builtins.None")}
    pairs = affected.methods.get(name, [])
    if known:
        here = [p for p in pairs if all(isinstance(v, Instance) and _found(changes, v.of, p.new) for v in known)]
        yield from _changed(changes, here[:1], use, shape)
        if all(isinstance(v, Instance) for v in known):
            yield from _inherited(changes, use, known, name)
    elif name in everyday() or not words.untouched(changes, use):
        return  # who wrote the line now knows what is there
    elif pairs:
        if {id(s) for s in _all(changes.new, name)} == {id(pair.new) for pair in pairs}:
            yield from _changed(changes, pairs, use, shape)
    elif name in affected.lost_methods:
        yield from _lost(changes, affected.lost_methods[name], use, shape)


def of_declared(changes: Changes, affected: Affected, use: Use) -> Iterator[Finding]:
    """A method that objects of the declared class have no more, though those of some classes below it have it."""
    base, _, name = use.reference.path.rpartition(".")
    if not name.isidentifier() or base.removesuffix("()") in ("", "self", "cls") or use.reference.use == "store":
        return
    if name not in affected.inherited or ready(use.module, use.reference.guard, {"AttributeError", ""}):
        return
    receivers = changes.new.resolver.resolve(use.module, use.reference.scope, base)
    owners = [v.of for v in receivers if isinstance(v, Instance)]
    others = [v for v in receivers if not isinstance(v, Instance) and v != Made("builtins.None")]
    classes = changes.new.resolver.classes
    if len(owners) != 1 or others or not _lacks(changes, owners[0], name) or _looked_at(use, base):
        return
    was = before(changes, use)
    methods = [v.function for v in was if isinstance(v, Method)]
    if methods and len(methods) == len(was) and classes.provided_below(owners[0], name):
        proof = f"{owners[0].qualname} has no `{name}` on the new side; only classes below it have one."
        yield _missing(changes, use, methods[0], proof, f"which {owners[0].qualname} no longer has")


def _lacks(changes: Changes, cls: Symbol, name: str) -> bool:
    """Whether an object of just this class cannot have the attribute."""
    values = changes.new.resolver.classes.attribute(cls, name, instance=True, exact=True)
    return all(isinstance(v, Gone) for v in values)


def _looked_at(use: Use, base: str) -> bool:
    """Whether somebody asks in the same scope what the receiver is, as with ``isinstance``."""
    facts, scope = use.module.facts, use.reference.scope
    return facts is not None and any(
        r.scope == scope and r.path == base and r.use in ("test", "match") for r in facts.references
    )


def _found(changes: Changes, cls: Symbol, method: Symbol) -> bool:
    """Whether a receiver of this class has the method, or else the classes below it (``isinstance``) have no other."""
    classes = changes.new.resolver.classes
    own = next(classes.members(cls, method.name), None)
    if own is not None:
        return own is method
    below = {next(classes.members(child, method.name), None) for child in classes.subclasses(cls)} - {None}
    return below == {method}


def _changed(changes: Changes, pairs: list[Pair], use: Use, shape: Shape) -> Iterator[Finding]:
    from famulus.lsp_server.review.rules.callsites import broken, expects_type_error

    if not pairs or expects_type_error(use):
        return
    sides = []
    for pair in pairs:
        old, new = _outside(changes.old, pair.old), _outside(changes.new, pair.new)
        if old is None or new is None:
            return
        sides.append((old, new))
    troubles = [bind(new.parameters, shape) for _, new in sides]
    fitted = [bind(old.parameters, shape) is None for old, _ in sides]
    trouble = troubles[0]
    if trouble is not None and None not in troubles and all(fitted):
        yield broken(changes, use, shape, sides[0], trouble, "likely")


def _inherited(changes: Changes, use: Use, receivers: Set[Value], name: str) -> Iterator[Finding]:
    """A method that has another name now, of a class with bases that are not in view.

    One that is only gone is left alone: the base outside may have what it overrode.
    """
    was = before(changes, use)
    methods = [v.function for v in was if isinstance(v, Method)]
    if not methods or len(methods) < len(was):
        return
    now = changes.successor(methods[0])
    if now is None or now.name == name:
        return
    classes = changes.new.resolver.classes
    around = [c for v in receivers if isinstance(v, Instance) for c in (v.of, *classes.below(v.of))]
    provided = any(next(classes.members(c, name), None) is not None for c in around)
    hooked = any(next(classes.members(c, "__getattr__"), None) is not None for c in around)
    if not provided and not hooked and not _stored(changes.new, name):
        yield _missing(changes, use, methods[0], f"{methods[0].qualname} is gone, and no class of the project has it.")


def _lost(changes: Changes, symbols: list[Symbol], use: Use, shape: Shape) -> Iterator[Finding]:
    name = symbols[0].name
    if _all(changes.new, name) or _stored(changes.new, name):
        return
    if {id(s) for s in _all(changes.old, name)} != {id(s) for s in symbols}:
        return
    signature = _outside(changes.old, symbols[0])
    if signature is not None and bind(signature.parameters, shape) is None:
        yield _missing(changes, use, symbols[0], f"{symbols[0].qualname} was the only method `{name}`, and it is gone.")


def _missing(changes: Changes, use: Use, old: Symbol, proof: str, fate: str = "") -> Finding:
    owner, now = old.owner, changes.successor(old)
    assert owner is not None
    if now is not None and now.name != old.name:
        fate = f"which is now called `{now.name}`"
    verb = "calls" if use.reference.call is not None else "uses"
    what = f"{words.called(use.reference)}()" if verb == "calls" else f"`{words.called(use.reference)}`"
    place = changes.new.place(use.module, use.reference)
    there = changes.old.place(old.module, old.definition, "old")
    return Finding(
        rule="call-site/missing-name",
        message=f"{place} {verb} {what}, {fate or 'which no class has any more'}.",
        grade=Grade.MEASURED,
        certainty="likely",
        severity="error",
        place=place,
        old_place=words.old_place(changes, use.module, place),
        key=f"{place.symbol} misses {owner.qualname}.{old.name}",
        proof=Proof(kind="bind", text=proof, data={"name": old.name}),
        related=(Related(place=there, message=f"`{old.qualname}` was defined here."),),
    )


def _all(project: Project, name: str) -> list[Symbol]:
    """Every function of this name that can be called through an object or a module."""
    found = []
    for module in project.modules:
        if module.facts is None:
            continue
        for symbol in module.symbols:
            definition = symbol.definition
            if definition.name == name and module.facts.scopes[definition.scope].kind in ("class", "module"):
                found.append(symbol)
    return found


def _stored(project: Project, name: str) -> bool:
    return any(
        name in m.facts.stored or any(name in s.attributes for s in m.facts.scopes) for m in project.modules if m.facts
    )


def _outside(project: Project, method: Symbol) -> Signature | None:
    """What a caller through an object gives."""
    kind = project.resolver.classes.kind(method)
    if kind == "property":
        return None
    found = project.signatures._function(method)
    if found is None:
        return None
    parameters = found.parameters if kind == "staticmethod" else without_first(found.parameters)
    return Signature(parameters, method, False)
