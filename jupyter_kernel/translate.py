"""From words to code that ran in rehearsal: candidates from every source, tried on a copy, the best one chosen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from famulus.jupyter_kernel import intent, rank, slots
from famulus.jupyter_kernel.candidate import Candidate, Rehearsal, Want
from famulus.jupyter_kernel.errors import NotUnderstood
from famulus.jupyter_kernel.interrupt import in_thread
from famulus.jupyter_kernel.rank import Attempt
from famulus.jupyter_kernel.rehearse import CannotRehearse
from famulus.jupyter_kernel.schema import Schema

REHEARSED = 6
"""Candidates of the recipes that are tried; beyond these the instruction means something else."""
GOOD_MATCH = 0.5
"""From this match on a recipe answers without the model."""
SECONDS = 10.0


class Stage(Protocol):
    """Somebody who watches the search: the panel."""

    def stage(self, text: str) -> None: ...

    def attempt(self, attempt: Attempt, objection: str) -> None: ...


class Rehearses(Protocol):
    """A way to try code without consequences."""

    async def rehearse(self, code: str, *, seconds: float = SECONDS) -> Rehearsal: ...


@dataclass(frozen=True)
class Translation:
    """What was found: ``attempts`` in the order tried, ``best`` the one to run. ``names`` are those that the user had,
    ``schema`` is the digest of what they were; ``model`` and ``seed`` are set if a model wrote."""

    words: str
    want: Want
    best: Attempt
    attempts: tuple[Attempt, ...]
    names: tuple[str, ...]
    schema: str
    model: str = ""
    seed: int | None = None


async def translate(
    words: str,
    schema: Schema,
    rehearser: Rehearses | None,
    watcher: Stage,
    *,
    avoided: Collection[str] = (),
    recorded: str = "",
) -> Translation:
    """The code for ``words``, none of ``avoided``; ``recorded`` is what they came to before and is tried first.

    Raises :class:`NotUnderstood` if nothing fits.
    """
    want = intent.read(words, schema)
    names = tuple(variable.name for variable in schema.variables)
    if recorded and recorded not in avoided:
        attempts = await _try([Candidate(recorded, "recording")], want, rehearser, watcher)
        if not rank.objection(attempts[0], want):
            return Translation(words, want, attempts[0], tuple(attempts), names, schema.fingerprint())
    watcher.stage("looking for code")
    proposed = [
        candidate
        for candidate in await in_thread(lambda: slots.propose(words, schema))
        if candidate.code not in avoided
    ]
    attempts = await _try(proposed[:REHEARSED], want, rehearser, watcher)
    best = rank.order(attempts, want)
    if not best:
        reason = f" ({rank.objection(attempts[0], want)})" if attempts else ""
        raise NotUnderstood(f"No code was found for these words{reason}.", fix="Say it another way, or in Python.")
    return Translation(words, want, best[0], tuple(attempts), names, schema.fingerprint())


async def _rehearsed(code: str, rehearser: Rehearses) -> Rehearsal | None:
    try:
        return await rehearser.rehearse(code, seconds=SECONDS)
    except CannotRehearse:  # the user is shown the code, and asked
        return None


async def _try(
    candidates: Sequence[Candidate], want: Want, rehearser: Rehearses | None, watcher: Stage
) -> list[Attempt]:
    attempts: list[Attempt] = []
    for candidate in candidates:
        watcher.stage(f"trying {len(attempts) + 1} of {len(candidates)}")
        seen = await _rehearsed(candidate.code, rehearser) if rehearser else None
        attempts.append(Attempt(candidate, seen))
        watcher.attempt(attempts[-1], rank.objection(attempts[-1], want))
    return attempts
