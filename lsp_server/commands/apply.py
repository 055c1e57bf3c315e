"""Edits that a command proposes: shown first, applied only after a yes, and only to the version they were made for."""

from __future__ import annotations

from lsprotocol import types

from famulus.lsp_server.commands.preview import Preview
from famulus.lsp_server.commands.proposal import Proposal, agreed, annotated, unchanged
from famulus.lsp_server.session import Session

PREVIEW_LINES = 14
"""Of a message with a question. Nobody can say yes to lines that are not shown, so nothing longer is offered there."""
APPLY, DISCARD = "Apply", "Discard"


async def offer(session: Session, proposal: Proposal, preview: Preview) -> str:
    """Show ``proposal`` and apply it if the user says yes. Returns a sentence where that could not be, else "".

    ``preview`` is closed when the user has answered.
    """
    document = unchanged(session, proposal)
    if document is None:
        return "The text changed while this was written, so nothing was applied. Ask again."
    workspace = session.server.client_capabilities.workspace
    edits = (workspace.workspace_edit if workspace is not None else None) or types.WorkspaceEditClientCapabilities()
    versioned = bool(edits.document_changes)
    if session.options.proposals or (versioned and edits.change_annotation_support is not None):
        wanted = annotated(document, proposal)
        preview.finish(wanted)
    elif (lines := len(proposal.text.splitlines())) > PREVIEW_LINES:
        return f"The proposal has {lines} lines, more than this editor can show before a yes."
    elif not await _agreed(session, proposal):
        return ""
    elif unchanged(session, proposal) is None:
        return "The text changed meanwhile, so nothing was applied. Ask again."
    else:
        wanted = agreed(document, proposal, versioned=versioned)
    result = await session.server.workspace_apply_edit_async(types.ApplyWorkspaceEditParams(wanted, proposal.title))
    preview.close()
    return (
        "" if result.applied or not result.failure_reason else f"The editor did not apply it: {result.failure_reason}"
    )


async def _agreed(session: Session, proposal: Proposal) -> bool:
    answer = await session.server.window_show_message_request_async(
        types.ShowMessageRequestParams(
            types.MessageType.Info,
            f"{proposal.title} ({proposal.note})\n\n{proposal.text}",
            [types.MessageActionItem(APPLY), types.MessageActionItem(DISCARD)],
        )
    )
    return answer is not None and answer.title == APPLY
