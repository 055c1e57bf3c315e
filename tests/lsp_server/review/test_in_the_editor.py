"""The review in an editor: findings appear where the user has to act, follow the text, and go when they are mended."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.lsp_server.review.doors import lenses as lens
from famulus.lsp_server.review.doors.standing import Moved, Standing, concluded
from famulus.lsp_server.review.finding import Finding, Grade, Place, Proof

SHOP = "def price(items, rate=0.2):\n    return sum(items) * (1 + rate)\n"
CART = "from shop import price\n\n\ndef total(items):\n    return price(items, rate=0.1)\n"
TESTS = "from cart import total\n\n\ndef test_total():\n    assert total([10]) == 11\n"
CHANGED = "def price(items, tax=0.2):\n    return sum(items) * (1 + tax)\n"
GONE = "def price(items):\n    return sum(items) * 1.2\n"
BROKEN = "cart.py:5 calls price() with `rate`, which it no longer takes."
ABLE = {
    "textDocument": {"publishDiagnostics": {"relatedInformation": True, "versionSupport": True}},
    "workspace": {"workspaceEdit": {"documentChanges": True}, "codeLens": {"refreshSupport": True}},
    "window": {"workDoneProgress": True},
}
PATIENCE = 90
TOP = {"line": 0, "character": 0}

SLOW = """
import os, pathlib, time
here = pathlib.Path(os.environ["SIGNS"])
(here / f"begun-{os.getpid()}").touch()
yield finding("a fault", path="cart.py", line=4, message="It has begun.")
while not (here / "go").exists():
    time.sleep(0.02)
yield finding("mode", path="cart.py", line=5, message=f"The code is run: {context.run_code}.")
"""
"""A rule that takes as long as the test wants, and says how it was called."""


@pytest.fixture
def start(repo: Any, inside: Callable[..., Any]) -> Callable[..., Any]:
    """A committed shop, and an editor in its folder: ``start(trusted=True, settings={…})``."""
    repo.commit({"shop.py": SHOP, "cart.py": CART, "tests/test_cart.py": TESTS})

    def begin(*, trusted: bool = False, settings: Any = None, capabilities: Any = ABLE) -> Any:
        return inside(
            settings={"review": settings or {}},
            options={"famulus": {"trusted": trusted, "documents": True}, "settings": {"review": settings or {}}},
            capabilities=capabilities,
            workspaceFolders=[{"uri": repo.path.as_uri(), "name": "repo"}],
        )

    return begin


def save(editor: Any, repo: Any, name: str, text: str) -> str:
    """Write a file in the editor, as one types and saves."""
    uri = (repo.path / name).as_uri()
    if editor.loop.call(lambda: editor.session.document(uri)) is None:
        editor.open(uri, (repo.path / name).read_text() if (repo.path / name).exists() else "")
    editor.change(uri, 2, {"text": text})
    repo.write({name: text})
    editor.notify("textDocument/didSave", {"textDocument": {"uri": uri}})
    return uri


def reviewed(editor: Any, uri: str, fits: Callable[[list[Any]], bool], timeout: float = PATIENCE) -> list[Any]:
    """The review's diagnostics of a file, once they fit."""

    def of(params: Any) -> list[Any]:
        return [d for d in params["diagnostics"] if d.get("data")]

    told = editor.told("textDocument/publishDiagnostics", lambda p: p["uri"] == uri and fits(of(p)), timeout=timeout)
    return of(told)


def run(editor: Any, command: str, *arguments: Any) -> Any:
    asked = {"command": command, "arguments": list(arguments)}
    return editor.request("workspace/executeCommand", asked, timeout=PATIENCE)


def actions(editor: Any, uri: str, found: Any) -> dict[str, Any]:
    asked = {"textDocument": {"uri": uri}, "range": found["range"], "context": {"diagnostics": [found]}}
    return {action["title"]: action for action in editor.request("textDocument/codeAction", asked) or []}


