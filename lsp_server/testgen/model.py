"""The model's part in the tests of one file: names where the analysis has none, and what it expects of calls.

Both take little time, and no test depends on them: where the engine fails, all stays as it is and a note says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from famulus.engine.errors import FamulusError
from famulus.lsp_server.testgen import forecast, wording
from famulus.lsp_server.testgen.case import Aim, Example
from famulus.lsp_server.testgen.writing import Written

if TYPE_CHECKING:
    from famulus.engine.client import Client

T = TypeVar("T")


class Model:
    """``seconds``: in which it is asked; ``connect`` gives the engine, and may start it."""

    def __init__(self, seconds: float, connect: Callable[[], Client] | None = None) -> None:
        self._until = time.monotonic() + seconds
        self._connect = connect
        self._engine: Client | None = None
        self.notes: list[str] = []

    def named(self, aim: Aim, tests: Sequence[Written], taken: set[str]) -> list[Written]:
        """The tests of one function, in the model's words where it has some."""
        if all(test.telling for test in tests):
            return list(tests)
        return self._asked(lambda engine: wording.reworded(engine, aim, tests, taken, self._until)) or list(tests)

    def surprises(self, aim: Aim, examples: Sequence[Example]) -> list[str]:
        """Sentences about answers that the model does not expect."""
        return self._asked(lambda engine: forecast.surprises(engine, aim, examples, self._until)) or []

    def _asked(self, ask: Callable[[Client], T]) -> T | None:
        """What the engine answers; None after it failed once, or the time is over."""
        if self.notes or time.monotonic() >= self._until:
            return None
        try:
            if self._engine is None:
                from famulus.engine.client import connect

                self._engine = (self._connect or connect)()
            return ask(self._engine)
        except FamulusError as error:
            self.notes.append(f"The model was not asked for words: {error.message}")
            return None
