"""The shell: for one cell it takes other code in place of what was typed, so that history, counts, tracebacks and
top-level await are IPython's own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from ipykernel.zmqshell import ZMQInteractiveShell

from famulus.engine.errors import FamulusError


class FamulusShell(ZMQInteractiveShell):
    """``In`` and tracebacks show the code that ran; the raw history keeps the words."""

    _translated: tuple[str, str | FamulusError] | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._figures: Mapping[int, object] = {}
        self._short: list[Any] = []
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]

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
        words = raw != outcome
        if words:
            from famulus.jupyter_kernel import undo_surroundings

            self._figures = undo_surroundings.figures()
            # Only now: a traceback of IPython's own may show its frames.
            self.showtraceback = self._show_in_words  # type: ignore[method-assign]
        try:
            yield
        finally:
            self._translated, self._figures = None, {}
            if words:
                del self.showtraceback
            while self._short:
                vars(self._short.pop()).pop("_render_traceback_", None)

    def transform_cell(self, raw_cell: str) -> str:
        """IPython's own source transformation, or what the cell was translated to."""
        if self._translated is None or self._translated[0] != raw_cell:
            return str(super().transform_cell(raw_cell))  # type: ignore[no-untyped-call]
        outcome = self._translated[1]
        if isinstance(outcome, FamulusError):
            raise outcome
        return str(super().transform_cell(outcome))  # type: ignore[no-untyped-call]

    def _show_in_words(self, *arguments: Any, **options: Any) -> None:
        """IPython's own; but where words were interrupted it shows the lines of cells alone, and a picture that is half
        drawn goes. The source of libraries and the picture take seconds, and the stop button was pressed."""
        error: Any = sys.exc_info()[1]
        if _is_interrupt(error):
            from famulus.jupyter_kernel import undo_surroundings

            undo_surroundings.close_new(self._figures)
            # IPython formats the error twice: to show it and, at the end of the cell, for its history.
            error._render_traceback_ = lambda: self._in_cells(error)
            self._short.append(error)
        super().showtraceback(*arguments, **options)

    def _in_cells(self, error: BaseException) -> list[str]:
        """The traceback as IPython formats it, without the frames outside cells and without what was being handled."""
        kept, left_out = None, 0
        for trace in reversed(list(_traces(error.__traceback__))):
            if self.compile.format_code_name(trace.tb_frame.f_code.co_filename) is None:
                left_out += 1
            else:
                kept = TracebackType(kept, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
        kind, cause, suppressed = type(error), error.__cause__, error.__suppress_context__
        error.__cause__ = None
        error.__suppress_context__ = True
        try:
            if kept is None:
                return list(self.InteractiveTB.get_exception_only(kind, error))  # type: ignore[no-untyped-call]
            lines = list(self.InteractiveTB.structured_traceback(kind, error, kept, tb_offset=0))
        finally:
            error.__cause__, error.__suppress_context__ = cause, suppressed
        return [*lines[:-1], f"({left_out} frames outside cells are left out; %tb shows them)\n", *lines[-1:]]


def _is_interrupt(error: BaseException | None) -> bool:
    """Is it one, or what a library made of one?"""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):  # the latter in a cell that awaits
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _traces(first: TracebackType | None) -> Iterator[TracebackType]:
    while first is not None:
        yield first
        first = first.tb_next
