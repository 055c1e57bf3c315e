"""What the next instruction may go on from: followed from cell to cell, also over those of Python."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from famulus.jupyter_kernel import changed, follow
from famulus.jupyter_kernel.candidate import Candidate
from famulus.jupyter_kernel.follow import Previous
from famulus.jupyter_kernel.look import look
from famulus.jupyter_kernel.schema import Schema, Variable


@dataclass
class Before:
    """``now``: what there is to go on from after the first ``read`` cells."""

    now: Previous = field(default_factory=Previous)
    read: int = 0

    def after(self, cells: Sequence[str], values: Mapping[int, object], said: Mapping[int, str]) -> Previous:
        """What there is to go on from after ``cells``, by number; ``values`` are those that they showed, ``said`` the
        whole instructions of those in words."""
        for number in range(self.read + 1, len(cells)):
            code = cells[number]
            bound = _bound_last(code)
            value = _seen(values[number]) if number in values and not bound else None
            self.now = follow.after(self.now, said.get(number, ""), code, value, bound)
        self.read = max(self.read, len(cells) - 1)
        return self.now

    def take_back(self, previous: Previous) -> None:
        """The last cell was undone: there is to go on from what there was before."""
        self.now = previous


def whole(words: str, schema: Schema, previous: Previous, best: Candidate) -> str:
    """What words came to as one instruction, also where they were replayed."""
    if best.meant or best.source != "recording" or not previous.words or not follow.follows(words, schema):
        return best.meant or words
    return follow.lasting(changed.merged(words, schema, previous.words) or words, words)


def _seen(value: object) -> Variable | None:
    found = look({"result": value}, frozenset())
    return found.variables[0] if found.variables else None


def _bound_last(code: str) -> str:
    """The name that the last statement of a cell binds or loads data into, "" if there is none."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    last = body[-1] if body else None
    if isinstance(last, ast.Expr) and isinstance(last.value, ast.Name):
        return last.value.id
    target = last.targets[-1] if isinstance(last, ast.Assign) else None
    return target.id if isinstance(target, ast.Name) else ""
