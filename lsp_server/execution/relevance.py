"""Which answers of two versions may be compared: those that somebody may rely on, and that are about the change."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from famulus.lsp_server.execution.functions import raises
from famulus.lsp_server.execution.nodes import nodes

if TYPE_CHECKING:
    from famulus.lsp_server.execution.calls import Call
    from famulus.lsp_server.execution.functions import Function
    from famulus.lsp_server.execution.outcome import Outcome
    from famulus.lsp_server.execution.search import Subject


class Reliable:
    """Answers of the old version that count. ``source``: its text of a path, None if there is no such file."""

    def __init__(self, source: Callable[[str], str | None]) -> None:
        self._source = source
        self._lines: dict[str, frozenset[int]] = {}

    def __call__(self, subject: Subject, call: Call, outcome: Outcome) -> bool:
        """Whether the answer of the old version is one that somebody may rely on."""
        if outcome.kind == "value":
            return True
        if outcome.kind != "raised" or outcome.exception in ("RecursionError", "MemoryError"):
            return False
        if call.source in ("recorded", "test", "doctest") or set(outcome.kinds) & raises(subject.old):
            return True
        return outcome.at is not None and outcome.at[1] in self._raising(outcome.at[0])

    def _raising(self, path: str) -> frozenset[int]:
        """Lines of the old version's file that stand in a ``raise`` or ``assert``."""
        if path not in self._lines:
            try:
                tree = ast.parse(self._source(path) or "")
            except (SyntaxError, ValueError, RecursionError):
                tree = ast.Module([], [])
            found = [node for node in nodes(tree) if isinstance(node, ast.Raise | ast.Assert)]
            lines = {n for node in found for n in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
            self._lines[path] = frozenset(lines)
        return self._lines[path]


def reshaped(old: Function, new: Function) -> bool:
    """Whether calls that fit the one may not fit the other."""
    was, now = ([(p.name, p.kind, p.required) for p in side.parameters] for side in (old, new))
    return was != now


def another_matter(subject: Subject, call: Call, new: Outcome) -> bool:
    """Whether the difference is another matter: the new version refuses arguments of a type that nobody said it takes,
    or the call no longer fits its parameters, which is told of the callers."""
    if (
        reshaped(subject.old, subject.new) and new.exception == "TypeError" and not new.answer.get("at")
    ):  # raised by the call itself
        return True
    if subject.within is not None and subject.within.reshaped and new.exception == "TypeError":
        return f"{subject.within.name.rpartition('.')[2]}() " in new.message  # a call on the way no longer fits
    return call.source == "guess" and call.doubt > 0 and new.exception in ("TypeError", "AttributeError")
