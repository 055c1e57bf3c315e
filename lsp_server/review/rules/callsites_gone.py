"""Rule 1, names that are gone: removed, renamed, moved, or no longer handed on by the module that they came through."""

from __future__ import annotations

from collections.abc import Iterator

from famulus.lsp_server.review.finding import Finding, Grade, Place, Proof, Related, Suggestion
from famulus.lsp_server.review.index.affected import Affected
from famulus.lsp_server.review.index.changes import Changes
from famulus.lsp_server.review.index.elsewhere import comes_from_elsewhere
from famulus.lsp_server.review.index.facts import Import
from famulus.lsp_server.review.index.naming import other_names
from famulus.lsp_server.review.index.values import Gone, Instance, Method, Module, Outside, Symbol, Unknown, Use, Value
from famulus.lsp_server.review.rules import callsites_edits as edits
from famulus.lsp_server.review.rules import callsites_words as words

_READY_FOR_IMPORT = {
    "ImportError",
    "ModuleNotFoundError",
    "Exception",
    "BaseException",
    "AttributeError",
    "NameError",
    "",
}
_READY_FOR_NAME = {"AttributeError", "NameError", ""}


def of_imports(changes: Changes, affected: Affected) -> Iterator[Finding]:
    """Imports that found their name before and do not find it now."""
    wanted = other_names(changes.new, affected.names)
    for module in changes.new.modules:
        facts = module.facts
        if facts is None or wanted.isdisjoint(facts.names):
            continue
        for found in facts.imports:
            parts = {found.attribute or "", *found.module.split(".")}
            if wanted.isdisjoint(parts) or ready(module, found.guard, _READY_FOR_IMPORT):
                continue
            yield from _import(changes, module, found)


def _import(changes: Changes, module: Module, found: Import) -> Iterator[Finding]:
    values = changes.new.resolver.of_import(module, found) if found.attribute != "*" else _star(changes, module, found)
    lost = values[0] if len(values) == 1 else None
    before = changes.old_module(module) or module
    target = changes.old.imported(before, found)
    if isinstance(lost, Outside) and target is not None:
        lost = Gone(Module("the project", "", None), found.module.partition(".")[0], (module, found))
    if not isinstance(lost, Gone) or lost.through is None or lost.through[1] is not found or _elsewhere(module, found):
        return
    if target is not None and changes.new.module(target.path) is None and comes_from_elsewhere(changes, target):
        return
    was = (
        changes.old.resolver.of_import(before, found)
        if found.attribute != "*"
        else _star(changes, before, found, old=True)
    )
    if not was or any(isinstance(v, (Gone, Unknown)) for v in was):
        return
    place = changes.new.place(module, found)
    source = "." * found.level + found.module
    old = next((v for v in was if isinstance(v, Symbol)), None)
    now = changes.successor(old) if old is not None else None
    what = f"imports `{lost.name}` from {source}" if lost.name == found.attribute else f"imports {source}"
    fate = _fate(lost, now, old)
    moved = changes.moved(was[0] if isinstance(was[0], Module) else target)
    if now is None and moved is not None:
        fate = f"which is now {moved.name}"
    if now is not None and old is not None and lost.name != found.attribute and now.name == found.attribute:
        what, fate = f"imports `{found.attribute}` from {source}", f"but it moved to {now.module.name}"
    yield _finding(
        changes, module, place, found.line, f"{place} {what}, {fate}.", lost, old, now,
        edits.moved_import(changes, module, found, now) if now is not None else None, "import",
    )  # fmt: skip


def _star(changes: Changes, module: Module, found: Import, *, old: bool = False) -> tuple[Value, ...]:
    project = changes.old if old else changes.new
    target = project.imported(module, found)
    return (target,) if target is not None else project.resolver._missing_module(module, found)


def _elsewhere(module: Module, found: Import) -> bool:
    """Whether the same name is also bound in another way, as in ``try``/``except ImportError``."""
    assert module.facts is not None
    bindings = module.facts.scopes[found.scope].bindings.get(found.name, [])
    return len(bindings) > 1


def of_reference(changes: Changes, use: Use, values: tuple[Value, ...]) -> Iterator[Finding]:
    """A reference that leads nowhere now."""
    lost = values[0]
    assert isinstance(lost, Gone)
    if (lost.through is not None and not lost.hidden) or ready(use.module, use.reference.guard, _READY_FOR_NAME):
        return
    if use.reference.use == "store" or use.reference.path.endswith(f"{lost.name}.__all__"):
        return
    was = before(changes, use)
    if not was or any(isinstance(v, (Gone, Unknown)) for v in was):
        return
    old = _last(changes, use, lost)
    place = changes.new.place(use.module, use.reference)
    now = changes.successor(old) if old is not None else None
    verb = "calls" if use.reference.call is not None and use.reference.path.endswith(lost.name) else "uses"
    text = words.called(use.reference) + ("()" if verb == "calls" else "")
    shown = text if verb == "calls" else f"`{text}`"
    fate = _fate(lost, now, old, text, had=_had(changes, lost))
    yield _finding(
        changes, use.module, place, use.reference.line, f"{place} {verb} {shown}, {fate}.",
        lost, old, now, _renamed(changes, use, lost, now), "name",
    )  # fmt: skip


def before(changes: Changes, use: Use) -> tuple[Value, ...]:
    """What the same reference meant on the old side; empty if its scope was not there."""
    place = changes.old_scope(use.module, use.reference.scope)
    if place is None:
        return ()
    return changes.old.resolver.resolve(*place, use.reference.path)


