"""Every command and every program that README and docs show does what they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")]


@dataclass(frozen=True)
class Shown:
    """One fenced block of a page, without the prompts of a console."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(*languages: str) -> Iterator[Shown]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in FENCE.finditer(text):
            if found[1] in languages:
                yield Shown(page, text[: found.start()].count("\n") + 1, found[1], found[2])


def console_commands() -> list[Shown]:
    """The lines with a prompt, one by one."""
    return [
        Shown(block.page, block.line + 1 + number, "console", line[2:])
        for block in blocks("console")
        for number, line in enumerate(block.text.splitlines())
        if line.startswith("$ ")
    ]


COMMANDS = console_commands()
BENCHES = [shown for shown in COMMANDS if shown.text.startswith("famulus bench")]
MAKES = [shown for shown in COMMANDS if shown.text.startswith("make ")]
PULLS = [shown for shown in COMMANDS if shown.text.startswith("famulus models pull")]
SERVES = [shown for shown in COMMANDS if shown.text.startswith("famulus serve")]
INSTALLS = [shown for shown in COMMANDS if shown.text.startswith(".venv/bin/pip install")]
ORDINARY = [shown for shown in COMMANDS if shown not in (*MAKES, *PULLS, *SERVES, *INSTALLS, *BENCHES)]


ALONE = ("famulus stop", "famulus models use")
"""What would disturb the engine of the other tests."""


def run(shown: Shown, famulus: Any, script: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=famulus.env(PATH=path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
    )


def filled_in(text: str, famulus: Any) -> str:
    """``text`` with the port and the token that the served engine really has."""
    status = famulus("status", "--json").stdout
    port = re.search(r'"port": (\d+)', status)
    assert port is not None
    return text.replace("8017", port[1]).replace("ENGINE_TOKEN", str(famulus.home / "run/engine.token"))


@pytest.mark.parametrize("shown", ORDINARY, ids=str)
def test_a_command_runs(shown: Shown, served: Any, lonely: Any) -> None:
    done = run(shown, lonely if shown.text.startswith(ALONE) else served, shown.text)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("shown", MAKES, ids=str)
def test_a_make_target_exists(shown: Shown, served: Any) -> None:
    done = run(shown, served, shown.text.replace("make", "env -u MAKEFLAGS -u MAKELEVEL make -n", 1))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shown", PULLS, ids=str)
def test_a_model_that_can_be_fetched_is_known_and_runs(shown: Shown, served: Any) -> None:
    """The network is not part of the tests: the description of the model stands in for its bytes."""
    done = run(shown, served, shown.text.replace("pull", "info"))
    assert done.returncode == 0, done.stderr
    assert "famulus models pull" in done.stdout
    assert "not yet" not in done.stdout


@pytest.mark.parametrize("shown", BENCHES, ids=str)
def test_a_benchmark_exists(shown: Shown, served: Any) -> None:
    """Running one takes minutes and is nobody's test."""
    name = shown.text.split()[2]
    done = run(shown, served, "famulus bench")
    assert name in done.stdout.removeprefix("Benchmarks: ").strip().split(", ")


def test_the_served_engine_is_the_one_that_the_pages_start() -> None:
    assert {shown.text for shown in SERVES} == {"famulus serve --port 8017"}
    assert len(INSTALLS) == 1


@pytest.mark.parametrize("shown", [*blocks("sh")], ids=str)
def test_a_script_runs(shown: Shown, served: Any) -> None:
    if "curl" in shown.text and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    done = run(shown, served, filled_in(shown.text, served))
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout


@pytest.mark.parametrize("shown", [*blocks("python")], ids=str)
def test_a_program_runs(shown: Shown, served: Any) -> None:
    program = filled_in(shown.text, served)
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], env=served.env(), capture_output=True, text=True, timeout=110
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_the_settings_that_are_shown_are_all_that_there_are(tmp_path: Path) -> None:
    from famulus.engine.settings import Settings, load_settings

    [shown] = [block for block in blocks("toml") if block.page.name == "commands.md"]
    (tmp_path / "famulus.toml").write_text(shown.text)
    assert load_settings(tmp_path / "famulus.toml") == Settings()
    assert set(re.findall(r"^(\w+) =", shown.text, re.MULTILINE)) == set(Settings.model_fields)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_command_and_every_route_is_described() -> None:
    from famulus.commands.application import app

    commands = (ROOT / "docs/commands.md").read_text()
    for command in app.registered_commands:
        assert command.callback is not None
        assert f"`{command.name or command.callback.__name__}" in commands
    routes = (ROOT / "docs/server.md").read_text()
    for file in (ROOT / "engine/api").glob("*.py"):
        for route in re.findall(r'Route\(\s*"(/[^"{]+)', file.read_text()):
            assert f"{route.rstrip('/')}`" in routes, route
