"""Modules that a cell is about to import, imported before it is rehearsed: else every copy would import them anew, and
the live run once more."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys

KNOWN = {"numpy", "pandas", "matplotlib", "scipy", "sklearn", "seaborn", "statsmodels", "sympy", "PIL", "requests"}
"""Packages that may be imported unasked. Not polars: it starts threads, after which no copy can be made."""


def wanted(code: str) -> list[str]:
    """The modules of the standard library and of well-known packages that ``code`` imports and nobody has yet."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
    return [name for name in names if name not in sys.modules and _known(name)]


def load(names: list[str]) -> None:
    """Imports them; one that is not there is left to the cell, which says so."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:
            return


def _known(name: str) -> bool:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return top not in ("antigravity", "this")  # these open a browser and print a poem
    if top not in KNOWN:
        return False
    # A file of the user's that is called like the package is code that nobody asked to run.
    spec = importlib.util.find_spec(top) if top not in sys.modules else sys.modules[top].__spec__
    return spec is not None and spec.origin is not None and os.path.dirname(spec.origin) != os.getcwd()
