"""The tests of one file as an edit of the workspace, which the user sees before anything is written."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from lsprotocol import types

from famulus.engine.errors import InvalidRequest
from famulus.lsp_server.documents import Document


def digest(text: str) -> str:
    """The name that ``famulus testgen`` gives to the text of a file."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return hashlib.sha256(plain.encode(errors="surrogatepass")).hexdigest()


def text_edits(document: Document, insertions: Sequence[Mapping[str, Any]]) -> list[types.TextEdit]:
    """Whole lines that come into a document, in its own line ends."""
    text = document.text
    value = text.value
    end = max(("\n", "\r\n", "\r"), key=lambda e: value.count(e) - (value.count("\r\n") if e != "\r\n" else 0))
    found = []
    for part in insertions:
        lines = str(part["text"]).replace("\n", end)
        if part["line"] < text.lines:
            start = text.starts[part["line"]] + part.get("column", 0)
        else:
            start = len(text)
            lines = end + lines  # the last line has no end
        found.append(types.TextEdit(document.range_of(start, start), lines))
    return found


def can_create(capabilities: types.ClientCapabilities) -> bool:
    """Whether a client makes new files when it is asked to."""
    return types.ResourceOperationKind.Create in (_able(capabilities).resource_operations or ())


def asks(capabilities: types.ClientCapabilities) -> bool:
    """Whether a client asks the user before it applies what is marked so."""
    able = _able(capabilities)
    return bool(able.document_changes) and able.change_annotation_support is not None


def workspace_edit(
    capabilities: types.ClientCapabilities,
    uri: str,
    document: Document | None,
    made: Mapping[str, Any],
    note: str,
    *,
    asking: bool,
) -> types.WorkspaceEdit:
    """The edit for the test file at ``uri``. ``document``: its text, None for a new file; ``made``: the file as
    ``famulus testgen`` tells it; ``note``: what the user is told beside it; ``asking``: whether the client asks.

    Raises :class:`InvalidRequest` where the file is not what the tests were made for, or the client makes no files."""
    if document is None and not can_create(capabilities):
        raise InvalidRequest("This editor does not create files.", fix="Run: famulus testgen --write")
    if document is None:
        first = types.Position(0, 0)
        edits = [types.TextEdit(types.Range(first, first), str(made["text"]))]
    elif digest(document.text.value) != made["digest"]:
        raise InvalidRequest(f"{made['path']} is not as it is on disk.", fix="Save it, and ask again.")
    else:
        edits = text_edits(document, made["insertions"])
    if document is not None and not asking and not _able(capabilities).document_changes:
        return types.WorkspaceEdit({uri: edits})
    annotation = f"famulus-tests-{uuid.uuid4()}"
    version = document.version if document is not None else None
    target = types.OptionalVersionedTextDocumentIdentifier(uri, version)
    parts: list[types.TextEdit | types.AnnotatedTextEdit | types.SnippetTextEdit] = [
        types.AnnotatedTextEdit(annotation, edit.range, edit.new_text) if asking else edit for edit in edits
    ]
    changes: list[types.TextDocumentEdit | types.CreateFile | types.RenameFile | types.DeleteFile] = []
    if document is None:
        named = annotation if asking else None
        changes.append(types.CreateFile(uri, options=types.CreateFileOptions(overwrite=False), annotation_id=named))
    changes.append(types.TextDocumentEdit(target, parts))
    label = types.ChangeAnnotation(f"Famulus: {made['path']}", needs_confirmation=True, description=note)
    return types.WorkspaceEdit(document_changes=changes, change_annotations={annotation: label} if asking else None)


def _able(capabilities: types.ClientCapabilities) -> types.WorkspaceEditClientCapabilities:
    workspace = capabilities.workspace
    return (workspace.workspace_edit if workspace is not None else None) or types.WorkspaceEditClientCapabilities()
