"""Rule 2, values: defaults on which calls rely, arguments that land elsewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace

from famulus.lsp_server.review.finding import Finding, Related
from famulus.lsp_server.review.index.annotations import parsed, same_source
from famulus.lsp_server.review.index.binding import after_partial, bind
from famulus.lsp_server.review.index.changes import Changes, Pair, same_parameters
from famulus.lsp_server.review.index.facts import POSITIONAL, POSITIONAL_ONLY, Parameter, Shape
from famulus.lsp_server.review.index.signatures import Signature
from famulus.lsp_server.review.index.values import Partial, Symbol, Use
from famulus.lsp_server.review.rules.callsites_words import called, untouched
from famulus.lsp_server.review.rules.contracts_callers import Callers
from famulus.lsp_server.review.rules.contracts_finding import made, shown

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_STAND_INS = ("None", "...")


def changed(changes: Changes, pair: Pair) -> bool:
    """Whether defaults or the order of parameters differ."""
    old, new = pair.old.definition, pair.new.definition
    if old.kind != new.kind:
        return False
    if old.kind == "function":
        return not same_parameters(old.parameters, new.parameters)
    if old.kind == "value":
        return pair.old.is_named_tuple and pair.new.is_named_tuple and old.source != new.source
    was, now = changes.old.signatures.constructor(pair.old), changes.new.signatures.constructor(pair.new)
    made_here = was is not None and now is not None and was.function is pair.old and now.function is pair.new
    return made_here and was is not None and now is not None and not same_parameters(was.parameters, now.parameters)


def check(changes: Changes, pair: Pair, callers: Callers) -> Iterator[Finding]:
    """What callers do not expect."""
    relying: dict[str, list[Use]] = {}
    for use in callers.calls(pair.new):
        sides = _signatures(changes, pair, use)
        shape = use.reference.call
        if sides is None or shape is None or any(bind(s.parameters, shape) is not None for s in sides):
            continue
        yield from _landing(changes, pair, use, shape, sides)
        for name in _omitted(shape, sides):
            relying.setdefault(name, []).append(use)
    for name, calls in relying.items():
        if not _filled_in(changes, pair, name):
            yield _default(changes, pair, name, calls)


def _signatures(changes: Changes, pair: Pair, use: Use) -> tuple[Signature, Signature] | None:
    """The signatures on both sides as this caller sees them."""
    values = changes.new.resolver.resolve(use.module, use.reference.scope, use.reference.path)
    found = [value for value in values if changes.new.signatures.of(value) is not None]
    if len(found) != 1:
        return None
    bare = found[0]
    partials = []
    while isinstance(bare, Partial):
        partials.append(bare)
        bare = bare.inner
    now = changes.new.signatures.of(bare)
    was = _before(changes, pair, now) if now is not None and now.sure else None
    if was is None or now is None:
        return None
    for partial in reversed(partials):
        was, now = _filled(was, partial), _filled(now, partial)
    return was, now


def _before(changes: Changes, pair: Pair, now: Signature) -> Signature | None:
    """The old signature, for the receiver of the new one."""
    if pair.new.definition.kind != "function":
        return changes.old.signatures.of(pair.old)
    dropped = len(pair.new.definition.parameters) - len(now.parameters)
    return Signature(pair.old.definition.parameters[dropped:], pair.old) if dropped in (0, 1) else None


def _filled(signature: Signature, partial: Partial) -> Signature:
    """Without the parameters for which a ``partial`` has a value."""
    left = after_partial(signature.parameters, partial.positional, partial.keywords)
    return Signature(tuple(p for p in left if p.name not in partial.keywords), signature.function, signature.sure)


def _by_position(parameters: tuple[Parameter, ...]) -> list[Parameter]:
    return [p for p in parameters if p.kind in (POSITIONAL_ONLY, POSITIONAL)]


def _landing(
    changes: Changes, pair: Pair, use: Use, shape: Shape, sides: tuple[Signature, Signature]
) -> Iterator[Finding]:
    """Arguments by position that go to another parameter than before, in calls that nobody touched."""
    if not untouched(changes, use):
        return
    was, now = (_by_position(s.parameters) for s in sides)
    names_before, names_now = ({p.name for p in s.parameters} for s in sides)
    for index, (before, after) in enumerate(zip(was[: shape.positional], now, strict=False)):
        moved = before.name in names_now or after.name in names_before
        if before.name != after.name and moved and index < len(_ORDINALS):
            text = (
                f"gives its {_ORDINALS[index]} argument to `{after.name}` of {called(use.reference)}(); "
                f"it used to go to `{before.name}`"
            )
            yield made(
                changes, use.module, use.reference, "argument-order", text, pair, "takes its arguments in another order"
            )
            return


def _omitted(shape: Shape, sides: tuple[Signature, Signature]) -> Iterator[str]:
    """Parameters with another default that a call leaves out."""
    if shape.star or shape.double_star:
        return
    was = {p.name: p for p in sides[0].parameters}
    given = {p.name for p in _by_position(sides[1].parameters)[: shape.positional]} | set(shape.keywords)
    for parameter in sides[1].parameters:
        before = was.get(parameter.name)
        if before is None or before.default is None or parameter.default is None or parameter.name in given:
            continue
        if not same_source(before.default, parameter.default) and not _same_meaning(before.default, parameter.default):
            yield parameter.name


def _same_meaning(old: str, new: str) -> bool:
    """A mutable default made None, a name put for a literal, None for False: not told apart without running it."""
    empty = {"[]", "{}", "set()", "list()", "dict()", "()"}
    if {old, new} & empty and {old, new} & {"None", *empty}:
        return True
    return {old, new} == {"None", "False"} or not (_literal(old) and _literal(new))


def _filled_in(changes: Changes, pair: Pair, name: str) -> bool:
    """Whether a default that stands for another value (None, an ellipsis) came or went, and the function or its class
    puts a value in its place or hands it on to who may do so: that may be the same."""
    for symbol, project, side in ((pair.old, changes.old, 0), (pair.new, changes.new, 1)):
        default = _default_of(changes, symbol, name, side)
        if default in _STAND_INS:
            around = (symbol.owner or symbol).definition
            body = "\n".join(project.lines(symbol.module.path)[around.line - 1 : around.end_line])
            there = rf"\b_?{re.escape(name)}\b"
            looked_at = rf"{there} (is (not )?{re.escape(default)}(?!\w)|or\b)|\bif (not )?(\w+\.)?{there}"
            return re.search(rf"{looked_at}|\b{re.escape(name)}={there}", body) is not None
    return False


def _literal(source: str) -> bool:
    tree = parsed(source)
    try:
        ast.literal_eval(tree) if tree is not None else None
    except ValueError:
        return False
    return tree is not None


def _default(changes: Changes, pair: Pair, name: str, calls: list[Use]) -> Finding:
    new = pair.new
    before, after = _default_of(changes, pair.old, name, 0), _default_of(changes, new, name, 1)
    first = changes.new.place(calls[0].module, calls[0].reference)
    count = "one call relies" if len(calls) == 1 else f"{len(calls)} calls rely"
    text = f"makes `{name}` of {shown(new)} {after} where it was {before}; {count} on it, as {first}"
    places = [changes.new.place(use.module, use.reference) for use in calls]
    related = [Related(place=place, message=f"leaves `{name}` out.") for place in places]
    difference = f"has {name}={after}; it had {name}={before}"
    finding = made(changes, new.module, new.definition, "default", text, pair, difference, "certain", "warning",
                   len(calls), related)  # fmt: skip
    return replace(finding, key=f"{finding.key} {name}", related=tuple(related))


def _default_of(changes: Changes, symbol: Symbol, name: str, side: int) -> str:
    parameters = symbol.definition.parameters
    if symbol.definition.kind == "class":
        found = (changes.new if side else changes.old).signatures.constructor(symbol)
        parameters = found.parameters if found is not None else ()
    return next((p.default or "" for p in parameters if p.name == name), "")
