"""Which candidate is what the words mean? Pure: candidates and what their rehearsals showed, in; an order, out."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from famulus.jupyter_kernel import consent
from famulus.jupyter_kernel.candidate import Candidate, Rehearsal, Want


@dataclass(frozen=True)
class Attempt:
    """A candidate and what its rehearsal showed (None: not rehearsed)."""

    candidate: Candidate
    rehearsal: Rehearsal | None


COVERAGE = 0.3
"""Of a score, beside the match: recipes keep the order in which they are proposed until something speaks against it."""
LIKELIHOOD = 0.25
RELEVANCE = 0.33
AGREEMENT = 0.03
SIDE_EFFECT = 0.5
IDLE = 0.1
"""Weights of the other parts. Those of a model hold for a large one: what the embedded one finds likely never
corrected the order on the benchmark's seen half and often spoilt it, so that it is not asked."""

WRITTEN = 0.3
"""The match of what a model wrote: as good as that of a recipe that fits badly."""
UNKNOWN, UNRELATED = -2.5, 0.3
"""Likelihood and relevance of a candidate that no model scored, where others were."""
MOST_VOTES = 4
SURE, LOW, LEAST = 0.65, 0.55, 0.45
"""Matches of recipes: from ``SURE`` on one may change what exists, if the words ask for a change; from ``LOW`` on one
thing that exists; from ``LEAST`` on it may show something or bind the name that was asked for, if it uses all that the
words name."""
HALF = 0.5
"""Below ``SURE`` what leaves out so much of what the words name does not run."""
PLAIN = 0.9
"""From this match on the words are those of the recipe, and ask for what it does."""


def order(attempts: Sequence[Attempt], want: Want) -> list[Attempt]:
    """The attempts that may run, best first: those that failed or do not what was asked are left out."""
    fit = [attempt for attempt in attempts if not objection(attempt, want)]
    return sorted(fit, key=lambda attempt: -score(attempt, want, agreeing(attempt, fit)))


def agreeing(attempt: Attempt, attempts: Sequence[Attempt]) -> int:
    """How many say what this one says, itself among them: every recipe once, a model as often as it wrote it."""
    alike = [other.candidate for other in attempts if _outcome(other) == _outcome(attempt)]
    written = sum(candidate.votes for candidate in alike if not candidate.recipe)
    return min(written + len({candidate.recipe for candidate in alike if candidate.recipe}), MOST_VOTES)


def objection(attempt: Attempt, want: Want) -> str:
    """Why this attempt cannot be the answer, "" if it can."""
    seen = attempt.rehearsal
    if seen is None:
        return ""
    if seen.status == "error":
        return f"{seen.error}: {seen.message}"
    if seen.status not in ("ok", "refused"):
        return {"timeout": "took too long", "memory": "needed too much memory", "died": "ended the process"}[
            seen.status
        ]
    if unasked := _unasked(attempt.candidate, seen, want):
        return unasked
    if seen.status == "refused":
        return ""
    if want.kind == "plot" and not seen.figures:
        return "drew nothing"
    if want.kind == "value" and seen.value is None and not seen.stdout and not seen.displays:
        return "showed no value"
    if want.kind == "bind" and want.name and want.name not in (*seen.bound, *seen.rebound, *seen.changed):
        return f"did not make {want.name}"
    if attempt.candidate.match == 0.0 and not _does_anything(seen):
        return "did nothing"
    return ""


def score(attempt: Attempt, want: Want, agreeing: int = 1) -> float:
    """Higher is better; comparable within one cell."""
    candidate, seen = attempt.candidate, attempt.rehearsal
    total = (candidate.match or WRITTEN) + COVERAGE * candidate.coverage + AGREEMENT * (agreeing - 1)
    total += LIKELIHOOD * max(UNKNOWN if candidate.likelihood is None else candidate.likelihood, -6.0)
    total += RELEVANCE * (UNRELATED if candidate.relevance is None else candidate.relevance)
    if seen is None:
        return total
    if want.changes:
        return total if _does_anything(seen) else total - IDLE
    touched = [name for name in (*seen.rebound, *seen.changed, *seen.deleted) if name not in want.names]
    return total - SIDE_EFFECT * len(touched)


