"""How likely each part of a change is to be why a test fails, from what the failing test ran."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from famulus.lsp_server.execution.testserver import TestResult, TestRun
from famulus.lsp_server.review.narrowing import Suspect
from famulus.lsp_server.review.pieces import Piece

_IN_TRACEBACK, _RUN, _NEAR, _IMPORTED, _NOT_RUN = 24.0, 8.0, 2.0, 2.0, 0.1
_DATA, _PROSE = 1.0, 0.02
_NEAR_LINES = 4
_PROSES = (".md", ".rst", ".adoc", ".markdown", ".png", ".svg", ".jpg", ".gif", ".ipynb")


def suspects(pieces: Sequence[Piece], run: TestRun, result: TestResult | None) -> list[Suspect[int]]:
    """The parts by their numbers, the most likely first. ``run`` traced the changed files; ``result``: the failure."""
    weights = {piece.number: weight(piece, run, result) for piece in pieces}
    order = sorted(pieces, key=lambda piece: (-weights[piece.number], piece.path, piece.number))
    return [Suspect(piece.number, weights[piece.number], piece.path) for piece in order]


def weight(piece: Piece, run: TestRun, result: TestResult | None) -> float:
    """How likely it is: in the traceback, run by the test, beside what it ran, run at import, not run, only prose."""
    if not piece.path.endswith(".py"):
        return _PROSE if PurePosixPath(piece.path).suffix.lower() in _PROSES else _DATA
    if piece.kind in ("deleted", "renamed"):
        return _DATA
    lines = set(piece.lines)
    ran = result.lines.get(piece.path, frozenset()) if result is not None else frozenset()
    imported = run.imported.get(piece.path, frozenset())
    if result is not None and any(path == piece.path and line in lines for path, line in result.at):
        return _IN_TRACEBACK
    if lines & ran:
        return _RUN
    if lines & imported:
        return _IMPORTED
    near = range(piece.lines.start - _NEAR_LINES, piece.lines.stop + _NEAR_LINES)
    return _NEAR if ran.intersection(near) else _NOT_RUN
