"""Words that came to code before: the recording that fits, and the same code again, without any model."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from famulus.engine.errors import FamulusError
from famulus.jupyter_kernel import intent, provenance, rank
from famulus.jupyter_kernel.candidate import Candidate
from famulus.jupyter_kernel.errors import NotRecorded
from famulus.jupyter_kernel.rank import Attempt
from famulus.jupyter_kernel.recordings import FILE, Recording, Recordings, digest_of, shape
from famulus.jupyter_kernel.rehearse import CannotRehearse
from famulus.jupyter_kernel.schema import Schema
from famulus.jupyter_kernel.translate import SECONDS, Rehearses, Stage, Translation

_OURS = re.compile(r"get_ipython\(\)\.run_line_magic\('(?:undo|retry|explain|accept|freeze|context|famulus|fix)', .*\)")


@dataclass
class Past:
    """The recordings of a folder as one kernel sees them. ``undone``: the cells that were taken back, by number, with
    their code."""

    recordings: Recordings
    undone: dict[int, str] = field(default_factory=dict)

    def find(self, words: str, schema: Schema, cells: Sequence[str], avoided: Collection[str]) -> Recording | None:
        """The recording of these words that fits here, none of the code ``avoided``. ``cells``: what the kernel ran,
        by number. Raises a :class:`FamulusError` where the user's key cannot be had."""
        counting = self._counting(cells)
        found = self.recordings.find(words, schema, digest_of(counting), digest_of(counting[-1:]))
        return None if found is None or found.code in avoided else found

    def made(self, found: Translation, schema: Schema, cells: Sequence[str]) -> Recording:
        """What is to be recorded of words that were translated anew."""
        best, counting = found.best, self._counting(cells)
        uses = {name: shape(schema, name) for name in provenance.loaded(best.candidate.code)}
        return Recording(
            words=found.words,
            code=best.candidate.code,
            uses={name: digest for name, digest in uses.items() if digest},
            schema=found.schema,
            earlier=digest_of(counting),
            before=digest_of(counting[-1:]),
            effects=best.rehearsal.effects if best.rehearsal else (),
            recipe=best.candidate.recipe,
            model=found.model,
        )

    def take_back(self, number: int, cells: Sequence[str]) -> None:
        """The cell with this number was undone."""
        if number < len(cells):
            self.undone[number] = cells[number]

    def sign(self, recording: Recording) -> None:
        """Makes a recording of somebody else one of this user, who has seen its code but not what it does outside: that
        is still asked. Raises :class:`famulus.engine.errors.StorageFailed`."""
        self.recordings.add(replace(recording, mine=True, effects=()))

    def missing(self, words: str, reason: str = "") -> NotRecorded:
        """The error for words that cannot be replayed."""
        try:
            known = self.recordings.of(words)
        except FamulusError:
            known = []
        if reason:
            said = f"The code that is recorded for these words does not do it any more ({reason})."
        elif not (self.recordings.folder / FILE).exists():
            said = f"There are no recordings in {self.recordings.folder}."
        elif not known:
            said = "These words have no recording."
        elif all(one.undone for one in known[:1]):
            said = "What these words came to was undone."
        else:
            said = "These words were recorded for other data, or after another cell."
        return NotRecorded(said, fix="Run the notebook in Jupyter first, or with --on-change regenerate.")

    def _counting(self, cells: Sequence[str]) -> list[str]:
        """The cells that the state of the namespace comes from: neither those that were undone nor our magics."""
        return [
            code
            for number, code in enumerate(cells)
            if code.strip() and self.undone.get(number) != code and not _OURS.fullmatch(code.strip())
        ]


def with_effects(recording: Recording | None, found: Translation) -> Recording | None:
    """What to record of words that ran: with the effects that the user let them have."""
    if recording is None:
        return None
    seen = found.best.rehearsal.effects if found.best.rehearsal else ()
    new = tuple(effect for effect in seen if effect not in recording.effects)
    return replace(recording, effects=(*recording.effects, *new))


async def replay(
    words: str, recording: Recording, schema: Schema, rehearser: Rehearses | None, watcher: Stage
) -> tuple[Translation, str]:
    """The recorded code, tried on a copy where there is a ``rehearser``, and why it will not do any more ("" if it
    does)."""
    want = intent.read(words, schema)
    candidate = Candidate(recording.code, "recording", recipe=recording.recipe)
    seen = None
    if rehearser is not None:
        watcher.stage("trying what was recorded")
        try:
            seen = await rehearser.rehearse(candidate.code, seconds=SECONDS)
        except CannotRehearse:  # it ran before, so it may run again
            seen = None
    attempt = Attempt(candidate, seen)
    # Whether it is what the words mean was settled when it ran; run again, it may well change nothing.
    failed = seen is not None and seen.status not in ("ok", "refused")
    why = rank.objection(attempt, want) if failed else ""
    if why:
        watcher.attempt(attempt, why)
    names = tuple(variable.name for variable in schema.variables)
    return Translation(words, want, attempt, (attempt,), names, schema.fingerprint(), recording.model), why
