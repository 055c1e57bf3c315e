"""How rule 2 writes its findings."""

from __future__ import annotations

from collections.abc import Sequence

from famulus.lsp_server.review.finding import Certainty, Finding, Grade, Proof, Related, Severity
from famulus.lsp_server.review.index.changes import Changes, Pair
from famulus.lsp_server.review.index.facts import Definition, Reference
from famulus.lsp_server.review.index.values import Module, Symbol
from famulus.lsp_server.review.rules.callsites_words import old_place

_DOING = {
    "index": "takes an item from the result", "op": "computes with the result", "iter": "iterates over the result",
    "len": "takes the length of the result", "unpack": "unpacks the result", "compare": "compares the result",
    "call": "calls the result", "with": "enters the result", "test": "tests the result", "format": "prints the result",
    "next": "takes the next of the result",
}  # fmt: skip


def made(
    changes: Changes,
    module: Module,
    where: Reference | Definition,
    rule: str,
    text: str,
    pair: Pair,
    difference: str,
    certainty: Certainty = "certain",
    severity: Severity = "error",
    reach: int = 1,
    related: Sequence[Related] = (),
) -> Finding:
    """A finding at a user of a changed definition. ``text`` stands behind the place; ``difference``: what changed."""
    place = changes.new.place(module, where)
    new = pair.new
    head = Related(place=changes.new.place(new.module, new.definition), message=f"{shown(new)} {difference}.")
    return Finding(
        rule=f"contract/{rule}",
        message=f"{place} {text}.",
        grade=Grade.PROVED if certainty == "certain" else Grade.MEASURED,
        certainty=certainty,
        severity=severity,
        place=place,
        old_place=old_place(changes, module, place),
        key=f"{place.symbol} {rule} {new.qualname}",
        proof=Proof(kind="comparison", text=f"{shown(new)} {difference}", data={"definition": new.dotted}),
        related=(head, *related),
        reach=reach,
    )


def shown(symbol: Symbol) -> str:
    """``Cart.total()``."""
    name = symbol.qualname.replace(".<locals>", "")
    return f"{name}()" if symbol.definition.kind == "function" else name


def doing(kind: str) -> str:
    """What a caller does with a result: ``iterates over the result``."""
    what, _, name = kind.partition(":")
    if what == "attr":
        return f"uses `.{name}` of the result"
    return _DOING.get(what.partition(" ")[0], "uses the result")
