"""Edits that a command proposes: shown first, applied only after a yes, and only to the version they were made for."""

from __future__ import annotations

from dataclasses import dataclass

from lsprotocol import types

from famulus.lsp_server.documents import Document
from famulus.lsp_server.session import Session

PREVIEW_LINES = 14
"""Of a message with a question. Nobody can say yes to lines that are not shown, so nothing longer is offered there."""
ANNOTATION = "famulus"
APPLY, DISCARD = "Apply", "Discard"


@dataclass(frozen=True)
class Proposal:
    """Replace ``[start, end)`` of a document at ``version`` by ``text``. ``note`` says what was checked."""

    title: str
    note: str
    uri: str
    version: int
    start: int
    end: int
    text: str


async def offer(session: Session, proposal: Proposal) -> str:
    """Show ``proposal`` and apply it if the user says yes. Returns a sentence where that could not be, else ""."""
    document = session.document(proposal.uri)
    if document is None or document.version != proposal.version:
        return "The text changed while this was written, so nothing was applied. Ask again."
    edit = types.TextEdit(document.range_of(proposal.start, proposal.end), proposal.text)
    workspace = session.server.client_capabilities.workspace
    edits = workspace.workspace_edit if workspace is not None else None
    if edits is not None and edits.change_annotation_support is not None and edits.document_changes:
        wanted = _annotated(document, edit, proposal)
    elif (lines := len(proposal.text.splitlines())) > PREVIEW_LINES:
        return f"The proposal has {lines} lines, more than this editor can show before a yes."
    elif await _agreed(session, proposal):
        wanted = types.WorkspaceEdit(changes={document.uri: [edit]})
    else:
        return ""
    if document.version != proposal.version:
        return "The text changed meanwhile, so nothing was applied. Ask again."
    result = await session.server.workspace_apply_edit_async(types.ApplyWorkspaceEditParams(wanted, proposal.title))
    return (
        "" if result.applied or not result.failure_reason else f"The editor did not apply it: {result.failure_reason}"
    )


def _annotated(document: Document, edit: types.TextEdit, proposal: Proposal) -> types.WorkspaceEdit:
    """The editor's own preview asks the user."""
    annotated = types.AnnotatedTextEdit(range=edit.range, new_text=edit.new_text, annotation_id=ANNOTATION)
    target = types.OptionalVersionedTextDocumentIdentifier(uri=document.uri, version=document.version)
    return types.WorkspaceEdit(
        document_changes=[types.TextDocumentEdit(target, [annotated])],
        change_annotations={
            ANNOTATION: types.ChangeAnnotation(proposal.title, needs_confirmation=True, description=proposal.note)
        },
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
