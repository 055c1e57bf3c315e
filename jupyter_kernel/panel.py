"""The one output of a words cell that changes while it works: what is being done, the code, what it did."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from famulus.engine.errors import FamulusError
from famulus.jupyter_kernel.rank import Attempt
from famulus.jupyter_kernel.translate import Translation

MIME = "application/vnd.famulus.cell+json"


class Panel:
    """Shown with the first call, then updated in place. ``publisher`` is IPython's display publisher."""

    def __init__(self, publisher: Any) -> None:
        self._publisher = publisher
        self._id = uuid4().hex
        self._shown = False
        self._started = time.monotonic()
        self._words = ""

    def begin(self, words: str) -> None:
        """The words were read."""
        self._words, self._started = words, time.monotonic()
        self.stage("reading")

    def stage(self, text: str) -> None:
        """What is being done now."""
        self._show(f"*Famulus: {text} …*", {})

    def attempt(self, attempt: Attempt, objection: str) -> None:
        """A candidate was tried."""

    def found(self, translation: Translation) -> None:
        """The code that is about to run."""
        self._show(_fenced(translation.best.candidate.code), self._record(translation, "found"))

    def ran(self, translation: Translation, status: str, unsaved: dict[str, str]) -> None:
        """The code ran in the live namespace."""
        self._show(_fenced(translation.best.candidate.code), self._record(translation, status))

    def failed(self, error: FamulusError, translation: Translation | None) -> None:
        """Nothing was run."""

    def _record(self, translation: Translation, status: str) -> dict[str, Any]:
        return {"words": translation.words, "code": translation.best.candidate.code, "status": status}

    def _show(self, text: str, record: dict[str, Any]) -> None:
        data = {"text/markdown": text, "text/plain": text, **({MIME: record} if record else {})}
        self._publisher.publish(data, {}, transient={"display_id": self._id}, update=self._shown)
        self._shown = True


def _fenced(code: str) -> str:
    fence = "```"
    while fence in code:
        fence += "`"
    return f"{fence}python\n{code}\n{fence}"
