"""Edits that a command proposes: shown first, applied only after a yes, and only to the version they were made for."""

from __future__ import annotations

from lsprotocol import types

from famulus.lsp_server.commands.preview import Preview
from famulus.lsp_server.commands.proposal import Proposal, annotated
from famulus.lsp_server.session import Session

PREVIEW_LINES = 14
"""Of a message with a question. Nobody can say yes to lines that are not shown, so nothing longer is offered there."""
APPLY, DISCARD = "Apply", "Discard"


async def offer(session: Session, proposal: Proposal, preview: Preview) -> str:
    """Show ``proposal`` and apply it if the user says yes. Returns a sentence where that could not be, else "".

    ``preview`` is closed when the user has answered.
    """
    document = session.document(proposal.uri)
    if document is None or document.version != proposal.version:
        return "The text changed while this was written, so nothing was applied. Ask again."
    if _asks(session):
        wanted = annotated(document, proposal)
        preview.finish(wanted)
    elif (lines := len(proposal.text.splitlines())) > PREVIEW_LINES:
        return f"The proposal has {lines} lines, more than this editor can show before a yes."
    elif await _agreed(session, proposal):
        place = document.range_of(proposal.start, proposal.end)
        wanted = types.WorkspaceEdit(changes={document.uri: [types.TextEdit(place, proposal.text)]})
    else:
        return ""
    if document.version != proposal.version:
        return "The text changed meanwhile, so nothing was applied. Ask again."
    result = await session.server.workspace_apply_edit_async(types.ApplyWorkspaceEditParams(wanted, proposal.title))
    preview.close()
    return (
        "" if result.applied or not result.failure_reason else f"The editor did not apply it: {result.failure_reason}"
    )


def _asks(session: Session) -> bool:
    """Whether the client itself shows an edit and asks for a yes."""
    workspace = session.server.client_capabilities.workspace
    edits = workspace.workspace_edit if workspace is not None else None
    annotations = edits is not None and edits.change_annotation_support is not None and edits.document_changes
    return session.options.proposals or bool(annotations)


async def _agreed(session: Session, proposal: Proposal) -> bool:
    answer = await session.server.window_show_message_request_async(
        types.ShowMessageRequestParams(
            types.MessageType.Info,
            f"{proposal.title} ({proposal.note})\n\n{proposal.text}",
            [types.MessageActionItem(APPLY), types.MessageActionItem(DISCARD)],
        )
    )
    return answer is not None and answer.title == APPLY
