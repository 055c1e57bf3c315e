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
LIKELIHOOD = 0.5
AGREEMENT = 0.3
SIDE_EFFECT = 1.5
"""Weights of the parts of a score; fitted by hand on instructions that the benchmark does not hold."""


def order(attempts: Sequence[Attempt], want: Want) -> list[Attempt]:
    """The attempts that may run, best first: those that failed or do not what was asked are left out."""
    fit = [attempt for attempt in attempts if not objection(attempt, want)]
    agreeing = Counter(_outcome(attempt) for attempt in fit)
    return sorted(fit, key=lambda attempt: -score(attempt, want, agreeing[_outcome(attempt)]))


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
    if seen.status == "refused":
        return ""
    if want.kind == "plot" and not seen.figures:
        return "drew nothing"
    if want.kind == "value" and seen.value is None and not seen.stdout and not seen.displays:
        return "showed no value"
    if want.kind == "bind" and want.name and want.name not in (*seen.bound, *seen.rebound, *seen.changed):
        return f"did not make {want.name}"
    return ""


def score(attempt: Attempt, want: Want, agreeing: int = 1) -> float:
    """Higher is better; comparable within one cell."""
    candidate, seen = attempt.candidate, attempt.rehearsal
    total = MATCH * candidate.match + COVERAGE * candidate.coverage + AGREEMENT * (agreeing - 1)
    if candidate.likelihood is not None:
        total += LIKELIHOOD * max(candidate.likelihood, -4.0)
    if seen is not None:
        touched = [name for name in (*seen.rebound, *seen.changed, *seen.deleted) if name not in want.names]
        total -= SIDE_EFFECT * len(touched)
    return total


def _outcome(attempt: Attempt) -> tuple[str, ...]:
    """What an attempt comes to; equal for attempts that mean the same."""
    seen = attempt.rehearsal
    if seen is None:
        return (attempt.candidate.code,)
    return (seen.value or "", seen.stdout, *seen.bound, *seen.changed, str(seen.figures))