def _last(changes: Changes, use: Use, lost: Gone) -> Symbol | None:
    """The old definition of the name that is gone: looked up where it is missed."""
    if isinstance(lost.owner, Module):
        module = changes.old_module(lost.owner)
        if module is None:
            return None
        values = changes.old.resolver.attribute(module, lost.name)
    else:
        cls = changes.old_symbol(lost.owner)
        if cls is None:
            return None
        found = next(changes.old.resolver.classes.members(cls, lost.name), None)
        if found is not None:
            return found
        values = changes.old.resolver.classes.attribute(cls, lost.name, instance=True)
    value = values[0] if values else None
    if isinstance(value, Method):
        return value.function
    return value if isinstance(value, Symbol) else value.of if isinstance(value, Instance) else None


def ready(module: Module, guard: int, names: set[str]) -> bool:
    """Whether the code around is ready for the name to be missing."""
    facts = module.facts
    while facts is not None and guard >= 0:
        if any(path.rpartition(".")[2] in names for path in facts.guards[guard].catches):
            return True
        guard = facts.guards[guard].outer
    return False


def _had(changes: Changes, lost: Gone) -> bool:
    """Whether the name was there on the old side; else there was something else that had it."""
    cls = changes.old_symbol(lost.owner) if isinstance(lost.owner, Symbol) else None
    return cls is None or not all(
        isinstance(v, Gone) for v in changes.old.resolver.classes.attribute(cls, lost.name, instance=True)
    )


def _fate(lost: Gone, now: Symbol | None, old: Symbol | None, text: str = "", *, had: bool = True) -> str:
    """What became of a name, to stand behind a comma."""
    if lost.hidden:
        return f"which `__all__` of {_owner(lost)} no longer lists"
    if now is not None and old is not None:
        if now.module.name != old.module.name:
            return f"which moved to {now.dotted}"
        if now.name != old.name:
            return f"which is now called `{now.qualname if now.owner is not None else now.name}`"
        return f"which is now `{now.qualname}`"
    same = text.removesuffix("()").rpartition(".")[2] == lost.name or not text
    lacks = "no longer has" if had else "does not have"
    return f"which {_owner(lost)} {lacks}" if same else f"but {_owner(lost)} {lacks} `{lost.name}`"


def _owner(lost: Gone) -> str:
    return lost.owner.name if isinstance(lost.owner, Module) else lost.owner.qualname


def _finding(
    changes: Changes, module: Module, place: Place, line: int, message: str, lost: Gone,
    old: Symbol | None, now: Symbol | None, suggestion: Suggestion | None, kind: str,
) -> Finding:  # fmt: skip
    owner = lost.owner.dotted if isinstance(lost.owner, Symbol) else lost.owner.name
    related = []
    if now is not None:
        related.append(
            Related(place=changes.new.place(now.module, now.definition), message=f"{now.dotted} is here now.")
        )
    elif isinstance(lost.owner, Symbol):
        head = changes.new.place(lost.owner.module, lost.owner.definition)
        related.append(Related(place=head, message=f"{lost.owner.qualname} is defined here, without `{lost.name}`."))
    if old is not None:
        there = changes.old.place(old.module, old.definition, "old")
        related.append(Related(place=there, message=f"`{old.qualname}` was defined here."))
    return Finding(
        rule=f"call-site/{'missing-import' if kind == 'import' else 'missing-name'}",
        message=message,
        grade=Grade.PROVED,
        severity="error" if not _only_annotation(module, place, line) else "warning",
        place=place,
        old_place=words.old_place(changes, module, place),
        key=f"{place.symbol} misses {owner}.{lost.name}",
        proof=Proof(
            kind="bind",
            text=f"{owner} has no `{lost.name}` on the new side; "
            f"{'it had' if _had(changes, lost) else 'what was used here had'} on the old one.",
            data={"owner": owner, "name": lost.name, "now": now.dotted if now is not None else None},
        ),
        related=tuple(related),
        suggestion=suggestion,
    )


def _only_annotation(module: Module, place: Place, line: int) -> bool:
    assert module.facts is not None
    return any(
        r.line == line and r.use == "annotation" and r.column + 1 == place.column for r in module.facts.references
    )


def _renamed(changes: Changes, use: Use, lost: Gone, now: Symbol | None) -> Suggestion | None:
    """The reference with the new name in place of the old one, if only the name changed."""
    from famulus.lsp_server.review.finding import Edit

    if now is None or use.reference.line != use.reference.end_line or use.reference.path.count(lost.name) != 1:
        return None
    owner = now.owner
    if isinstance(lost.owner, Symbol):
        same_owner = owner is not None and lost.owner.qualname == owner.qualname
    else:
        same_owner = owner is None and lost.owner.name == now.module.name
    if not same_owner or now.name == lost.name:
        return None
    line = changes.new.lines(use.module.path)[use.reference.line - 1]
    place = changes.new.place(use.module, use.reference)
    start = line.find(lost.name, place.column - 1)
    if start < 0 or line.count(lost.name) != 1:
        return None
    text = line[:start] + now.name + line[start + len(lost.name) :]
    edit = Edit(path=use.module.path, line=place.line, end_line=place.line, text=text)
    return Suggestion(title=f"Rename `{lost.name}` to `{now.name}`", edits=(edit,))
