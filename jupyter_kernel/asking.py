"""What the user is asked before a words cell runs: may it write this file, may this guess change that table?"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from famulus.jupyter_kernel.candidate import Effect, Want
from famulus.jupyter_kernel.errors import NotMine, NotRun, Stopped
from famulus.jupyter_kernel.interrupt import Interrupts
from famulus.jupyter_kernel.recordings import Recording
from famulus.jupyter_kernel.translate import Translation

if TYPE_CHECKING:
    from famulus.jupyter_kernel.kernel import FamulusKernel

VERBS = {"write": "writes", "delete": "deletes", "network": "connects to", "process": "starts", "other": "uses"}
FOREIGN = "Somebody else recorded this code for these words"


class Asking:
    """One for each kernel, whose standard input carries questions and answers."""

    def __init__(self, kernel: FamulusKernel) -> None:
        self._kernel = kernel
        self._written: dict[str, tuple[int, int] | None] = {}

    def wrote(self, effects: Iterable[Effect]) -> None:
        """Code with these effects has run: the files are now as words cells left them."""
        self._written |= {one.what: file_state(one.what) for one in effects if one.kind == "write"}

    def question(
        self, found: Translation, recording: Recording | None, *, confirm: bool, allow_stdin: bool, untried: str
    ) -> str:
        """What the user has to agree to first, "" if nothing. ``confirm``: all code is to be confirmed; ``untried``:
        why code could not be rehearsed."""
        seen = found.best.rehearsal
        replayed = found.best.candidate.source == "recording"
        effects = seen.effects if seen else ()
        allowed = {one for one in effects if asked_for(one, found.want) and not self._replaces(one)}
        if recording is not None and replayed:
            if not recording.mine and not self._kernel.trust_recordings:
                return FOREIGN
            allowed |= {one for one in recording.effects if not (allow_stdin and self._replaces(one))}
        unasked = [effect for effect in effects if effect not in allowed]
        if unasked:
            return "This " + " and ".join(f"{VERBS[effect.kind]} {effect.what}" for effect in unasked)
        if found.guess:
            return found.guess
        if seen is None and not replayed:
            return f"This could not be tried on a copy ({untried})"
        # Code that the user let run before may run again where nobody can be asked.
        return "This is the code" if confirm and (allow_stdin or not replayed) else ""

    def allow(self, question: str, allow_stdin: bool, interrupts: Interrupts) -> None:
        """Raises :class:`NotRun` unless the user says yes to the question; no question needs no answer."""
        if not question:
            return
        said = self.answer(f"{question}. Run it? [y/n] ", allow_stdin, interrupts)
        if said is None or not said.startswith("y"):
            if question == FOREIGN:
                fix = "%accept makes it yours, so that the cell runs; %retry looks for other code."
                raise NotMine(f"{question}. It was not run.", fix=fix)
            raise NotRun(f"{question}. It was not run.", fix="%accept puts the code into a cell of its own.")

    def answer(self, question: str, allow_stdin: bool, interrupts: Interrupts) -> str | None:
        """The user's answer in lower case, None where nobody can be asked. Raises :class:`Stopped`."""
        if not allow_stdin:
            return None
        self._kernel._allow_stdin = True
        try:
            with interrupts.raising():
                return str(self._kernel.raw_input(question)).strip().lower()  # type: ignore[no-untyped-call]
        except KeyboardInterrupt:
            raise Stopped("Interrupted. Nothing was run.") from None

    def _replaces(self, effect: Effect) -> bool:
        """Whether it writes over a file that is not as words cells of this session left it."""
        state = file_state(effect.what) if effect.kind == "write" else None
        return state is not None and self._written.get(effect.what) != state


def asked_for(effect: Effect, want: Want) -> bool:
    """The words name this very file."""
    return effect.kind == "write" and any(Path(effect.what) == Path(named).absolute() for named in want.paths)


def file_state(path: str) -> tuple[int, int] | None:
    """What tells a file that was written to since: when, and how long it is. None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
