"""Who uses a name: found by text first, by meaning after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from famulus.lsp_server.review.index.aliases import WORDS
from famulus.lsp_server.review.index.values import Method, Partial, Symbol, Use, Value

if TYPE_CHECKING:
    from famulus.lsp_server.review.index.project import Project


def other_names(project: Project, names: Iterable[str]) -> frozenset[str]:
    """``names``, and all names under which the project's modules import or assign what bears one of them."""
    wanted = set(names)
    fresh = set(wanted)
    while fresh:
        found: set[str] = set()
        for module in project.modules:
            if module.facts is not None and not fresh.isdisjoint(module.facts.names):
                found.update(*(module.aliases[known] for known in fresh & module.aliases.keys()))
        fresh = found - wanted
        wanted |= fresh
    return frozenset(wanted)


def uses(project: Project, names: Iterable[str]) -> Iterator[Use]:
    """References in which one of the names, or another name given to it, occurs; all calls, if one is ``__call__``."""
    wanted = other_names(project, names)
    objects = "__call__" in wanted
    for module in project.modules:
        if module.facts is None or (wanted.isdisjoint(module.facts.names) and not objects):
            continue
        for reference in module.facts.references:
            path = reference.path
            named = path in wanted or (not path.isalnum() and not wanted.isdisjoint(WORDS.findall(path)))
            if named or (objects and reference.call is not None):
                yield Use(module, reference)


def means(value: Value, symbol: Symbol) -> bool:
    """Whether a value is this definition, bound or not."""
    if isinstance(value, Partial):
        return means(value.inner, symbol)
    return value is symbol or (isinstance(value, Method) and value.function is symbol)


def callers(project: Project, symbol: Symbol) -> list[Use]:
    """The references that can mean a definition; those of a class count for its constructor."""
    owner = symbol.owner
    target = owner if symbol.name in ("__init__", "__new__") and owner is not None else symbol
    found = []
    for use in uses(project, {target.name}):
        values = project.resolver.resolve(use.module, use.reference.scope, use.reference.path)
        if any(means(value, target) for value in values):
            found.append(use)
    return found
