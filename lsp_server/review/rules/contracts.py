"""Rule 2: contract changes that binding does not see: results, exceptions, defaults, order, kinds, duties.

Reported is only what concerns a caller, a handler or a subclass that is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.index.changes import Changes
from famulus.lsp_server.review.rule import Context, Rule, Stage
from famulus.lsp_server.review.rules import contracts_assigned as assigned
from famulus.lsp_server.review.rules import contracts_classes as classes
from famulus.lsp_server.review.rules import contracts_constants as constants
from famulus.lsp_server.review.rules import contracts_enums as enums
from famulus.lsp_server.review.rules import contracts_fields as fields
from famulus.lsp_server.review.rules import contracts_keys as keys
from famulus.lsp_server.review.rules import contracts_managers as managers
from famulus.lsp_server.review.rules import contracts_raises as raises
from famulus.lsp_server.review.rules import contracts_results as results
from famulus.lsp_server.review.rules import contracts_structural as structural
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
        manager_pairs = [p for p in pairs if managers.changed(p)]
        raise_pairs = raises.pairs(changes, rebased)
        value_pairs = [p for p in changes.pairs if values.changed(changes, p)]
        kind_pairs = [p for p in pairs if classes.changed(changes, p)]
        context.clock.check()
        key_pairs = keys.pairs(changes)
        groups = (result_pairs, manager_pairs, raise_pairs, value_pairs, key_pairs)
        targets = dict.fromkeys(p.new for group in groups for p in group)
        callers = Callers(changes, targets)
        context.clock.check()
        found = [f for p in result_pairs for f in results.check(changes, p, callers)]
        found += [f for p in manager_pairs for f in managers.check(changes, p, callers)]
        found += raises.check(changes, raise_pairs, callers)
        found += [f for p in value_pairs for f in values.check(changes, p, callers)]
        found += [f for p, lost in key_pairs.items() for f in keys.check(changes, p, lost, callers)]
        told = {f.place for f in found}
        found += [f for f in keys.typed(changes) if f.place not in told]
        found += [f for p in kind_pairs for f in classes.check(changes, p)]
        found += [f for p in changes.pairs if constants.changed(p) for f in constants.check(changes, p)]
        yield from with_reach(found)
        yield from classes.duties(changes)
        yield from classes.protocols(changes)
        for check in (assigned.check, fields.check, enums.check, structural.check):
            yield from check(changes)


RULE: Rule = Contracts()
