"""Rule 1: calls, imports and names anywhere in the project that a change breaks, most of them in files it left alone.

Reported is only what fitted before and does not fit now. A finding stands at the caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from famulus.lsp_server.review.finding import Certainty, Finding, Grade, Place, Proof, Related
from famulus.lsp_server.review.index.affected import Affected
from famulus.lsp_server.review.index.binding import Trouble, bind
from famulus.lsp_server.review.index.changes import Changes
from famulus.lsp_server.review.index.facts import Shape
from famulus.lsp_server.review.index.naming import uses
from famulus.lsp_server.review.index.signatures import Signature
from famulus.lsp_server.review.index.values import Gone, Made, Unknown, Use, Value
from famulus.lsp_server.review.rule import Context, Rule, Stage
from famulus.lsp_server.review.rules import callsites_edits as edits
from famulus.lsp_server.review.rules import callsites_fixtures as fixtures
from famulus.lsp_server.review.rules import callsites_gone as gone
from famulus.lsp_server.review.rules import callsites_guess as guess
from famulus.lsp_server.review.rules import callsites_heads as heads
from famulus.lsp_server.review.rules import callsites_overrides as overrides
from famulus.lsp_server.review.rules import callsites_texts as texts
from famulus.lsp_server.review.rules import callsites_words as words

_OFTEN = 200
"""References between two looks at the clock."""


@dataclass(frozen=True)
class CallSites:
    """See the module."""

    name: str = "call-site"
    title: str = "calls and names that no longer fit"
    stage: Stage = Stage.STATIC

    def check(self, context: Context) -> Iterator[Finding]:
        """What it finds."""
        changes = Changes(context.change, context.old, context.new)
        affected = Affected(changes)
        if affected.names:
            found = [*gone.of_imports(changes, affected), *_references(context, changes, affected)]
            found += texts.check(changes, affected)
            yield from with_reach(found)
        yield from overrides.check(changes)
        yield from overrides.orphans(changes)
        yield from heads.check(changes)
        yield from fixtures.check(changes)
        for project in (context.old, context.new):
            context.left_out.extend(text for text in project.left_out if text not in context.left_out)


def with_reach(findings: list[Finding]) -> list[Finding]:
    """The findings with ``reach``: how many of them one definition caused."""
    counts: dict[str, int] = {}
    causes = [str(f.related[0].place) if f.related else f.key for f in findings]
    for cause in causes:
        counts[cause] = counts.get(cause, 0) + 1
    return [replace(f, reach=max(f.reach, counts[cause])) for f, cause in zip(findings, causes, strict=True)]


def _references(context: Context, changes: Changes, affected: Affected) -> Iterator[Finding]:
    new = context.new
    for count, use in enumerate(uses(new, affected.names)):
        if count % _OFTEN == 0:
            context.clock.check()
        values = new.resolver.resolve(use.module, use.reference.scope, use.reference.path)
        if all(isinstance(v, Gone) for v in values):
            yield from gone.of_reference(changes, use, values)
        elif any(isinstance(v, Unknown) for v in values):
            yield from guess.of_declared(changes, affected, use)
            if use.reference.call is not None:
                yield from guess.of_call(changes, affected, use)
        elif use.reference.call is not None:
            yield from _call(changes, use, values, use.reference.call)


def _call(changes: Changes, use: Use, values: tuple[Value, ...], shape: Shape) -> Iterator[Finding]:
    """A call whose target is known on the new side."""
    if expects_type_error(use):
        return
    values = tuple(v for v in values if v != Made("builtins.None")) or values
    signatures = [changes.new.signatures.of(value) for value in values]
    known = [s for s in signatures if s is not None]
    troubles = [bind(s.parameters, shape) for s in known]
    if not known or len(known) < len(values) or any(t is None for t in troubles):
        return
    before = _before(changes, use, known[0], shape)
    if before is not None and troubles[0] is not None:
        sure = all(s.sure for s in known)
        yield broken(changes, use, shape, (before, known[0]), troubles[0], "certain" if sure else "likely")


def _before(changes: Changes, use: Use, now: Signature, shape: Shape) -> Signature | None:
    """The signature that the same call fitted on the old side."""
    place = changes.old_scope(use.module, use.reference.scope)
    if place is not None:
        values = changes.old.resolver.resolve(*place, use.reference.path)
        found = [s for v in values if (s := changes.old.signatures.of(v)) is not None]
        if found:
            return next((s for s in found if bind(s.parameters, shape) is None), None)
    old = changes.old_symbol(now.function)
    if old is None or old.definition.kind != "function" or changes.change.file(use.module.path) is None:
        return None
    was = now.parameters if old.definition.parameters == now.function.definition.parameters else None
    dropped = len(now.function.definition.parameters) - len(now.parameters)
    parameters = was or old.definition.parameters[dropped:]
    return Signature(parameters, old, False) if bind(parameters, shape) is None else None


def expects_type_error(use: Use) -> bool:
    """Whether the code around a call wants it to fail, or is ready for it."""
    facts = use.module.facts
    at = use.reference.guard
    while facts is not None and at >= 0:
        if any(path.rpartition(".")[2] == "TypeError" for path in facts.guards[at].catches):
            return True
        at = facts.guards[at].outer
    return False


def broken(
    changes: Changes,
    use: Use,
    shape: Shape,
    signatures: tuple[Signature, Signature],
    trouble: Trouble,
    certainty: Certainty,
) -> Finding:
    """The finding for a call that does not fit any more."""
    before, now = signatures
    place = changes.new.place(use.module, use.reference)
    name = words.called(use.reference)
    verb = "hands on" if use.reference.use == "handed on" else "calls"
    message = f"{place} {verb} {name}() {words.consequence(trouble)}."
    definition = changes.new.place(now.function.module, now.function.definition)
    title = f"{words.signature(now)} is defined here; it was {words.signature(before)}."
    return Finding(
        rule=f"call-site/{trouble.kind}",
        message=message,
        grade=Grade.PROVED if certainty == "certain" else Grade.MEASURED,
        certainty=certainty,
        severity="error",
        place=place,
        old_place=old_place(changes, use),
        key=f"{place.symbol} calls {now.function.qualname}: {trouble.kind} {trouble.name}",
        proof=Proof(
            kind="bind",
            text=words.proof(now, shape, trouble),
            code=words.proof_code(now, shape),
            data={
                "old": words.signature(before),
                "new": words.signature(now),
                "trouble": trouble.kind,
                "name": trouble.name,
            },
        ),
        related=(Related(place=definition, message=title),),
        suggestion=edits.renamed_keyword(changes, use, before, now, trouble),
    )


def old_place(changes: Changes, use: Use) -> Place | None:
    """The same place on the old side, if the line stood there unchanged."""
    return words.old_place(changes, use.module, changes.new.place(use.module, use.reference))


RULE: Rule = CallSites()
