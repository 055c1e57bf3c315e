"""A session with documents, trees, context and a policy, without a client and without an engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from lsprotocol import types
from pygls.workspace import Workspace

from famulus.engine.policy import Policy
from famulus.lsp_server import configuration
from famulus.lsp_server.context import bind as context
from famulus.lsp_server.context.ranking import Ranked
from famulus.lsp_server.documents import Document, Mirror
from famulus.lsp_server.link import EngineLink
from famulus.lsp_server.server import FamulusServer
from famulus.lsp_server.syntax import bind as syntax


class Project:
    """A folder with files, and a session in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        server = FamulusServer(EngineLink(root))
        self.session = server.session
        for bind in (configuration.bind, syntax.bind, context.bind):
            bind(server)
        folder = types.WorkspaceFolder(root.as_uri(), root.name)
        made = Workspace(root.as_uri(), types.TextDocumentSyncKind.Incremental, [folder], "utf-16")
        server.protocol._workspace = Mirror(made, "utf-16", self.session)
        self.session.policy = Policy([root])

    def write(self, **files: str) -> None:
        """Files by name, with ``__`` for a slash and ``_py`` at the end for the extension."""
        for name, text in files.items():
            path = self.root / (name.removesuffix("_py").replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    async def open(self, name: str, text: str | None = None, language: str = "python") -> Document:
        """Open a document, and wait until everything around it is known."""
        path = self.root / name
        text = path.read_text() if text is None else text
        item = types.TextDocumentItem(path.as_uri(), language, 1, text)
        self.session.server.workspace.put_text_document(item)
        await self.session.context.index.settled()
        document = self.session.document(item.uri)
        assert document is not None
        return document

    def close(self, document: Document) -> None:
        """Close a document."""
        self.session.server.workspace.remove_text_document(document.uri)

    def replace(self, document: Document, start: int, end: int, text: str) -> None:
        """The user edits."""
        where = types.VersionedTextDocumentIdentifier((document.version or 0) + 1, document.uri)
        change = types.TextDocumentContentChangePartial(range=document.range_of(start, end), text=text)
        self.session.server.workspace.update_text_document(where, change)

    def pieces(self, document: Document, marker: str = "") -> list[Ranked]:
        """The pieces behind the first ``marker`` of a document, or at its end."""
        value = document.text.value
        offset = value.index(marker) + len(marker) if marker else len(value)
        return self.session.context.pieces(document.snapshot(), offset)


@pytest_asyncio.fixture
async def project(tmp_path: Path) -> AsyncIterator[Project]:
    """An empty project."""
    made = Project(tmp_path)
    yield made
    await asyncio.wait_for(made.session.close(), 10)
