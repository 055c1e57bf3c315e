"""The commands as an editor meets them: pages, previews that ask first, progress that can be cancelled."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

URI = "file:///p/a.py"
PREVIEW = {"workspace": {"workspaceEdit": {"documentChanges": True, "changeAnnotationSupport": {}}}}


def span(first: int, start: int, last: int, end: int) -> dict[str, Any]:
    return {"start": {"line": first, "character": start}, "end": {"line": last, "character": end}}


def run(editor: Any, command: str, *arguments: Any) -> Any:
    return editor.request("workspace/executeCommand", {"command": command, "arguments": list(arguments)}, timeout=90)


def diagnostic(message: str, place: dict[str, Any]) -> dict[str, Any]:
    return {"range": place, "message": message, "severity": 1, "source": "famulus"}


def applied(editor: Any) -> dict[str, Any]:
    found: dict[str, Any] = editor.told("workspace/applyEdit")
    return found


# -- what needs no model


def test_a_misspelt_name_is_mended_without_an_engine(inside: Callable[..., Any]) -> None:
    editor = inside(capabilities=PREVIEW)
    editor.open(URI, "def f(amount):\n    return amuont\n")
    run(editor, "famulus.fix", URI, diagnostic("Undefined name `amuont`.", span(1, 11, 1, 17)))
    edit = applied(editor)["edit"]
    (change,) = edit["documentChanges"]
    assert change["textDocument"] == {"uri": URI, "version": 1}
    assert [(e["newText"], e["range"]) for e in change["edits"]] == [("amount", span(1, 11, 1, 17))]
    (annotation,) = edit["changeAnnotations"].values()
    assert annotation["needsConfirmation"] is True
    assert "the problem is gone" in annotation["description"]


def test_a_rename_asks_before_it_is_applied(inside: Callable[..., Any]) -> None:
    editor = inside()
    asked: list[str] = []

    def answer(title: str) -> Callable[[Any], Any]:
        return lambda params: asked.append(params["message"]) or {"title": title}

    editor.open(URI, "def f(file):\n    return file\n")
    editor.answers["window/showMessageRequest"] = answer("Discard")
    run(editor, "famulus.rewrite", URI, span(0, 0, 1, 15), "rename file to source")
    assert "def f(source):" in asked[0]
    assert not [m for m in editor.messages if m.get("method") == "workspace/applyEdit"]
    editor.answers["window/showMessageRequest"] = answer("Apply")
    run(editor, "famulus.rewrite", URI, span(0, 0, 1, 15), "rename file to source")
    assert applied(editor)["edit"]["changes"][URI][0]["newText"] == "def f(source):\n    return source"


def test_more_than_can_be_shown_is_not_asked_about(inside: Callable[..., Any]) -> None:
    def rename(**capabilities: Any) -> Any:
        editor = inside(**capabilities)
        body = "".join(f"    file.write({line})\n" for line in range(20))
        editor.answers["window/showMessageRequest"] = lambda params: {"title": "Apply"}
        editor.open(URI, f"def f(file):\n{body}")
        run(editor, "famulus.rewrite", URI, span(0, 0, 20, 18), "rename file to source")
        return editor

    editor = rename()
    assert "The proposal has 21 lines, more than this editor can show" in editor.told("window/showMessage")["message"]
    refused = {"window/showMessageRequest", "workspace/applyEdit"}
    assert not [m for m in editor.messages if m.get("method") in refused]
    assert applied(rename(capabilities=PREVIEW))["edit"]["changeAnnotations"]


def change_it(editor: Any) -> None:
    editor.change(URI, 2, {"text": "something else\n"})


def open_it_again(editor: Any) -> None:
    editor.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    editor.open(URI, "something = 1\nelse_ = 2\n")  # version 1, as before


def close_it(editor: Any) -> None:
    editor.notify("textDocument/didClose", {"textDocument": {"uri": URI}})


@pytest.mark.parametrize("act", [change_it, open_it_again, close_it])
def test_text_that_changed_meanwhile_is_left_alone(inside: Callable[..., Any], act: Callable[[Any], None]) -> None:
    editor = inside()
    editor.open(URI, "def f(file):\n    return file\n")

    def act_first(params: Any) -> dict[str, str]:
        act(editor)
        return {"title": "Apply"}

    editor.answers["window/showMessageRequest"] = act_first
    run(editor, "famulus.rewrite", URI, span(0, 0, 1, 15), "rename file to source")
    assert "nothing was applied" in editor.told("window/showMessage")["message"]
    assert not [m for m in editor.messages if m.get("method") == "workspace/applyEdit"]


def test_a_client_that_compares_versions_is_told_the_version(inside: Callable[..., Any]) -> None:
    editor = inside(capabilities={"workspace": {"workspaceEdit": {"documentChanges": True}}})
    editor.open(URI, "def f(file):\n    return file\n", version=7)
    editor.answers["window/showMessageRequest"] = lambda params: {"title": "Apply"}
    run(editor, "famulus.rewrite", URI, span(0, 0, 1, 15), "rename file to source")
    (change,) = applied(editor)["edit"]["documentChanges"]
    assert change["textDocument"] == {"uri": URI, "version": 7}
    (edit,) = change["edits"]
    assert edit == {"range": span(0, 0, 1, 15), "newText": "def f(source):\n    return source"}


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        ("famulus.explain", ["file:///p/none.py", span(0, 0, 0, 1)], "not open"),
        ("famulus.explain", [URI, span(1, 0, 1, 0)], "nothing to explain"),
        ("famulus.rewrite", [URI, span(0, 0, 0, 5), ""], "1 to 500 characters"),
        ("famulus.rewrite", [URI, span(1, 0, 1, 0), "x"], "selection is empty"),
        ("famulus.docstring", [URI, {"line": 0, "character": 0}], "no function or class"),
        ("famulus.docstring", ["file:///p/.env", {"line": 0, "character": 0}], "does not read this file"),
        ("famulus.commitMessage", [], "not trusted"),
        ("famulus.explain", [URI, span(0, 0, 0, 3)], "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    inside: Callable[..., Any], command: str, arguments: list[Any], sentence: str
) -> None:
    editor = inside()
    editor.open(URI, "x = 1\n\n")
    editor.open("file:///p/.env", "KEY=1\n", "python")
    with pytest.raises(Exception, match=sentence):
        run(editor, command, *arguments)


def test_a_commit_is_named_by_its_diff_when_there_is_no_engine(inside: Callable[..., Any], tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(root), *arguments], check=True)

    root = tmp_path / "project"
    root.mkdir()
    git("init", "-q")
    (root / "load.py").write_text("def load(): pass\n")
    (root / "save.py").write_text("def save(): pass\n")
    git("add", "-A")
    folder = {"uri": root.as_uri(), "name": "project"}
    options = {"famulus": {"trusted": True, "documents": True}}
    editor = inside(options=options, workspaceFolders=[folder], rootUri=root.as_uri())
    page = run(editor, "famulus.commitMessage")
    assert page["text"].split("\n")[0] == "Add load.py and save.py"
    assert "- save.py: added, +1 −0" in page["text"]


def test_the_actions_at_a_place(inside: Callable[..., Any]) -> None:
    editor = inside()
    editor.open(URI, "def f(a):\n    return b\n")
    problem = diagnostic("Undefined name `b`.", span(1, 11, 1, 12))

    def titles(place: dict[str, Any], *diagnostics: Any) -> list[str]:
        context = {"diagnostics": list(diagnostics)}
        asked = {"textDocument": {"uri": URI}, "range": place, "context": context}
        return [action["title"] for action in editor.request("textDocument/codeAction", asked) or []]

    assert "Famulus: fix Undefined name `b`." in titles(span(1, 11, 1, 11), problem)
    assert "Famulus: write a docstring" in titles(span(1, 4, 1, 4))
    assert titles(span(0, 0, 1, 4)) == ["Famulus: explain the selection"]


# -- with the model


@pytest.mark.slow
def test_an_explanation_shows_progress_and_facts(inside: Callable[..., Any], served: Any) -> None:
    editor = inside(
        served.home, capabilities={"window": {"workDoneProgress": True}}, options={"famulus": {"documents": True}}
    )
    editor.open(URI, "def total(numbers):\n    return sum(numbers)\n")
    page = run(editor, "famulus.explain", URI, span(0, 0, 1, 23))
    assert "- function `total(numbers)`" in page["text"]
    assert "returns `sum(numbers)`" in page["text"]
    assert editor.told("$/progress", lambda p: p["value"]["kind"] == "begin")["value"]["cancellable"] is True
    editor.told("$/progress", lambda p: p["value"]["kind"] == "end")


@pytest.mark.slow
def test_a_cancelled_command_ends_at_once(inside: Callable[..., Any], served: Any) -> None:
    editor = inside(
        served.home, capabilities={"window": {"workDoneProgress": True}}, options={"famulus": {"documents": True}}
    )
    many = "".join(f"def total_{n}(numbers):\n    return sum(numbers) + {n}\n" for n in range(60))
    editor.open(URI, many)
    asked = editor.ask(
        "workspace/executeCommand", {"command": "famulus.explain", "arguments": [URI, span(0, 0, 119, 20)]}
    )
    token = editor.told("$/progress", lambda p: p["value"]["kind"] == "begin")["token"]
    editor.notify("window/workDoneProgress/cancel", {"token": token})
    assert editor.result(asked, timeout=5) is None


@pytest.mark.slow
def test_a_docstring_is_proposed_for_the_function_at_the_cursor(inside: Callable[..., Any], served: Any) -> None:
    editor = inside(served.home, capabilities=PREVIEW)
    code = (
        "class Counter:\n    def most_common(self, n):\n        items = sorted(self.counts)\n        return items[:n]\n"
    )
    editor.open(URI, code)
    run(editor, "famulus.docstring", URI, {"line": 2, "character": 10})
    (change,) = applied(editor)["edit"]["documentChanges"]
    (edit,) = change["edits"]
    assert edit["range"] == span(2, 0, 2, 0)
    assert edit["newText"].startswith('        """')
    assert edit["newText"].endswith('."""\n')
    compile(code.replace("        items", edit["newText"] + "        items"), "a.py", "exec")


def test_names_of_commands_are_advertised(inside: Callable[..., Any]) -> None:
    editor = inside()
    offered = set(editor.capabilities["executeCommandProvider"]["commands"])
    wanted = {"explain", "fix", "docstring", "rewrite", "commitMessage"}
    assert {f"famulus.{name}" for name in wanted} <= offered
