"""Tests made from an editor: offered where they make sense, shown as an edit, and nothing is run without trust."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from lsprotocol import types
from pygls.workspace import PositionCodec

from famulus.engine.errors import InvalidRequest
from famulus.lsp_server.documents import Document
from famulus.lsp_server.testgen.doors.edits import digest, workspace_edit
from famulus.lsp_server.testgen.placing import Insertion, placed

SHOP = '''\
def clamp(x: int, low: int, high: int) -> int:
    """x, but at least low and at most high."""
    return max(low, min(x, high))


class Cart:
    """What is bought."""

    def __init__(self) -> None:
        self.items: list[int] = []

    def total(self) -> int:
        return sum(self.items)


def _hidden(x):
    return x
'''
ENDLESS = "def endless(x: int) -> int:\n    while True:\n        x += 1\n"
ABLE = {
    "workspace": {
        "workspaceEdit": {
            "documentChanges": True,
            "resourceOperations": ["create"],
            "changeAnnotationSupport": {"groupsOnLabel": True},
        },
        "applyEdit": True,
        "codeLens": {"refreshSupport": True},
    },
    "window": {"workDoneProgress": True},
}
PATIENCE = 120


@pytest.fixture
def start(tmp_path: Path, inside: Callable[..., Any]) -> Callable[..., Any]:
    """An editor in a folder with a shop: ``start(trusted=True)``."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("")

    def begin(text: str = SHOP, *, trusted: bool = True, capabilities: Any = ABLE) -> tuple[Any, Path, str]:
        (folder / "shop.py").write_text(text)
        editor = inside(
            options={"famulus": {"trusted": trusted}},
            capabilities=capabilities,
            workspaceFolders=[{"uri": folder.as_uri(), "name": "project"}],
        )
        uri = (folder / "shop.py").as_uri()
        editor.open(uri, text)
        return editor, folder, uri

    return begin


def offered(editor: Any, uri: str, line: int, only: list[str] | None = None, word: str = "write tests") -> list[Any]:
    at = {"line": line, "character": 0}
    context: dict[str, Any] = {"diagnostics": []} | ({"only": only} if only else {})
    asked = {"textDocument": {"uri": uri}, "range": {"start": at, "end": at}, "context": context}
    found = editor.request("textDocument/codeAction", asked) or []
    return [action for action in found if word in action["title"]]


def titles(actions: list[Any]) -> list[str]:
    return [action["title"].removeprefix("Famulus: write tests for ") for action in actions]


def test_tests_are_offered_for_the_function_the_class_and_the_file(start: Callable[..., Any]) -> None:
    editor, _, uri = start()
    assert titles(offered(editor, uri, 1)) == ["clamp"]
    assert titles(offered(editor, uri, 6)) == ["Cart"]
    assert titles(offered(editor, uri, 12)) == ["Cart.total"]
    assert titles(offered(editor, uri, 4)) == ["this file"]
    assert titles(offered(editor, uri, 16)) == ["this file"]
    assert titles(offered(editor, uri, 1, ["source"])) == ["this file"]
    assert titles(offered(editor, uri, 1, ["refactor"])) == ["clamp"]
    assert offered(editor, uri, 1, ["quickfix"]) == []


def test_nothing_is_offered_or_run_in_a_workspace_that_is_not_trusted(start: Callable[..., Any]) -> None:
    editor, _, uri = start(trusted=False)
    assert offered(editor, uri, 1) == []
    with pytest.raises(Exception, match="Trust the workspace"):
        editor.request("workspace/executeCommand", {"command": "famulus.testgen", "arguments": [uri, "clamp"]})


def test_a_text_that_is_not_saved_is_not_what_would_be_tested(start: Callable[..., Any]) -> None:
    editor, _, uri = start()
    editor.change(uri, 2, {"text": SHOP + "x = 1\n"})
    with pytest.raises(Exception, match="Save it first"):
        editor.request("workspace/executeCommand", {"command": "famulus.testgen", "arguments": [uri, "clamp"]})


def test_the_tests_come_as_an_edit_that_is_asked_about(start: Callable[..., Any]) -> None:
    editor, folder, uri = start()
    [action] = offered(editor, uri, 1)
    before = sorted(path.name for path in folder.iterdir())
    editor.request("workspace/executeCommand", action["command"], timeout=PATIENCE)
    edit = editor.told("workspace/applyEdit")["edit"]
    create, change = edit["documentChanges"]
    assert (create["kind"], create["uri"]) == ("create", (folder / "test_shop.py").as_uri())
    [label] = edit["changeAnnotations"].values()
    assert label["needsConfirmation"]
    assert "mutation score 0\u00a0% → 100\u00a0%" in label["description"]
    [text] = change["edits"]
    assert text["annotationId"] in edit["changeAnnotations"]
    assert "def test_clamp" in text["newText"]
    assert sorted(path.name for path in folder.iterdir()) == before
    told = "Famulus: tests notice "
    [lens] = editor.request("textDocument/codeLens", {"textDocument": {"uri": uri}})
    assert lens["command"]["title"].startswith(told)
    assert lens["range"]["start"]["line"] == 0
    editor.change(uri, 2, {"text": SHOP.replace("min(x, high)", "min(high, x)")})
    assert editor.request("textDocument/codeLens", {"textDocument": {"uri": uri}}) is None, "of other code"
    later, _, uri = start()
    assert later.request("textDocument/codeLens", {"textDocument": {"uri": uri}}) == [lens], "of another server"


