"""Edits that the server proposes: a diff that grows, and nothing is applied before a yes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

OLD = "def f(a):\n    return a\n"
GROWN = ["def f(a):", "    if a is None:", "        return 0", "    return a"]


PROPOSED = """
for _, window in ipairs(vim.api.nvim_tabpage_list_wins(0)) do
  local buffer = vim.api.nvim_win_get_buf(window)
  if vim.startswith(vim.api.nvim_buf_get_name(buffer), ...) and vim.wo[window].diff then
    return vim.api.nvim_buf_get_lines(buffer, 0, -1, false)
  end
end
"""
"""The lines of the diff's window of a proposal, asked for at once: windows come and go."""


class Proposing:
    """An editor whose server proposes what the test says."""

    def __init__(self, editor: Any) -> None:
        self.editor = editor
        editor.begin({}, OLD, "gg")
        self.source = editor.nvim.current.buffer
        self.window = editor.nvim.current.window
        self.id = f"p{editor.files}"
        self.uri = editor.lua("return vim.uri_from_bufnr(0)")

    def says(
        self, state: str, lines: int | None, *more: dict[str, Any], command: str = "1,2Famulus rewrite go"
    ) -> None:
        """The server tells of the proposal with so many of its lines."""
        told: dict[str, Any] = {"id": self.id, "state": state}
        if lines is not None:
            told["edit"] = self.edit(lines)
        messages = [{"method": "famulus/proposal", "params": told}, *more]
        (self.editor.folder / "says.json").write_text(json.dumps(messages))
        # Asked for without a change of windows, as what the server says comes by itself.
        self.editor.lua(
            "local window, command = ... vim.api.nvim_win_call(window, function() vim.cmd(command) end)",
            self.window,
            command,
        )

    def edit(self, lines: int) -> dict[str, Any]:
        place = {"start": {"line": 0, "character": 0}, "end": {"line": 1, "character": 12}}
        text = {"range": place, "newText": "\n".join(GROWN[:lines]), "annotationId": self.id}
        annotation = {"label": "Rewrite: 100% go", "needsConfirmation": True, "description": "it parses"}
        return {
            "documentChanges": [{"textDocument": {"uri": self.uri, "version": self.version}, "edits": [text]}],
            "changeAnnotations": {self.id: annotation},
        }

    @property
    def version(self) -> int:
        return int(self.editor.lua("return vim.lsp.util.buf_versions[...]", self.source))

    def ask(self, lines: int) -> None:
        """All is written, and the server asks for it."""
        wanted = {"id": "ask", "method": "workspace/applyEdit", "params": {"edit": self.edit(lines)}}
        self.says("final", lines, wanted)

    def shows(self, *lines: str) -> None:
        self.editor.until(lambda: self.proposed() == list(lines), f"proposed {lines}, but {self.proposed()}")

    def proposed(self) -> list[str] | None:
        found = self.editor.lua(PROPOSED, f"famulus://{self.id}/")
        return list(found) if found is not None else None

    def bar(self) -> str:
        return str(self.editor.nvim.current.window.options["winbar"])

    def answer(self) -> Any:
        """What the server was answered."""

        def found() -> Any:
            lines = (self.editor.folder / "heard.jsonl").read_text().splitlines(keepends=True)
            messages = [json.loads(line) for line in lines if line.endswith("\n")]
            return next((m["result"] for m in messages if m.get("id") == "ask" and "method" not in m), None)

        return self.editor.until(found, "answered")

    def gone(self) -> None:
        self.editor.until(lambda: self.proposed() is None, "closed")
        assert self.editor.nvim.current.buffer == self.source
        assert not self.window.options["diff"]


@pytest.fixture(params=["nvim", "newer_nvim"])
def proposing(request: pytest.FixtureRequest, scripted: Any) -> Proposing:
    program: Path = request.getfixturevalue(request.param)
    return Proposing(scripted(program))


def test_a_proposal_grows_and_is_applied_with_the_key_that_accepts(proposing: Proposing) -> None:
    editor = proposing.editor
    proposing.says("growing", 2)
    proposing.shows(*GROWN[:2])
    assert proposing.bar().startswith("Rewrite: 100%% go: being written")
    proposing.says("growing", 3)
    proposing.shows(*GROWN[:3])
    editor.type("<Tab>")
    editor.until(lambda: "still being written" in editor.trouble(), "told that it is not whole")
    assert list(proposing.source[:]) == OLD.splitlines()
    proposing.ask(4)
    proposing.shows(*GROWN)
    editor.until(lambda: "(it parses): <Tab> applies" in proposing.bar(), "asked")
    assert list(proposing.source[:]) == OLD.splitlines()
    editor.type("<Tab>")
    assert proposing.answer() == {"applied": True}
    proposing.gone()
    assert list(proposing.source[:]) == GROWN
    editor.nvim.command("undo")
    assert list(proposing.source[:]) == OLD.splitlines()


@pytest.mark.parametrize("how", ["q", "<C-]>", ":quit<CR>", ":Famulus discard<CR>"])
def test_discarding_while_it_grows_stops_the_server_and_shows_nothing_more(proposing: Proposing, how: str) -> None:
    proposing.says("growing", 2)
    proposing.shows(*GROWN[:2])
    proposing.editor.type(how)
    assert proposing.editor.wait_heard("famulus/discardProposal") == {"id": proposing.id}
    proposing.gone()
    proposing.ask(4)
    assert proposing.answer()["applied"] is False
    proposing.gone()
    assert list(proposing.source[:]) == OLD.splitlines()
    proposing.says("withdrawn", None)


def test_what_is_asked_about_can_be_discarded_and_applied_from_elsewhere(proposing: Proposing) -> None:
    proposing.ask(4)
    proposing.shows(*GROWN)
    proposing.editor.type("q")
    assert proposing.answer()["applied"] is False
    proposing.gone()
    (proposing.editor.folder / "heard.jsonl").write_text("")
    proposing.ask(4)
    proposing.shows(*GROWN)
    proposing.editor.until(lambda: "applies" in proposing.bar(), "asked")
    proposing.editor.type("<C-w>h:Famulus apply<CR>")
    assert proposing.answer() == {"applied": True}
    proposing.gone()


def test_what_is_withdrawn_closes(proposing: Proposing) -> None:
    proposing.says("growing", 2)
    proposing.shows(*GROWN[:2])
    proposing.says("withdrawn", None)
    proposing.gone()
    assert proposing.editor.heard("famulus/discardProposal") == []


def test_a_diff_of_the_users_own_is_kept(proposing: Proposing) -> None:
    editor = proposing.editor
    editor.nvim.command("leftabove vnew | diffthis | wincmd p | diffthis")
    proposing.says("growing", 2)
    proposing.shows(*GROWN[:2])
    proposing.says("withdrawn", None)
    editor.until(lambda: proposing.proposed() is None, "closed")
    assert proposing.window.options["diff"]


def test_a_text_that_has_changed_is_left_alone(proposing: Proposing) -> None:
    proposing.ask(4)
    proposing.shows(*GROWN)
    proposing.editor.until(lambda: "applies" in proposing.bar(), "asked")
    proposing.source.append("more")
    proposing.editor.type("<Tab>")
    assert proposing.answer()["applied"] is False
    proposing.gone()
    assert list(proposing.source[:]) == [*OLD.splitlines(), "more"]
