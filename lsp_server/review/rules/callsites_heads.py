"""Rule 1, class statements whose keywords no longer fit ``__init_subclass__`` of the class above."""

from __future__ import annotations

from collections.abc import Iterator

from famulus.lsp_server.review.finding import Finding, Grade, Proof, Related
from famulus.lsp_server.review.index.binding import bind, spelled, without_first
from famulus.lsp_server.review.index.changes import Changes
from famulus.lsp_server.review.index.facts import Shape
from famulus.lsp_server.review.index.project import Project
from famulus.lsp_server.review.index.signatures import Signature
from famulus.lsp_server.review.index.values import Symbol
from famulus.lsp_server.review.rules import callsites_words as words

_HOOK = "__init_subclass__"


def check(changes: Changes) -> Iterator[Finding]:
    """Classes below one whose ``__init_subclass__`` takes other keywords, came or went."""
    pairs = [(p.old, p.new) for p in changes.pairs if p.new.name == _HOOK]
    hooks = [new.owner for old, new in pairs if old.definition.parameters != new.definition.parameters]
    hooks += [symbol.owner for symbol in changes.added if symbol.name == _HOOK]
    lost = {symbol.owner for symbol in changes.removed if symbol.name == _HOOK}
    hooks += [p.new for p in changes.pairs if p.old in lost]
    below = [child for owner in hooks if owner for child in changes.new.resolver.classes.subclasses(owner)]
    for child in dict.fromkeys(below):
        yield from _head(changes, child)


def _head(changes: Changes, child: Symbol) -> Iterator[Finding]:
    names = tuple(name for name, _ in child.definition.keywords if name != "metaclass")
    shape = Shape(0, names)
    old = changes.old_symbol(child)
    was, now = _taking(changes.old, old) if old is not None else None, _taking(changes.new, child)
    if was is None or now is None or "**" in names or bind(was.parameters, shape) is not None:
        return
    if (trouble := bind(now.parameters, shape)) is None:
        return
    place = changes.new.place(child.module, child.definition)
    what = f"{now.function.qualname}({spelled(now.parameters)})"
    yield Finding(
        rule=f"call-site/{trouble.kind}",
        message=f"{place} makes {child.qualname} a subclass {words.consequence(trouble)}.",
        grade=Grade.PROVED,
        severity="error",
        place=place,
        key=f"{child.qualname} is made: {trouble.kind} {trouble.name}",
        proof=Proof(
            kind="bind",
            text=f"{what} does not take ({words.arguments(shape)})",
            data={"old": spelled(was.parameters), "new": spelled(now.parameters), "trouble": trouble.kind},
        ),
        related=(
            Related(
                place=changes.new.place(now.function.module, now.function.definition),
                message=f"{what} is called for each subclass; it was given ({spelled(was.parameters)}).",
            ),
        ),
        reach=1,
    )


def _taking(project: Project, child: Symbol) -> Signature | None:
    """What a class statement can give by name, and to what; None if that is not known."""
    classes = project.resolver.classes
    if not classes.known(child):
        return None
    above = [value for value in classes.line(child)[1:] if isinstance(value, Symbol)]
    found = (value.module.by_qualname.get(f"{value.qualname}.{_HOOK}") for value in above)
    hook = next((symbol for symbol in found if symbol is not None), None)
    if hook is None:
        return Signature((), above[0]) if above else None
    return Signature(without_first(hook.definition.parameters), hook) if hook.definition.kind == "function" else None
