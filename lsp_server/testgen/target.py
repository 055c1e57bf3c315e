"""What is to be tested: ``PATH``, ``PATH::NAME``, ``PATH::CLASS::METHOD``, ``PATH::CLASS.METHOD``, ``PATH:NAME`` or
``PATH:LINE``."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from famulus.lsp_server.execution.functions import Function
from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.testgen.errors import UnknownTarget

_FORM = re.compile(r"(?P<path>.+?\.py)(?:::?(?P<what>.+))?$", re.DOTALL)


@dataclass(frozen=True)
class Target:
    """A file and what of it; ``name`` empty and ``line`` 0 for all of it."""

    path: str
    name: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path}::{self.name}" if self.name else f"{self.path}:{self.line}" if self.line else self.path


def parse(text: str) -> Target:
    """The target that a user wrote. Raises :class:`UnknownTarget` for what has no such form."""
    match = _FORM.match(text.strip())
    if match is None:
        raise UnknownTarget(f"{text!r} is no target.", fix="Write PATH.py, PATH.py::NAME or PATH.py:LINE.")
    what = match["what"] or ""
    if what.isascii() and what.isdigit():
        return Target(match["path"], line=int(what))
    return Target(match["path"], name=what.replace("::", "."))


def chosen(target: Target, functions: Iterable[Function], lines: Collection[int] | None = None) -> list[Function]:
    """The functions of a file that the target means, in the order of the file; ``lines``: only those that touch them.

    Of a class or a file: what other code may call, so neither private names nor special methods but ``__init__``'s
    class. Raises :class:`UnknownTarget` where there is none."""
    if is_test(target.path):
        raise UnknownTarget(f"{target.path} holds tests itself.", fix="Name the code that they are for.")
    listed = sorted(functions, key=lambda function: function.lines.start)
    if target.line:
        around = [f for f in listed if target.line in f.lines]
        owners = [f for f in listed if f.owner and f.owner.lineno <= target.line <= (f.owner.end_lineno or 0)]
        found = around[-1:] or [f for f in owners if _open(f)]
    elif target.name:
        found = [f for f in listed if f.name == target.name]
        found = found or [f for f in listed if f.name.startswith(target.name + ".") and _open(f)]
    else:
        found = [f for f in listed if _open(f)]
    if lines is not None:
        found = [f for f in found if set(lines) & set(f.lines)]
    if not found and lines is None:
        named = ", ".join(f.name for f in listed[:5])
        raise UnknownTarget(f"{target} names no function or class.", fix=f"It has {named}." if named else "")
    return found


def _open(function: Function) -> bool:
    """Whether other code may call it by its name."""
    return not any(part.startswith("_") for part in function.name.split("."))
