"""Binds the protocol's features to the services of a session. No logic lives here."""

from __future__ import annotations

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from famulus import __version__
from famulus.lsp_server.completion.service import CompletionService
from famulus.lsp_server.link import EngineLink
from famulus.lsp_server.session import Session

NOTEBOOKS = types.NotebookDocumentSyncOptions(
    notebook_selector=[types.NotebookDocumentFilterWithNotebook(notebook="*")], save=False
)


class FamulusServer(LanguageServer):
    """pygls's server for one connection; ``session`` is everything of ours."""

    def __init__(self, link: EngineLink) -> None:
        super().__init__("famulus", __version__, notebook_document_sync=NOTEBOOKS, max_workers=2)
        self.session = Session(self, link)
        self.completion = CompletionService(self.session)


def create(link: EngineLink) -> FamulusServer:
    """A server for one connection, with every feature bound."""
    server = FamulusServer(link)
    _bind_documents(server)
    _bind_completion(server)
    return server


def _bind_documents(server: FamulusServer) -> None:
    session = server.session

    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        session.mirror()

    @server.feature(types.INITIALIZED)
    def initialized(params: types.InitializedParams) -> None:
        session.link.start()

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: types.DidOpenTextDocumentParams) -> None:
        document = session.document(params.text_document.uri)
        if document is not None:
            for listener in session.on_open:
                listener(document)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: types.DidChangeTextDocumentParams) -> None:
        """The mirror has told the session already."""


def _bind_completion(server: FamulusServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(params: types.InlineCompletionParams) -> types.InlineCompletionList | None:
        return await server.completion.inline(params)
