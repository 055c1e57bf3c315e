"""Rule 2, named tuples: fields that came, went or changed places, held against those who unpack or count them."""

from __future__ import annotations

from collections.abc import Iterator

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.index.changes import Changes, Pair
from famulus.lsp_server.review.index.project import Project
from famulus.lsp_server.review.index.values import Instance, Made, Module, Symbol, Use
from famulus.lsp_server.review.rules.callsites_words import counted, unchanged, untouched
from famulus.lsp_server.review.rules.contracts_callers import NONE
from famulus.lsp_server.review.rules.contracts_finding import made

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
Fields = tuple[str, ...]


def check(changes: Changes) -> Iterator[Finding]:
    """Users who take other values from a named tuple than before, or too many, or too few."""
    pairs = (p for p in changes.pairs if p.new.definition.kind != "function" and not unchanged(changes, p.new))
    if not any(_fields(changes.old, p.old) != _fields(changes.new, p.new) for p in pairs):
        return
    for module in changes.new.modules:
        for reference in module.facts.references if module.facts else ():
            if "unpack:" in reference.use or reference.use.endswith("index"):
                yield from _use(changes, Use(module, reference))


def _fields(project: Project, symbol: Symbol) -> Fields | None:
    """The fields of the named tuples that a class, or a name, stands for; None for anything else."""
    if symbol.is_named_tuple:
        found = project.signatures.of_tuple(Made(symbol.dotted))
    elif symbol.definition.kind == "class":
        found = project.signatures.of_tuple(Instance(symbol))
    else:
        return None
    return found[1] if found is not None else None


def _use(changes: Changes, use: Use) -> Iterator[Finding]:
    place = changes.old_scope(use.module, use.reference.scope)
    now = _tuple(changes.new, use.module, use.reference.scope, use)
    was = _tuple(changes.old, *place, use) if place is not None and now is not None else None
    if was is None or now is None or was[1] == now[1] or not untouched(changes, use):
        return
    old, new = was[1], now[1]
    name = now[0].qualname
    fields = f"{name}, which has {counted(len(new), 'field')} now"
    wanted = use.reference.use.rpartition("unpack:")[2]
    if use.reference.use.endswith("index"):
        key = changes.new.nodes(use.module).key(use.reference)
        if key is None or type(key[0]) is not int or not 0 <= key[0] < len(old):
            return
        first, last, text = key[0], key[0] + 1, f"takes item {key[0]} of {fields}"
        wrong = first >= len(new)
    else:
        count = int(wanted.rstrip("+"))
        first, last, text = 0, count, f"unpacks {counted(count, 'value')} of {fields}"
        wrong = count == len(old) != len(new) if not wanted.endswith("+") else len(new) < count <= len(old)
        last = last if wanted.endswith("+") or count == len(old) == len(new) else 0
    if not wrong:
        moved = [i for i in range(first, min(last, len(new))) if old[i] != new[i] and (old[i] in new or new[i] in old)]
        if not moved or moved[0] >= len(_ORDINALS):
            return
        text = f"takes `{new[moved[0]]}` of {name} for `{old[moved[0]]}`, which used to be its "
        text += f"{_ORDINALS[moved[0]]} field"
    difference = f"has the fields {', '.join(new)}; it had {', '.join(old)}"
    yield made(changes, use.module, use.reference, "fields", text, Pair(was[0], now[0]), difference)


def _tuple(project: Project, module: Module, scope: int, use: Use) -> tuple[Symbol, Fields] | None:
    """The named tuple that a reference, its result or each element of it is; None if it may be something else."""
    kind = use.reference.use
    path = use.reference.path + ("()" if use.reference.call is not None else "")
    path += ("^" if kind.startswith("await ") else "") + ("<>" if "iter " in kind else "")
    values = [v for v in project.resolver.resolve(module, scope, path) if v != NONE]
    return project.signatures.of_tuple(values[0]) if len(values) == 1 else None
