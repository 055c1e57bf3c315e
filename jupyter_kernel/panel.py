"""The one output of a words cell that says what becomes of it: the code, what it does, what else was tried.

Markdown for notebooks, plain text for consoles, and for programs the record of
:mod:`famulus.jupyter_kernel.provenance`. Nothing that comes from data or from a model is read as markup.

While code is looked for, a note says so, but only if that takes a moment. The panel takes the place of the note: it is
an output of its own, because consoles print the first state of an output and ignore its updates.
"""

from __future__ import annotations

import asyncio
import difflib
import html
import re
import time
from typing import Any
from uuid import uuid4

from famulus.engine.errors import FamulusError
from famulus.jupyter_kernel import provenance
from famulus.jupyter_kernel.candidate import Candidate, Rehearsal
from famulus.jupyter_kernel.rank import Attempt
from famulus.jupyter_kernel.translate import Translation

MUCH = 64 << 20
"""Bytes kept for ``%undo`` that are worth a word."""
MOST_ATTEMPTS = 6
ALIKE = 0.6
"""Attempts that are less like the chosen code are shown whole."""
PATIENCE = 0.3
"""Seconds. What is done by then needs no note that it is being done."""
BETWEEN = " · "
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
SOURCES = {
    "recipe": "from a recipe",
    "model": "a guess of the model",
    "mutation": "a variation",
    "repair": "repaired",
    "recording": "recorded earlier",
}


class Panel:
    """``publisher`` is IPython's display publisher. Work that is done within ``patience`` seconds shows no note, and a
    note changes no faster than that."""

    def __init__(self, publisher: Any, patience: float = PATIENCE) -> None:
        self._publisher = publisher
        self._patience = patience
        self._note, self._panel = _Output(publisher), _Output(publisher)
        self._next: tuple[str, str] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._started = time.monotonic()
        self._found = 0.0
        self._attempts: list[tuple[Attempt, str]] = []

    def begin(self, words: str) -> None:
        """The words were read; the clock starts."""
        self._started = time.monotonic()
        self.stage("reading the words")

    def stage(self, text: str) -> None:
        """What is being done now."""
        self._soon(_caption([f"{text} …"]), f"{text} ...")

    def writing(self, code: str) -> None:
        """A model writes: its code so far."""
        self._soon(f"{_fenced(code)}\n\n{_caption(['writing …'])}", f"{code}\n# writing ...")

    def attempt(self, attempt: Attempt, objection: str) -> None:
        """A candidate was tried; ``objection`` says why it will not do, "" if it may."""
        self._attempts.append((attempt, objection))

    def found(self, translation: Translation, question: str = "") -> None:
        """The code that is about to run, or about which the user is asked a question first."""
        self._found = time.monotonic() - self._started
        self._settle(asks=bool(question))
        self._code(translation, "found", self._effects(translation), question and "waiting for your answer")

    def shown(self, translation: Translation) -> None:
        """The code stays unrun, as the mode asks."""
        self._code(translation, "shown", "not run")

    def ran(
        self, translation: Translation, status: str, unsaved: dict[str, str], held: int = 0, trouble: str = ""
    ) -> None:
        """The code ran in the live namespace. ``unsaved``: what ``%undo`` could not put back, and why; ``held``: bytes
        that are kept for it; ``trouble``: what else went wrong."""
        notes = [self._effects(translation), "failed" if status != "ok" else ""]
        notes += [f"%undo will not bring back {name}: {reason}" for name, reason in unsaved.items()]
        notes += [f"{held >> 20} MB are kept for %undo"] if held >= MUCH else []
        notes += ["%undo takes it back"] if not unsaved and _changes(translation.best.rehearsal) else []
        self._code(translation, status, *notes, trouble)

    def failed(self, error: FamulusError, translation: Translation | None) -> None:
        """Nothing was run; the error itself is shown as errors are."""
        if translation is not None:
            self._code(translation, "refused", "not run")
            return
        self._settle()
        if self._others(None):
            self._panel.show(self._below(["nothing was run"], None), "nothing was run")

    def _effects(self, translation: Translation) -> str:
        best = translation.best
        said = provenance.effects(best.candidate.code, best.rehearsal, translation.names)
        return BETWEEN.join([*said, f"{self._found:.1f} s"])

    def _code(self, translation: Translation, status: str, *notes: str) -> None:
        self._settle()
        candidate = translation.best.candidate
        said = [SOURCES[candidate.source], *filter(None, (translation.doubt, *notes, translation.note))]
        markdown = f"{_fenced(candidate.code)}\n\n{self._below(said, candidate)}"
        plain = f"{candidate.code}\n# {BETWEEN.join(said)}"
        self._panel.show(markdown, plain, provenance.record(translation, status))

    def _soon(self, markdown: str, plain: str) -> None:
        """Shows a note when it is due, unless something newer comes first."""
        self._next = (markdown, plain)
        if not self._patience:
            self._reveal()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._patience, self._reveal)

    def _reveal(self) -> None:
        self._timer = None
        if self._next is not None:
            self._note.show(*self._next)
            self._next = None

    def _settle(self, asks: bool = False) -> None:
        """The note goes as soon as anything else is shown. Where a question follows, it stays as an empty output:
        questions have a channel of their own, and a clearing that comes late would take the box for the answer away."""
        self._next = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._note.shown and asks:
            self._note.show("", "")
        elif self._note.shown:
            self._publisher.clear_output(wait=True)
        self._note.shown = False

    def _below(self, notes: list[str], chosen: Candidate | None) -> str:
        """One line of notes. It opens to the attempts that were not chosen, as differences from the code that was."""
        others = self._others(chosen)
        if not others:
            return _caption(notes)
        notes = [*notes, f"{len(others)} other attempt{'s' if len(others) > 1 else ''}"]
        parts = []
        for candidate, why in others[:MOST_ATTEMPTS]:
            shown = _difference(candidate.code, chosen.code) if chosen is not None else ""
            parts.append(f"{_fenced(shown, 'diff') if shown else _fenced(candidate.code)}\n\n{_caption([why])}")
        return f"<details><summary>{_caption(notes)}</summary>\n\n" + "\n\n".join(parts) + "\n\n</details>"

    def _others(self, chosen: Candidate | None) -> list[tuple[Candidate, str]]:
        return [(one.candidate, why) for one, why in self._attempts if one.candidate is not chosen and why]