def test_a_save_shows_the_caller_that_breaks_in_a_file_nobody_opened(start: Any, repo: Any) -> None:
    editor = start()
    cart = (repo.path / "cart.py").as_uri()
    shop = save(editor, repo, "shop.py", GONE)
    [found] = reviewed(editor, cart, bool)
    assert found["message"] == BROKEN
    assert (found["severity"], found["code"], found["source"]) == (1, "call-site/unknown-keyword", "famulus")
    assert found["range"] == {"start": {"line": 4, "character": 11}, "end": {"line": 4, "character": 33}}
    assert len(found["data"]["fingerprint"]) == 20
    [related] = found["relatedInformation"]
    assert (related["location"]["uri"], related["location"]["range"]["start"]["line"]) == (shop, 0)
    editor.forget()
    save(editor, repo, "shop.py", SHOP)
    assert reviewed(editor, cart, lambda listed: not listed) == []


def test_a_finding_stays_with_its_line_in_a_buffer_and_goes_when_the_line_is_edited(start: Any, repo: Any) -> None:
    editor = start()
    cart = (repo.path / "cart.py").as_uri()
    editor.open(cart, CART)
    save(editor, repo, "shop.py", GONE)
    reviewed(editor, cart, bool)
    editor.forget()
    editor.change(cart, 2, {"text": "# €\n\n" + CART})
    [moved] = reviewed(editor, cart, lambda listed: [d["range"]["start"]["line"] for d in listed] == [6])
    assert moved["message"] == BROKEN
    editor.forget()
    editor.change(cart, 3, {"text": "# €\n\n" + CART.replace("rate=0.1", "rate=0.15")})
    reviewed(editor, cart, lambda listed: not listed)
    editor.forget()
    editor.notify("textDocument/didClose", {"textDocument": {"uri": cart}})
    [back] = reviewed(editor, cart, bool)
    assert back["range"]["start"]["line"] == 4


def test_both_what_is_predicted_and_what_is_reviewed_is_shown(start: Any, repo: Any) -> None:
    editor = start()
    cart = save(editor, repo, "cart.py", CART + "\n\ndef empty():\n    return nothing\n")
    editor.told("textDocument/publishDiagnostics", lambda p: p["uri"] == cart and p["diagnostics"], timeout=PATIENCE)
    save(editor, repo, "shop.py", GONE)
    both = editor.told(
        "textDocument/publishDiagnostics", lambda p: p["uri"] == cart and len(p["diagnostics"]) == 2, timeout=PATIENCE
    )
    assert {d["code"] for d in both["diagnostics"]} == {"F821", "call-site/unknown-keyword"}


def test_a_suggestion_is_a_quick_fix_for_the_version_that_is_open(start: Any, repo: Any) -> None:
    editor = start()
    cart = (repo.path / "cart.py").as_uri()
    editor.open(cart, CART)
    save(editor, repo, "shop.py", CHANGED)
    [found] = reviewed(editor, cart, bool)
    editor.change(cart, 7, {"text": "\n" + CART})
    [moved] = reviewed(editor, cart, lambda listed: [d["range"]["start"]["line"] for d in listed] == [5])
    elsewhere = {"start": TOP, "end": TOP}
    assert not actions(editor, cart, found | {"range": elsewhere})
    fix = actions(editor, cart, moved)["Famulus: rename `rate` to `tax`"]
    [change] = fix["edit"]["documentChanges"]
    assert change["textDocument"] == {"uri": cart, "version": 7}
    [edit] = change["edits"]
    assert edit["newText"] == "    return price(items, tax=0.1)"
    assert (edit["range"]["start"]["line"], edit["range"]["end"]["line"]) == (5, 5)
    assert fix["isPreferred"] is True


