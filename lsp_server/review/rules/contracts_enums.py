"""Rule 2, enumerations: names and values that are gone, held against those who ask for them by a string or value."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.index.annotations import parsed
from famulus.lsp_server.review.index.changes import Changes, Pair
from famulus.lsp_server.review.index.naming import uses
from famulus.lsp_server.review.index.project import Project
from famulus.lsp_server.review.index.values import Outside, Symbol, Use
from famulus.lsp_server.review.rules.callsites_gone import ready
from famulus.lsp_server.review.rules.callsites_words import unchanged, untouched
from famulus.lsp_server.review.rules.contracts_finding import made

_READY = {"KeyError", "LookupError", "ValueError", "Exception", "BaseException", ""}


def check(changes: Changes) -> Iterator[Finding]:
    """``Color["RED"]`` and ``Color("red")`` where the enumeration has no such member any more."""
    pairs = (p for p in changes.pairs if all(s.definition.kind == "class" for s in (p.old, p.new)))
    found = {p.new: p for p in pairs if not unchanged(changes, p.new)}
    lost = {cls: _lost(changes, pair) for cls, pair in found.items() if changes.new.resolver.classes.is_enum(cls)}
    names = {cls.name for cls, gone in lost.items() if any(gone)}
    for use in uses(changes.new, names) if names else ():
        cls, *others = changes.new.resolver.resolve(use.module, use.reference.scope, use.reference.path)
        if others or not isinstance(cls, Symbol) or cls not in lost or not untouched(changes, use):
            continue
        text, what = _asked(changes, use, cls, *lost[cls])
        if text and not ready(use.module, use.reference.guard, _READY):
            text = f"asks for `{text}`, a {what} that {cls.qualname} no longer has"
            yield made(changes, use.module, use.reference, "member", text, found[cls], f"has no such {what} now")


def _asked(changes: Changes, use: Use, cls: Symbol, names: set[object], values: set[object]) -> tuple[str, str]:
    """A name or value that is gone as it is asked for, and which of both; empty if none is."""
    nodes = changes.new.nodes(use.module)
    if use.reference.call is not None:
        call = nodes.call(use.reference)
        given = call.args[0] if call is not None and len(call.args) == 1 and not call.keywords else None
        if isinstance(given, ast.Constant) and given.value in values:
            return f"{cls.name}({given.value!r})", "value"
    elif use.reference.use == "index":
        key = nodes.key(use.reference)
        if key is not None and key[0] in names:
            return f"{cls.name}[{key[0]!r}]", "name"
    return "", ""


def _lost(changes: Changes, pair: Pair) -> tuple[set[object], set[object]]:
    """Names and values of members that are gone; no values where new ones are not all written out."""
    was, now = _members(changes.old, pair.old), _members(changes.new, pair.new)
    classes = changes.new.resolver.classes
    made_otherwise = any(next(classes.members(pair.new, hook), None) for hook in ("_missing_", "__new__"))
    lenient = any(isinstance(v, Outside) and v.name == "enum.IntFlag" for v in classes.line(pair.new))
    known = not made_otherwise and not lenient and None not in now.values()
    return set(was) - set(now), set(was.values()) - set(now.values()) - {None} if known else set()


def _members(project: Project, cls: Symbol) -> dict[object, object]:
    """Values by names; None for one that is not written out."""
    facts = cls.module.facts
    assert facts is not None
    found: dict[object, object] = {}
    for name in facts.scopes[cls.definition.body].bindings if project.resolver.classes.is_enum(cls) else ():
        member = cls.module.by_qualname.get(f"{cls.qualname}.{name}")
        if not name.startswith("_") and (member is None or member.definition.kind == "value"):
            tree = parsed(member.definition.source) if member is not None else None
            found[name] = tree.value if isinstance(tree, ast.Constant) else None
    return found
