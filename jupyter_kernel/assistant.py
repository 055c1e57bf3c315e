"""A words cell from beginning to end: read it, translate it, show it, ask where asking is due, let it run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from famulus.engine.errors import FamulusError
from famulus.jupyter_kernel import context, modes, provenance, undo
from famulus.jupyter_kernel.candidate import Effect, Want
from famulus.jupyter_kernel.detect import Reading
from famulus.jupyter_kernel.errors import NotRecorded, NotRun, NotUnderstood, Stopped, Unsure
from famulus.jupyter_kernel.interrupt import Interrupts
from famulus.jupyter_kernel.look import look
from famulus.jupyter_kernel.panel import Panel
from famulus.jupyter_kernel.recordings import Recording, Recordings, digest_of, shape
from famulus.jupyter_kernel.rehearse import Rehearser
from famulus.jupyter_kernel.schema import Schema
from famulus.jupyter_kernel.translate import Translation, translate

if TYPE_CHECKING:
    from famulus.jupyter_kernel.kernel import FamulusKernel

VERBS = {"write": "writes", "delete": "deletes", "network": "connects to", "process": "starts", "other": "uses"}
CONTEXT_TOKENS = 700
LONG_CELL = 20_000
"""Characters; a longer cell is not read for the names that it binds."""
KEPT = 5
"""Words cells that ``%undo`` can take back, one after the other."""


@dataclass
class Answer:
    """``run``: the code that stands for the cell, or why there is none."""

    run: str | FamulusError
    panel: Panel
    mode: str = "auto"
    translation: Translation | None = None
    snapshot: undo.Snapshot | None = None
    recording: Recording | None = None


@dataclass(frozen=True)
class Done:
    """A words cell that has run."""

    count: int
    translation: Translation
    snapshot: undo.Snapshot
    recording: Recording | None

    @property
    def words(self) -> str:
        return self.translation.words

    @property
    def code(self) -> str:
        return self.translation.best.candidate.code


@dataclass
class Assistant:
    """What the kernel keeps for words cells; one for each kernel."""

    kernel: FamulusKernel
    mode: str = "auto"
    done: list[Done] = field(default_factory=list)
    avoided: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.shell: Any = self.kernel.shell
        self._rehearser = Rehearser(self.shell)
        self._interrupts = Interrupts()
        home = self.kernel.famulus_home
        self._recordings = Recordings(Path.cwd(), Path(home) if home else None)

    @property
    def last(self) -> Done | None:
        """The last words cell that ran and was not undone."""
        return self.done[-1] if self.done else None

    async def answer(
        self, cell: str, reading: Reading, interrupts: Interrupts, *, allow_stdin: bool, metadata: Mapping[str, Any]
    ) -> Answer:
        """What to run for ``cell``. Main thread only. Every failure that concerns the user is in ``run``."""
        self._interrupts = interrupts
        answer = Answer("", Panel(self.shell.display_pub), mode=modes.of_cell(metadata, self.mode))
        try:
            words = self._words(cell, reading, allow_stdin)
            if words is None:
                answer.run = cell
                return answer
            answer.translation = found = await interrupts.run(self._translate(words, answer))
            if answer.mode == "show":
                answer.panel.shown(found)
                return answer
            question = self._question(answer)
            answer.panel.found(found, question)
            self._allow(question, allow_stdin)
            answer.run, answer.snapshot = found.best.candidate.code, self._snapshot(found)
            interrupts.check()
        except FamulusError as error:
            answer.run = error
            answer.panel.failed(error, answer.translation)
        return answer

    def ran(self, answer: Answer, reply: dict[str, Any]) -> None:
        """The cell has run, or was refused; its panel gets its last state."""
        found, snapshot = answer.translation, answer.snapshot
        if found is None or snapshot is None:
            return
        snapshot.settle(self.shell.user_ns)
        self.done = [*self.done, Done(reply["execution_count"], found, snapshot, answer.recording)][-KEPT:]
        answer.panel.ran(found, reply["status"], snapshot.unsaved)
        if reply["status"] == "ok":
            self._record(answer.recording)
        if answer.mode == "freeze-on-run" and reply["status"] == "ok":
            text = "".join(f"# {line}\n" for line in found.words.splitlines()) + found.best.candidate.code
            reply["payload"] = [*reply["payload"], {"source": "set_next_input", "text": text, "replace": True}]

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
        self._record(last.recording and replace(last.recording, undone=True))
        parts = [
            f"put back {', '.join(result.restored)}" if result.restored else "",
            f"removed {', '.join(result.removed)}" if result.removed else "",
        ]
        said = " and ".join(part for part in parts if part) or "nothing in the namespace had changed"
        lines = [f"Undid In [{last.count}]: {said}."]
        lines += [f"{name} was left as it is: {reason}." for name, reason in result.left.items()]
        seen = last.translation.best.rehearsal
        lines += [f"Not undone: {VERBS[effect.kind]} {effect.what}." for effect in (seen.effects if seen else ())]
        return "\n".join(lines)

    def told(self, words: str) -> str:
        """What a model would be told now, for ``words`` or for any."""
        told = context.render(
            self.schema(), words, self._recent(), last_error(), budget=CONTEXT_TOKENS, count=estimated_tokens
        )
        return context.explain(told, "tokens, estimated")

    def _recent(self) -> list[str]:
        return [cell for cell in self.shell.history_manager.input_hist_parsed[1:] if cell.strip()]

    def avoid(self, last: Done) -> None:
        """The same words will not be answered with the same code again."""
        self.avoided.add((last.words, last.code))

    async def _translate(self, words: str, answer: Answer) -> Translation:
        answer.panel.begin(words)
        schema = self.schema()
        answer.recording = self._recorded(words, schema)
        if answer.recording is None and self.kernel.on_change == "stop":
            raise NotRecorded(
                "These words have no recording that fits the data as it is now.",
                fix="Run the notebook in Jupyter first, or with --on-change regenerate.",
            )
        found = await translate(
            words,
            schema,
            self._rehearser,
            answer.panel,
            avoided={code for said, code in self.avoided if said == words},
            recorded=answer.recording.code if answer.recording else "",
        )
        if found.best.candidate.source != "recording":
            uses = {name: shape(schema, name) for name in provenance.loaded(found.best.candidate.code)}
            answer.recording = Recording(
                words=words,
                code=found.best.candidate.code,
                uses={name: digest for name, digest in uses.items() if digest},
                schema=found.schema,
                earlier=self._earlier(),
                effects=found.best.rehearsal.effects if found.best.rehearsal else (),
                recipe=found.best.candidate.recipe,
                model=found.model,
            )
        return found

    def _recorded(self, words: str, schema: Schema) -> Recording | None:
        try:
            return self._recordings.find(words, schema, self._earlier())
        except FamulusError as error:
            self.kernel.log.warning("%s", error)
            return None

    def _record(self, recording: Recording | None) -> None:
        """Keeps it; a folder that cannot be written to is no reason to fail a cell."""
        try:
            if recording is not None and recording.mine:
                self._recordings.add(recording)
        except FamulusError as error:
            self.kernel.log.warning("%s", error)

    def _earlier(self) -> str:
        """A digest of the code that this kernel ran before, the code of words cells among it."""
        return digest_of(self.shell.history_manager.input_hist_parsed)

    def _words(self, cell: str, reading: Reading, allow_stdin: bool) -> str | None:
        """The words to translate; None if the user says that the cell is Python."""
        if cell.strip() == "%retry":
            if self.last is None:
                raise NotUnderstood("There is no cell in words to try again.")
            self.avoid(self.last)
            words = self.last.words
            print(self.take_back())
            return words
        if reading.kind == "unsure":
            answer = self._ask(f"{reading.reason} Is this cell [w]ords or [p]ython? ", allow_stdin)
            if answer is None or answer[:1] not in ("w", "p"):
                raise Unsure(
                    f"This cell can be words or Python: {reading.reason}",
                    fix="Nothing was run. Put #!ask before words, #!py before Python.",
                )
            if answer.startswith("p"):
                return None
        return reading.text

    def _snapshot(self, found: Translation) -> undo.Snapshot:
        seen = found.best.rehearsal
        changing = (*seen.changed, *seen.rebound) if seen else tuple(self.shell.user_ns)
        return undo.take(self.shell.user_ns, changing)

    def _allow(self, question: str, allow_stdin: bool) -> None:
        """Raises :class:`NotRun` unless the user agrees to what the code does outside the notebook."""
        if not question:
            return
        said = self._ask(f"{question}. Run it? [y/n] ", allow_stdin)
        if said is None or not said.startswith("y"):
            raise NotRun(f"{question}. It was not run.", fix="Run the code above yourself if you want it.")

    def _question(self, answer: Answer) -> str:
        """What the user has to agree to first, "" if nothing."""
        found, recording = answer.translation, answer.recording
        assert found is not None
        seen = found.best.rehearsal
        if recording is not None and found.best.candidate.source == "recording":
            if not recording.mine:
                return "Somebody else recorded this code for these words"
            allowed = set(recording.effects)
        else:
            allowed = {effect for effect in (seen.effects if seen else ()) if asked_for(effect, found.want)}
        unasked = [effect for effect in (seen.effects if seen else ()) if effect not in allowed]
        if unasked:
            return "This " + " and ".join(f"{VERBS[effect.kind]} {effect.what}" for effect in unasked)
        if seen is None and found.best.candidate.source != "recording":
            return f"This could not be tried on a copy ({self._rehearser.why_not()})"
        return "This is the code" if answer.mode == "confirm" else ""

    def _ask(self, question: str, allow_stdin: bool) -> str | None:
        """The user's answer in lower case, None where nobody can be asked."""
        if not allow_stdin:
            return None
        self.kernel._allow_stdin = True
        try:
            with self._interrupts.raising():
                return str(self.kernel.raw_input(question)).strip().lower()  # type: ignore[no-untyped-call]
        except KeyboardInterrupt:
            raise Stopped("Interrupted. Nothing was run.") from None


def last_error() -> str:
    """The last error that a cell showed, as one line."""
    error = getattr(sys, "last_value", None)
    return f"{type(error).__name__}: {error}" if error is not None else ""


def estimated_tokens(text: str) -> int:
    """Tokens of ``text``, near enough to fit a budget without asking the engine."""
    return (len(text) + 2) // 3


def asked_for(effect: Effect, want: Want) -> bool:
    """The words name this very file, and nothing is lost by writing it."""
    path = Path(effect.what)
    return effect.kind == "write" and not path.exists() and any(path == Path(named).absolute() for named in want.paths)
