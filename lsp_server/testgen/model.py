"""The model's part in the tests of one file: arguments that it proposes, names where the analysis has none, and what it
expects of calls.

All take little time, and no test depends on them: where the engine fails, all stays as it is and a note says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from famulus.engine.errors import FamulusError
from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import Function
from famulus.lsp_server.testgen import forecast, proposals, wording
from famulus.lsp_server.testgen.case import Aim, Example
from famulus.lsp_server.testgen.writing import Written

if TYPE_CHECKING:
    from famulus.engine.client import Client

T = TypeVar("T")

_PROPOSING = 0.5
"""Part of the time in which arguments are proposed,"""
_ONE = 6.0
"""and seconds of it for one function."""


class Model:
    """``seconds``: in which it is asked, in all; ``connect`` gives the engine, and may start it."""

    def __init__(self, seconds: float, connect: Callable[[], Client] | None = None) -> None:
        self._left, self._kept = seconds, (1 - _PROPOSING) * seconds
        self._connect = connect
        self._engine: Client | None = None
        self.notes: list[str] = []

    def limit(self, seconds: float) -> None:
        """Ask for no longer than ``seconds`` from now on."""
        self._left = min(self._left, seconds)

    def calls(self, function: Function) -> list[Call]:
        """Calls of a function that the model proposes."""
        seconds = min(_ONE, self._left - self._kept)
        if seconds <= 0:
            return []
        return self._asked(lambda engine, until: proposals.proposals(engine, function, seconds)) or []

    def named(self, aim: Aim, tests: Sequence[Written], taken: set[str]) -> list[Written]:
        """The tests of one function, in the model's words where it has some."""
        if all(test.telling for test in tests):
            return list(tests)
        asked = self._asked(lambda engine, until: wording.reworded(engine, aim, tests, taken, until))
        return asked or list(tests)

    def surprises(self, aim: Aim, examples: Sequence[Example]) -> list[str]:
        """Sentences about answers that the model does not expect."""
        return self._asked(lambda engine, until: forecast.surprises(engine, aim, examples, until)) or []

    def _asked(self, ask: Callable[[Client, float], T]) -> T | None:
        """What the engine answers until the time that is given; None after it failed once, or the time is over."""
        if self.notes or self._left <= 0:
            return None
        started = time.monotonic()
        try:
            if self._engine is None:
                from famulus.engine.client import connect

                self._engine = (self._connect or connect)()
            return ask(self._engine, started + self._left)
        except FamulusError as error:
            self.notes.append(f"The model was not asked for words: {error.message}")
            return None
        finally:
            self._left -= time.monotonic() - started
