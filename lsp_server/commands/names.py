"""Mending a name that is not defined, from what is: the names in scope, and the standard library's modules."""

from __future__ import annotations

import builtins
import difflib
import keyword
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from famulus.lsp_server.documents import Change, Text

CLOSE = 0.75
"""Similarity of two names (0 to 1) from which one may be a misspelling of the other."""
MOST = 3


@dataclass(frozen=True)
class Candidate:
    """One way to mend something: its title for people, and the change."""

    title: str
    change: Change


def misspelt(text: Text, start: int, end: int, scope: Sequence[str]) -> list[Candidate]:
    """Names in scope that look like ``text[start:end]``, the most alike first."""
    wrong = text.value[start:end]
    known = [name for name in dict.fromkeys([*scope, *_BUILTINS]) if name != wrong]
    close = difflib.get_close_matches(wrong, known, n=MOST, cutoff=CLOSE)
    return [Candidate(f"Change {wrong} to {name}", Change(start, end, name)) for name in close]


def missing_import(text: Text, name: str) -> Candidate | None:
    """The import of a module of the standard library that is used without one."""
    if name not in sys.stdlib_module_names or name.startswith("_"):
        return None
    at = _import_offset(text)
    end = "\r\n" if "\r\n" in text.value else "\n"
    return Candidate(f"Import {name}", Change(at, at, f"import {name}{end}"))


def _import_offset(text: Text) -> int:
    """Before the first import that is no ``__future__``; else below the docstring and the comments on top."""
    quote, line = "", 0
    for line in range(text.lines):
        content = text.line(line)
        stripped = content.strip()
        if quote:
            quote = "" if quote in stripped else quote
            continue
        opening = next((q for q in ('"""', "'''") if stripped.startswith((q, "r" + q))), "")
        if opening:
            quote = opening if stripped.count(opening) == 1 else ""
        elif stripped and not stripped.startswith("#") and not content.startswith("from __future__"):
            return text.starts[line]
    return text.starts[line]


_BUILTINS = tuple(name for name in dir(builtins) if not name.startswith("_") and not keyword.iskeyword(name))
