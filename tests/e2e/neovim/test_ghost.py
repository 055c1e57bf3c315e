"""Ghost text in a real Neovim: what is seen, what is inserted, what the server hears. The server offers what is written
here; the model is in test_completion.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture(params=["0.11", "0.12 own", "0.12 native"])
def editor(request: pytest.FixtureRequest, scripted: Any) -> Any:
    """Both ways to show ghost text behave alike."""
    if request.param == "0.11":
        return scripted(request.getfixturevalue("nvim"))
    return scripted(request.getfixturevalue("newer_nvim"), f"inline = '{request.param.split()[1]}'")


def begin(editor: Any, offers: dict[str, list[Any]], text: str = "x = 1\n", keys: str = "Go") -> None:
    editor.begin(offers, text, keys)


def test_the_offer_is_shown_and_tab_inserts_it(editor: Any) -> None:
    begin(editor, {"total = ": ["sum(values)"]})
    editor.type("total = ")
    editor.wait_ghost("sum(values)")
    editor.type("<Tab>")
    editor.wait_text("x = 1\ntotal = sum(values)")
    assert editor.ghost() == ""
    assert editor.wait_heard("workspace/executeCommand")["arguments"] == ["total = /0"]
    assert editor.heard("famulus/didShowCompletion")[0]["item"]["insertText"] == "sum(values)"
    editor.type(" + 1<Esc>")
    editor.wait_text("x = 1\ntotal = sum(values) + 1")


def test_many_lines_are_shown_and_inserted_at_once(editor: Any) -> None:
    body = "def f(a):\n    if a:\n        return 1\n    return 2"
    begin(editor, {"de": [body[2:]]})
    editor.type("de")
    editor.wait_ghost(body[2:])
    editor.type("<Tab>")
    editor.wait_text("x = 1\n" + body)
    assert tuple(editor.nvim.current.window.cursor) == (5, 12)


def test_words_and_lines_are_accepted_one_by_one(editor: Any) -> None:
    begin(editor, {"r": ["eturn '𝒳é' + b\nnext_line()"]})
    editor.type("r")
    editor.wait_ghost()
    editor.type("<M-Right>")
    editor.wait_text("x = 1\nreturn")
    editor.wait_ghost(" '𝒳é' + b\nnext_line()")
    for text in ("return '", "return '𝒳é", "return '𝒳é'"):
        editor.type("<M-Right>")
        editor.wait_text("x = 1\n" + text)
    # UTF-16 units of "eturn '𝒳é'", of which one letter has two.
    partial = editor.wait_heard("famulus/didPartiallyAcceptCompletion", 4)
    assert partial["acceptedLength"] == 11
    editor.type("<M-Down>")
    editor.wait_text("x = 1\nreturn '𝒳é' + b")
    editor.wait_ghost("\nnext_line()")
    assert editor.heard("workspace/executeCommand") == []
    editor.type("<M-Down>")
    editor.wait_text("x = 1\nreturn '𝒳é' + b\nnext_line()")
    assert editor.wait_heard("workspace/executeCommand")["arguments"] == ["r/0"]


def test_typing_what_is_shown_keeps_it_and_another_letter_ends_it(editor: Any) -> None:
    begin(editor, {"a = ": ["alpha + beta"]})
    editor.type("a = ")
    editor.wait_ghost("alpha + beta")
    editor.type("alp")
    editor.wait_ghost("ha + beta")
    editor.type("<BS>")
    editor.wait_ghost("pha + beta")
    editor.type("<Tab>")
    editor.wait_text("x = 1\na = alpha + beta")
    editor.type("<Esc>oa = ")
    editor.wait_ghost("alpha + beta")
    editor.type("z")
    editor.wait_ghost_gone()


def test_escape_clears_and_one_undo_takes_the_accepted_text_away(editor: Any) -> None:
    begin(editor, {"a = ": ["one\ntwo\nthree"]})
    editor.type("a = ")
    editor.wait_ghost()
    editor.type("<Tab>")
    editor.wait_text("x = 1\na = one\ntwo\nthree")
    editor.type("<Esc>u")
    editor.wait_text("x = 1\na = ")
    editor.type("A<BS> ")
    editor.wait_ghost()
    editor.type("<Esc>")
    editor.wait_ghost_gone()
    editor.wait_text("x = 1\na = ")


def test_candidates_can_be_cycled(editor: Any) -> None:
    begin(editor, {"a = ": ["one", "two", "three"]})
    editor.type("a = ")
    editor.wait_ghost("one")
    editor.type("<M-Bslash>")
    editor.until(lambda: len(editor.heard("famulus/didShowCompletion")) >= 2, "shown again")
    editor.type("<M-]>")
    editor.wait_ghost("two (2/3)")
    editor.type("<M-[><M-[>")
    editor.wait_ghost("three (3/3)")
    editor.type("<Tab>")
    editor.wait_text("x = 1\na = three")
    assert editor.wait_heard("workspace/executeCommand")["arguments"] == ["a = /2"]
    kinds = [asked["context"]["triggerKind"] for asked in editor.heard("textDocument/inlineCompletion")]
    assert 1 in kinds and 2 in kinds


def test_an_answer_for_an_older_text_is_never_shown(editor: Any) -> None:
    begin(editor, {"a = ": ["stale"], "a = b": [" + c"]})
    (editor.folder / "slow").touch()
    asked = len(editor.heard("textDocument/inlineCompletion"))
    editor.type("a = ")
    editor.wait_heard("textDocument/inlineCompletion", asked + 1)
    editor.type("b")
    seen = editor.until(lambda: editor.ghost(), "shown")
    assert seen == " + c"


def test_superseded_requests_are_cancelled(editor: Any) -> None:
    begin(editor, {})
    (editor.folder / "slow").touch()
    asked = len(editor.heard("textDocument/inlineCompletion"))
    editor.type("a")
    editor.wait_heard("textDocument/inlineCompletion", asked + 1)
    editor.type("b")
    editor.wait_heard("$/cancelRequest")


def test_ghost_text_hides_while_the_menu_is_open(editor: Any) -> None:
    begin(editor, {"va": ["lue_of_all"]}, "value = 1\nvalued = 2\n")
    editor.type("va")
    editor.wait_ghost()
    editor.type("<C-n>")
    editor.until(lambda: editor.lua("return vim.fn.pumvisible()") == 1, "a menu")
    editor.wait_ghost_gone()
    editor.type("<C-e>")
    editor.wait_ghost("lue_of_all")


def test_text_behind_the_cursor_that_the_offer_replaces_goes_on_accept(editor: Any) -> None:
    end = {"line": 1, "character": 6}
    item = {"insertText": "a, b)", "range": {"start": {"line": 1, "character": 5}, "end": end}}
    begin(editor, {"call(": [item]}, "x = 1\ncall()\n", "jf(a")
    editor.until(lambda: editor.ghost().startswith("a, b"), "shown")
    editor.type("<Tab>")
    editor.wait_text("x = 1\ncall(a, b)")


def test_dismissed_ghost_text_comes_back_with_the_next_change(editor: Any) -> None:
    begin(editor, {"a = ": ["one"], "a = 1": ["23"]})
    editor.type("a = ")
    editor.wait_ghost("one")
    editor.type("<C-]>")
    editor.wait_ghost_gone()
    editor.type("1")
    editor.wait_ghost("23")


def test_toggle_switches_off_and_on(editor: Any) -> None:
    begin(editor, {"a = ": ["one"]})
    editor.type("a = ")
    editor.wait_ghost("one")
    editor.type("<Cmd>Famulus toggle<CR>")
    editor.wait_ghost_gone()
    asked = len(editor.heard("textDocument/inlineCompletion"))
    editor.type("<BS> ")
    editor.wait_text("x = 1\na = ")
    assert len(editor.heard("textDocument/inlineCompletion")) == asked
    editor.type("<Cmd>Famulus toggle<CR><BS> ")
    editor.wait_ghost("one")


def test_fast_typing_shows_no_errors_and_no_stale_text(editor: Any) -> None:
    begin(editor, {"s": ["elf"], "se": ["lf.x"], "sel": ["f.y"], "self": [".z"]})
    for _ in range(10):
        editor.type("self = se<BS><BS>sel<CR>")
    editor.type("<Esc>")
    editor.wait_text("x = 1\n" + "self = sel\n" * 10)
    editor.wait_ghost_gone()
    assert "rror" not in editor.trouble()


def test_windows_line_ends_of_an_offer_are_none_in_the_buffer(editor: Any) -> None:
    begin(editor, {"a": [" = 1\r\nb = 2"]})
    editor.type("a")
    editor.wait_ghost(" = 1\nb = 2")
    editor.type("<M-Down>")
    editor.wait_text("x = 1\na = 1")
    assert editor.wait_heard("famulus/didPartiallyAcceptCompletion")["acceptedLength"] == 4
    editor.type("<M-Right>")
    editor.wait_text("x = 1\na = 1\nb")
    assert editor.wait_heard("famulus/didPartiallyAcceptCompletion", 2)["acceptedLength"] == 7


def test_what_was_offered_is_typed_without_a_request(scripted: Any, nvim: Path) -> None:
    """No request lies between a key that was offered and the shorter ghost text."""
    editor = scripted(nvim)
    begin(editor, {"a = ": ["alphabet"]})
    editor.type("a = ")
    editor.wait_ghost("alphabet")
    asked = len(editor.heard("textDocument/inlineCompletion"))
    editor.type("alpha")
    editor.wait_ghost("bet")
    assert len(editor.heard("textDocument/inlineCompletion")) == asked


DRAWN = "return #vim.api.nvim_buf_get_extmarks(0, vim.api.nvim_create_namespace(...), 0, -1, {})"


@pytest.mark.parametrize(
    ("options", "everywhere", "by"),
    [
        ("inline = 'auto'", False, "famulus"),
        ("inline = 'auto', delay = 0", True, "nvim.lsp.inline_completion"),
        ("inline = 'own', delay = 0", True, "famulus"),
    ],
)
def test_one_of_two_shows_ghost_text(scripted: Any, newer_nvim: Path, options: str, everywhere: bool, by: str) -> None:
    editor = scripted(newer_nvim, options)
    editor.lua("vim.lsp.inline_completion.enable(...)", everywhere)
    begin(editor, {"a = ": ["one"]})
    editor.type("a = ")
    editor.wait_ghost("one")
    assert editor.lua(DRAWN, by) == 1
