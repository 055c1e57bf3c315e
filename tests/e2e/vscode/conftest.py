"""VS Code (code-server) in Chromium with the extension, for the tests beside this file.

What is needed beside node 20, npm and Chromium is installed from npm into ``.e2e`` when it is first used. The pictures
of docs/img are made anew by ``pytest tests/e2e/vscode --screenshots``.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from browser import (
    BROWSERS,
    PARTS,
    PICTURES,
    ROOT,
    Page,
    alone,
    browser,
    free_port,
    locked_packages,
    need,
    npm,
    once,
    server,
)

EXTENSION = ROOT / "editors/vscode"
RECIPE = Path(__file__).parent

READY = "Famulus: Ready."
STATUS = "[id='famulus.famulus.famulus.status']"
EDITOR = ".editor-group-container.active .monaco-editor"
GHOST = f"{EDITOR} [class*=ghost-text]"
PALETTE = ".quick-input-widget input"

SETTINGS: dict[str, Any] = {
    "breadcrumbs.enabled": False,
    "editor.minimap.enabled": False,
    "editor.wordBasedSuggestions": "off",
    "extensions.autoCheckUpdates": False,
    "extensions.autoUpdate": False,
    "famulus.completion.minimumConfidence": 0,  # The embedded model is small, and often not sure enough by itself.
    "famulus.review.budget": 3,
    "famulus.testgen.budget": 90,
    "files.autoSave": "off",
    "window.commandCenter": False,
    "workbench.colorTheme": "Default Dark Modern",
    "workbench.enableExperiments": False,
    "workbench.layoutControl.enabled": False,
    "workbench.quickOpen.closeOnFocusLost": False,
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": False,
}
AREA = "import math\n\n\ndef area_of_circle(radius):\n    "
PROJECT = {
    "geometry.py": AREA,
    "words.py": AREA,
    "lines.py": AREA,
    "wholes.py": AREA,
    "shapes.py": AREA,
    "areas.py": AREA,
    "rounds.py": AREA,
    "languages.py": AREA,
    "sums.py": "def total(values):\n    result = 0\n    for one in values:\n        result += one\n    return result\n",
    "sales.py": "def sales():\n    return 1\n",
    "averages.py": "def mean(values):\n    return sum(valves) / len(values)\n",
    "prices.py": "def price(amount, rate=0.2):\n    return amount * (1 + rate)\n",
    "sizes.py": (
        "def clamp(size: int, low: int = 1, high: int = 100) -> int:\n"
        '    """The size, but at least low and at most high."""\n'
        "    return max(low, min(size, high))\n"
    ),
    "orders.py": "from prices import price\n\n\ndef order(amount):\n    return price(amount, rate=0.1)\n",
}


# -- the parts


def install_code_server() -> Path:
    """VS Code for the browser, as the lock file names it."""
    version = subprocess.run([need("node"), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if not version.startswith("v20."):
        pytest.skip(f"code-server 4.100 needs node 20, and node is {version}")

    def finish(folder: Path) -> None:
        server = folder / "node_modules/code-server/lib/vscode"
        for part in (server, server / "extensions"):
            npm("install", "--omit=dev", "--ignore-scripts", folder=part)
        npm("rebuild", "argon2", folder=folder)

    locked_packages(RECIPE, PARTS / "vscode", finish)
    return PARTS / "vscode"


def package_extension() -> Path:
    """The extension as a .vsix, type-checked and built from the checkout, beside it and not in it."""
    folder = PARTS / "extension"
    made_there = shutil.ignore_patterns("node_modules", "dist", "*.vsix")
    lock = EXTENSION / "package-lock.json"
    parts = [path for path in sorted(EXTENSION.iterdir()) if not made_there("", [path.name])]
    sources = [file for part in parts for file in [part, *sorted(part.rglob("*"))] if file.is_file()]
    with once(folder, *sources) as wanted:
        if wanted:
            folder.mkdir(parents=True, exist_ok=True)
            for old in set(folder.iterdir()) - set(folder.glob("node_modules*")):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            shutil.copytree(EXTENSION, folder, ignore=made_there, dirs_exist_ok=True)
            with once(folder / "node_modules", lock) as changed:
                if changed:
                    npm("ci", "--ignore-scripts", folder=folder)
            npm("run", "package", folder=folder)
    return folder / "famulus.vsix"


# -- the editor


@dataclass
class VSCode:
    """One window with one folder open."""

    page: Page
    process: psutil.Process
    project: Path
    machine: Path
    pictures: Path | None

    @property
    def status(self) -> str:
        return str(self.page(STATUS, "getAttribute", "aria-label"))

    def ready(self) -> None:
        self.page.until("the status bar says ready", lambda: self.status == READY)

    def open(self, name: str) -> str:
        """Opens a file of the project, the cursor at its end. Returns its text."""
        tab = f".tab.active[data-resource-name='{name}']"

        def opened() -> bool:
            """The rows move while the explorer is drawn anew, and the click may meet another."""
            self.page(f".explorer-folders-view [aria-label^='{name}']", "dblclick")
            with contextlib.suppress(AssertionError):
                self.page(tab, "waitFor", {"state": "visible", "timeout": 2000})
            return bool(self.page(tab, "isVisible"))

        self.page.until(f"{name} is opened", opened)
        self.page(f"{EDITOR} .view-lines", "click")
        self.page.keys("Control+End")
        return (self.project / name).read_text(encoding="utf-8")

    def run(self, title: str) -> None:
        """Runs a command from the palette."""
        self.page.keys("F1")
        self.page.wait(PALETTE)
        self.page(PALETTE, "fill", f">{title}")
        row = f".quick-input-list .monaco-list-row.focused[aria-label^='{title}']"
        self.page.wait(row)
        self.page(PALETTE, "press", "Enter")  # into the palette, whatever took the focus meanwhile
        self.page.wait(row, "hidden")

    def afresh(self) -> None:
        """Takes back what an earlier attempt at a test has left: open editors, changed and new files."""
        self.page.keys("Escape")
        while self.page(".tab", "isVisible"):
            self.run("View: Revert and Close Editor")
        git("reset", "--quiet", "--hard", folder=self.project)
        git("clean", "--quiet", "-d", "--force", folder=self.project)

    def ghost(self) -> str:
        """The first line of the grey text."""
        try:
            self.page.wait(GHOST)
        except AssertionError as error:
            self.run("Famulus: Why Is Nothing Shown?")
            self.page.wait(".tab.active[data-resource-name$='.md']")
            raise AssertionError(f"No grey text. {self.text()}") from error
        return self.page.joined(f"{GHOST}.ghost-text-decoration", "")

    def text(self) -> str:
        """The lines in sight of the document in the active editor."""
        return self.page.joined(f"{EDITOR} .view-line", "\n")

    def saved(self, name: str) -> str:
        """Saves the file and reads it."""
        path = self.project / name
        before = path.stat().st_mtime_ns
        self.page.keys("Control+s")
        self.page.until(f"{name} is saved", lambda: path.stat().st_mtime_ns != before)
        return path.read_text(encoding="utf-8")

    def servers(self) -> list[psutil.Process]:
        """The language servers that run for the window."""
        found = []
        for process in self.process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.cmdline()[-2:] == ["lsp", "--stdio"]:
                    found.append(process)
        return found

    def picture(self, name: str) -> None:
        if self.pictures is not None:
            self.page("page", "screenshot", {"path": str(self.pictures / f"vscode-{name}.png")})


def git(*arguments: str, folder: Path) -> None:
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@localhost", "-c", "commit.gpgsign=false"]
    subprocess.run([need("git"), *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def opened(served: Any, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[VSCode]:
    """VS Code with the extension installed from its .vsix, and the engine of the session."""
    need(*BROWSERS)
    with alone():
        parts, vsix = install_code_server(), package_extension()

    home = tmp_path_factory.mktemp("vscode")
    project, data = home / "project", home / "data"
    project.mkdir()
    for name, text in PROJECT.items():
        (project / name).write_text(text)
    git("init", "--quiet", folder=project)
    git("add", ".", folder=project)
    git("commit", "--quiet", "--message", "Begin", folder=project)
    (data / "User").mkdir(parents=True)
    (data / "User/settings.json").write_text(json.dumps(SETTINGS))
    # VS Code takes the PATH from a login shell, in whose profile users put it, too.
    (home / ".profile").write_text(f'PATH="{Path(sys.executable).parent}:$PATH"\n')
    port = free_port()
    (home / "config.yaml").write_text(f"bind-addr: 127.0.0.1:{port}\nauth: none\ncert: false\n")
    command = [need("node"), str(parts / "node_modules/code-server/out/node/entry.js")]
    command += ["--config", str(home / "config.yaml"), "--user-data-dir", str(data)]
    command += ["--extensions-dir", str(home / "extensions"), "--disable-telemetry", "--disable-update-check"]
    command += ["--disable-workspace-trust"]
    environment = served.env(HOME=str(home), SHELL="/bin/bash", XDG_RUNTIME_DIR=str(home))

    subprocess.run([*command, "--install-extension", vsix], env=environment, check=True, capture_output=True)
    with (
        server([*command, str(project)], environment, home / "server.log", port) as process,
        browser(environment) as page,
    ):
        page("page", "goto", f"http://127.0.0.1:{port}/?folder={quote(str(project))}")
        page.wait(STATUS)
        pictures = PICTURES if request.config.getoption("--screenshots") else None
        yield VSCode(page, process, project, data / "Machine/settings.json", pictures)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Beside a failure stands what the window says."""
    report = yield
    window = getattr(item, "funcargs", {}).get("vscode")
    if report.when == "call" and report.failed and isinstance(window, VSCode):
        with contextlib.suppress(AssertionError):
            said = window.page.joined(".notification-list-item", "\n")
            report.sections.append(("VS Code", f"{window.status}\n{said}\n{window.text()}"))
    return report


@pytest.fixture
def vscode(opened: VSCode, request: pytest.FixtureRequest) -> Iterator[VSCode]:
    """The same window for all tests, with no settings of theirs left, however they end."""
    if getattr(request.node, "execution_count", 1) > 1:
        opened.afresh()
    yield opened
    if opened.machine.exists():
        opened.machine.write_text("{}")
