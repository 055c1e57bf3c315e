"""Makes tests for what the user points at, says what a test is for, and adds what it lacks."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lsprotocol import types

from famulus.engine.errors import InvalidRequest
from famulus.lsp_server.actions import wanted
from famulus.lsp_server.commands.pages import Page, page
from famulus.lsp_server.commands.progress import Report, shown
from famulus.lsp_server.documents import HUGE, Document
from famulus.lsp_server.execution.functions import Function, functions
from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.review.doors.lenses import tests
from famulus.lsp_server.review.doors.process import Processes
from famulus.lsp_server.session import Session
from famulus.lsp_server.testgen.doors import GENERATE, STRENGTHEN, WHY
from famulus.lsp_server.testgen.doors.offering import TITLE, Offering
from famulus.lsp_server.testgen.doors.scores import Scores

_REWRITE, _SOURCE = types.CodeActionKind.RefactorRewrite, types.CodeActionKind.Source


class TestMaker:
    """Code actions and the commands behind them, for one session."""

    __test__ = False

    def __init__(self, session: Session) -> None:
        self._session = session
        self._processes = Processes(("testgen", "--format", "stream"))
        self._offering = Offering(session)
        self.scores = Scores(session, GENERATE)

    async def actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        """What can be done about the function, the class or the test at the cursor, or the file; nothing where code
        must not be run."""
        document = self._session.document(params.text_document.uri)
        only = params.context.only
        if document is None or self._refused(document) or not any(wanted(k.value, only) for k in (_REWRITE, _SOURCE)):
            return []
        value, line = document.text.value, params.range.start.line + 1
        if document.file is not None and is_test(document.file.name):
            test = await asyncio.to_thread(_test_at, value, line)
            return _of_test(document.uri, params.range.start, test) if test else []
        found = await asyncio.to_thread(lambda: list(functions(value).values()))
        at = _around(found, line)
        offered = []
        if at:
            offered.append(_action(f"Famulus: write tests for {at}", _REWRITE, GENERATE, [document.uri, at]))
        if found and (not at or only is not None):
            offered.append(_action("Famulus: write tests for this file", _SOURCE, GENERATE, [document.uri]))
        return offered

    async def generate(self, uri: str, name: str = "") -> None:
        """Make tests for ``name`` (all of the file) and apply them after a yes. Raises :class:`FamulusError`."""
        document = self._document(uri)
        file = self._offering.saved(document)
        if is_test(file.name):
            raise InvalidRequest(f"{file.name} holds tests itself.", fix="Open the code that they are for.")
        shapes = {key: function.shape for key, function in functions(document.text.value).items()}
        target = f"{file.name}::{name}" if name else file.name
        made = await self._made(f"{TITLE} for {name or file.name}", document, file, [target])
        if made is None:
            return
        root, files = made
        if not any(one["text"] for one in files):
            notes = [str(note) for one in files for note in one["notes"]]
            self._offering.say(" ".join(notes) or "No test was found that would notice anything new.")
        for one in files:
            self.scores.keep(root, one, shapes, applied=False)
            if one["text"] and await self._offering.offer(root, one):
                self.scores.keep(root, one, shapes, applied=True)

    async def here(self, uri: str, position: types.Position) -> None:
        """Make tests for the function or class at a place. Raises :class:`FamulusError`."""
        document = self._document(uri)
        if document.file is not None and is_test(document.file.name):
            raise InvalidRequest(f"{document.file.name} holds tests itself.", fix="Open the code that they are for.")
        name = _around(list(functions(document.text.value).values()), position.line + 1)
        if not name:
            raise InvalidRequest(
                "There is no function at the cursor that other code may call.", fix="Ask for tests of the whole file."
            )
        await self.generate(uri, name)

    async def strengthen(self, uri: str, position: types.Position, test: str = "") -> None:
        """Add to a test what it lacks, after a yes. Raises :class:`FamulusError`."""
        document, file, test = self._test(uri, position, test)
        title = f"{TITLE}: what {test} lacks"
        made = await self._made(title, document, file, ["--strengthen", f"{file.name}::{test}"])
        if made is None:
            return
        root, files = made
        for one in files:
            if one["text"]:
                await self._offering.offer(root, one)
            else:
                self._offering.say(f"{test}: {' '.join(map(str, one['notes']))}")

    async def why(self, uri: str, position: types.Position, test: str = "") -> Page | None:
        """What a test is for. Raises :class:`FamulusError`."""
        document, file, test = self._test(uri, position, test)
        title = f"{TITLE}: what {test} notices"
        made = await self._made(title, document, file, ["--why", f"{file.name}::{test}"])
        if made is None:
            return None
        return page(self._session, f"Why {test.rpartition('::')[2]} exists", "\n".join(str(o["text"]) for o in made[1]))

    async def close(self) -> None:
        """End what runs."""
        await self._processes.close()

    def _document(self, uri: str) -> Document:
        """An open document whose code may be run. Raises :class:`InvalidRequest`."""
        document = self._session.document(uri)
        if document is None or document.file is None:
            raise InvalidRequest("The document is not open, or is no file.", fix="Open it first.")
        if refused := self._refused(document):
            raise refused
        return document

    def _test(self, uri: str, position: types.Position, test: str) -> tuple[Document, Path, str]:
        """The test that is named, or at a place. Raises :class:`InvalidRequest`."""
        document = self._document(uri)
        file = self._offering.saved(document)
        test = test or _test_at(document.text.value, position.line + 1)
        if not is_test(file.name) or not test:
            raise InvalidRequest("There is no test at the cursor.", fix="Put the cursor into a test function.")
        return document, file, test

    def _refused(self, document: Document) -> InvalidRequest | None:
        """Why the code of a document is not run."""
        file = document.file
        if not self._session.options.trusted:
            return InvalidRequest("To make tests the code has to be run.", fix="Trust the workspace.")
        if file is None or document.kind != "document" or file.suffix != ".py":
            return InvalidRequest("Tests are made for Python files.", fix="Open a file whose name ends with .py.")
        real = Path(os.path.realpath(file))
        if not any(real.is_relative_to(root) for root in self._session.policy.roots):
            return InvalidRequest(f"{file.name} is not in the workspace.", fix="Open the folder that it is in.")
        if len(document.text) > HUGE or not self._session.policy.check_uri(document.uri).allowed:
            return InvalidRequest(f"{file.name} is too large, or must not be read.", fix="Open another file.")
        return None

    async def _made(
        self, title: str, document: Document, file: Path, arguments: Sequence[str]
    ) -> tuple[Path, list[dict[str, Any]]] | None:
        """What ``famulus testgen`` gives: the root and the files; None if the user cancelled it."""
        budget = self._session.settings.for_document(document.snapshot()).testgen.budget
        asked = [*arguments, "--budget", f"{budget}s"]
        return await shown(self._session.server, title, lambda report: self._run(file.parent, asked, report))

    async def _run(self, folder: Path, arguments: Sequence[str], report: Report) -> tuple[Path, list[dict[str, Any]]]:
        root, answers = folder, []
        with self._session.status.busy():
            stream = self._processes.events(folder, arguments)
            async with contextlib.aclosing(stream):
                async for event in stream:
                    match event["event"]:
                        case "start":
                            root = Path(event["root"])
                        case "progress":
                            report(event["text"])
                        case "file":
                            answers.append(event["file"])
                        case "why":
                            answers.append(event)
        return root, answers


def _around(found: list[Function], line: int) -> str:
    """The function around a line, else the class; empty for neither, and for what no other code calls."""
    inside = [function for function in found if line in function.lines]
    if inside:
        name = inside[-1].name
        return name if not any(part.startswith("_") for part in name.split(".")) else ""
    owners = [f.owner for f in found if f.owner and f.owner.lineno <= line <= (f.owner.end_lineno or 0)]
    return owners[0].name if owners and not owners[0].name.startswith("_") else ""


def _test_at(source: str, line: int) -> str:
    """The test around a line, as pytest calls it; empty for none."""
    return next((test for test, first, last in tests(source) if first <= line <= last), "")


def _of_test(uri: str, position: types.Position, test: str) -> list[types.CodeAction]:
    name = test.rpartition("::")[2]
    return [
        _action(f"Famulus: strengthen {name}", _REWRITE, STRENGTHEN, [uri, position, test]),
        _action(f"Famulus: why does {name} exist?", _REWRITE, WHY, [uri, position, test]),
    ]


def _action(title: str, kind: types.CodeActionKind, command: str, arguments: list[Any]) -> types.CodeAction:
    return types.CodeAction(title, kind, command=types.Command(title, command, arguments=arguments))
