"""How much the tests of a function notice, above it, as far as it was found out for another reason."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsprotocol import types

from famulus.lsp_server.documents import HUGE, Document
from famulus.lsp_server.execution.functions import Function, functions
from famulus.lsp_server.review.kept import Kept, digest_of, python_mark
from famulus.lsp_server.session import Session


@dataclass(frozen=True)
class Score:
    """``shape``: digest of the code for which it holds."""

    shape: str
    killed: int
    mutants: int


class Scores:
    """Mutation scores that were measured, in this session or before; none is ever measured for a lens."""

    def __init__(self, session: Session, command: str) -> None:
        self._session, self._command = session, command
        self._known: dict[str, dict[str, Score]] = {}
        self._kept = Kept(f"scores-{python_mark()}", dict[str, Score])

    def keep(self, root: Path, made: Mapping[str, Any], shapes: Mapping[str, str], *, applied: bool) -> None:
        """Remember what was measured for a file of tests. ``shapes``: of the functions that were tested, by name;
        ``applied``: whether the new tests are in place."""
        for one in made["functions"]:
            killed = one["killed"] if applied else one["killed_before"]
            if not one["mutants"] or killed is None or one["name"] not in shapes:
                continue
            place = os.path.realpath(root / str(one["path"]))
            score = Score(_digest(shapes[one["name"]]), int(killed), int(one["mutants"]))
            self._of_file(place)[str(one["name"])] = score
            self._kept.put(_digest(place), self._known[place])
        self._kept.sweep()
        self._refresh()

    async def lenses(self, uri: str) -> list[types.CodeLens]:
        """Lenses above the functions that are as they were when they were tested."""
        document = self._session.document(uri)
        known = self._of(document) if document is not None else {}
        if document is None or not known:
            return []
        value = document.text.value
        found = await asyncio.to_thread(lambda: functions(value))
        scored = [(function, known[name]) for name, function in found.items() if name in known]
        return [
            self._lens(document, function, score)
            for function, score in scored
            if _digest(function.shape) == score.shape
        ]

    def _of(self, document: Document) -> Mapping[str, Score]:
        wanted = self._session.settings.for_document(document.snapshot()).testgen.lens
        if not wanted or document.file is None or len(document.text) > HUGE:
            return {}
        return self._of_file(os.path.realpath(document.file))

    def _of_file(self, place: str) -> dict[str, Score]:
        """What is known of the functions of a file."""
        if place not in self._known:
            self._known[place] = self._kept.get(_digest(place)) or {}
        return self._known[place]

    def _lens(self, document: Document, function: Function, score: Score) -> types.CodeLens:
        offset = document.text.offset(function.lines.start - 1, 0)
        share = 100 * score.killed // score.mutants
        title = f"Famulus: tests notice {score.killed} of {score.mutants} mutants ({share} %)"
        command = types.Command(title, self._command, arguments=[document.uri, function.name])
        return types.CodeLens(document.range_of(offset, offset), command=command)

    def _refresh(self) -> None:
        """Have the client ask again."""
        workspace = self._session.server.client_capabilities.workspace
        able = workspace.code_lens if workspace is not None else None
        if able is not None and able.refresh_support:
            self._session.spawn(self._session.server.workspace_code_lens_refresh_async(None))


def _digest(text: str) -> str:
    return digest_of(text.encode())
