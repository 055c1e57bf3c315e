"""The plugin around the ghost text: keys that share their place, commands, health, and a server that is not there."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

PLUGIN = Path(__file__).parents[3] / "editors/neovim"


@pytest.fixture
def editor(scripted: Any, nvim: Path) -> Any:
    return scripted(nvim)


def test_tab_without_ghost_text_is_a_tab(editor: Any) -> None:
    editor.begin({}, "x = 1\n", "Go")
    editor.lua("vim.bo.expandtab = true vim.bo.softtabstop = 4 vim.bo.shiftwidth = 4")
    editor.type("<Tab>y")
    editor.wait_text("x = 1\n    y")


def test_tab_without_ghost_text_does_what_it_was_mapped_to(editor: Any) -> None:
    editor.begin({"go": ["od"]}, "x = 1\n", "Go")
    editor.lua("vim.cmd.new() neovims_own = vim.fn.maparg('<Tab>', 'i', false, true) vim.cmd.close()")
    editor.lua("vim.keymap.set('i', '<Tab>', function() return 'mapped' end, { expr = true })")
    editor.type("<Tab>")
    editor.wait_text("x = 1\nmapped")
    editor.lua("vim.keymap.set('i', '<Tab>', 'anew')")
    editor.type("<Tab>")
    editor.wait_text("x = 1\nmappedanew")
    editor.type(" go")
    editor.wait_ghost("od")
    editor.type("<Tab>")
    editor.wait_text("x = 1\nmappedanew good")
    editor.lua("vim.fn.mapset(neovims_own)")


def test_tab_jumps_in_a_snippet(editor: Any) -> None:
    """Neovim itself maps Tab for that."""
    editor.begin({}, "", "i")
    editor.lua("vim.snippet.expand('for $1 in $2:')")
    editor.type("a<Tab>b<Esc>")
    editor.wait_text("for a in b:")


def test_keys_can_be_changed_and_switched_off(scripted: Any, nvim: Path) -> None:
    editor = scripted(nvim, "keys = { accept = '<C-l>', accept_word = false }")
    editor.begin({"a": ["b c"]}, "", "i")
    editor.type("a")
    editor.wait_ghost("b c")
    assert editor.lua("return vim.fn.maparg('<M-Right>', 'i')") == ""
    editor.type("<C-l>")
    editor.wait_text("ab c")


def test_a_command_shows_a_document(editor: Any) -> None:
    editor.begin({}, "x = 1\n", "G")
    editor.nvim.command("Famulus why")
    editor.until(lambda: editor.text() == "# Why\n\nThe gate said *no*.", "a document")
    assert editor.nvim.current.buffer.options["filetype"] == "markdown"
    asked = editor.heard("workspace/executeCommand")[-1]["arguments"]
    assert asked[0].endswith(".py") and asked[1] == {"line": 0, "character": 0}
    editor.type("q")
    editor.wait_text("x = 1")


def test_the_command_line_completes(editor: Any) -> None:
    editor.begin({}, "x = 1\n", "G")
    names = editor.nvim.funcs.getcompletion("Famulus ", "cmdline")
    assert names == sorted(names)
    assert {"why", "prompt", "explain", "fix", "docstring", "rewrite", "commit", "restart", "toggle"} <= set(names)
    assert editor.nvim.funcs.getcompletion("Famulus pr", "cmdline") == ["prompt"]
    editor.nvim.command("Famulus wyh")
    assert "there is no `:Famulus wyh`" in editor.trouble()


def test_a_diagnostic_is_handed_to_the_server_in_its_own_form(editor: Any) -> None:
    editor.begin({}, "é = undefined\n", "G")
    editor.lua(
        "vim.diagnostic.set(vim.api.nvim_create_namespace('test'), 0,"
        " {{ lnum = 0, col = 5, end_col = 14, message = 'undefined name', severity = 1, source = 'test' }})"
    )
    editor.nvim.command("Famulus fix")
    sent = editor.wait_heard("workspace/executeCommand")
    assert sent["command"] == "famulus.fix"
    assert sent["arguments"][1]["range"]["start"] == {"line": 0, "character": 4}
    editor.nvim.command("Famulus rewrite make it shorter")
    sent = editor.wait_heard("workspace/executeCommand", 2)
    assert sent["arguments"][1]["end"] == {"line": 0, "character": 13}
    assert sent["arguments"][2] == "make it shorter"


def test_a_folder_is_trusted_when_the_user_says_so(editor: Any) -> None:
    editor.begin({}, "x = 1\n", "G")
    for command, trusted in (("trust", True), ("distrust", False)):
        (editor.folder / "heard.jsonl").write_text("")
        editor.nvim.command(f"Famulus {command}")
        assert editor.wait_heard("initialize")["initializationOptions"]["famulus"]["trusted"] is trusted
        editor.wait_heard("textDocument/didOpen")
    [remembered] = editor.folder.rglob("famulus/trusted")
    assert not remembered.read_text().strip()


def test_a_server_that_crashes_is_started_again_while_one_types(editor: Any) -> None:
    editor.begin({"after ": ["all"]}, "x = 1\n", "Go")
    editor.type("crash now")
    editor.wait_heard("initialize")
    editor.type("<BS><BS><BS><BS><BS><BS><BS><BS><BS>after")
    editor.type("<Space>")
    editor.until(lambda: editor.heard("textDocument/didOpen"), "opened again")
    editor.type("<BS> ")
    editor.wait_ghost("all")


def test_a_command_that_is_missing_is_named_once(nvim: Path, tmp_path: Path) -> None:
    script = tmp_path / "missing.lua"
    script.write_text(
        f"""
        vim.opt.rtp:prepend("{PLUGIN}")
        vim.g.loaded_python3_provider = 0
        require("famulus").setup({{ cmd = "famulus-that-is-nowhere", enbled = true, keys = {{ acept = "<Tab>" }} }})
        for _, name in ipairs({{ "a.py", "b.py", "c.py" }}) do
          vim.cmd.edit("{tmp_path}/" .. name)
          vim.wait(50)
        end
        vim.cmd("checkhealth famulus")
        print(table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), "\\n"))
        """
    )
    done = subprocess.run([nvim, "--clean", "--headless", "-l", script], capture_output=True, text=True, timeout=30)
    printed = done.stderr + done.stdout
    before, health = printed.split("famulus:", 1)
    assert before.count("there is no command `famulus-that-is-nowhere`: run `make tour`") == 1
    assert "There is no option `enbled`" in before and "There is no key `acept`" in before
    assert "ERROR there is no command `famulus-that-is-nowhere`" in health


def test_health_without_setup_says_so(nvim: Path) -> None:
    done = subprocess.run(
        [nvim, "--clean", "--headless", "--cmd", f"set rtp^={PLUGIN}", "+checkhealth famulus", "+%print", "+qall!"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "setup() was not called" in done.stderr + done.stdout


def test_the_help_has_its_tags(nvim: Path, tmp_path: Path) -> None:
    text = (PLUGIN / "doc/famulus.txt").read_text()
    (tmp_path / "famulus.txt").write_text(text)
    done = subprocess.run(
        [nvim, "--clean", "--headless", f"+helptags {tmp_path}", "+qall!"], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0 and done.stderr == ""
    tags = {line.split("\t")[0] for line in (tmp_path / "tags").read_text().splitlines()}
    assert {"famulus", "famulus-setup", "famulus-options", "famulus-keys", ":Famulus", "famulus-status"} <= tags
    assert all(len(line) <= 79 for line in text.splitlines())
    options = subprocess.run(
        [nvim, "--clean", "--headless", "--cmd", f"set rtp^={PLUGIN}", "-l", "/dev/stdin"],
        input="local c = require('famulus.config').defaults for k in pairs(c) do print(k) end "
        "for k in pairs(c.keys) do print(k) end print('cmd')",
        capture_output=True,
        text=True,
        timeout=30,
    )
    for name in (options.stdout + options.stderr).split():
        assert f"`{name}`" in text or f"*famulus-{name}*" in text, f"the help says nothing of {name}"


def test_a_buffer_without_a_name_is_served_once_it_is_saved(editor: Any) -> None:
    editor.begin({"after ": ["all"]}, "x = 1\n", "G")
    editor.nvim.command("enew")
    editor.type("iy = 1<Esc>")
    editor.until(lambda: editor.text() == "y = 1", "typed")
    assert "save it" in editor.lua("return require('famulus.client').unwanted(require('famulus').options, 0)")
    editor.nvim.command(f"write {editor.folder}/named.py")
    opened = editor.wait_heard("textDocument/didOpen", 2)["textDocument"]
    assert opened["uri"].endswith("/named.py")
    assert opened["languageId"] == "python"


def test_the_server_is_told_where_the_cursor_comes_to_stand(editor: Any) -> None:
    editor.begin({}, "x = 1\né = 2\n", "gg")
    editor.type("j$")
    editor.until(
        lambda: {"line": 1, "character": 4} in [at["position"] for at in editor.heard("famulus/didMoveCursor")], "told"
    )
