"""Where the code of a words cell came from: one plain record, kept in the notebook and in the recordings."""

from __future__ import annotations

import ast
from typing import Any

from famulus.jupyter_kernel import rank
from famulus.jupyter_kernel.candidate import Rehearsal
from famulus.jupyter_kernel.translate import Translation

MIME = "application/vnd.famulus.cell+json"
VERSION = 1


def record(translation: Translation, status: str) -> dict[str, Any]:
    """JSON: the words, the code, what proposed it, the digest of the namespace it was made for, and all attempts.

    ``status``: found, ok, error, refused, shown.
    """
    best = translation.best.candidate
    return {
        "version": VERSION,
        "status": status,
        "words": translation.words,
        "code": best.code,
        "source": best.source,
        "recipe": best.recipe,
        "model": translation.model,
        "seed": translation.seed,
        "schema": translation.schema,
        "attempts": [
            {
                "code": attempt.candidate.code,
                "source": attempt.candidate.source,
                "status": attempt.rehearsal.status if attempt.rehearsal else "not rehearsed",
                "objection": rank.objection(attempt, translation.want),
            }
            for attempt in translation.attempts
        ],
    }


def effects(code: str, seen: Rehearsal | None, names: tuple[str, ...]) -> list[str]:
    """What the code does, in a few words each: ``new: means``, ``sales unchanged``."""
    if seen is None:
        return ["not tried on a copy"]
    touched = {*seen.bound, *seen.rebound, *seen.changed, *seen.deleted, *seen.unchecked}
    used = [name for name in names if name in loaded(code) and name not in touched]
    # Helpers of a recipe and modules are of no interest to anybody.
    new = tuple(name for name in seen.bound if not name.startswith("_") and name not in imported(code))
    said = [
        ("new", new),
        ("replaced", seen.rebound),
        ("changed", tuple(name for name in seen.changed if name not in seen.rebound)),
        ("deleted", seen.deleted),
    ]
    lines = [f"{what}: {', '.join(who)}" for what, who in said if who]
    if used:
        lines.append(f"{', '.join(used)} unchanged")
    if seen.figures:
        lines.append("drew a figure" if seen.figures == 1 else f"drew {seen.figures} figures")
    return lines


def loaded(code: str) -> set[str]:
    """The names that the code reads."""
    return {node.id for node in _names(code) if isinstance(node.ctx, ast.Load)}


def bound(code: str) -> set[str]:
    """The names that the code binds by assignment, loop or ``with``; not those of functions and imports."""
    return {node.id for node in _names(code) if isinstance(node.ctx, ast.Store)}


def imported(code: str) -> set[str]:
    """The names that the code binds by importing."""
    return {
        alias.asname or alias.name.partition(".")[0]
        for node in _nodes(code)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }


def _names(code: str) -> list[ast.Name]:
    return [node for node in _nodes(code) if isinstance(node, ast.Name)]


def _nodes(code: str) -> list[ast.AST]:
    try:
        return list(ast.walk(ast.parse(code)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