def hopeless(attempt: Attempt, want: Want, *, wrote: bool) -> bool:
    """Whether an attempt says too little of the words to be shown: it is of a far recipe, and the model, if it
    ``wrote`` anything, did not write the same."""
    candidate = attempt.candidate
    if candidate.source == "recording" or candidate.match >= LOW:
        return False
    if wrote and (candidate.match == 0.0 or candidate.votes > 1):
        return False
    return not (candidate.match >= LEAST and _only_answers(attempt, want))


def guess(attempt: Attempt, want: Want, *, small: bool) -> str:
    """Why the answer must not run unasked, "" if it may.

    From the match ``SURE`` on a recipe is believed; from ``LOW`` on it may change one thing, if the words order a
    change, as ``%undo`` takes it back; from ``LEAST`` on it may run what only answers. What a ``small`` model wrote
    alone is right too seldom to run.
    """
    candidate, seen = attempt.candidate, attempt.rehearsal
    if candidate.source == "recording":
        return ""
    if missing := [name for name in want.equated if not re.search(rf"\b{name}\b", candidate.code)]:
        return f"This is a guess that does not make {', '.join(missing)}"
    if candidate.match >= PLAIN:
        return ""
    if missing := [text for text in want.quoted if text not in candidate.code]:
        return f"This is a guess that does not use {', '.join(missing)}"
    if candidate.match >= SURE:
        return ""
    if seen is None:
        return "This is a guess that could not be tried on a copy"
    if candidate.recipe and candidate.coverage <= HALF:
        return "This is a guess that leaves out half of what the words name"
    touched = dict.fromkeys((*seen.rebound, *seen.changed, *seen.deleted))
    ordered = want.changes and len(touched) == 1 and candidate.match >= LOW
    if touched and not ordered:
        return f"This is a guess, and it changes {', '.join(touched)}"
    if candidate.match >= LOW or (candidate.match >= LEAST and _only_answers(attempt, want)):
        return ""
    return "This is only a guess" if small else ""


def doubt(attempt: Attempt) -> str:
    """What a reader should know of an answer that runs unasked, "" if there is no doubt."""
    candidate, seen = attempt.candidate, attempt.rehearsal
    touches = seen is not None and bool(seen.rebound or seen.changed or seen.deleted)
    bar = SURE if touches else LOW
    return "a guess, please check" if candidate.source != "recording" and candidate.match < bar else ""


def _only_answers(attempt: Attempt, want: Want) -> bool:
    """Whether it does no more than show something or bind the name that was asked for, and uses all that the words
    name, and they do name something."""
    seen = attempt.rehearsal
    if seen is None or seen.status != "ok" or attempt.candidate.coverage < 1.0:
        return False
    imported = _imported(attempt.candidate.code)
    bound = [name for name in seen.bound if name != want.name and not name.startswith("_") and name not in imported]
    left = (*bound, *seen.rebound, *seen.changed, *seen.deleted, *seen.effects, *seen.unchecked)
    named = (*want.names, *want.numbers, *want.quoted, *want.paths)
    return bool(named) and not left and (seen.value is not None or seen.figures > 0 or bool(seen.bound))


def _imported(code: str) -> set[str]:
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {alias.asname or alias.name.partition(".")[0] for node in nodes for alias in node.names}


def _unasked(candidate: Candidate, seen: Rehearsal, want: Want) -> str:
    """What of the user's the code replaces or changes although the words ask for no change."""
    if want.changes or candidate.source == "recording" or (candidate.match >= PLAIN and not candidate.meant):
        return ""
    if candidate.meant and consent.asks(candidate.meant):
        return ""
    for verb, names in (("replaces", seen.rebound), ("deletes", seen.deleted), ("changes", seen.changed)):
        touched = [name for name in names if name != want.name]
        if touched:
            return f"{verb} {', '.join(touched)} unasked"
    return ""


def _does_anything(seen: Rehearsal) -> bool:
    touched = (*seen.bound, *seen.rebound, *seen.changed, *seen.deleted)
    shown = seen.value is not None or seen.stdout or seen.displays or seen.figures
    return bool(shown or touched or seen.effects or seen.unchecked)


def _outcome(attempt: Attempt) -> tuple[str, ...]:
    """What an attempt comes to; equal for attempts that mean the same."""
    seen = attempt.rehearsal
    # Two figures may show anything.
    if seen is None or seen.figures:
        return (attempt.candidate.code,)
    return (seen.value or "", seen.stdout, *seen.bound, *seen.changed)
