"""How a words cell came to its code, in a few lines of plain text."""

from __future__ import annotations

from famulus.jupyter_kernel import provenance, rank
from famulus.jupyter_kernel.translate import Translation

SOURCES = {
    "recipe": "It is the recipe {recipe}, filled in with your names.",
    "model": "The model {model} wrote it.",
    "mutation": "It is a variation of what was proposed first.",
    "repair": "It is what was proposed first, repaired after it failed on a copy.",
    "recording": "It is what these words came to before.",
}


def explain(found: Translation) -> str:
    """The words, what they were taken for, where the code is from, what it did, what else was tried."""
    best = found.best
    lines = [f"Words: {found.words.strip()}", "", best.candidate.code, ""]
    lines.append(SOURCES[best.candidate.source].format(recipe=best.candidate.recipe, model=found.model or "at hand"))
    said = [*found.want.numbers, *(repr(text) for text in found.want.quoted), *found.want.paths]
    if said:
        lines.append(f"Taken from the words: {', '.join(said)}.")
    if found.want.name:
        lines.append(f"The result is called {found.want.name}, as the words say.")
    lines.append(
        f"On a copy of the kernel: {' · '.join(provenance.effects(best.candidate.code, best.rehearsal, found.names))}."
    )
    others = [attempt for attempt in found.attempts if attempt is not best]
    for attempt in others:
        why = rank.objection(attempt, found.want) or "fitted the words less well"
        lines.append(f"Not chosen, {why}: {' ⏎ '.join(attempt.candidate.code.splitlines())}")
    return "\n".join(lines)
