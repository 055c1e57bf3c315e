"""What is to be tested: ``PATH``, ``PATH::NAME``, ``PATH::CLASS::METHOD``, ``PATH::CLASS.METHOD``, ``PATH:NAME`` or
``PATH:LINE``."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from famulus.lsp_server.execution.calls import SPECIAL
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
    if match is None and re.search(r"\.(pyi|ipynb)(:.*)?$", text.strip()):
        kind = "a stub, which holds no code" if ".pyi" in text else "a notebook"
        raise UnknownTarget(f"{text} is {kind}.", fix="Name the module that is imported.")
    if match is None:
        raise UnknownTarget(f"{text!r} names no Python file.", fix="Write PATH.py, PATH.py::NAME or PATH.py:LINE.")
    what = match["what"] or ""
    if what.isascii() and what.isdigit():
        return Target(match["path"], line=int(what))
    return Target(match["path"], name=what.replace("::", "."))


def chosen(target: Target, functions: Iterable[Function], lines: Collection[int] | None = None) -> list[Function]:
    """The functions of a file that the target means, in the order of the file; ``lines``: only those that touch them.

    Of a class or a file: what other code may call, so no private names. Raises :class:`UnknownTarget` where there
    is none."""
    if is_test(target.path):
        raise UnknownTarget(f"{target.path} holds tests itself.", fix="Name the code that they are for, or add --why.")
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
        raise UnknownTarget(f"{target} names no function or class.", fix=_instead(target, listed))
    return found


def _instead(target: Target, listed: Sequence[Function]) -> str:
    """What the user may have meant."""
    names = [function.name for function in listed if _open(function)]
    if not names:
        return "" if target.name or target.line else "There is no function in it that other code may call."
    known = dict.fromkeys([*names, *(name.partition(".")[0] for name in names)])
    near = difflib.get_close_matches(target.name, known, n=3, cutoff=0.5) if target.name else []
    near += [name for name in names if target.name and name.rpartition(".")[2] == target.name and name not in near]
    return f"Did you mean {' or '.join(near)}?" if near else f"It has {', '.join(names[:5])}."


_MADE = ("__init__", "__post_init__", "__new__")
_SPECIAL = frozenset((*SPECIAL, "__call__", "__exit__"))
_DECIDES = (ast.If, ast.IfExp, ast.Raise, ast.For, ast.While, ast.Try, ast.BinOp, ast.Compare, ast.Call, ast.BoolOp)


def _open(function: Function) -> bool:
    """Whether other code may call it by its name, or by an operator; constructors only if they do more than to keep
    what they are given."""
    *around, name = function.name.split(".")
    if any(part.startswith("_") for part in around) or any(_is_abstract(d) for d in function.node.decorator_list):
        return False
    if name in _MADE:
        return any(isinstance(node, _DECIDES) for part in function.node.body for node in ast.walk(part))
    return not name.startswith("_") or (function.owner is not None and name in _SPECIAL)


def _is_abstract(decorator: ast.expr) -> bool:
    """Whether a decorator says that there is nothing to be run."""
    return ast.unparse(decorator).rpartition(".")[2] in ("abstractmethod", "abstractproperty")
