"""Notebooks as language servers see them: an ordered list of cells, each a document of its own."""

from __future__ import annotations

from urllib.parse import unquote

from lsprotocol import types

from famulus.lsp_server.documents import Mirror, Snapshot

SYNC = types.NotebookDocumentSyncOptions(
    notebook_selector=[types.NotebookDocumentFilterWithNotebook(notebook="*")], save=False
)
"""All kinds of notebooks."""


def cells_before(mirror: Mirror, uri: str) -> list[Snapshot]:
    """The cells before a cell, in order; empty for a document that is no cell of a known notebook."""
    notebook = mirror.get_notebook_document(cell_uri=uri)
    if notebook is None:
        return []
    found: list[Snapshot] = []
    for cell in notebook.cells:
        if unquote(cell.document) == unquote(uri):
            return found
        document = mirror.document(cell.document)
        if document is not None:
            found.append(document.snapshot())
    return []
