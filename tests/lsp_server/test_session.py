"""One connection: documents, notebooks, folders and units, as a client sees them."""

from __future__ import annotations

import asyncio

import pytest

NOTEBOOK = "file:///w/analysis.ipynb"


def sources(editor, cell):
    return editor.loop.call(
        lambda: [(s.kind, s.language, s.text.value, str(s.path)) for s in editor.session.notebook_cells_before(cell)]
    )


def document(editor, uri):
    return editor.loop.call(lambda: editor.session.document(uri))


def settled(editor):
    with pytest.raises(Exception, match="-32601"):
        editor.request("no/such")


def test_initialises_without_an_engine_and_ends(inside):
    editor = inside()
    assert editor.capabilities["textDocumentSync"]["change"] == 2
    assert "inlineCompletionProvider" in editor.capabilities
    assert "famulus.restartEngine" in editor.capabilities["executeCommandProvider"]["commands"]
    assert editor.capabilities["workspace"]["workspaceFolders"] == {"supported": True, "changeNotifications": True}
    editor.open("file:///a.py", "x = 1\n")
    editor.request("shutdown")
    editor.notify("exit")
    editor.gone()


@pytest.mark.parametrize(
    ("offered", "agreed", "units"),
    [
        (None, "utf-16", 2),
        (["utf-32", "utf-16"], "utf-32", 1),
        (["utf-8"], "utf-8", 4),
        (["utf-7", "utf-16"], "utf-16", 2),
        (["utf-7"], "utf-16", 2),
    ],
)
def test_units_are_agreed_on(inside, offered, agreed, units):
    editor = inside(capabilities={"general": {"positionEncodings": offered}} if offered else {})
    assert editor.capabilities["positionEncoding"] == agreed
    editor.open("file:///a.py", "a\r\n😀b")
    where = {"line": 1, "character": units}
    editor.change("file:///a.py", 2, {"range": {"start": where, "end": where}, "text": "!"})
    settled(editor)
    assert document(editor, "file:///a.py").source == "a\r\n😀!b"


def test_services_hear_of_documents_in_order(inside):
    editor, heard = inside(), []

    def listen():
        session = editor.session
        session.on_open.append(lambda d: heard.append(("open", d.source)))
        session.on_change.append(lambda d, before, change: heard.append(("change", before.value, d.source)))
        session.on_save.append(lambda d: heard.append(("save", d.source)))
        session.on_close.append(lambda d: heard.append(("close", d.source)))

    editor.loop.call(listen)
    editor.open("untitled:Untitled-1", "a")
    editor.change("untitled:Untitled-1", 2, {"text": "b"}, {"text": "c"})
    editor.notify("textDocument/didSave", {"textDocument": {"uri": "untitled:Untitled-1"}})
    editor.notify("textDocument/didClose", {"textDocument": {"uri": "untitled:Untitled-1"}})
    settled(editor)
    assert heard == [("open", "a"), ("change", "a", "b"), ("change", "b", "c"), ("save", "c"), ("close", "c")]
    assert document(editor, "untitled:Untitled-1") is None


def test_cells_before_a_cell_are_known_in_order(inside):
    editor, heard = inside(capabilities={"notebookDocument": {"synchronization": {}}}), []
    editor.loop.call(lambda: editor.session.on_open.append(lambda d: heard.append((d.uri, d.kind))))
    assert editor.capabilities["notebookDocumentSync"]["notebookSelector"]

    def item(name, text, language="python"):
        return {"uri": f"nb:{name}", "languageId": language, "version": 1, "text": text}

    def cell(name, kind=2):
        return {"kind": kind, "document": f"nb:{name}"}

    texts = [item("title", "# Title", "markdown"), item("one", "x = 1"), item("two", "y = x")]
    notebook = {"uri": NOTEBOOK, "notebookType": "jupyter-notebook", "version": 1,
                "cells": [cell("title", 1), cell("one"), cell("two")]}  # fmt: skip
    editor.notify("notebookDocument/didOpen", {"notebookDocument": notebook, "cellTextDocuments": texts})
    settled(editor)
    path = "/w/analysis.ipynb"
    assert heard == [("nb:title", "markup"), ("nb:one", "code"), ("nb:two", "code")]
    assert sources(editor, "nb:two") == [("markup", "markdown", "# Title", path), ("code", "python", "x = 1", path)]
    assert sources(editor, "nb:title") == sources(editor, "file:///w/a.py") == []

    def change(version, **cells):
        identity = {"uri": NOTEBOOK, "version": version}
        editor.notify("notebookDocument/didChange", {"notebookDocument": identity, "change": {"cells": cells}})
        settled(editor)

    edited = {"document": {"uri": "nb:one", "version": 2}, "changes": [{"text": "x = 2"}]}
    change(2, textContent=[edited])
    array = {"start": 2, "deleteCount": 0, "cells": [cell("new")]}
    change(3, structure={"array": array, "didOpen": [item("new", "z = 3")], "didClose": []})
    array = {"start": 0, "deleteCount": 1}
    change(4, structure={"array": array, "didClose": [{"uri": "nb:title"}]})
    assert [text for _, _, text, _ in sources(editor, "nb:two")] == ["x = 2", "z = 3"]
    assert document(editor, "nb:title") is None
    change(5, data=[cell("new", 1)])
    assert [kind for kind, *_ in sources(editor, "nb:two")] == ["code", "markup"]
    closed = {"notebookDocument": {"uri": NOTEBOOK}, "cellTextDocuments": [{"uri": f"nb:{n}"} for n in ("one", "two")]}
    editor.notify("notebookDocument/didClose", closed)
    settled(editor)
    assert sources(editor, "nb:two") == []
    assert document(editor, "nb:one") is None


def test_cells_that_arrive_as_plain_documents_complete_without_a_notebook(inside):
    editor = inside()
    editor.open("vscode-notebook-cell:/w/a.ipynb#X1", "x = 1")
    settled(editor)
    assert sources(editor, "vscode-notebook-cell:/w/a.ipynb#X1") == []


def test_folders_join_and_leave(inside, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two words"
    folders = [{"uri": one.as_uri(), "name": "one"}]
    editor, heard = inside(rootUri=one.as_uri(), workspaceFolders=folders), []
    editor.loop.call(lambda: editor.session.on_roots.append(lambda: heard.append(editor.session.roots)))
    assert editor.loop.call(lambda: editor.session.roots) == [one]
    event = {"added": [{"uri": two.as_uri(), "name": "two"}], "removed": []}
    editor.notify("workspace/didChangeWorkspaceFolders", {"event": event})
    editor.notify("workspace/didChangeWorkspaceFolders", {"event": {"added": [], "removed": folders}})
    settled(editor)
    assert heard == [[one, two], [two]]


@pytest.mark.parametrize("params", [{}, {"rootUri": None, "workspaceFolders": None}, {"workspaceFolders": []}])
def test_a_lone_file_has_no_folder(inside, params):
    assert inside(**params).loop.call(lambda: True)


def test_an_old_client_names_its_folder_in_the_old_way(inside, tmp_path):
    editor = inside(rootUri=tmp_path.as_uri())
    assert editor.loop.call(lambda: editor.session.roots) == [tmp_path]


def test_what_runs_for_a_session_ends_with_it(inside):
    editor, ended = inside(), []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    def begin():
        editor.session.spawn(work())
        editor.session.at_end.append(lambda: ended.append("file"))

    editor.loop.call(begin)
    editor.hang_up()
    editor.gone()
    editor.loop.run(asyncio.wait_for(editor.task, 10))
    assert ended == ["work", "file"]
