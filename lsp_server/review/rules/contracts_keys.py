"""Rule 2, keys: of dictionaries that functions return and of typed ones, held against those who take such an item."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.index.changes import Changes, Pair
from famulus.lsp_server.review.index.facts import Reference
from famulus.lsp_server.review.index.outcomes import own_statements
from famulus.lsp_server.review.index.paths import path_of
from famulus.lsp_server.review.index.project import Project
from famulus.lsp_server.review.index.values import Instance, Symbol, Use
from famulus.lsp_server.review.rules.callsites_gone import ready
from famulus.lsp_server.review.rules.callsites_words import called, unchanged, untouched
from famulus.lsp_server.review.rules.contracts_callers import Callers
from famulus.lsp_server.review.rules.contracts_finding import made

_READY = {"KeyError", "LookupError", "Exception", "BaseException", ""}
_LOOKING = ("iter", "test", "attr:", "len")
"""Uses of a dictionary by which somebody may learn, or change, which keys it has."""
Keys = frozenset[object]


def pairs(changes: Changes) -> dict[Pair, Keys]:
    """Functions whose dictionaries lack keys that they always had, with these keys."""
    found = {}
    for pair in changes.pairs:
        both = [path for symbol in (pair.old, pair.new) for path in symbol.definition.returns]
        if both and all(_may_be_one(path) for path in both) and not unchanged(changes, pair.new):
            was, now = _returned(changes.old, pair.old), _returned(changes.new, pair.new)
            if was and now and (lost := Keys.intersection(*(a for a, _ in was)) - Keys.union(*(m for _, m in now))):
                found[pair] = lost
    return found


def _may_be_one(path: str) -> bool:
    """Whether what is returned, as a path, may be a dictionary that is written out."""
    return path in ("#dict", "dict()") or path.isidentifier()


def _returned(project: Project, function: Symbol) -> list[tuple[Keys, Keys]]:
    """Of each result of a function the keys that it always has, and those that it may have; empty if one of them is no
    dictionary that is written out."""
    node = project.tree_of(function)
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    if not isinstance(node, kinds) or not project.resolver.classes.keeps_result(function):
        return []
    results = [s.value for s in own_statements(node.body) if isinstance(s, ast.Return)]
    found = [_variable(node, r.id, len(results)) if isinstance(r, ast.Name) else _written(r) for r in results]
    return [keys for keys in found if keys is not None] if None not in found else []


def _written(value: ast.expr | None) -> tuple[Keys, Keys] | None:
    """The keys of ``{"a": 1}`` or ``dict(a=1)``."""
    keys: list[object] = [None]
    if isinstance(value, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else None for key in value.keys]
    elif isinstance(value, ast.Call) and path_of(value.func) == "dict" and not value.args:
        keys = [keyword.arg for keyword in value.keywords]
    return (Keys(keys), Keys(keys)) if None not in keys else None


def _variable(function: ast.FunctionDef | ast.AsyncFunctionDef, name: str, results: int) -> tuple[Keys, Keys] | None:
    """The same for a name that is bound to such a dictionary, given other keys one by one, and returned: nothing else
    may happen to it."""

    def is_it(node: ast.expr | None) -> bool:
        return isinstance(node, ast.Name) and node.id == name

    nodes = list(ast.walk(function))
    bound = [n for n in nodes if isinstance(n, ast.Assign | ast.AnnAssign) and is_it(_target(n))]
    subscripts = (
        n for n in nodes if isinstance(n, ast.Subscript) and is_it(n.value) and not isinstance(n.ctx, ast.Del)
    )
    items = {n: n.slice.value for n in subscripts if isinstance(n.slice, ast.Constant)}
    returned = [n for n in nodes if isinstance(n, ast.Return) and is_it(n.value)]
    uses = sum(isinstance(n, ast.Name) and is_it(n) for n in nodes)
    first = _written(bound[0].value) if len(bound) == 1 and bound[0] in function.body else None
    if first is None or uses != 1 + len(items) + len(returned):
        return None
    stored = {key for node, key in items.items() if isinstance(node.ctx, ast.Store)}
    targets = (_target(s) for s in function.body if isinstance(s, ast.Assign | ast.AnnAssign) and results == 1)
    always = {items[target] for target in targets if isinstance(target, ast.Subscript) and target in items}
    return first[0] | always, first[1] | stored


def _target(node: ast.Assign | ast.AnnAssign) -> ast.expr | None:
    """What is assigned to, if it is one thing."""
    if isinstance(node, ast.AnnAssign):
        return node.target
    return node.targets[0] if len(node.targets) == 1 else None


def check(changes: Changes, pair: Pair, lost: Keys, callers: Callers) -> Iterator[Finding]:
    """Callers that take an item that is not there any more."""
    for use in callers.calls(pair.new):
        outcomes = callers.outcomes(use)
        taken = [where for kind, where in outcomes if kind.removeprefix("await ") == "index"]
        keys = {where: changes.new.nodes(use.module).key(where) for where in taken}
        if any(kind.startswith(_LOOKING) for kind, _ in outcomes) or any(key and not key[1] for key in keys.values()):
            continue
        for where, key in keys.items():
            if key is not None and key[0] in lost and not ready(use.module, where.guard, _READY):
                text = f"takes `{key[0]!r}` from what {called(use.reference)}() returns, which no longer has it"
                yield made(changes, use.module, where, "key", text, pair, f"returns no {key[0]!r} now")


def typed(changes: Changes) -> Iterator[Finding]:
    """Items that are read from a ``TypedDict`` whose class no longer names them."""
    classes = changes.new.resolver.classes
    found = {
        pair.new: pair
        for pair in changes.pairs
        if pair.new.definition.kind == "class" and not unchanged(changes, pair.new)
        if classes.is_typed_dict(pair.new) and _gone(changes, pair)
    }
    for module in changes.new.modules if found else ():
        for reference in module.facts.references if module.facts else ():
            pair = _typed(changes, Use(module, reference), found) if reference.use.endswith("index") else None
            key = changes.new.nodes(module).key(reference) if pair is not None else None
            if pair is None or key is None or not key[1] or key[0] not in _gone(changes, pair):
                continue
            if untouched(changes, Use(module, reference)) and not ready(module, reference.guard, _READY):
                text = f"takes `{key[0]!r}` from a {pair.new.qualname}, which no longer has it"
                yield made(changes, module, reference, "key", text, pair, f"has no {key[0]!r} now", "likely")


def _gone(changes: Changes, pair: Pair) -> set[str]:
    """Keys that a class named, and neither it nor one above names now."""
    if pair.old.definition.kind != "class":
        return set()
    return _named(changes.old, pair.old) - _named(changes.new, pair.new)


def _named(project: Project, cls: Symbol) -> set[str]:
    scopes = [
        v.module.facts.scopes[v.definition.body]
        for v in project.resolver.classes.line(cls)
        if isinstance(v, Symbol) and v.module.facts is not None
    ]
    return {name for scope in scopes for name in scope.bindings}


def _typed(changes: Changes, use: Use, found: dict[Symbol, Pair]) -> Pair | None:
    """The changed class of the dictionary from which an item is taken; None if it is another, or somebody looks which
    keys it has."""
    reference, facts = use.reference, use.module.facts
    path = reference.path + ("()" if reference.call is not None else "")
    path += "^" if reference.use.startswith("await ") else ""
    values = changes.new.resolver.resolve(use.module, reference.scope, path)
    owner = values[0].of if len(values) == 1 and isinstance(values[0], Instance) else None
    if owner not in found or facts is None:
        return None
    asked = any(_asks(other, reference) for other in facts.references)
    return None if asked else found[owner]


def _asks(other: Reference, reference: Reference) -> bool:
    same = other.scope == reference.scope and other.path in (reference.path, f"{reference.path}.get")
    return same and (other.use.startswith(_LOOKING) or other.path != reference.path)
