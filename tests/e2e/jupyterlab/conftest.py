"""JupyterLab in Chromium with the notebook kernel, for the tests beside this file.

The pictures of docs/img are made anew by ``pytest tests/e2e/jupyterlab --screenshots``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browser import BROWSERS, PICTURES, ROOT, Page, browser, free_port, need, server

from famulus.jupyter_kernel import install

NOTEBOOK = "sales.ipynb"
SAMPLE = ROOT / "docs/tour/sales.csv"
CELL = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-CodeCell"
IDLE = "#jp-main-statusbar >> text=/Idle/"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}

SETTINGS: dict[str, dict[str, Any]] = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "apputils-extension/themes": {"theme": THEMES["light"], "adaptive-theme": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # Each cell stays in the page, seen or not.
    "application-extension/shell": {"startMode": "single"},
}


@dataclass
class Lab:
    """One JupyterLab window with one notebook."""

    page: Page
    folder: Path
    pictures: Path | None
    cells: int = 0

    def run(self, text: str) -> str:
        """Types a cell and runs it to its end. Returns a selector of the cell."""
        cell = self.start(text)
        self.done(cell)
        return cell

    def start(self, text: str) -> str:
        """Types into the last cell, which is empty, and runs it."""
        self.cells = self.count()
        cell = f"{CELL} >> nth={self.cells - 1}"
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

    def sources(self) -> list[str]:
        """The cells as they are in the file, after saving."""
        return ["".join(cell["source"]) for cell in self.saved()["cells"]]

    def text(self, cell: str) -> str:
        """What stands under the cell."""
        return str(self.page(f"{cell} >> .jp-Cell-outputWrapper", "innerText"))

    def saved(self) -> dict[str, Any]:
        """Saves the notebook and reads it."""
        path = self.folder / NOTEBOOK
        before = path.stat().st_mtime_ns
        self.page.keys("Control+s")
        self.page.until("the notebook is saved", lambda: path.stat().st_mtime_ns != before)
        saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return saved

    def picture(self, name: str) -> None:
        if self.pictures is not None:
            self.page("page", "screenshot", {"path": str(self.pictures / f"jupyter-{name}.png")})


@pytest.fixture(scope="module")
def lab(served: Any, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """JupyterLab with an empty notebook of our kernel, and the engine of the session."""
    need(*BROWSERS)
    home = tmp_path_factory.mktemp("jupyterlab")
    folder, data = home / "work", home / "data"
    folder.mkdir()
    (folder / "sales.csv").write_bytes(SAMPLE.read_bytes())
    (folder / NOTEBOOK).write_text(json.dumps(empty_notebook()))
    install.write(data / "kernels/famulus", install.kernelspec(install.examine(sys.executable)))
    for name, values in SETTINGS.items():
        file = home / f"settings/@jupyterlab/{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    port = free_port()
    command = [sys.executable, "-P", "-m", "jupyterlab", "--no-browser", f"--ServerApp.port={port}"]
    command += ["--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.open_browser=False"]
    command += [f"--ServerApp.root_dir={folder}", "--LabApp.news_url=", "--allow-root"]
    environment = served.env(
        HOME=str(home),
        IPYTHONDIR=str(home / "ipython"),
        JUPYTER_CONFIG_DIR=str(home / "config"),
        JUPYTER_DATA_DIR=str(data),
        JUPYTER_RUNTIME_DIR=str(home / "run"),
        JUPYTERLAB_SETTINGS_DIR=str(home / "settings"),
        JUPYTERLAB_WORKSPACES_DIR=str(home / "workspaces"),
    )
    with server(command, environment, home / "server.log", port), browser(environment) as page:
        page("page", "setViewportSize", {"width": 960, "height": 640})
        page("page", "goto", f"http://127.0.0.1:{port}/lab/tree/{NOTEBOOK}")
        page.wait(IDLE)
        yield Lab(page, folder, PICTURES if request.config.getoption("--screenshots") else None)


def empty_notebook() -> dict[str, Any]:
    cell = {"cell_type": "code", "id": "first", "metadata": {}, "source": [], "outputs": [], "execution_count": None}
    named = {"name": "famulus", "display_name": install.DISPLAY_NAME, "language": "python"}
    return {"cells": [cell], "metadata": {"kernelspec": named}, "nbformat": 4, "nbformat_minor": 5}
