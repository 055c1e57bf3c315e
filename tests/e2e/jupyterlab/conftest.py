"""JupyterLab in Chromium with the notebook kernel, for the tests beside this file.

The pictures of docs/img are made anew by ``pytest tests/e2e/jupyterlab --screenshots``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browser import BROWSERS, PICTURES, ROOT, Page, browser, free_port, need, server

from famulus.jupyter_kernel import install

SAMPLE = ROOT / "docs/tour/sales.csv"
CELL = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-CodeCell"
IDLE = "#jp-main-statusbar >> text=/Idle/"

SETTINGS: dict[str, dict[str, Any]] = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "notebook-extension/tracker": {"windowingMode": "none"},  # Each cell stays in the page, seen or not.
}


@dataclass
class Lab:
    """One JupyterLab window. The methods about cells are about the notebook that was opened last."""

    page: Page
    address: str
    folder: Path
    pictures: Path | None
    path: Path = Path()

    def open(self, name: str) -> None:
        """Opens a new notebook of our kernel, in a folder of its own beside the table."""
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        (folder / "sales.csv").write_bytes(SAMPLE.read_bytes())
        self.path = folder / f"{name}.ipynb"
        self.path.write_text(json.dumps(empty_notebook()))
        self.page("page", "goto", f"{self.address}/lab/tree/{folder.name}/{name}.ipynb?reset")
        self.page.wait(IDLE)
        self.page.keys("Control+b")  # The list of files takes the room of the cells.

    def run(self, text: str) -> str:
        """Runs a cell to its end. Returns a selector of the cell."""
        cell = self.start(text)
        self.done(cell)
        return cell

    def start(self, text: str) -> str:
        """Types into the last cell, which is empty, and runs it."""
        cell = f"{CELL} >> nth={self.count() - 1}"
        self.page(f"{cell} >> .cm-content", "click")
        self.page("keyboard", "insertText", text)
        self.page.keys("Shift+Enter")
        return cell

    def done(self, cell: str) -> None:
        """Waits until the cell has a number, and the kernel nothing to do."""
        self.page.wait(f"{cell} >> .jp-InputPrompt >> text=/\\[\\d+\\]/")
        self.page.wait(IDLE)

    def count(self) -> int:
        return int(self.page("page", "evaluate", f"document.querySelectorAll({json.dumps(CELL)}).length"))

    def says(self, cell: str, text: str) -> None:
        """Waits until ``text`` stands under the cell."""
        self.page.until(f"{text!r} under the cell", lambda: text in self.text(cell))

    def text(self, cell: str) -> str:
        """What stands under the cell."""
        return str(self.page(f"{cell} >> .jp-Cell-outputWrapper", "innerText"))

    def answer(self, cell: str, text: str) -> None:
        """Types into the box in which the kernel asks."""
        box = f"{cell} >> input.jp-Stdin-input"
        self.page.wait(box)
        self.page(box, "fill", text)
        self.page(box, "press", "Enter")

    def stop(self) -> None:
        """Presses the stop button."""
        self.page("[data-command='notebook:interrupt-kernel']", "click")

    def saved(self) -> list[dict[str, Any]]:
        """Saves the notebook. Returns its cells."""
        before = self.path.stat().st_mtime_ns
        self.page.keys("Control+s")
        self.page.until("the notebook is saved", lambda: self.path.stat().st_mtime_ns != before)
        cells: list[dict[str, Any]] = json.loads(self.path.read_text(encoding="utf-8"))["cells"]
        return cells

    def picture(self, name: str) -> None:
        if self.pictures is not None:
            self.page("page", "screenshot", {"path": str(self.pictures / f"jupyter-{name}.png")})


@pytest.fixture(scope="module")
def lab(served: Any, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """JupyterLab with our kernel, the engine of the session, and a table in its folder."""
    need(*BROWSERS)
    home = tmp_path_factory.mktemp("jupyterlab")
    folder, data, settings = home / "work", home / "data", home / "settings"
    folder.mkdir()
    for plugin, values in SETTINGS.items():
        file = settings / f"@jupyterlab/{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    install.write(data / "kernels/famulus", install.kernelspec(install.examine(sys.executable)))
    port = free_port()
    command = [sys.executable, "-P", "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}"]
    command += ["--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"]
    environment = served.env(
        HOME=str(home),
        IPYTHONDIR=str(home / "ipython"),
        JUPYTER_CONFIG_DIR=str(home / "config"),
        JUPYTER_DATA_DIR=str(data),
        JUPYTER_RUNTIME_DIR=str(home / "run"),
        JUPYTERLAB_SETTINGS_DIR=str(settings),
        JUPYTERLAB_WORKSPACES_DIR=str(home / "workspaces"),
    )
    with server(command, environment, home / "server.log", port), browser(environment) as page:
        pictures = PICTURES if request.config.getoption("--screenshots") else None
        page("page", "setViewportSize", {"width": 960, "height": 780})
        yield Lab(page, f"http://127.0.0.1:{port}", folder, pictures)


def empty_notebook() -> dict[str, Any]:
    cell = {"cell_type": "code", "id": "first", "metadata": {}, "source": [], "outputs": [], "execution_count": None}
    named = {"name": "famulus", "display_name": install.DISPLAY_NAME, "language": "python"}
    return {"cells": [cell], "metadata": {"kernelspec": named}, "nbformat": 4, "nbformat_minor": 5}
