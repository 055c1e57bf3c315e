"""Neovim with the real language server and the embedded model, without a screen and on one."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SOURCE = "import math\n\n\ndef area_of_circle(radius):\n    \n"


@pytest.fixture(scope="module", params=["nvim", "newer_nvim"])
def program(request: pytest.FixtureRequest) -> Path:
    """Neovim 0.11, and 0.12 with ghost text as it shows it by default."""
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def editor(real: Callable[..., Any], program: Path) -> Any:
    return real("", program)


def test_ghost_text_of_the_model_is_shown_accepted_and_undone(editor: Any) -> None:
    editor.open("circle.py", SOURCE)
    editor.nvim.command("5")
    editor.type("Areturn math.pi * ")
    offered = editor.wait_ghost()
    assert offered.startswith("radius")
    editor.type("<M-Right>")
    editor.until(lambda: editor.nvim.current.buffer[4] == "    return math.pi * radius", "a word accepted")
    editor.wait_ghost(offered.removeprefix("radius"))
    editor.type("<Tab>")
    editor.until(lambda: offered.split("\n")[0] in editor.text(), "all accepted")
    ast.parse(editor.text())
    editor.type("<Esc>")
    editor.wait_ghost_gone()
    editor.type("uu")
    editor.until(lambda: editor.nvim.current.buffer[4] == "    return math.pi * ", "undone in two steps")


def test_typing_along_the_models_text_keeps_it(editor: Any) -> None:
    editor.open("typed.py", SOURCE)
    editor.nvim.command("5")
    editor.type("Areturn math.pi * ")
    offered = editor.wait_ghost()
    editor.type(offered[:3])
    editor.wait_ghost(offered[3:])
    editor.type("<Esc>")
    editor.wait_ghost_gone()


def test_the_commands_of_the_real_server_show_documents(editor: Any) -> None:
    editor.open("why.py", SOURCE)
    editor.nvim.command("5")
    for command in ("why", "prompt"):
        editor.nvim.command(f"Famulus {command}")
        editor.until(lambda: editor.nvim.current.buffer.options["filetype"] == "markdown", "a document")
        assert len(editor.text()) > 40
        editor.type("q")
        editor.until(lambda: editor.nvim.current.buffer.options["filetype"] == "python", "closed")
    editor.nvim.command("edit! why.py")


def test_a_rewrite_is_shown_and_applied_after_a_yes(editor: Any) -> None:
    editor.open("rename.py", SOURCE.replace("    \n", "    return math.pi * radius**2\n"))
    source, old, new = editor.nvim.current.buffer, "def area_of_circle(radius):", "def area_of_circle(r):"
    for key, first in (("q", old), ("<Tab>", new)):
        editor.nvim.command("4,5Famulus rewrite rename radius to r")
        editor.until(lambda: "applies" in editor.nvim.current.window.options["winbar"], "asked")
        assert editor.nvim.current.buffer[3] == new and source[3] == old
        editor.type(key)
        editor.until(lambda: editor.nvim.current.buffer == source, "closed")
        editor.until(lambda first=first: source[3] == first, f"answered {key}")
    editor.nvim.command("undo")
    assert source[3] == old


def test_health_is_clean(editor: Any) -> None:
    editor.open("health.py", SOURCE)
    editor.nvim.command("checkhealth famulus")
    health = editor.text()
    assert "ERROR" not in health and "WARNING" not in health, health
    assert "attached to" in health and "famulus 0" in health
    assert editor.lua("return require('famulus').status()").startswith("famulus") is False
    editor.nvim.command("bwipeout!")
    assert editor.lua("return require('famulus').status()").startswith("famulus")


@pytest.fixture
def screen(program: Path, served: Any, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Runs tmux's own commands on a terminal of 80 by 20 in which Neovim runs."""
    tmux = shutil.which("tmux")
    if tmux is None:
        pytest.skip("tmux is not installed")
    project = Path(tempfile.mkdtemp(prefix="screen", dir=served.home))
    (project / "circle.py").write_text(SOURCE)
    plugin, command = Path(__file__).parents[3] / "editors/neovim", Path(sys.executable).with_name("famulus")
    (project / "init.lua").write_text(
        f"vim.opt.rtp:prepend('{plugin}')\n"
        "vim.g.loaded_python3_provider = 0\n"
        "vim.o.swapfile, vim.o.laststatus, vim.o.termguicolors = false, 2, true\n"
        "vim.o.statusline = \"%f %m%=%{v:lua.require'famulus'.status()} %l:%c \"\n"
        f"require('famulus').setup({{ cmd = '{command}' }})\n"
    )
    socket = ["-S", str(project / "tmux"), "-f", "/dev/null"]

    def run(*arguments: str) -> str:
        return subprocess.run([tmux, *socket, *arguments], capture_output=True, text=True, check=True).stdout

    line = f"{program} -u {project}/init.lua -i NONE +5 {project}/circle.py"
    environment = served.env(TERM="xterm-256color", LANG="C.UTF-8", XDG_STATE_HOME=str(tmp_path))
    subprocess.run([tmux, *socket, "new-session", "-d", "-x", "80", "-y", "20", line], env=environment, check=True)
    yield run
    run("kill-server")


def test_it_is_seen_on_a_real_screen(screen: Callable[..., str]) -> None:
    def until(what: Callable[[str], bool]) -> str:
        end = time.monotonic() + 30
        while not what(shown := screen("capture-pane", "-p")):
            assert time.monotonic() < end, shown
            time.sleep(0.05)
        return shown

    until(lambda shown: "def area_of_circle" in shown and "famulus" in shown.splitlines()[-2])
    screen("send-keys", "A", "return math.pi")
    until(lambda shown: "return math.pi * radius" in shown)
    coloured = screen("capture-pane", "-p", "-e")
    assert "return math.pi * radius" not in coloured, "ghost text looks like the text"
    screen("send-keys", "Tab", "Escape")
    screen("send-keys", "-l", ":w\n")
    shown = until(lambda shown: "written" in shown)
    assert "return math.pi * radius" in shown
    assert "Error" not in shown
