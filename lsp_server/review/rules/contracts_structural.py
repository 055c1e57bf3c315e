"""Rule 2, structural protocols: objects given where a ``Protocol`` is asked for, whose class no longer fits it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.index.changes import Changes, Pair
from famulus.lsp_server.review.index.facts import POSITIONAL, POSITIONAL_ONLY, Parameter
from famulus.lsp_server.review.index.paths import path_of
from famulus.lsp_server.review.index.project import Project
from famulus.lsp_server.review.index.values import Gone, Instance, Outside, Symbol, Use, Value
from famulus.lsp_server.review.rules.callsites_words import called
from famulus.lsp_server.review.rules.contracts_callers import NONE, Callers
from famulus.lsp_server.review.rules.contracts_finding import made


def check(changes: Changes) -> Iterator[Finding]:
    """Arguments that had all that the parameter's protocol asks for, and lack some of it now."""
    asked = _changed(changes)
    functions = [s for m in changes.new.modules if asked for s in m.symbols if _asks(changes.new, s, asked)]
    callers = Callers(changes, functions)
    for function in functions:
        for use in callers.calls(function):
            for parameter, argument in _given(changes, use):
                yield from _argument(changes, use, function, parameter, argument, asked)


def _changed(changes: Changes) -> set[Symbol]:
    """Protocols that ask for something that a class has lost, or for more than before."""
    lost = {symbol.name for symbol in changes.removed if symbol.owner is not None}
    lost |= {symbol.name for symbol in changes.added if symbol.owner is not None}
    modules = [m for m in changes.new.modules if lost and m.facts is not None and "Protocol" in m.facts.names]
    protocols = {s for m in modules for s in m.symbols if _is_protocol(changes.new, s)}
    return {protocol for protocol in protocols if not lost.isdisjoint(_members(changes.new, protocol))}


def _is_protocol(project: Project, symbol: Symbol) -> bool:
    return symbol.definition.kind == "class" and any(
        isinstance(base, Outside) and base.name.endswith(".Protocol") for base in project.resolver.classes.bases(symbol)
    )


def _members(project: Project, protocol: Symbol) -> list[str]:
    """What a protocol asks for, special methods aside."""
    line = [v for v in project.resolver.classes.line(protocol) if isinstance(v, Symbol) and v.module.facts is not None]
    names = (name for v in line if v.module.facts for name in v.module.facts.scopes[v.definition.body].bindings)
    return [name for name in names if not name.startswith("__")]


def _asks(project: Project, function: Symbol, asked: set[Symbol]) -> bool:
    return function.definition.kind == "function" and any(
        any(protocol.name in p.annotation for protocol in asked) and _protocol(project, function, p) in asked
        for p in function.definition.parameters
    )


def _protocol(project: Project, function: Symbol, parameter: Parameter) -> Symbol | None:
    """The only class that an annotation names."""
    definition = function.definition
    values = project.resolver.annotations.values(function.module, definition.scope, parameter.annotation)
    return _class([value for value in values if value != NONE])


def _class(values: list[Value]) -> Symbol | None:
    return values[0].of if len(values) == 1 and isinstance(values[0], Instance) else None


def _given(changes: Changes, use: Use) -> Iterator[tuple[Parameter, ast.expr]]:
    """The arguments of a call with the parameters to which they go, as far as no star stands in between."""
    call = changes.new.nodes(use.module).call(use.reference)
    values = changes.new.resolver.resolve(use.module, use.reference.scope, use.reference.path)
    signature = changes.new.signatures.of(values[0]) if len(values) == 1 else None
    if call is None or signature is None or any(isinstance(argument, ast.Starred) for argument in call.args):
        return
    by_position = [p for p in signature.parameters if p.kind in (POSITIONAL_ONLY, POSITIONAL)]
    yield from zip(by_position, call.args, strict=False)
    named = {p.name: p for p in signature.parameters}
    yield from ((named[k.arg], k.value) for k in call.keywords if k.arg in named)


def _argument(
    changes: Changes, use: Use, function: Symbol, parameter: Parameter, argument: ast.expr, asked: set[Symbol]
) -> Iterator[Finding]:
    protocol = _protocol(changes.new, function, parameter) if parameter.annotation else None
    found = changes.new.resolver.resolve(use.module, use.reference.scope, path_of(argument))
    cls = _class([value for value in found if value != NONE])
    if protocol not in asked or protocol is None or cls is None or protocol in changes.new.resolver.classes.line(cls):
        return
    old_class, old_protocol = changes.old_symbol(cls), changes.old_symbol(protocol)
    lacks = _lacking(changes.new, cls, protocol)
    if not lacks or old_class is None or old_protocol is None or _lacking(changes.old, old_class, old_protocol):
        return
    new = lacks[0] not in _members(changes.old, old_protocol)
    pair = Pair(old_protocol, protocol) if new else Pair(old_class, cls)
    text = f"gives {called(use.reference)}() a {cls.qualname} for a {protocol.qualname}, but it has no `{lacks[0]}`"
    difference = f"asks for `{lacks[0]}` now" if new else f"has no `{lacks[0]}` now"
    yield made(changes, use.module, use.reference, "protocol", text, pair, difference, "likely")


def _lacking(project: Project, cls: Symbol, protocol: Symbol) -> list[str]:
    """What a protocol asks for and objects of a class have not."""
    classes = project.resolver.classes
    return [
        name
        for name in _members(project, protocol)
        if all(isinstance(v, Gone) for v in classes.attribute(cls, name, instance=True))
    ]
