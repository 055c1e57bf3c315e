"""Documents for tests, written with a mark where the cursor stands."""

from __future__ import annotations

from typing import Any

from famulus.lsp_server.completion.situation import Situation
from famulus.lsp_server.documents import Kind, Snapshot, Text
from famulus.lsp_server.syntax import parse

MARK = "‸"


def at(
    document: str, language: str = "python", *, uri: str = "", kind: Kind = "document", tree: bool = True, **fields: Any
) -> Situation:
    """The situation at the mark of ``document``."""
    offset = document.index(MARK)
    text = Text(document.replace(MARK, "", 1))
    snapshot = Snapshot(uri or f"file:///project/file.{language}", 1, language, text, None, kind)
    return Situation(snapshot, offset, parse(language, text) if tree else None, **fields)


def after(situation: Situation, edit: tuple[str, int, int]) -> str:
    """The document after ``edit``."""
    inserted, start, end = edit
    return situation.text[:start] + inserted + situation.text[end:]
