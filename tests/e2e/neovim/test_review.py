"""Changes are reviewed in a real Neovim by the real language server; no engine is needed for that."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PRICES = "def price(amount, rate=0.2):\n    return amount * (1 + rate)\n"
ORDERS = "from prices import price\n\n\ndef order(amount):\n    return price(amount, rate=0.1)\n"
SECONDS = 90.0
FOUND = """
local found = vim.diagnostic.get(vim.fn.bufadd(...))
return vim.tbl_map(function(d) return { d.lnum, d.code, d.message } end, found)
"""
CHOOSE = """
local title, answer = ...
vim.ui.input = function(_, done) done(answer) end
vim.lsp.buf.code_action({ filter = function(action) return action.title:find(title, 1, true) end, apply = true })
"""


@pytest.fixture
def editor(editor_class: Any, nvim: Path, tmp_path: Path) -> Iterator[Any]:
    project, home = tmp_path / "project", tmp_path / "home"
    project.mkdir()
    (home / "run/start.lock").mkdir(parents=True)  # no engine can be started
    for name, text in {"prices.py": PRICES, "orders.py": ORDERS, ".gitignore": "nvim\n"}.items():
        (project / name).write_text(text)
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@localhost", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "Begin"]):
        subprocess.run(["git", *who, *arguments], cwd=project, check=True)
    command = Path(sys.executable).with_name("famulus")
    made = editor_class(
        nvim,
        project,
        f"{{ cmd = '{command}', settings = {{ testgen = {{ budget = 90 }} }} }}",
        {"FAMULUS_HOME": str(home)},
    )
    yield made
    made.close()


def test_a_save_shows_what_breaks_and_a_code_action_mends_it(editor: Any) -> None:
    orders = str(editor.folder / "orders.py")
    editor.open("prices.py", PRICES.replace("rate", "tax"))
    editor.nvim.command("write")
    [[line, code, message]] = editor.until(lambda: editor.lua(FOUND, orders), "a diagnostic", SECONDS)
    assert (line, code) == (4, "call-site/unknown-keyword")
    assert message.startswith("orders.py:5 calls price() with `rate`, which it no longer takes.")

    editor.nvim.command("FamulusReview")
    editor.until(lambda: editor.text().startswith("### Famulus review: "), "the summary", SECONDS)
    assert "orders.py:5 calls price()" in editor.text()
    editor.type("q")

    editor.open("orders.py", ORDERS)
    editor.nvim.command("5")
    editor.lua(CHOOSE, "ignore this finding", "the old orders stay")
    comment = "    # famulus: ignore[call-site/unknown-keyword] the old orders stay"
    editor.until(lambda: comment in editor.nvim.current.buffer[:], "the comment")
    editor.until(lambda: not editor.lua(FOUND, orders), "taken away", SECONDS)
    editor.nvim.command("undo")
    editor.nvim.command("write")
    editor.until(lambda: editor.lua(FOUND, orders), "the diagnostic again", SECONDS)
    editor.nvim.command("5")
    editor.lua(CHOOSE, "rename `rate` to `tax`", "")
    editor.until(lambda: "    return price(amount, tax=0.1)" in editor.nvim.current.buffer[:], "the edit")
    editor.nvim.command("write")
    editor.until(lambda: not editor.lua(FOUND, orders), "nothing wrong", SECONDS)


@pytest.mark.timeout(400)
def test_tests_are_written_and_explained(editor: Any) -> None:
    editor.open("prices.py", PRICES)
    editor.nvim.command("Famulus trust")
    ready = "local c = require('famulus.client').of() return c ~= nil and c.initialized == true"
    editor.until(lambda: editor.lua(ready), "started again", SECONDS)
    editor.nvim.command("Famulus test")
    editor.until(lambda: "def test_price" in editor.text(), "the tests", SECONDS)
    assert not (editor.folder / "test_prices.py").exists()
    editor.nvim.command("Famulus apply")
    editor.until(lambda: editor.nvim.current.buffer.name.endswith("test_prices.py"), "the new file")
    editor.nvim.command("write")
    assert "def test_price" in (editor.folder / "test_prices.py").read_text()

    editor.open("test_orders.py", "from orders import order\n\n\ndef test_order():\n    assert order(10.0)\n")
    editor.nvim.command("5")
    editor.nvim.command("Famulus reason")
    editor.until(lambda: editor.text().startswith("`test_order` notices "), "the reason", SECONDS)
    editor.type("q")
    editor.open("test_orders.py", "from orders import order\n\n\ndef test_order():\n    assert order(10.0)\n")
    editor.nvim.command("5")
    editor.lua(CHOOSE, "strengthen test_order", "")
    editor.until(lambda: "    assert order(10.0) == 11.0\n" in editor.text(), "what it lacked", SECONDS)
    editor.nvim.command("Famulus apply")
    editor.until(lambda: editor.nvim.current.buffer.name.endswith("test_orders.py"), "the file again")
    editor.nvim.command("silent! update")
    editor.until(lambda: "== 11.0" in (editor.folder / "test_orders.py").read_text(), "the stronger test")
