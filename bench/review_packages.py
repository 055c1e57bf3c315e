"""Sources of installed packages, from which ``famulus bench review`` makes its changes."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "click", "requests", "rich", "jinja2", "httpx", "httpcore", "packaging", "jsonschema", "pyparsing", "markdown_it",
    "parso", "lark", "nbformat", "mistune", "bs4", "arrow", "cattrs", "anyio", "fsspec", "jupyter_client",
    "attr", "idna", "h11", "platformdirs", "pluggy", "pathspec", "pexpect", "bleach", "prompt_toolkit", "traitlets",
)  # fmt: skip
"""Import names, pure Python; those that are not installed are passed over."""

_MOST_BYTES = 200_000
"""Larger files are tables of data."""
_NOT_SOURCE = {"tests", "test", "_vendor", "vendor", "vendored", "__pycache__"}


@dataclass(frozen=True)
class Package:
    """One package. ``files``: its Python files by path from the folder that is imported from."""

    name: str
    version: str
    files: Mapping[str, bytes]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def modules(self) -> Iterator[tuple[str, str, str, ast.Module]]:
        """Path, dotted name, text and tree of each file that can be read."""
        for path, content in self.files.items():
            try:
                text = content.decode()
                tree = ast.parse(text)
            except (SyntaxError, UnicodeDecodeError):
                continue
            yield path, dotted(path), text, tree


def dotted(path: str) -> str:
    """``a/b/__init__.py`` → ``a.b``."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def packages(most: int, names: Sequence[str] = PACKAGES) -> list[Package]:
    """The first ``most`` of them that are installed."""
    found: list[Package] = []
    distributions = metadata.packages_distributions()
    for name in names:
        spec = importlib.util.find_spec(name)
        if len(found) == most or spec is None or not spec.submodule_search_locations:
            continue
        top = Path(spec.submodule_search_locations[0])
        files = {}
        for file in sorted(top.rglob("*.py")):
            place = file.relative_to(top.parent)
            if _NOT_SOURCE.isdisjoint(place.parts) and file.stat().st_size <= _MOST_BYTES:
                files[place.as_posix()] = file.read_bytes()
        owner = distributions.get(name, [name])[0]
        found.append(Package(name, metadata.version(owner), files))
    return found
