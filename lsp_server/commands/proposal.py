"""Edits that a command proposes, as the protocol writes them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from lsprotocol import types

from famulus.lsp_server.documents import Document


@dataclass(frozen=True)
class Proposal:
    """Replace ``[start, end)`` of a document at ``version`` by ``text``. ``note`` says what was checked.

    ``id`` is also the name of its annotation, by which a client knows the edit that it is asked to apply.
    """

    title: str
    note: str
    uri: str
    version: int
    start: int
    end: int
    text: str
    id: str = field(default_factory=lambda: f"famulus-{uuid.uuid4()}")


def annotated(document: Document, proposal: Proposal) -> types.WorkspaceEdit:
    """The edit of ``document``, which the client applies only after a yes."""
    place = document.range_of(proposal.start, proposal.end)
    edit = types.AnnotatedTextEdit(range=place, new_text=proposal.text, annotation_id=proposal.id)
    target = types.OptionalVersionedTextDocumentIdentifier(uri=document.uri, version=document.version)
    label = types.ChangeAnnotation(proposal.title, needs_confirmation=True, description=proposal.note or None)
    return types.WorkspaceEdit(
        document_changes=[types.TextDocumentEdit(target, [edit])], change_annotations={proposal.id: label}
    )
