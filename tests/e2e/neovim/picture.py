"""Draws docs/img/neovim.svg: what a terminal shows while Famulus completes in Neovim. Run by hand when that changes:

    .venv/bin/python -P tests/e2e/neovim/picture.py

It needs tmux, and an engine that is ready or can be started.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parents[3]
THEME = TerminalTheme((20, 22, 27), (224, 226, 234), [(20, 22, 27)] * 8, [(224, 226, 234)] * 8)
"""Neovim's own colours of the background and the text."""
SOURCE = '''import math


def circumference(radius):
    """The length of a circle's edge."""
    return 2 * math.pi * radius


def area_of_circle(radius):
    """The area of a circle."""

'''


def capture(folder: Path) -> str:
    """The screen of a terminal of 72 by 16, with its colours."""
    (folder / "shapes.py").write_text(SOURCE)
    (folder / "init.lua").write_text(
        f"vim.opt.rtp:append('{ROOT}/editors/neovim')\n"
        "vim.o.swapfile, vim.o.termguicolors, vim.o.number, vim.o.showcmd = false, true, true, false\n"
        "vim.o.statusline = \" %f %m%=%{v:lua.require'famulus'.status()} %l:%c \"\n"
        f"require('famulus').setup({{ cmd = '{sys.prefix}/bin/famulus', inline = 'own' }})\n"
    )
    tmux = ["tmux", "-S", str(folder / "socket"), "-f", "/dev/null"]
    nvim = f"TERM=xterm-256color {sys.prefix}/bin/nvim -u {folder}/init.lua -i NONE +11 shapes.py"
    size = ["-x", "72", "-y", "16"]
    subprocess.run([*tmux, "new-session", "-d", *size, "-c", str(folder), "sh", "-c", nvim], check=True)
    try:
        before, screen = "", ""
        end = time.monotonic() + 60
        subprocess.run([*tmux, "send-keys", "A", "    return math.pi * "], check=True)
        while not re.search(r"11 .*pi .*radius", screen) or screen != before:
            assert time.monotonic() < end, screen
            time.sleep(1)
            before = screen
            screen = subprocess.run([*tmux, "capture-pane", "-p", "-e"], capture_output=True, text=True).stdout
        return screen
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)


def main() -> None:
    """Draw it."""
    with tempfile.TemporaryDirectory() as folder:
        screen = capture(Path(folder))
    console = Console(record=True, width=72, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(screen.rstrip("\n")))
    picture = console.export_svg(title="nvim shapes.py", theme=THEME)
    picture = re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    (ROOT / "docs/img/neovim.svg").write_text(picture)


if __name__ == "__main__":
    main()
