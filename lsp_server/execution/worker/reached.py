"""Which lines of a module a call runs."""

from __future__ import annotations

import dis
from collections.abc import Callable
from typing import Any


class Reached:
    """What the calls of one process reach, for ``sys.settrace``."""

    def __init__(self) -> None:
        self.lines: set[int] = set()
        self.arcs: set[tuple[int, int]] = set()
        """Pairs of lines that were run one after the other in one frame; 0 is its end."""
        self._missing: dict[int, Any] = {}
        """For each code that was run, by its address: itself and its lines that were not reached yet."""

    def begin(self) -> None:
        """Another call."""
        self.lines, self.arcs = set(), set()

    def new_lines(self, module: Any) -> Callable[..., Any]:
        """Tells each line once: what was run before costs no more than it does untraced."""
        file, lines, missing = getattr(module, "__file__", None), self.lines, self._missing

        def entered(frame: Any, event: str, argument: Any) -> Any:
            code = frame.f_code
            if code.co_filename != file:
                return None
            if id(code) not in missing:
                missing[id(code)] = code, {line for _, line in dis.findlinestarts(code)}
            left = missing[id(code)][1]
            if not left:
                return None

            def line(frame: Any, event: str, argument: Any) -> Any:
                if frame.f_lineno in left:
                    left.discard(frame.f_lineno)
                    lines.add(frame.f_lineno)
                if not left:
                    frame.f_trace_lines = False
                return line

            return line

        return entered

    def tracer(self, module: Any) -> Callable[..., Any]:
        """Tells all lines, and which follow each other."""
        file, lines, arcs = getattr(module, "__file__", None), self.lines, self.arcs

        def entered(frame: Any, event: str, argument: Any) -> Any:
            if frame.f_code.co_filename != file:
                return None
            last = 0

            def line(frame: Any, event: str, argument: Any) -> Any:
                nonlocal last
                lines.add(frame.f_lineno)
                now = frame.f_lineno if event == "line" else 0 if event == "return" else last
                if last and now != last:
                    arcs.add((last, now))
                last = now
                return line

            return line

        return entered
