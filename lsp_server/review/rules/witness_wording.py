"""A witness as a finding: its sentence, its proof, and a test to paste."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from famulus.lsp_server.execution import pytest_text
from famulus.lsp_server.execution.errors import ImportFailed
from famulus.lsp_server.execution.search import Found, Witness
from famulus.lsp_server.review.finding import Finding, Grade, Place, Proof, Related
from famulus.lsp_server.review.rules.witness_changes import Changed

_SHOWN = 5
_LONGEST = 160
_SLIGHT = {"type": 1, "message": 2}
_PAST = {"raises": "raised", "does": "did", "yields": "yielded"}


def finding(item: Changed, result: Found, module: str, callers: Sequence[Place]) -> Finding:
    """One finding for all that was seen of a function; it says the strongest.

    ``module``: its name in the old version."""
    first = min(result.witnesses, key=lambda witness: _SLIGHT.get(witness.difference.what, 0))
    difference = first.difference
    what = difference.what
    in_value = what in ("value", "type")
    slight = what in ("type", "message")
    certain = first.call.source != "guess" and what != "message"
    found = Finding(
        rule=f"witness/{what}",
        message=_sentence(first),
        grade=Grade.WITNESSED,
        place=Place(path=item.file.path, line=item.line, symbol=item.name),
        key=f"{item.name} {what}",
        proof=Proof(
            kind="witness",
            text="\n".join(_shown(witness) for witness in result.witnesses[:3]),
            code=pytest_text.as_test(
                module,
                first.call,
                first.old,
                difference.path if in_value else "",
                difference.old_form if in_value else (),
                exact=what == "type",
            )
            if first.settled or in_value
            else "",
            data={
                "calls": [
                    {"call": w.call.text, "old": w.old.shown(), "new": w.new.shown(), "kind": w.difference.what}
                    for w in result.witnesses
                ],
                "tried": result.tried,
            },
        ),
        severity="note" if slight else "warning",
        certainty="certain" if certain else "possible" if what == "message" else "likely",
    )
    return placed(found, item, callers)


def placed(found: Finding, item: Changed, callers: Sequence[Place]) -> Finding:
    """A finding on ``item``, perhaps of an earlier review, where the function and its callers are now."""
    return replace(
        found,
        place=Place(path=item.file.path, line=item.line, symbol=item.name),
        old_place=Place(path=item.file.old_path or item.file.path, line=item.old_line, symbol=item.name, side="old"),
        related=tuple(Related(place=place, message=f"Calls {item.name}().") for place in _lines(callers)[:_SHOWN]),
        reach=len(callers),
    )


def broken_import(item: Changed, error: ImportFailed) -> Finding:
    """A finding for a module that only the old version can import."""
    path, line = error.at if error.at else (item.file.path, item.line)
    last = error.reason.strip().splitlines()[-1]
    return Finding(
        rule="witness/import",
        message=f"{error.module} can no longer be imported: {_short(last)}.",
        grade=Grade.WITNESSED,
        place=Place(path=str(path), line=int(line)),
        key=f"{error.module} import",
        proof=Proof(
            kind="witness", text=f"import {error.module}: works → raises {last}", code=f"import {error.module}\n"
        ),
        severity="error",
    )


def _shown(witness: Witness) -> str:
    """``clamp(5, 0, 5): 5 → 4``."""
    call, difference = witness.call, witness.difference
    text = _told(witness)
    if difference.what == "argument":
        name = difference.name
        which = call.args[int(name)] if name.isdigit() and int(name) < len(call.args) else name
        return f"{text}: leaves {_short(which)}{difference.path} as {difference.old} → {difference.new}"
    if difference.what == "state":
        return f"{text}: leaves the object{difference.path} as {difference.old} → {difference.new}"
    if difference.what == "output":
        return f"{text}: prints {difference.old} → {difference.new}"
    return f"{text}{difference.path}: {difference.old} → {difference.new}"


def _sentence(witness: Witness) -> str:
    difference = witness.difference
    text, new, old = _told(witness), difference.new, difference.old
    match difference.what:
        case "value" | "type":
            now = f"now {new}" if new.startswith("yields") else f"is now {new}"
            was = f"it {_past(old)}" if old.startswith("yields") else f"it was {old}"
            return f"{text}{difference.path} {now}; {was}."
        case "exception" | "end":
            verb = "" if new.startswith(("raises", "does not")) else "answers "
            was = f"it {_past(old)}" if old.startswith(("raises", "does not")) else f"it answered {old}"
            return f"{text} now {verb}{new}; before, {was}."
        case "argument" | "state":
            thing = "its argument" if difference.what == "argument" else "the object"
            return f"{text} now leaves {thing}{difference.path} as {new}; before, as {old}."
        case "output":
            return f"{text} now prints {new}; before, {old}."
    return f"{text} still raises {witness.new.exception}, but with another text."


def _lines(places: Sequence[Place]) -> list[Place]:
    """One place for each line: two calls in one line are no more to read than one."""
    return list({(place.path, place.line): place for place in reversed(places)}.values())[::-1]


def _past(said: str) -> str:
    """``raises KeyError('a')`` → ``raised KeyError('a')``."""
    verb, _, rest = said.partition(" ")
    return f"{_PAST[verb]} {rest}"


def _told(witness: Witness) -> str:
    call = witness.call
    text = call.text if not call.before else call.text.replace(call.receiver, "it", 1)
    made = [f"it = {call.receiver}"] if call.before else []
    return _short("; ".join([*made, *(line.replace("self", "it", 1) for line in call.before), text]))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