def test_a_finding_is_ignored_with_a_reason(start: Any, repo: Any) -> None:
    editor = start()
    cart = (repo.path / "cart.py").as_uri()
    editor.open(cart, CART)
    save(editor, repo, "shop.py", GONE)
    [found] = reviewed(editor, cart, bool)
    action = actions(editor, cart, found)["Famulus: ignore this finding, with a reason…"]
    editor.forget()
    run(editor, action["command"]["command"], *action["command"]["arguments"], "the old shop is called like this")
    [change] = editor.told("workspace/applyEdit")["edit"]["documentChanges"]
    [edit] = change["edits"]
    comment = "    # famulus: ignore[call-site/unknown-keyword] the old shop is called like this\n"
    assert (edit["newText"], edit["range"]["start"]) == (comment, {"line": 4, "character": 0})
    reviewed(editor, cart, lambda listed: not listed)
    editor.forget()
    lines = CART.splitlines(keepends=True)
    save(editor, repo, "cart.py", "".join([*lines[:4], comment, *lines[4:]]))
    page = run(editor, "famulus.review", cart)
    assert "Settled: 1 ignored in the code." in page["text"]
    assert not [m for m in editor.messages if BROKEN in str(m.get("params", ""))]


def test_findings_appear_while_the_review_runs(
    start: Any, repo: Any, plugin: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("SIGNS", str(tmp_path))
    plugin(SLOW)
    editor = start()
    repo.write({"shop.py": GONE})
    cart = (repo.path / "cart.py").as_uri()
    asked = editor.ask("workspace/executeCommand", {"command": "famulus.review"})
    begun = reviewed(editor, cart, lambda listed: "It has begun." in [d["message"] for d in listed])
    assert not [d for d in begun if d["message"].startswith("The code is run")]
    title = editor.told("$/progress", lambda p: p["value"]["kind"] == "begin", timeout=PATIENCE)["value"]["title"]
    assert title == "Famulus: reviewing my changes"
    (tmp_path / "go").touch()
    page = editor.result(asked, PATIENCE)
    assert page["title"] == "Review"
    assert page["text"].startswith("### Famulus review: 3 findings") and "is not trusted" in page["text"]
    reviewed(editor, cart, lambda listed: "The code is run: no." in [d["message"] for d in listed])


def test_a_review_is_cancelled_at_once_and_a_later_one_takes_its_place(
    start: Any, repo: Any, plugin: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("SIGNS", str(tmp_path))
    plugin(SLOW)
    editor = start()
    cart = (repo.path / "cart.py").as_uri()

    def begun(count: int) -> list[psutil.Process]:
        end = time.monotonic() + PATIENCE
        while len(found := list(tmp_path.glob("begun-*"))) < count:
            assert time.monotonic() < end
            time.sleep(0.02)
        pids = [int(sign.name.partition("-")[2]) for sign in sorted(found, key=lambda sign: sign.stat().st_mtime_ns)]
        return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]

    def gone(process: psutil.Process) -> None:
        process.wait(PATIENCE)

    save(editor, repo, "shop.py", GONE)
    first = begun(1)[-1]
    save(editor, repo, "shop.py", CHANGED)  # takes the place of the first
    gone(first)
    second = begun(2)[-1]
    asked = editor.ask("workspace/executeCommand", {"command": "famulus.review", "arguments": [cart]})
    gone(second)
    third = begun(3)[-1]
    editor.told("$/progress", timeout=PATIENCE)
    token = next(m for m in editor.messages if m.get("method") == "window/workDoneProgress/create")["params"]["token"]
    before = time.monotonic()
    editor.notify("window/workDoneProgress/cancel", {"token": token})
    assert editor.result(asked) is None
    assert time.monotonic() - before < 1.0  # a fifth of it where nothing else runs
    gone(third)


def test_the_review_of_a_session_ends_with_it(
    editors: Any, stranded: Path, repo: Any, plugin: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("SIGNS", str(tmp_path))
    plugin(SLOW)
    repo.commit({"shop.py": SHOP, "cart.py": CART})
    repo.write({"shop.py": GONE})
    folders = [{"uri": repo.path.as_uri(), "name": "repo"}]
    editor = editors(stranded, "--stdio", capabilities=ABLE, workspaceFolders=folders)
    editor.ask("workspace/executeCommand", {"command": "famulus.review"})
    reviewed(editor, (repo.path / "cart.py").as_uri(), bool)
    [sign] = tmp_path.glob("begun-*")
    process = psutil.Process(int(sign.name.partition("-")[2]))
    editor.request("shutdown")
    editor.notify("exit")
    assert editor.gone() == 0
    process.wait(PATIENCE)


def test_what_is_staged_is_shown_where_it_stands_on_disk(start: Any, repo: Any) -> None:
    editor = start()
    repo.write({"shop.py": GONE})
    repo.git("add", "shop.py")
    repo.write({"shop.py": SHOP, "cart.py": "\n\n" + CART})
    repo.git("add", "cart.py")
    repo.write({"cart.py": "# not staged\n\n\n" + CART})
    cart = (repo.path / "cart.py").as_uri()
    editor.open(cart, "# not staged\n\n\n" + CART)
    page = run(editor, "famulus.review.staged")
    assert "staged changes" in page["text"]
    [found] = reviewed(editor, cart, bool)
    assert found["range"]["start"]["line"] == 7


def test_what_is_turned_off_is_not_reviewed_and_grades_that_are_not_wanted_are_not_shown(start: Any, repo: Any) -> None:
    editor = start(settings={"onSave": "off", "grades": ["witnessed"]})
    save(editor, repo, "shop.py", GONE)
    assert editor.loop.call(lambda: editor.session.settings.general.review.on_save) == "off"
    assert not editor.loop.call(lambda: [task for task in editor.session._tasks if "_review_saved" in str(task)])
    page = run(editor, "famulus.review")
    assert BROKEN in page["text"]
    assert not [m for m in editor.messages if "call-site" in str(m.get("params", ""))]


def test_a_folder_without_git_is_said_by_the_command_and_passed_over_by_a_save(
    inside: Callable[..., Any], tmp_path: Path
) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    editor = inside(workspaceFolders=[{"uri": folder.as_uri(), "name": "plain"}])
    (folder / "a.py").write_text("x = 1\n")
    uri = (folder / "a.py").as_uri()
    editor.open(uri, "x = 1\n")
    editor.notify("textDocument/didSave", {"textDocument": {"uri": uri}})
    with pytest.raises(Exception, match="is in no git repository"):
        run(editor, "famulus.review")
    with pytest.raises(Exception, match="in no folder of the workspace"):
        run(editor, "famulus.review", tmp_path.as_uri())


@pytest.mark.slow
def test_a_red_test_is_explained_from_its_lens(start: Any, repo: Any) -> None:
    editor = start(trusted=True)
    test = (repo.path / "tests/test_cart.py").as_uri()
    editor.open(test, TESTS)
    assert editor.request("textDocument/codeLens", {"textDocument": {"uri": test}}) is None
    repo.write({"shop.py": "def price(items, rate=0.2):\n    return sum(items) * (2 + rate)\n"})
    save(editor, repo, "tests/test_cart.py", TESTS + "\n\ndef test_nothing():\n    assert total([]) == 0\n")
    editor.told("workspace/codeLens/refresh", timeout=PATIENCE)
    lenses: list[Any] = []
    end = time.monotonic() + PATIENCE
    while len(lenses) != 2 and time.monotonic() < end:
        lenses = editor.request("textDocument/codeLens", {"textDocument": {"uri": test}}) or []
    first = editor.request("codeLens/resolve", lenses[0])
    assert first["command"]["title"] == "Famulus: why is this red?"
    page = run(editor, first["command"]["command"], *first["command"]["arguments"])
    assert "test_total fails because of this part of the change" in page["text"].replace("\\", "")
    [found] = reviewed(editor, (repo.path / "shop.py").as_uri(), bool)
    assert (found["code"], found["severity"], found["range"]["start"]["line"]) == ("culprit", 1, 1)
    again = editor.request("codeLens/resolve", lenses[0])
    assert again["command"]["title"] == "Famulus: red because of shop.py:2"
    asked = editor.ask("workspace/executeCommand", {"command": "famulus.review.why", "arguments": [
        test, {"line": 1, "character": 0}]})  # fmt: skip
    with pytest.raises(Exception, match="no test at the cursor"):
        editor.result(asked)


def test_without_trust_no_test_is_run(start: Any, repo: Any) -> None:
    editor = start()
    test = (repo.path / "tests/test_cart.py").as_uri()
    repo.write({"tests/test_cart.py": TESTS + "\n"})
    editor.open(test, TESTS + "\n")
    run(editor, "famulus.review")
    assert editor.request("textDocument/codeLens", {"textDocument": {"uri": test}}) is None
    with pytest.raises(Exception, match="Trust the workspace"):
        run(editor, "famulus.review.why", test, {"line": 4, "character": 0})


@pytest.mark.slow
def test_a_witness_is_taken_as_a_test_and_stays_until_its_file_changes(start: Any, repo: Any) -> None:
    editor = start(trusted=True)
    repo.write({"shop.py": SHOP.replace("1 + rate", "2 + rate")})
    run(editor, "famulus.review")
    shop = (repo.path / "shop.py").as_uri()
    [found] = reviewed(editor, shop, lambda listed: any(d["code"].startswith("witness") for d in listed))[:1]
    editor.open(shop, (repo.path / "shop.py").read_text())
    action = actions(editor, shop, found)["Famulus: copy the witness as a test"]
    page = run(editor, action["command"]["command"], *action["command"]["arguments"])
    assert "price(" in page["text"]
    compile(page["text"], "witness", "exec")
    editor.forget()
    save(editor, repo, "other.py", "x = 1\n")  # the static rules alone
    editor.told("workspace/codeLens/refresh", timeout=PATIENCE)
    assert editor.loop.call(lambda: shop in editor.session.diagnostics._shown)
    save(editor, repo, "shop.py", SHOP)
    reviewed(editor, shop, lambda listed: not listed)


# -- without an editor


def made(key: str, rule: str = "witness/value", path: str = "a.py", **data: Any) -> Finding:
    proof = Proof(kind="test", text="", data=data)
    return Finding(rule=rule, message=key, grade=Grade.WITNESSED, place=Place(path=path, line=1), key=key, proof=proof)


def test_a_finding_of_a_rule_that_did_not_run_stands_while_its_file_is_the_same() -> None:
    root, texts = Path("/p"), {"a.py": "1", "b.py": "2"}
    one, other = made("one"), made("other", path="b.py")
    static, why = made("old", "call-site/name"), made("why", "culprit", test="t.py::test")
    before = Standing(root, (one, other, static, why), texts)
    rules = {"call-site": "done", "witness": "not reached"}
    assert concluded(before, [], rules, texts) == (one, other, why)
    assert concluded(before, [], rules, {"a.py": "1", "b.py": "new"}) == (one, why)
    assert concluded(before, [], {"call-site": "done", "witness": "done"}, texts) == (why,)
    newer = replace(why, key="newer")
    assert concluded(before, [newer], {"culprit": "done"}, texts) == (newer, one, other, static)


LINES = st.lists(st.sampled_from("abcdef"), max_size=12)


@given(LINES, LINES)
def test_a_line_that_moved_is_the_same_line(before: list[str], after: list[str]) -> None:
    moved = Moved("\n".join(before), "\n".join(after))
    places = [moved.line(number) for number in range(1, len(before) + 1)]
    for number, place in enumerate(places, start=1):
        assert place is None or after[place - 1] == before[number - 1]
    known = [place for place in places if place is not None]
    assert known == sorted(set(known))
    if before == after:
        assert places == list(range(1, len(before) + 1))


def test_tests_are_called_as_pytest_calls_them() -> None:
    source = """
import pytest

@pytest.mark.slow
async def test_one(): ...

class TestCart:
    def test_two(self):
        def test_inner(): ...

    def other(self): ...

def helper(): ...
"""
    assert list(lens.tests(source)) == [("test_one", 4, 5), ("TestCart::test_two", 8, 9)]
    assert list(lens.tests("def test_(:")) == []


def test_a_server_that_reviews_nothing_does_not_import_the_review() -> None:
    ask = "import sys, famulus.lsp_server.server; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", ask], capture_output=True, text=True, timeout=60, check=True)
    doors, loaded = "famulus.lsp_server.review.doors", done.stdout.split()
    assert f"{doors}.bind" in loaded
    assert not {f"{doors}.service", f"{doors}.actions", f"{doors}.lenses", f"{doors}.commands"} & set(loaded)
