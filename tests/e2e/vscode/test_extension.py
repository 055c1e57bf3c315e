"""The extension in a real VS Code in a real browser, with the embedded model: what a user sees and gets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from famulus.lsp_server import settings

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

EXTENSION = Path(__file__).parents[3] / "editors/vscode"
STAND_IN = Path(__file__).parents[1] / "neovim/stand_in.py"
EDITOR = ".editor-group-container.active .monaco-editor"
DIFF = f"{EDITOR}.modified-in-monaco-diff-editor"
APPLY = ".notification-toast .monaco-text-button >> text=Apply"


def apply(vscode: Any, name: str) -> None:
    """Applies the proposal to a file. Its diff, the tab of which has the same name, is gone then."""
    vscode.page(APPLY, "click")
    vscode.page.wait(DIFF, "hidden")
    vscode.page.wait(f".tab.active[data-resource-name='{name}']")


def test_the_settings_are_those_of_the_server() -> None:
    groups = json.loads((EXTENSION / "package.json").read_text())["contributes"]["configuration"]
    offered = {name: entry for group in groups for name, entry in group["properties"].items()}
    command = offered.pop("famulus.command")
    assert command["scope"] == "machine", "a workspace must not choose the program"
    assert {name: json.dumps(entry["default"]) for name, entry in offered.items()} == {
        name: default for name, _, default in settings.table()
    }
    assert all(entry.get("description") or entry.get("markdownDescription") for entry in offered.values())


def test_the_status_bar_says_ready(vscode: Any) -> None:
    vscode.ready()
    assert len(vscode.servers()) == 1


def test_grey_text_appears_and_tab_takes_it(vscode: Any) -> None:
    vscode.ready()
    before = vscode.open("geometry.py")
    vscode.page.type("return ")
    ghost = vscode.ghost()
    assert "radius" in ghost
    vscode.page.wait(f"{EDITOR} .squiggly-error", "hidden")  # The function has its body now.
    vscode.picture("completion")
    vscode.page.keys("Tab")
    line, _, below = vscode.saved("geometry.py").removeprefix(before).partition("\n")
    assert line.rstrip() == f"return {ghost}".rstrip()
    assert "return" not in below, "more than the grey text was inserted"


@pytest.mark.parametrize(
    ("key", "name", "part"),
    [("Alt+ArrowRight", "words.py", "word"), ("Alt+End", "lines.py", "line"), ("Alt+Enter", "wholes.py", "all")],
)
def test_a_key_takes_a_part(key: str, name: str, part: str, vscode: Any) -> None:
    vscode.ready()
    before = vscode.open(name)
    vscode.page.type("return ")
    ghost = vscode.ghost()
    vscode.page.keys(key)
    vscode.page.keys("Escape")
    taken = vscode.saved(name).removeprefix(f"{before}return ")
    assert taken.strip()
    if part == "all":
        assert taken.startswith(ghost.rstrip()), (taken, ghost)
    elif part == "line":
        assert taken.rstrip() == ghost.rstrip()
    else:
        assert ghost.startswith(taken) and len(taken) < len(ghost), (taken, ghost)


def test_problems_are_shown(vscode: Any) -> None:
    vscode.open("averages.py")
    vscode.page.wait(f"{EDITOR} .squiggly-error, {EDITOR} .squiggly-warning")
    vscode.run("Problems: Focus on Problems View")
    problem = ".markers-panel .monaco-list-row [class*=marker-message]"
    vscode.page.wait(problem)
    vscode.page.until("ruff names the name", lambda: "valves" in vscode.page(problem, "textContent"))
    vscode.picture("problems")
    vscode.run("View: Toggle Panel Visibility")


def test_the_prompt_is_shown(vscode: Any) -> None:
    vscode.ready()
    vscode.open("rounds.py")
    vscode.page.type("return ")
    vscode.ghost()
    vscode.run("Famulus: Show the Prompt")
    vscode.page.wait(".tab.active[data-resource-name$='.md']")
    vscode.page.keys("Control+End")
    vscode.page.until("the prompt has the code", lambda: "def area_of_circle(radius):" in vscode.text())
    vscode.page(".editor-group-container.active .tab.active .codicon-close", "click")


def test_a_proposed_edit_is_shown_and_applied_on_request(vscode: Any) -> None:
    vscode.ready()
    before = vscode.open("sums.py")
    vscode.page.keys("Control+a")
    vscode.run("Famulus: Rewrite Selection...")
    vscode.page.wait(".quick-input-title >> text=Rewrite Selection")
    vscode.page.type("rename values to numbers")
    vscode.page.keys("Enter")
    vscode.page.wait(f"{DIFF} .view-line >> text=numbers")
    vscode.page(APPLY, "hover")
    vscode.picture("rewrite")
    assert (vscode.project / "sums.py").read_text() == before
    apply(vscode, "sums.py")
    vscode.page.until("the edit is there", lambda: "def total(numbers):" in vscode.text())
    assert vscode.saved("sums.py") == before.replace("values", "numbers")


def test_changes_are_reviewed_where_they_break(vscode: Any) -> None:
    vscode.ready()
    (vscode.project / "prices.py").write_text("def price(amount, tax=0.2):\n    return amount * (1 + tax)\n")
    vscode.open("prices.py")
    vscode.page.keys("Enter")
    vscode.saved("prices.py")
    vscode.open("orders.py")
    vscode.page.wait(f"{EDITOR} .squiggly-error")
    vscode.run("Famulus: Review My Changes")
    vscode.page.wait(".tab.active[data-resource-name='Review.md']")
    vscode.page.until("the summary names the caller", lambda: "orders.py:5 calls price()" in vscode.text())
    vscode.page(".editor-group-container.active .tab.active .codicon-close", "click")
    vscode.open("orders.py")
    vscode.run("Go to Next Problem (Error, Warning, Info)")
    vscode.page.wait(f"{EDITOR} .peekview-widget, {EDITOR} .zone-widget")
    vscode.picture("review")
    vscode.page.keys("Escape")
    vscode.page.keys("Control+.")
    vscode.page.wait(".action-widget >> text=rename `rate` to `tax`")
    vscode.page.keys("Enter")
    vscode.page.until("the caller is mended", lambda: "tax=0.1" in vscode.text())
    vscode.saved("orders.py")
    vscode.page.until("nothing is wrong any more", lambda: not vscode.page(f"{EDITOR} .squiggly-error", "count"))


def test_tests_are_written_and_shown_before_they_are_there(vscode: Any) -> None:
    vscode.ready()
    vscode.open("sizes.py")
    vscode.page.keys("Control+Home")
    vscode.run("Famulus: Write Tests for the Function at the Cursor")
    vscode.page(f"{DIFF} .view-line >> text=test_clamp", "waitFor", {"state": "visible", "timeout": 120_000})
    vscode.page(APPLY, "hover")
    vscode.picture("tests")
    assert not (vscode.project / "test_sizes.py").exists()
    apply(vscode, "test_sizes.py")
    vscode.page.until("the tests are there", lambda: "def test_clamp" in vscode.text())
    vscode.page.keys("Control+s")
    made = vscode.project / "test_sizes.py"
    vscode.page.until("they are saved", lambda: made.exists() and "def test_clamp" in made.read_text())
    vscode.open("sizes.py")
    vscode.page.wait(f"{EDITOR} .codelens-decoration >> text=tests notice")
    vscode.picture("lens")


def test_a_commit_message_is_put_into_its_box(vscode: Any) -> None:
    vscode.ready()
    (vscode.project / "medians.py").write_text("def median(values):\n    return sorted(values)[len(values) // 2]\n")
    subprocess.run(["git", "add", "medians.py"], cwd=vscode.project, check=True)
    vscode.run("Famulus: Write the Commit Message")
    box = ".scm-view .scm-editor .view-line"
    vscode.page.until("a message about the file", lambda: "median" in vscode.page.joined(box, " "))
    vscode.page.keys("Control+Shift+e")


def test_completion_is_turned_off_for_a_language(vscode: Any) -> None:
    vscode.ready()
    vscode.open("areas.py")
    title = "Famulus: Turn Completion On or Off for This Language"
    vscode.run(title)
    off = "Famulus: Completion is turned off for python."
    vscode.page.until("the status bar says so", lambda: vscode.status == off)
    vscode.run(title)
    vscode.ready()
    vscode.open("areas.py")  # into the text, wherever the status bar left the focus
    vscode.page.type("return ")
    assert vscode.ghost()


def test_a_server_that_ends_is_started_again(vscode: Any) -> None:
    vscode.ready()
    [first] = vscode.servers()
    first.kill()
    first.wait(10)
    vscode.page.until("another one runs", lambda: [p for p in vscode.servers() if p != first])
    vscode.ready()
    vscode.open("shapes.py")
    vscode.page.type("return ")
    assert "radius" in vscode.ghost()


def test_a_proposal_grows_in_its_diff_and_can_be_applied_only_when_it_is_whole(vscode: Any, tmp_path: Path) -> None:
    """With a language server that proposes what is written here, when it is told to."""
    vscode.ready()
    before = vscode.open("sales.py")
    uri = (vscode.project / "sales.py").as_uri()

    def edit(id: str, *lines: str) -> dict[str, Any]:
        place = {"start": {"line": 1, "character": 0}, "end": {"line": 1, "character": 12}}
        change = {"range": place, "newText": "\n".join(lines), "annotationId": id}
        return {
            "documentChanges": [{"textDocument": {"uri": uri, "version": None}, "edits": [change]}],
            "changeAnnotations": {id: {"label": f"Proposal {id}", "needsConfirmation": True}},
        }

    def told(id: str, state: str, *lines: str) -> dict[str, Any]:
        return {"method": "famulus/proposal", "params": {"id": id, "state": state, "edit": edit(id, *lines)}}

    def asked(id: str, *lines: str) -> dict[str, Any]:
        return {"id": id, "method": "workspace/applyEdit", "params": {"edit": edit(id, *lines)}}

    def heard(**wanted: Any) -> list[Any]:
        messages = map(json.loads, (tmp_path / "heard.jsonl").read_text().split("\n")[:-1])
        return [m for m in messages if wanted.items() <= m.items()]

    def propose(*messages: Any) -> None:
        (tmp_path / "says.json").write_text(json.dumps(messages))
        vscode.run("Famulus: Rewrite Selection...")
        vscode.page.wait(".quick-input-title >> text=Rewrite Selection")
        vscode.page.type("go")
        vscode.page.keys("Enter")

    def sees(line: str) -> None:
        vscode.page.wait(f"{DIFF} .view-line >> text={line}")
        assert (vscode.project / "sales.py").read_text() == before

    actions = ".editor-group-container.active .editor-actions [aria-label^={}]"
    (tmp_path / "offers.json").write_text("{}")
    command = tmp_path / "famulus"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{STAND_IN}" "{tmp_path}" "$@"\n')
    command.chmod(0o755)
    vscode.machine.parent.mkdir(exist_ok=True)
    vscode.machine.write_text(json.dumps({"famulus.command": str(command)}))
    vscode.page.until("it runs", lambda: (tmp_path / "heard.jsonl").exists() and heard(method="textDocument/didOpen"))

    propose(told("one", "growing", "    first = 1"), "more", told("one", "growing", "    first = 1", "    second = 2"),
            "all", asked("one", "    return 3"))  # fmt: skip
    sees("first")
    assert not vscode.page(f"{DIFF} .view-line >> text=second", "isVisible")
    vscode.run("View: Move Editor into Next Group")  # that is not closing it
    (tmp_path / "more").touch()
    sees("second")
    assert not heard(method="famulus/discardProposal")
    vscode.page.wait(actions.format("Discard"))
    assert not vscode.page(actions.format("Apply"), "isVisible"), "what is not yet written can be applied"
    vscode.page(".editor-group-container.active .tab.active .codicon-close", "click")
    vscode.page.wait(".tab.active[data-resource-name='sales.py'][aria-label^='sales.py']")
    (tmp_path / "all").touch()
    vscode.page.until("it is told", lambda: heard(method="famulus/discardProposal", params={"id": "one"}))
    vscode.page.until("it is refused", lambda: heard(id="one", result={"applied": False}))

    propose(told("two", "growing", "    first = 1"), told("two", "final", "    return 4"), asked("two", "    return 4"))
    sees("4")
    vscode.page(actions.format("Apply"), "click")
    vscode.page.until("it is applied", lambda: heard(id="two", result={"applied": True}))
    assert vscode.saved("sales.py") == before.replace("1", "4")

    propose(told("three", "growing", "    return 5"), "no more",
            {"method": "famulus/proposal", "params": {"id": "three", "state": "withdrawn"}})  # fmt: skip
    vscode.page.wait(f"{DIFF} .view-line >> text=5")
    (tmp_path / "no more").touch()
    vscode.page.wait(".tab.active[data-resource-name='sales.py'][aria-label^='sales.py']")
    vscode.machine.write_text("{}")
    vscode.ready()


def test_what_is_set_for_a_language_holds_for_it(vscode: Any) -> None:
    vscode.ready()
    vscode.machine.parent.mkdir(exist_ok=True)
    vscode.machine.write_text(json.dumps({"[python]": {"famulus.completion.enabled": False}}))
    vscode.open("languages.py")
    vscode.page.until("the status bar knows", lambda: "turned off" in vscode.status)
    vscode.page.type("return ")

    def said() -> str:
        """Why nothing is shown. The server learns of a setting a little later than the window."""
        vscode.open("languages.py")
        vscode.run("Famulus: Why Is Nothing Shown?")
        vscode.page.wait(".tab.active[data-resource-name$='.md']")
        return " ".join(vscode.text().split())  # the page wraps its lines

    vscode.page.until("the server knows", lambda: "Completion is switched off" in said())
    vscode.open("languages.py")
    vscode.machine.write_text("{}")
    vscode.page.until("the status bar knows", lambda: "turned off" not in vscode.status)

    def asked_again() -> object:
        """The server learns of it a little later, and nobody asks by themselves."""
        vscode.page.keys("Backspace")
        vscode.page.type(" ")
        vscode.page("page", "waitForTimeout", 1000)
        return vscode.page(f"{EDITOR} [class*=ghost-text]", "isVisible")

    vscode.page.until("grey text is there again", asked_again)


def test_a_command_that_does_not_exist_is_named(vscode: Any) -> None:
    vscode.machine.parent.mkdir(exist_ok=True)
    vscode.machine.write_text(json.dumps({"famulus.command": "/nowhere/famulus"}))
    vscode.page.until("the status bar names it", lambda: "/nowhere/famulus" in vscode.status)
    vscode.page.until("the server before has ended", lambda: vscode.servers() == [])
    vscode.machine.write_text("{}")
    vscode.ready()
    assert len(vscode.servers()) == 1
