"""Makes tests for what the user points at, and offers them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.uris import from_fs_path

from famulus.engine.errors import InvalidRequest
from famulus.lsp_server.actions import wanted
from famulus.lsp_server.commands.apply import APPLY, DISCARD
from famulus.lsp_server.commands.progress import Report, shown
from famulus.lsp_server.documents import HUGE, Document
from famulus.lsp_server.execution.functions import Function, functions
from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.review.change import decoded
from famulus.lsp_server.review.doors.process import Processes
from famulus.lsp_server.session import Session
from famulus.lsp_server.testgen.doors.edits import asks, digest, workspace_edit

GENERATE = "famulus.testgen"
BUDGET = "30s"
TITLE = "Famulus: tests"


class TestMaker:
    """Code actions and the command behind them, for one session."""

    __test__ = False

    def __init__(self, session: Session) -> None:
        self._session = session
        self._processes = Processes(("testgen", "--format", "stream"))

    async def actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        """Tests for the function or class at the cursor, or for the file; none where code must not be run."""
        document = self._session.document(params.text_document.uri)
        only = params.context.only
        kinds = (types.CodeActionKind.RefactorRewrite, types.CodeActionKind.Source)
        if document is None or not self._possible(document) or not any(wanted(kind.value, only) for kind in kinds):
            return []
        value = document.text.value
        found = await asyncio.to_thread(lambda: list(functions(value).values()))
        at = _around(found, params.range.start.line + 1)
        offered = []
        if at:
            arguments = [document.uri, at]
            offered.append(_action(f"Famulus: write tests for {at}", types.CodeActionKind.RefactorRewrite, arguments))
        if found and (not at or only is not None):
            offered.append(_action("Famulus: write tests for this file", types.CodeActionKind.Source, [document.uri]))
        return offered

    async def generate(self, uri: str, name: str = "") -> None:
        """Make tests for ``name`` (all of the file) and apply them after a yes. Raises :class:`FamulusError`."""
        document = self._session.document(uri)
        if document is None or document.file is None:
            raise InvalidRequest("The document is not open, or is no file.", fix="Open it first.")
        if not self._session.options.trusted:
            raise InvalidRequest("To make tests the code has to be run.", fix="Trust the workspace.")
        if not self._possible(document):
            raise InvalidRequest("Tests can be made for a Python file of the workspace that holds none itself.")
        file = document.file
        on_disk = await asyncio.to_thread(_on_disk, file)
        if on_disk is None or digest(document.text.value) != digest(on_disk):
            raise InvalidRequest(f"{file.name} is not as it is on disk.", fix="Save it first.")
        title = f"{TITLE} for {name or file.name}"
        made = await shown(self._session.server, title, lambda report: self._made(file, name, report))
        if made is None:
            return
        root, files = made
        if not any(one["text"] for one in files):
            notes = [str(note) for one in files for note in one["notes"]]
            self._say(" ".join(notes) or "No test was found that would notice anything new.")
        for one in files:
            if one["text"]:
                await self._offer(root, one)

    async def close(self) -> None:
        """End what runs."""
        await self._processes.close()

    def _possible(self, document: Document) -> bool:
        file = document.file
        if file is None or document.kind != "document" or file.suffix != ".py" or is_test(file.name):
            return False
        real = Path(os.path.realpath(file))
        inside = any(real.is_relative_to(root) for root in self._session.policy.roots)
        return (
            inside
            and self._session.options.trusted
            and len(document.text) <= HUGE
            and self._session.policy.check_uri(document.uri).allowed
        )

    async def _made(self, file: Path, name: str, report: Report) -> tuple[Path, list[dict[str, Any]]]:
        target = f"{file.name}::{name}" if name else file.name
        root, files = file.parent, []
        with self._session.status.busy():
            stream = self._processes.events(file.parent, [target, "--budget", BUDGET])
            async with contextlib.aclosing(stream):
                async for event in stream:
                    match event["event"]:
                        case "start":
                            root = Path(event["root"])
                        case "progress":
                            report(event["text"])
                        case "file":
                            files.append(event["file"])
        return root, files

    async def _offer(self, root: Path, made: Mapping[str, Any]) -> None:
        """Show the tests of one file; apply them if the user says yes. Raises :class:`InvalidRequest`."""
        capabilities, server = self._session.server.client_capabilities, self._session.server
        note = summary(made)
        uri, document = self._test_file(root, made)
        edit = workspace_edit(capabilities, uri, document, made, note)
        if not asks(capabilities):
            question = f"{made['path']}: {note}\n\n{_new_text(made)}"
            answer = await server.window_show_message_request_async(
                types.ShowMessageRequestParams(
                    types.MessageType.Info,
                    question,
                    [types.MessageActionItem(APPLY), types.MessageActionItem(DISCARD)],
                )
            )
            if answer is None or answer.title != APPLY:
                return
            _, document = self._test_file(root, made)
            edit = workspace_edit(capabilities, uri, document, made, note)
        result = await server.workspace_apply_edit_async(types.ApplyWorkspaceEditParams(edit, f"{TITLE}: {note}"))
        if not result.applied and result.failure_reason:
            self._say(f"The editor did not apply it: {result.failure_reason}")

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

    def _say(self, sentence: str) -> None:
        self._session.server.window_show_message(types.ShowMessageParams(types.MessageType.Info, sentence))


def summary(made: Mapping[str, Any]) -> str:
    """The numbers of one file in a sentence."""
    number = len(made["tests"])
    mutants = sum(one["mutants"] for one in made["functions"])
    before = sum(one["killed_before"] or 0 for one in made["functions"])
    after = sum(one["killed"] for one in made["functions"])
    score = f", mutation score {100 * before // mutants} % → {100 * after // mutants} %" if mutants else ""
    return f"{number} test{'' if number == 1 else 's'}, run {made['runs']} times{score}"


def _new_text(made: Mapping[str, Any]) -> str:
    return "".join(str(part["text"]) for part in made["insertions"]) or str(made["text"])


def _on_disk(file: Path) -> str | None:
    try:
        return decoded(file.read_bytes())
    except OSError:
        return None


def _around(found: list[Function], line: int) -> str:
    """The function around a line, else the class; empty for neither, and for what no other code calls."""
    inside = [function for function in found if line in function.lines]
    if inside:
        name = inside[-1].name
        return name if not any(part.startswith("_") for part in name.split(".")) else ""
    owners = [f.owner for f in found if f.owner and f.owner.lineno <= line <= (f.owner.end_lineno or 0)]
    return owners[0].name if owners and not owners[0].name.startswith("_") else ""


def _action(title: str, kind: types.CodeActionKind, arguments: list[Any]) -> types.CodeAction:
    return types.CodeAction(title, kind, command=types.Command(title, GENERATE, arguments=arguments))
