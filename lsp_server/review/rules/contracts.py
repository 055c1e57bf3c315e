"""Rule 2: contract changes that binding does not see: results, exceptions, defaults, order, kinds, duties.

Reported is only what concerns a caller, a handler or a subclass that is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.index.changes import Changes
from famulus.lsp_server.review.rule import Context, Rule, Stage
from famulus.lsp_server.review.rules import contracts_classes as classes
from famulus.lsp_server.review.rules import contracts_constants as constants
from famulus.lsp_server.review.rules import contracts_raises as raises
from famulus.lsp_server.review.rules import contracts_results as results
from famulus.lsp_server.review.rules import contracts_values as values
from famulus.lsp_server.review.rules.callsites import with_reach
from famulus.lsp_server.review.rules.contracts_callers import Callers


@dataclass(frozen=True)
class Contracts:
    """See the module."""

    name: str = "contract"
    title: str = "callers that rely on what a function no longer does"
    stage: Stage = Stage.STATIC

    def check(self, context: Context) -> Iterator[Finding]:
        """What it finds."""
        changes = Changes(context.change, context.old, context.new)
        rebased = raises.rebased(changes)
        pairs = [p for p in changes.pairs if p.new.definition.kind == p.old.definition.kind == "function"]
        result_pairs = [p for p in pairs if results.changed(p)]
        raise_pairs = raises.pairs(changes, rebased)
        value_pairs = [p for p in changes.pairs if values.changed(changes, p)]
        kind_pairs = [p for p in pairs if classes.changed(changes, p)]
        context.clock.check()
        targets = dict.fromkeys(p.new for group in (result_pairs, raise_pairs, value_pairs) for p in group)
        callers = Callers(changes, targets)
        context.clock.check()
        found = [f for p in result_pairs for f in results.check(changes, p, callers)]
        found += [f for p in raise_pairs for f in raises.check(changes, p, callers)]
        found += [f for p in value_pairs for f in values.check(changes, p, callers)]
        found += [f for p in kind_pairs for f in classes.check(changes, p)]
        found += [f for p in changes.pairs if constants.changed(p) for f in constants.check(changes, p)]
        yield from with_reach(found)
        yield from classes.duties(changes)
        yield from classes.protocols(changes)


RULE: Rule = Contracts()
