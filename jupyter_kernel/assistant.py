"""A words cell from beginning to end: read it, translate it, show it, ask where asking is due, let it run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from famulus.engine.errors import FamulusError
from famulus.jupyter_kernel.candidate import Effect, Want
from famulus.jupyter_kernel.detect import Reading
from famulus.jupyter_kernel.errors import NotRun, Unsure
from famulus.jupyter_kernel.interrupt import interruptible
from famulus.jupyter_kernel.look import look
from famulus.jupyter_kernel.panel import Panel
from famulus.jupyter_kernel.rehearse import Rehearser
from famulus.jupyter_kernel.schema import Schema
from famulus.jupyter_kernel.translate import Translation, translate

if TYPE_CHECKING:
    from famulus.jupyter_kernel.kernel import FamulusKernel


@dataclass(frozen=True)
class Answer:
    """``run``: the code that stands for the cell, or why there is none."""

    run: str | FamulusError
    panel: Panel
    translation: Translation | None = None


class Assistant:
    """What the kernel keeps for words cells; one for each kernel."""

    def __init__(self, kernel: FamulusKernel) -> None:
        self._kernel = kernel
        self._shell = kernel.shell
        self._rehearser = Rehearser(kernel.shell)

    async def answer(self, cell: str, reading: Reading, *, allow_stdin: bool, metadata: dict[str, Any]) -> Answer:
        """What to run for ``cell``. Main thread only; never raises what the user should see as the kernel's own
        failure."""
        panel = Panel(self._shell.display_pub)
        translation = None
        try:
            if reading.kind == "unsure" and not self._means_words(reading, allow_stdin):
                return Answer(cell, panel)
            translation = await interruptible(self._translate(reading.text, panel))
            panel.found(translation)
            self._allow(translation, allow_stdin)
        except FamulusError as error:
            panel.failed(error)
            return Answer(error, panel, translation)
        return Answer(translation.best.candidate.code, panel, translation)

    def ran(self, answer: Answer, reply: dict[str, Any]) -> None:
        """The cell has run, or was refused; its panel gets its last state."""
        if answer.translation is not None and isinstance(answer.run, str):
            answer.panel.ran(answer.translation, reply["status"])

    def schema(self) -> Schema:
        """The user's namespace as it is now."""
        shell = self._shell
        hidden = {name for name, value in shell.user_ns_hidden.items() if shell.user_ns.get(name) is value}
        return look(shell.user_ns, hidden, {})

    async def _translate(self, words: str, panel: Panel) -> Translation:
        panel.begin(words, time.monotonic())
        return await translate(words, self.schema(), self._rehearser, panel)

    def _means_words(self, reading: Reading, allow_stdin: bool) -> bool:
        answer = self._ask(f"{reading.reason} Is this cell [w]ords or [p]ython? ", allow_stdin)
        if answer is None or answer[:1] not in ("w", "p"):
            raise Unsure(
                f"This cell can be words or Python: {reading.reason}",
                fix="Nothing was run. Put #!ask before words, #!py before Python.",
            )
        return answer.startswith("w")

    def _allow(self, translation: Translation, allow_stdin: bool) -> None:
        """Raises :class:`NotRun` unless the user agrees to what the code does outside the notebook."""
        seen = translation.best.rehearsal
        if seen is None:
            question = f"This could not be tried on a copy ({self._rehearser.why_not()})"
        else:
            unasked = [effect for effect in seen.effects if not asked_for(effect, translation.want)]
            if not unasked:
                return
            question = "This " + " and ".join(f"{VERBS[effect.kind]} {effect.what}" for effect in unasked)
        answer = self._ask(f"{question}. Run it? [y/n] ", allow_stdin)
        if answer is None or not answer.startswith("y"):
            raise NotRun(f"{question}: it was not run.", fix="Run the code above yourself if you want it.")

    def _ask(self, question: str, allow_stdin: bool) -> str | None:
        """The user's answer in lower case, None where nobody can be asked."""
        if not allow_stdin:
            return None
        self._kernel._allow_stdin = True
        return str(self._kernel.raw_input(question)).strip().lower()


VERBS = {"write": "writes", "delete": "deletes", "network": "connects to", "process": "starts", "other": "uses"}


def asked_for(effect: Effect, want: Want) -> bool:
    """The words name this very file, and nothing is lost by writing it."""
    path = Path(effect.what)
    return effect.kind == "write" and not path.exists() and any(path == Path(named).absolute() for named in want.paths)
