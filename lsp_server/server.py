"""Binds the protocol's features to the services of a session. No logic lives here."""

from __future__ import annotations

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.protocol import default_converter

from famulus import __version__
from famulus.lsp_server import actions, configuration, notebooks, permission, status
from famulus.lsp_server.commands import bind as commands
from famulus.lsp_server.completion import bind as completion
from famulus.lsp_server.completion import outcome
from famulus.lsp_server.completion.service import CompletionService
from famulus.lsp_server.context import bind as context
from famulus.lsp_server.link import EngineLink
from famulus.lsp_server.prediction import bind as prediction
from famulus.lsp_server.protocol import FamulusProtocol
from famulus.lsp_server.review.doors import bind as review
from famulus.lsp_server.session import Session
from famulus.lsp_server.syntax import bind as syntax
from famulus.lsp_server.testgen.doors import bind as testgen

PARTS = (
    configuration.bind,
    permission.bind,
    status.bind,
    syntax.bind,
    context.bind,
    outcome.bind,
    completion.bind,
    prediction.bind,
    actions.bind,
    commands.bind,
    review.bind,
    testgen.bind,
)
"""Each part registers its features, and puts its service into the session. Later parts may use earlier ones."""


class FamulusServer(LanguageServer):
    """pygls's server for one connection; ``session`` is everything of ours."""

    protocol: FamulusProtocol
    completion: CompletionService

    def __init__(self, link: EngineLink) -> None:
        super().__init__(
            "famulus",
            __version__,
            notebook_document_sync=notebooks.SYNC,
            protocol_cls=FamulusProtocol,
            converter_factory=default_converter,
            max_workers=2,
        )
        self.session = Session(self, link)


def create(link: EngineLink) -> FamulusServer:
    """A server for one connection, with every feature bound."""
    server = FamulusServer(link)
    _bind_life(server)
    for bind in PARTS:
        bind(server)
    return server


def _bind_life(server: FamulusServer) -> None:
    session = server.session

    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        session.start(params)
        if completion.popup_wanted(params.capabilities):
            completion.bind_popup(server)

    @server.feature(types.INITIALIZED)
    def initialized(params: types.InitializedParams) -> None:
        session.link.start()
        session.on_change.append(lambda document, before, change: session.link.wake())
        for listener in session.on_start:
            listener()

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def saved(params: types.DidSaveTextDocumentParams) -> None:
        session.saved(params.text_document.uri)

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def folders_changed(params: types.DidChangeWorkspaceFoldersParams) -> None:
        for listener in session.on_roots:
            listener()
