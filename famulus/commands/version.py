"""``famulus version``: what is installed, without loading any of it."""

from __future__ import annotations

import importlib.metadata
import platform

import typer

from famulus import __version__
from famulus.commands.terminal import grid, output

PACKAGES = ("torch", "triton", "tokenizers", "safetensors", "llguidance")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(version)


def version() -> None:
    """Print the versions of Famulus and of what it stands on."""
    rows = [("famulus", __version__), ("Python", platform.python_version())]
    output().print(grid([*rows, *((name, installed(name)) for name in PACKAGES)]))


def installed(package: str) -> str:
    """The version of an installed package, or that it is absent."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
