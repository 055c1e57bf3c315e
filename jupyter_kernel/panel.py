"""The one output of a words cell that changes while it works: what is being done, the code, what it did.

Markdown for notebooks, plain text for consoles, and the record of :mod:`famulus.jupyter_kernel.provenance` for programs.
Nothing that comes from data or from a model is read as markup.
"""

from __future__ import annotations

import difflib
import html
import re
import time
from typing import Any
from uuid import uuid4

from famulus.engine.errors import FamulusError
from famulus.jupyter_kernel import provenance
from famulus.jupyter_kernel.candidate import Candidate
from famulus.jupyter_kernel.rank import Attempt
from famulus.jupyter_kernel.translate import Translation

MOST_ATTEMPTS = 6
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
SOURCES = {
    "recipe": "from a recipe",
    "model": "a guess of the model",
    "mutation": "a variation",
    "repair": "repaired",
    "recording": "recorded earlier",
}


class Panel:
    """Shown with the first call, then updated in place. ``publisher`` is IPython's display publisher."""

    def __init__(self, publisher: Any) -> None:
        self._publisher = publisher
        self._id = uuid4().hex
        self._shown = False
        self._started = time.monotonic()
        self._attempts: list[tuple[Attempt, str]] = []

    def begin(self, words: str) -> None:
        """The words were read; the clock starts."""
        self._started = time.monotonic()
        self.stage("reading the words")

    def stage(self, text: str) -> None:
        """What is being done now."""
        self._show(f"*{_escaped(text)} …*", f"{text} ...", {})

    def writing(self, code: str) -> None:
        """A model writes: its code so far."""
        self._show(f"{_fenced(code)}\n*writing …*", f"{code}\n# writing ...", {})

    def attempt(self, attempt: Attempt, objection: str) -> None:
        """A candidate was tried; ``objection`` says why it will not do, "" if it may."""
        self._attempts.append((attempt, objection))

    def found(self, translation: Translation) -> None:
        """The code that is about to run, or that is shown and not run."""
        self._code(translation, "found", ["running …"])

    def shown(self, translation: Translation) -> None:
        """The code stays unrun, as the mode asks."""
        self._code(translation, "shown", ["not run"])

    def ran(self, translation: Translation, status: str, unsaved: dict[str, str]) -> None:
        """The code ran in the live namespace. ``unsaved``: what ``%undo`` could not put back, and why."""
        best = translation.best
        notes = [*provenance.effects(best.candidate.code, best.rehearsal, translation.names), self._time()]
        notes += [f"%undo will not bring back {name}: {reason}" for name, reason in unsaved.items()]
        if not unsaved and status == "ok":
            notes.append("%undo takes it back")
        self._code(translation, status, notes)

    def failed(self, error: FamulusError, translation: Translation | None) -> None:
        """Nothing was run; the error itself is shown as errors are."""
        if translation is not None:
            self._code(translation, "refused", ["not run"])
        elif self._shown:
            self._show(f"*nothing was run*{self._tried(None)}", "nothing was run", {})

    def _code(self, translation: Translation, status: str, notes: list[str]) -> None:
        candidate = translation.best.candidate
        notes = [_origin(candidate), *notes]
        markdown = f"{_fenced(candidate.code)}\n*{_escaped(' · '.join(notes))}*{self._tried(candidate)}"
        plain = f"{candidate.code}\n# {' · '.join(notes)}"
        self._show(markdown, plain, provenance.record(translation, status))

    def _tried(self, chosen: Candidate | None) -> str:
        """The attempts that were not chosen, as differences from the code that was."""
        others = [(one.candidate, why) for one, why in self._attempts if one.candidate is not chosen and why]
        if not others:
            return ""
        parts = []
        for candidate, why in others[:MOST_ATTEMPTS]:
            lines = candidate.code.splitlines()
            if chosen is not None:
                lines = list(difflib.unified_diff(lines, chosen.code.splitlines(), lineterm="", n=9))[2:]
            parts.append(f"{_escaped(why)}\n\n{_fenced(chr(10).join(lines), 'diff' if chosen else 'python')}")
        count = f"{len(others)} other attempt{'s' if len(others) > 1 else ''}"
        return f"\n\n<details><summary>{count}</summary>\n\n" + "\n\n".join(parts) + "\n\n</details>"

    def _time(self) -> str:
        return f"{time.monotonic() - self._started:.1f} s"

    def _show(self, markdown: str, plain: str, record: dict[str, Any]) -> None:
        data = {"text/markdown": markdown, "text/plain": _clean(plain), **({provenance.MIME: record} if record else {})}
        metadata = {"famulus": {"words": record["words"], "status": record["status"]}} if record else {}
        self._publisher.publish(data, metadata, transient={"display_id": self._id}, update=self._shown)
        self._shown = True


def _origin(candidate: Candidate) -> str:
    return SOURCES[candidate.source]


def _clean(text: str) -> str:
    """Without control characters and without marks that change the order of reading."""
    return CONTROL.sub("\ufffd", text)


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~$])", r"\\\1", html.escape(_clean(text).replace("\n", " "), quote=False))


def _fenced(code: str, language: str = "python") -> str:
    code = _clean(code)
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code}\n{fence}"
