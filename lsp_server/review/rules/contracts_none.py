"""Rule 2, None: functions that now give None, now and then or always, held against what callers do with the result."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from famulus.lsp_server.review.finding import Finding, Place, Related
from famulus.lsp_server.review.index.changes import Changes, Pair
from famulus.lsp_server.review.index.facts import Reference
from famulus.lsp_server.review.index.outcomes import own_statements, reaches_end
from famulus.lsp_server.review.index.values import Symbol, Use
from famulus.lsp_server.review.rules.callsites_gone import ready
from famulus.lsp_server.review.rules.callsites_words import called
from famulus.lsp_server.review.rules.contracts_callers import tested
from famulus.lsp_server.review.rules.contracts_finding import doing, made, shown

_NEEDS_VALUE = ("attr:", "index", "op", "iter", "len", "unpack:", "compare:order", "call", "with", "format:")
_MOST = 3
"""Places where None is returned that a finding names."""


def only_said(changes: Changes, pair: Pair) -> bool:
    """Whether None is only in an annotation where there was none, or in one of several: no caller need meet it."""
    old, new = pair.old.definition, pair.new.definition
    if "#None" in new.returns and "#None" not in old.returns:
        return False
    same = [s for s in pair.new.module.symbols if s.qualname == new.qualname]
    overloaded = any(d.path.rpartition(".")[2] == "overload" for s in same for d in s.definition.decorators)
    return not old.annotation or overloaded


def check(changes: Changes, pair: Pair, use: Use, outcomes: list[tuple[str, Reference]]) -> Iterator[Finding]:
    """The first use of the result that fails with None, unless somebody looks first what it is."""
    if tested(outcomes) or ready(use.module, use.reference.guard, {"AttributeError", "TypeError", "Exception", ""}):
        return
    always = _always(pair.new)
    if always and _may_be_another(changes, pair.new):
        return
    for kind, where in outcomes:
        kind = kind.removeprefix("await ")
        if kind.startswith(_NEEDS_VALUE):
            now = "which now always returns None" if always else "which can now be None"
            text = f"{doing(kind)} of {called(use.reference)}(), {now}"
            difference = "always returns None now" if always else "can return None now"
            yield made(
                changes, use.module, where, "none", text, pair, difference, "likely", related=_ends(changes, pair.new)
            )
            return


def _always(symbol: Symbol) -> bool:
    returns = symbol.definition.returns
    return bool(returns) and set(returns) == {"#None"}


def _may_be_another(changes: Changes, symbol: Symbol) -> bool:
    """Whether a subclass has a method of this name: what does nothing may be meant to be overridden."""
    owner = symbol.owner
    return owner is not None and changes.new.resolver.classes.provided_below(owner, symbol.name)


def _ends(changes: Changes, symbol: Symbol) -> list[Related]:
    """Where the function gives None: what a reader has to look at next."""
    node = changes.new.tree_of(symbol)
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    returns = [n for n in own_statements(node.body) if isinstance(n, ast.Return)]
    places = [(n.lineno, "returns None here") for n in returns if n.value is None or _is_none(n.value)]
    if reaches_end(node.body):
        places.append((node.end_lineno or node.lineno, "ends here without a value"))
    path = symbol.module.path
    return [
        Related(place=Place(path=path, line=at, symbol=symbol.qualname), message=f"{shown(symbol)} {what}.")
        for at, what in places[:_MOST]
    ]


def _is_none(value: ast.expr) -> bool:
    if isinstance(value, ast.IfExp):
        return _is_none(value.body) or _is_none(value.orelse)
    return isinstance(value, ast.Constant) and value.value is None
