"""Shows the tests of a file as an edit, which is applied when the user says yes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.uris import from_fs_path

from famulus.engine.errors import InvalidRequest
from famulus.lsp_server.commands.apply import APPLY, DISCARD
from famulus.lsp_server.documents import Document
from famulus.lsp_server.review.change import decoded
from famulus.lsp_server.session import Session
from famulus.lsp_server.testgen.doors.edits import asks, digest, workspace_edit

TITLE = "Famulus: tests"


class Offering:
    """What is offered in one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def offer(self, root: Path, made: Mapping[str, Any]) -> bool:
        """Show the tests of one file, apply them if the user says yes, and say whether.

        Raises :class:`InvalidRequest`."""
        capabilities, server = self._session.server.client_capabilities, self._session.server
        note = summary(made)
        uri, document = self._test_file(root, made)
        asking = self._session.options.proposals or asks(capabilities)
        edit = workspace_edit(capabilities, uri, document, made, note, asking=asking)
        if not asking:
            question = f"{made['path']}: {note}\n\n{_new_text(made)}"
            answer = await server.window_show_message_request_async(
                types.ShowMessageRequestParams(
                    types.MessageType.Info,
                    question,
                    [types.MessageActionItem(APPLY), types.MessageActionItem(DISCARD)],
                )
            )
            if answer is None or answer.title != APPLY:
                return False
            _, document = self._test_file(root, made)
            edit = workspace_edit(capabilities, uri, document, made, note, asking=asking)
        result = await server.workspace_apply_edit_async(types.ApplyWorkspaceEditParams(edit, f"{TITLE}: {note}"))
        if not result.applied and result.failure_reason:
            self.say(f"The editor did not apply it: {result.failure_reason}")
        return result.applied

    def _test_file(self, root: Path, made: Mapping[str, Any]) -> tuple[str, Document | None]:
        """Where the tests come, and what stands there: as it is open, else on disk; None for a new file."""
        file = root / str(made["path"])
        for document in self._session.documents:
            if document.file is not None and os.path.realpath(document.file) == os.path.realpath(file):
                return document.uri, document
        for folder in self._session.roots:
            real = Path(os.path.realpath(folder))
            if file.is_relative_to(real):  # the name by which the client knows it
                file = folder / file.relative_to(real)
                break
        uri = from_fs_path(str(file)) or file.as_uri()
        text = _on_disk(file)
        if text is None:
            return uri, None
        return uri, Document(uri, text, None, None, self._session.mirror.position_codec)

    def say(self, sentence: str) -> None:
        """A message for the user."""
        self._session.server.window_show_message(types.ShowMessageParams(types.MessageType.Info, sentence))

    def saved(self, document: Document | None) -> Path:
        """The file of a document, if the code that is run is what the user sees. Raises :class:`InvalidRequest`."""
        if document is None or document.file is None:
            raise InvalidRequest("The document is not open, or is no file.", fix="Open it first.")
        on_disk = _on_disk(document.file)
        if on_disk is None or digest(document.text.value) != digest(on_disk):
            raise InvalidRequest(f"{document.file.name} is not as it is on disk.", fix="Save it first.")
        return document.file


def summary(made: Mapping[str, Any]) -> str:
    """The numbers of one file in a sentence."""
    if made.get("note"):
        return str(made["note"])
    number = len(made["tests"])
    mutants = sum(one["mutants"] for one in made["functions"])
    before = sum(one["killed_before"] or 0 for one in made["functions"])
    after = sum(one["killed"] for one in made["functions"])
    score = f", mutation score {100 * before // mutants}\u00a0% → {100 * after // mutants}\u00a0%" if mutants else ""
    return f"{number} test{'' if number == 1 else 's'}, run {made['runs']} times{score}"


def _new_text(made: Mapping[str, Any]) -> str:
    return "".join(str(part["text"]) for part in made["insertions"]) or str(made["text"])


def _on_disk(file: Path) -> str | None:
    try:
        return decoded(file.read_bytes())
    except OSError:
        return None
