"""One connection: documents, folders, requests and their end, as a client sees them."""

from __future__ import annotations


def test_initialises_without_an_engine(inside):
    editor = inside()
    assert editor.capabilities["textDocumentSync"]["change"] == 2
    assert "inlineCompletionProvider" in editor.capabilities
    editor.open("file:///a.py", "x = 1\n")
    editor.request("shutdown")
    editor.notify("exit")
    editor.gone()
