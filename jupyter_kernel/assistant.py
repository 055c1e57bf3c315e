"""A words cell from beginning to end: read it, translate it, show it, ask where asking is due, let it run."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from famulus.engine.errors import FamulusError
from famulus.jupyter_kernel import context, modes, prompt, provenance, undo
from famulus.jupyter_kernel.answer import Answer, Done
from famulus.jupyter_kernel.asking import VERBS, Asking
from famulus.jupyter_kernel.before import Before, whole
from famulus.jupyter_kernel.candidate import Rehearsal
from famulus.jupyter_kernel.detect import Reading
from famulus.jupyter_kernel.errors import NotUnderstood, Unsure
from famulus.jupyter_kernel.fix import Failed, fix
from famulus.jupyter_kernel.follow import Previous
from famulus.jupyter_kernel.interrupt import Interrupts
from famulus.jupyter_kernel.look import look
from famulus.jupyter_kernel.model import Model
from famulus.jupyter_kernel.panel import Panel
from famulus.jupyter_kernel.recordings import Recording, Recordings
from famulus.jupyter_kernel.rehearse import CannotRehearse, Rehearser
from famulus.jupyter_kernel.replay import Past, replay, with_effects
from famulus.jupyter_kernel.schema import Schema
from famulus.jupyter_kernel.translate import Translation, translate
from famulus.jupyter_kernel.writing import Notebook

if TYPE_CHECKING:
    from famulus.jupyter_kernel.kernel import FamulusKernel

LONG_CELL = 20_000
"""Characters; a longer cell is not read for the names that it binds."""
MOST_WORDS = 4_000
"""Characters; the time that reading them takes grows with their square."""
KEPT = 5
"""Words cells that ``%undo`` can take back, one after the other."""


@dataclass
class Assistant:
    """What the kernel keeps for words cells; one for each kernel."""

    kernel: FamulusKernel
    mode: str = "auto"
    done: list[Done] = field(default_factory=list)
    avoided: set[tuple[str, str]] = field(default_factory=set)
    asks_model: bool = True
    shown: tuple[str, str] | None = None
    foreign: Recording | None = None

    def __post_init__(self) -> None:
        self.shell: Any = self.kernel.shell
        self._rehearser = Rehearser(self.shell)
        self._interrupts = Interrupts()
        self._asking = Asking(self.kernel)
        home = self.kernel.famulus_home
        self._past = Past(Recordings(Path(self.kernel.folder), Path(home) if home else None))
        self._model = Model(self.kernel.famulus_python or sys.executable, Path(home) if home else None)
        self._troubles: set[str] = set()
        self._before = Before()

    def forget(self) -> None:
        """The namespace was emptied: there is nothing to go on from, to take back or to offer."""
        self.done, self.avoided = [], set()
        self.shown = self.foreign = None
        self._before = Before(read=len(self._cells()) - 1)

    @property
    def last(self) -> Done | None:
        """The last words cell that ran and was not undone."""
        return self.done[-1] if self.done else None

    @property
    def offered(self) -> tuple[str, str] | None:
        """The words and the code of the last words cell, whether it ran or was only shown."""
        if self.shown is not None:
            return self.shown
        return (self.last.words, self.last.code) if self.last else None

    async def answer(
        self, cell: str, reading: Reading, interrupts: Interrupts, *, allow_stdin: bool, metadata: Mapping[str, Any]
    ) -> Answer:
        """What to run for ``cell``. Main thread only. Every failure that concerns the user is in ``run``."""
        self._interrupts = interrupts
        answer = Answer("", Panel(self.shell.display_pub), mode=modes.of_cell(metadata, self.mode))
        try:
            if cell.strip() == "%fix":
                answer.run = ""
                answer.next_input = await interrupts.run(self._fixed())
                return answer
            words = self._words(cell, reading, allow_stdin)
            if words is None:
                answer.run = cell
                return answer
            answer.translation = found = await interrupts.run(self._translate(words, answer))
            self.shown = (found.words, found.best.candidate.code)
            recording = answer.recording
            self.foreign = recording if recording and not recording.mine else None
            if answer.mode == "show":
                answer.panel.shown(found)
                return answer
            question = self._asking.question(
                found,
                recording,
                confirm=answer.mode == "confirm",
                allow_stdin=allow_stdin,
                untried="" if found.best.rehearsal else self._rehearser.why_not(),
            )
            answer.panel.found(found, question)
            self._asking.allow(question, allow_stdin, interrupts)
            if question and recording:
                # The user has seen the code and said yes; what it may do outside is not for others to say.
                effects = recording.effects if recording.mine else ()
                answer.recording = replace(recording, mine=True, effects=effects)
            answer.run, answer.snapshot = found.best.candidate.code, self._snapshot(found)
            interrupts.check()
        except FamulusError as error:
            answer.run = error
            answer.panel.failed(error, answer.translation)
        return answer

    def ran(self, answer: Answer, reply: dict[str, Any]) -> None:
        """The cell has run, or was refused; its panel gets its last state."""
        if answer.next_input:
            reply["payload"] = [*reply["payload"], _next(answer.next_input, replace=False)]
        found, snapshot = answer.translation, answer.snapshot
        if found is None or snapshot is None:
            return
        self.shown = self.foreign = None
        snapshot.settle(self.shell.user_ns, failed=reply["status"] != "ok")
        done = Done(reply["execution_count"], found, snapshot, answer.recording, *self._said(found))
        self.done = [*self.done, done][-KEPT:]
        self.done = self.done[-undo.within([one.snapshot for one in self.done]) :]
        self._asking.wrote(found.best.rehearsal.effects if found.best.rehearsal else ())
        trouble = self._record(with_effects(answer.recording, found)) if reply["status"] == "ok" else ""
        answer.panel.ran(found, reply["status"], snapshot.unsaved, snapshot.held, trouble)
        if answer.mode == "freeze-on-run" and reply["status"] == "ok":
            text = "".join(f"# {line}\n" for line in found.words.splitlines()) + found.best.candidate.code
            reply["payload"] = [*reply["payload"], _next(text, replace=True)]

    def schema(self) -> Schema:
        """The user's namespace as it is now."""
        shell = self.shell
        return look(shell.user_ns, shell.user_ns_hidden, self._order())

    def _order(self) -> dict[str, int]:
        """When each name was last bound: the number of the cell."""
        order = {}
        for number, code in enumerate(self.shell.history_manager.input_hist_parsed):
            for name in provenance.bound(code) if len(code) <= LONG_CELL else ():
                order[name] = number
        return order

    def take_back(self) -> str:
        """Takes the last words cell back; says what was put back and what was not."""
        if not self.done:
            return "There is no cell in words to undo."
        last = self.done.pop()
        result = last.snapshot.restore(self.shell.user_ns)
        self._past.take_back(last.count, self._cells())
        self._previous()
        self._before.take_back(last.previous)
        trouble = ""
        if self.kernel._allow_stdin:  # where nobody sits, the notebook's own %undo says nothing about its words
            trouble = self._record(last.recording and replace(last.recording, undone=True))
        seen = last.translation.best.rehearsal
        outside = [f"Not undone: {VERBS[effect.kind]} {effect.what}." for effect in (seen.effects if seen else ())]
        said = [f"Undid In [{last.count}]: {result.said}.", *result.more, *outside]
        return "\n".join([*said, *([f"{trouble}."] if trouble else [])])

    def sign(self) -> str:
        """Makes the recording of somebody else that was just shown one of this user's; "" if none was."""
        if self.foreign is None:
            return ""
        try:
            self._past.sign(self.foreign)
        except FamulusError as error:
            return str(error)
        words, self.shown, self.foreign = self.foreign.words, None, None
        return f"You have accepted the code that was shown for “{words.strip()}”. Run that cell again."

    def told(self, words: str) -> str:
        """What the model was sent last, to the letter; for ``words``, or where nothing was sent, what it would be."""
        if self._model.told is not None and not words:
            return context.explain(self._model.told, "tokens, estimated")
        told = context.render(
            self.schema(),
            words,
            self._recent(),
            last_error(),
            budget=self._model.about.budget,
            count=prompt.estimated_tokens,
        )
        return "Not sent yet; this is what a model would be told.\n" + context.explain(told, "tokens, estimated")

    async def _fixed(self) -> str:
        """The repaired code of the cell that failed last, "" if there is none; what was done is printed."""
        if self.kernel.failed is None:
            print("No cell has failed.")
            return ""
        failed = Failed(*self.kernel.failed)
        found = await fix(
            failed,
            self.schema(),
            self._rehearsed,
            self._model if self.asks_model else None,
            Notebook(tuple(self._recent())),
        )
        if found is None:
            print(f"No repair was found for {failed.error}: {failed.message}")
            return ""
        print(f"Repaired: {found.reason}. The code is in the next cell; it ran on a copy of the kernel.")
        return found.code

    async def _rehearsed(self, code: str) -> Rehearsal | None:
        try:
            return await self._rehearser.rehearse(code)
        except CannotRehearse:
            return None

    def _recent(self) -> list[str]:
        return [cell for cell in self.shell.history_manager.input_hist_parsed[1:] if cell.strip()]

    def avoid(self, last: Done) -> None:
        """The same words will not be answered with the same code again."""
        self.avoided.add((last.words, last.code))

    async def _translate(self, words: str, answer: Answer) -> Translation:
        answer.panel.begin(words)
        schema = self.schema()
        avoided = {code for said, code in self.avoided if said == words}
        previous = self._previous()
        answer.recording = recording = self._recorded(words, schema, avoided)
        strict, why = self.kernel.on_change == "stop", ""
        if recording is not None:
            # What somebody else has recorded is not even tried before the user has seen it.
            trusted = recording.mine or self.kernel.trust_recordings
            rehearser = self._rehearser if trusted else None
            found, why = await replay(words, recording, schema, rehearser, answer.panel)
            if not why:
                return found
        if strict:
            raise self._past.missing(words, why)
        found = await translate(
            words,
            schema,
            self._rehearser,
            answer.panel,
            avoided=avoided,
            model=self._model if self.asks_model else None,
            notebook=Notebook(tuple(self._recent()), last_error()),
            previous=previous,
        )
        if found.note in self._troubles:
            found = replace(found, note="")
        self._troubles.add(found.note)
        answer.recording = self._past.made(found, schema, self._cells())
        return found

    def _previous(self) -> Previous:
        """What the next words may go on from."""
        said = {one.count: one.said for one in self.done}
        return self._before.after(self._cells(), self.shell.user_ns.get("_oh", {}), said)

    def _said(self, found: Translation) -> tuple[Previous, str]:
        """What words that have just run went on from, and the whole instruction that they came to."""
        previous = self._before.now
        return previous, whole(found.words, self.schema(), previous, found.best.candidate)

    def _recorded(self, words: str, schema: Schema, avoided: Collection[str]) -> Recording | None:
        try:
            return self._past.find(words, schema, self._cells(), avoided)
        except FamulusError as error:
            self.kernel.log.warning("%s", error)
            return None

    def _record(self, recording: Recording | None) -> str:
        """Keeps it. A folder that cannot be written to is no reason to fail a cell: it is told, once."""
        try:
            if recording is not None and recording.mine:
                self._past.recordings.add(recording)
        except FamulusError as error:
            trouble = f"not recorded: {error.message}".rstrip(".")
            if trouble not in self._troubles:
                self._troubles.add(trouble)
                return trouble
        return ""

    def _cells(self) -> list[str]:
        """What the kernel has run, by number; the code of words cells among it."""
        return list(self.shell.history_manager.input_hist_parsed)

    def _words(self, cell: str, reading: Reading, allow_stdin: bool) -> str | None:
        """The words to translate; None if the user says that the cell is Python."""
        if cell.strip() == "%retry":
            if self.shown is not None:
                self.avoided.add(self.shown)
                return self.shown[0]
            last = self.last
            if last is None:
                raise NotUnderstood("There is no cell in words to try again.")
            # Where nobody sits, a notebook is replayed, and its words came to what they were retried to already.
            if allow_stdin or last.translation.best.candidate.source != "recording":
                self.avoid(last)
            self.kernel._allow_stdin = allow_stdin
            print(self.take_back())
            return last.words
        if reading.kind == "unsure":
            question = f"{reading.reason} Is this cell [w]ords or [p]ython? "
            answer = self._asking.answer(question, allow_stdin, self._interrupts)
            if answer is None or answer[:1] not in ("w", "p"):
                raise Unsure(
                    f"This cell can be words or Python: {reading.reason}",
                    fix="Nothing was run. Put #!ask before words, #!py before Python.",
                )
            if answer.startswith("p"):
                return None
        if len(reading.text) > MOST_WORDS:
            raise NotUnderstood(f"These words are too many ({len(reading.text):,} characters).", fix="Ask for less.")
        return reading.text

    def _snapshot(self, found: Translation) -> undo.Snapshot:
        seen = found.best.rehearsal
        changing = (*seen.changed, *seen.rebound, *seen.unchecked) if seen else tuple(self.shell.user_ns)
        read = provenance.loaded(found.best.candidate.code) if seen else ()
        return undo.take(self.shell.user_ns, changing, read)


def last_error() -> str:
    """The last error that a cell showed, as one line."""
    error = getattr(sys, "last_value", None)
    return f"{type(error).__name__}: {error}" if error is not None else ""


def _next(text: str, *, replace: bool) -> dict[str, Any]:
    """The payload that asks the front end for a cell with this text."""
    return {"source": "set_next_input", "text": text, "replace": replace}
