"""Which candidate is what the words mean? Pure: candidates and what their rehearsals showed, in; an order, out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from famulus.jupyter_kernel.candidate import Candidate, Rehearsal, Want


@dataclass(frozen=True)
class Attempt:
    """A candidate and what its rehearsal showed (None: not rehearsed)."""

    candidate: Candidate
    rehearsal: Rehearsal | None


MATCH = 3.0
COVERAGE = 2.0
LIKELIHOOD = 0.75
RELEVANCE = 1.0
AGREEMENT = 0.1
SIDE_EFFECT, SIDE_EFFECT_ASKED = 1.5, 0.3
"""Weights of the parts of a score. Those of a model are fitted on the 15 instructions of the benchmark's seen half that
no recipe fitted well, and so on very little."""

WRITTEN = 0.3
"""The match of what a model wrote: as good as that of a recipe that fits badly."""
UNKNOWN, UNRELATED = -2.5, 0.3
"""Likelihood and relevance of a candidate that no model scored, where others were."""
RELEVANT = 0.6
"""From this relevance on a model means what the words say."""
MOST_VOTES = 4
PLAIN = 0.8
"""From this match on a recipe's own idea of what it changes is believed."""


def order(attempts: Sequence[Attempt], want: Want) -> list[Attempt]:
    """The attempts that may run, best first: those that failed or do not what was asked are left out."""
    fit = [attempt for attempt in attempts if not objection(attempt, want)]
    return sorted(fit, key=lambda attempt: -score(attempt, want, agreeing(attempt, fit)))


def agreeing(attempt: Attempt, attempts: Sequence[Attempt]) -> int:
    """How many say what this one says, itself among them: every recipe once, a model as often as it wrote it."""
    votes: Counter[tuple[str, ...]] = Counter()
    for other in attempts:
        votes[_outcome(other)] += other.candidate.votes
    return min(votes[_outcome(attempt)], MOST_VOTES)


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
    total = MATCH * (candidate.match or WRITTEN) + COVERAGE * candidate.coverage + AGREEMENT * (agreeing - 1)
    total += LIKELIHOOD * max(UNKNOWN if candidate.likelihood is None else candidate.likelihood, -6.0)
    total += RELEVANCE * (UNRELATED if candidate.relevance is None else candidate.relevance)
    if seen is not None:
        touched = [name for name in (*seen.rebound, *seen.changed, *seen.deleted) if name not in want.names]
        total -= (SIDE_EFFECT_ASKED if want.changes else SIDE_EFFECT) * len(touched)
    return total


def guess(attempt: Attempt, attempts: Sequence[Attempt], want: Want, *, low: float, good: float, small: bool) -> str:
    """Why the answer must not run unasked, "" if it may.

    From the match ``good`` on a recipe is believed; from ``low`` on it may run what takes nothing away, and if a model
    finds that the words speak of it, what they ask to change. Below, or where a model wrote: a ``small`` model alone is
    right too seldom, so that it may only run what touches nothing, uses all that the words name, and what it came to
    more than once and finds likelier for the words.
    """
    candidate, seen = attempt.candidate, attempt.rehearsal
    if candidate.source == "recording" or candidate.match >= good:
        return ""
    if seen is None:
        return "This is a guess that could not be tried on a copy"
    touched = dict.fromkeys((*seen.rebound, *seen.changed, *seen.deleted))
    confirmed = (candidate.relevance or 0.0) >= RELEVANT and candidate.coverage == 1.0 and candidate.match >= low
    if touched and not confirmed:
        return f"This is a guess, and it changes {', '.join(touched)}"
    if candidate.match >= low or not small:
        return ""
    fit = [other for other in attempts if not objection(other, want)]
    relevant = candidate.relevance is None or candidate.relevance >= RELEVANT
    if seen.effects or candidate.coverage < 1.0 or agreeing(attempt, fit) < 2 or not relevant:
        return "This is only a guess"
    return ""


def _unasked(candidate: Candidate, seen: Rehearsal, want: Want) -> str:
    """What of the user's the code replaces or changes although the words ask for no change."""
    if want.changes or candidate.source == "recording" or candidate.match >= PLAIN:
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
