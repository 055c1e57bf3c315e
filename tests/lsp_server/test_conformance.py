"""What we send to clients that others wrote, checked against the specification by a suite that others wrote."""

from __future__ import annotations

import os
import sys

import pytest
from lsprotocol import types
from pytest_lsp import client_capabilities, make_test_lsp_client

URI = "file:///w/a.py"


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.filterwarnings("error::pytest_lsp.LspSpecificationWarning")
@pytest.mark.parametrize("editor", ["visual-studio-code", "neovim", "emacs"])
async def test_a_session_of_a_known_editor_conforms(editor, stranded):
    capabilities = client_capabilities(editor)
    capabilities.text_document.inline_completion = types.InlineCompletionClientCapabilities()
    client = make_test_lsp_client()
    client.set_configuration({"famulus": {"completion": {"enabled": True}}})
    command = [sys.executable, "-P", "-m", "famulus", "lsp", "--stdio"]
    await client.start_io(*command, env=os.environ | {"FAMULUS_HOME": str(stranded)})
    try:
        folder = types.WorkspaceFolder("file:///w", "w")
        params = types.InitializeParams(capabilities, os.getpid(), root_uri="file:///w", workspace_folders=[folder])
        found = await client.initialize_session(params)
        assert found.capabilities.inline_completion_provider is not None
        text = "def f(:\n    return x\n"
        client.text_document_did_open(types.DidOpenTextDocumentParams(types.TextDocumentItem(URI, "python", 1, text)))
        await client.wait_for_notification(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        assert client.diagnostics[URI]
        identity, where = types.TextDocumentIdentifier(URI), types.Position(1, 12)
        automatic = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic)
        asked = types.InlineCompletionParams(automatic, identity, where)
        assert await client.text_document_inline_completion_async(asked) is None
        whole = types.Range(types.Position(0, 0), types.Position(2, 0))
        context = types.CodeActionContext(client.diagnostics[URI])
        await client.text_document_code_action_async(types.CodeActionParams(identity, whole, context))
        await client.shutdown_session()
    finally:
        await client.stop()