def test_a_test_is_explained_and_strengthened(start: Callable[..., Any]) -> None:
    editor, folder, _ = start()
    test = folder / "test_shop.py"
    test.write_text("from shop import clamp\n\n\ndef test_clamp():\n    assert clamp(1, 0, 3) is not None\n")
    editor.open(test.as_uri(), test.read_text())
    strengthen, why = offered(editor, test.as_uri(), 4, word="test_clamp")
    assert offered(editor, test.as_uri(), 0, word="Famulus") == []
    page = editor.request("workspace/executeCommand", why["command"], timeout=PATIENCE)
    assert page["title"] == "Why test_clamp exists"
    assert page["text"].startswith("`test_clamp` notices ")
    editor.request("workspace/executeCommand", strengthen["command"], timeout=PATIENCE)
    [change] = editor.told("workspace/applyEdit")["edit"]["documentChanges"]
    assert [edit["newText"] for edit in change["edits"]] == ["    assert clamp(1, 0, 3) == 1\n"]
    here = {"command": "famulus.testgen.here", "arguments": [test.as_uri(), {"line": 4, "character": 0}]}
    with pytest.raises(Exception, match="holds tests itself"):
        editor.request("workspace/executeCommand", here)


def test_cancelling_ends_the_process(start: Callable[..., Any]) -> None:
    editor, _, uri = start(ENDLESS)
    asked = editor.ask("workspace/executeCommand", {"command": "famulus.testgen", "arguments": [uri]})
    begun = editor.told("$/progress", lambda p: p["value"]["kind"] == "begin", timeout=PATIENCE)

    def running() -> list[Any]:
        return [p for p in psutil.Process().children(recursive=True) if "testgen" in " ".join(arguments(p))]

    wait_until(lambda: bool(running()))
    editor.notify("window/workDoneProgress/cancel", {"token": begun["token"]})
    assert editor.result(asked, timeout=PATIENCE) is None
    wait_until(lambda: not running())


def arguments(process: Any) -> list[str]:
    try:
        found: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return found


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    "text", ["import os\n\n\ndef test_a():\n    pass\n", "import os\r\nx = '😀'", "", "import os\n# é", "\n"]
)
def test_the_edit_of_an_open_file_gives_what_the_command_would_write(text: str) -> None:
    plain = text.replace("\r\n", "\n")
    end = plain.count("\n") + (not plain.endswith("\n") and plain != "")
    new: list[dict[str, Any]] = [
        {"line": min(1, end), "text": "from m import f\n"},
        {"line": end, "text": "\n\ndef test_b():\n    f()\n"},
        *([{"line": 0, "column": 7, "text": "re, "}] if text.startswith("import os") else []),
    ]
    document = Document("file:///t/test_a.py", text, 3, "python", PositionCodec())
    able = types.ClientCapabilities(
        types.WorkspaceClientCapabilities(workspace_edit=types.WorkspaceEditClientCapabilities(document_changes=True))
    )
    made = {"path": "test_a.py", "digest": digest(text), "insertions": new, "text": ""}
    edit = workspace_edit(able, document.uri, document, made, "", asking=False)
    [change] = edit.document_changes or ()
    assert isinstance(change, types.TextDocumentEdit)
    assert change.text_document.version == 3
    parts = sorted(change.edits, key=lambda e: (e.range.start.line, e.range.start.character))
    for part in reversed(parts):
        at = document.offset_at(part.range.start)
        assert part.range.start == part.range.end
        assert isinstance(part, types.TextEdit)
        text = text[:at] + part.new_text + text[at:]
    inserted = [Insertion(part["line"], part["text"], part.get("column", 0)) for part in new]
    assert text.encode() == placed(document.text.value.encode(), inserted)
    with pytest.raises(InvalidRequest, match="is not as it is on disk"):
        workspace_edit(able, document.uri, document, {**made, "digest": digest("other")}, "", asking=False)


def test_an_editor_that_makes_no_files_is_told_what_to_type() -> None:
    made = {"path": "test_a.py", "digest": None, "insertions": (), "text": "x\n"}
    with pytest.raises(InvalidRequest, match="famulus testgen --write"):
        workspace_edit(types.ClientCapabilities(), "file:///t/test_a.py", None, made, "", asking=False)
