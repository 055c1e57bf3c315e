"""Tests as the project's formatter would have them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from famulus.lsp_server.testgen.style import Style

_SECONDS = 20
_PROBE = "def test_a():\n    assert bool(1)\n"
"""A test that lacks what rules may ask for."""


def formatted(text: str, path: Path, root: Path, style: Style, *, part: bool = False) -> str:
    """The text as ruff formats and sorts it for ``path``: with the project's configuration, else as far as black's has
    it, else with the quotes and the width of the other tests. ``part``: it is only a part of the file, without imports.
    As it is, where ruff is missing or fails."""
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    folder = next((parent for parent in path.parents if parent.is_dir()), None)
    if ruff is None or folder is None:
        return text
    own = _configured(path, root)
    options = [] if own else _options(root, style)
    fix = ["check", "--fix-only", "--quiet"]
    sort = ["check", "--fix-only", "--quiet", "--select", "I"]
    checks = [] if part else [fix, sort] if own else [sort]
    for command in [*checks, ["format", "--quiet"]]:
        done = subprocess.run(
            [ruff, *command, *options, "--no-cache", "--stdin-filename", str(path), "-"],
            input=text.encode(), capture_output=True, cwd=folder if own else root, timeout=_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode == 0 and done.stdout:
            text = done.stdout.decode()
    return text


def demanded(style: Style, path: Path, root: Path) -> Style:
    """The style with what the project's own rules ask of every test: annotations and docstrings."""
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    folder = next((parent for parent in path.parents if parent.is_dir()), None)
    if ruff is None or folder is None or not _configured(path, root):
        return style
    command = [ruff, "check", "--no-cache", "--output-format", "json", "--stdin-filename", str(path), "-"]
    done = subprocess.run(
        command, input=_PROBE.encode(), capture_output=True, cwd=folder, timeout=_SECONDS, check=False
    )
    try:
        codes = {str(found["code"]) for found in json.loads(done.stdout)}
    except (ValueError, KeyError, TypeError):
        return style
    return replace(
        style,
        annotated=style.annotated or any(code.startswith("ANN2") for code in codes),
        documented=style.documented or bool(codes & {"D102", "D103"}),
    )


def _configured(path: Path, root: Path) -> bool:
    """Whether the project says how ruff formats this file."""
    for folder in path.parents:
        if any((folder / name).is_file() for name in ("ruff.toml", ".ruff.toml")):
            return True
        if "ruff" in _tools(folder):
            return True
        if folder == root:
            return False
    return False


def _tools(folder: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _options(root: Path, style: Style) -> list[str]:
    """Options for a project without a configuration of ruff."""
    black = _tools(root).get("black")
    width, quotes = style.width, "single" if style.quote == "'" else "double"
    if isinstance(black, dict):
        width = black.get("line-length", 88)
        quotes = "preserve" if black.get("skip-string-normalization") else "double"
    if not isinstance(width, int) or not 1 <= width <= 320:
        width = 88
    return ["--isolated", "--config", f"line-length={width}", "--config", f"format.quote-style='{quotes}'"]
