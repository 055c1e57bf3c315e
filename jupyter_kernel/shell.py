"""The shell: for one cell it takes other code in place of what was typed, so that history, counts, tracebacks and
top-level await are IPython's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ipykernel.zmqshell import ZMQInteractiveShell

from famulus.engine.errors import FamulusError


class FamulusShell(ZMQInteractiveShell):
    """``In`` and tracebacks show the code that ran; the raw history keeps the words."""

    _translated: tuple[str, str | FamulusError] | None = None
    on_reset: Callable[[], None] | None = None
    """Called after ``%reset`` has emptied the namespace."""

    def reset(self, new_session: bool = True, aggressive: bool = False) -> None:
        """IPython's own reset; what is kept beside it for words cells goes too."""
        super().reset(new_session, aggressive)  # type: ignore[no-untyped-call]
        if self.on_reset is not None:
            self.on_reset()

    @contextmanager
    def in_place_of(self, raw: str, outcome: str | FamulusError) -> Iterator[None]:
        """While this holds, the cell ``raw`` runs as the code ``outcome``, or fails with that error unrun.

        IPython transforms a cell twice (to see whether it awaits, then to run it), so this is a span and not one
        call.
        """
        self._translated = (raw, outcome)
        try:
            yield
        finally:
            self._translated = None

    def transform_cell(self, raw_cell: str) -> str:
        """IPython's own source transformation, or what the cell was translated to."""
        if self._translated is None or self._translated[0] != raw_cell:
            return str(super().transform_cell(raw_cell))  # type: ignore[no-untyped-call]
        outcome = self._translated[1]
        if isinstance(outcome, FamulusError):
            raise outcome
        return str(super().transform_cell(outcome))  # type: ignore[no-untyped-call]