class _Output:
    """One output of the cell, shown with the first call, then updated in place."""

    def __init__(self, publisher: Any) -> None:
        self._publisher = publisher
        self._id = uuid4().hex
        self.shown = False

    def show(self, markdown: str, plain: str, record: dict[str, Any] | None = None) -> None:
        data: dict[str, Any] = {"text/markdown": markdown, "text/plain": _clean(plain)}
        metadata: dict[str, Any] = {}
        if record is not None:
            data[provenance.MIME] = record
            metadata = {"famulus": {"words": record["words"], "status": record["status"]}}
        self._publisher.publish(data, metadata, transient={"display_id": self._id}, update=self.shown)
        self.shown = True


def _changes(seen: Rehearsal | None) -> bool:
    """Whether there is anything in the namespace to take back, as far as is known."""
    return seen is None or bool(seen.bound or seen.rebound or seen.changed or seen.deleted)


def _difference(code: str, better: str) -> str:
    """What turns one into the other, "" if it would be nearly all lines."""
    before, after = code.splitlines(), better.splitlines()
    if difflib.SequenceMatcher(None, code, better).ratio() < ALIKE:
        return ""
    return "\n".join([*difflib.unified_diff(before, after, lineterm="", n=len(before))][3:])


def _caption(notes: list[str]) -> str:
    """Smaller than what it is about. Where style is taken out, it is still text."""
    return f'<small style="opacity:0.7">{_escaped(BETWEEN.join(notes))}</small>'


def _clean(text: str) -> str:
    """Without control characters and without marks that change the order of reading."""
    return CONTROL.sub("\ufffd", text)


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~$])", r"\\\1", html.escape(_clean(text).replace("\n", " "), quote=False))


def _fenced(code: str, language: str = "python") -> str:
    """Within an element, JupyterLab sets code less wide apart; nbconvert does not give it a font by itself."""
    code = _clean(code)
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f'<div style="font-family:monospace">\n\n{fence}{language}\n{code}\n{fence}\n\n</div>'
