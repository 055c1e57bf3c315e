"""Edits that a command proposes, as the protocol writes them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from lsprotocol import types

from famulus.lsp_server.documents import Document, Snapshot
from famulus.lsp_server.session import Session


@dataclass(frozen=True)
class Proposal:
    """Replace ``[start, end)`` of the document that was ``seen`` by ``text``. ``note`` says what was checked.

    ``id`` is also the name of its annotation, by which a client knows the edit that it is asked to apply.
    """

    title: str
    note: str
    seen: Snapshot
    start: int
    end: int
    text: str
    id: str = field(default_factory=lambda: f"famulus-{uuid.uuid4()}")


def unchanged(session: Session, proposal: Proposal) -> Document | None:
    """The document of ``proposal``, if it is still what was seen."""
    document, seen = session.document(proposal.seen.uri), proposal.seen
    # One that was closed and opened again may be another text under the same version.
    same = document is not None and document.text is seen.text and document.snapshot().version == seen.version
    return document if same else None


def annotated(document: Document, proposal: Proposal) -> types.WorkspaceEdit:
    """The edit of ``document``, which the client applies only after a yes."""
    place = document.range_of(proposal.start, proposal.end)
    edit = types.AnnotatedTextEdit(range=place, new_text=proposal.text, annotation_id=proposal.id)
    label = types.ChangeAnnotation(proposal.title, needs_confirmation=True, description=proposal.note or None)
    return types.WorkspaceEdit(document_changes=[_of(document, edit)], change_annotations={proposal.id: label})


def agreed(document: Document, proposal: Proposal, *, versioned: bool) -> types.WorkspaceEdit:
    """The same after the yes; ``versioned``: for clients that compare versions themselves."""
    edit = types.TextEdit(document.range_of(proposal.start, proposal.end), proposal.text)
    if versioned:
        return types.WorkspaceEdit(document_changes=[_of(document, edit)])
    return types.WorkspaceEdit(changes={document.uri: [edit]})


def _of(document: Document, edit: types.TextEdit | types.AnnotatedTextEdit) -> types.TextDocumentEdit:
    target = types.OptionalVersionedTextDocumentIdentifier(uri=document.uri, version=document.version)
    return types.TextDocumentEdit(target, [edit])
