"""A lens above tests that a change may have turned red: it asks which part of the change did.

Only in a workspace that is trusted, because the answer is found by running the test; and only in files of tests that
the latest review found changed, that a finding stands in, or of which a test was asked about.
"""

from __future__ import annotations

import ast
import asyncio
import warnings
from collections.abc import Iterator

from lsprotocol import types

from famulus.lsp_server.documents import HUGE, Document
from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.review.doors.service import ReviewService
from famulus.lsp_server.review.doors.standing import CULPRIT, Standing, paths
from famulus.lsp_server.session import Session

WHY = "famulus.review.why"


def tests(source: str) -> Iterator[tuple[str, int, int]]:
    """The tests of a file as pytest calls them (``TestCart::test_total``), with their first and last line from 1.

    A text that does not parse has none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    yield from _tests(tree.body, "")


def _tests(body: list[ast.stmt], inside: str) -> Iterator[tuple[str, int, int]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield inside + node.name, first, node.end_lineno or node.lineno
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _tests(node.body, f"{inside}{node.name}::")


class Lenses:
    """The code lenses of one session."""

    def __init__(self, session: Session, service: ReviewService) -> None:
        self._session, self._service = session, service

    async def lenses(self, uri: str) -> list[types.CodeLens]:
        """The lenses of a document, without their titles."""
        document = self._session.document(uri)
        if document is None or not self._wanted(document):
            return []
        source = document.text.value
        found = await asyncio.to_thread(lambda: list(tests(source)))
        lenses = []
        for test, line, _ in found:
            place = document.range_of(*(document.text.offset(line - 1, 0),) * 2)
            lenses.append(types.CodeLens(place, data={"uri": uri, "test": test}))
        return lenses

    def resolve(self, lens: types.CodeLens) -> types.CodeLens:
        """A lens with what it says now."""
        data = lens.data if isinstance(lens.data, dict) else {}
        uri, test = str(data.get("uri", "")), str(data.get("test", ""))
        title = "Famulus: why is this red?"
        document = self._session.document(uri)
        for standing, path in self._places(document) if document is not None else ():
            if (culprit := standing.culprit(f"{path}::{test}")) is not None:
                title = f"Famulus: red because of {culprit.place}"
        lens.command = types.Command(title, WHY, arguments=[uri, lens.range.start, test])
        return lens

    def refresh(self) -> None:
        """Have the client ask again."""
        workspace = self._session.server.client_capabilities.workspace
        able = workspace.code_lens if workspace is not None else None
        if able is not None and able.refresh_support:
            self._session.spawn(self._session.server.workspace_code_lens_refresh_async(None))

    def test_at(self, document: Document, position: types.Position) -> str | None:
        """The test around a position."""
        line = position.line + 1
        return next((test for test, first, last in tests(document.text.value) if first <= line <= last), None)

    def _wanted(self, document: Document) -> bool:
        wanted = self._session.settings.for_document(document.snapshot()).review
        if not (wanted.enabled and wanted.lens and self._session.options.trusted) or len(document.text) > HUGE:
            return False
        return any(path in concerned(standing) for standing, path in self._places(document))

    def _places(self, document: Document) -> Iterator[tuple[Standing, str]]:
        for standing in list(self._service.standings.values()):
            path = self._service.places.path_of(document, standing.root)
            if path is not None and is_test(path):
                yield standing, path


def concerned(standing: Standing) -> set[str]:
    """The files whose tests may be red."""
    found = set(standing.files)
    for finding in standing.findings:
        found.update(paths(finding))
        if finding.rule == CULPRIT:
            found.add(str(finding.proof.data.get("test", "")).partition("::")[0])
    return found
