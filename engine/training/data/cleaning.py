"""Which files of a package are source that a person wrote: no vendored, generated or data files, nothing broken."""

from __future__ import annotations

import ast
import re
import warnings

from famulus.engine.training.corpus import unfit

VENDORED = frozenset(
    {"_vendor", "vendor", "vendored", "_vendored", "third_party", "thirdparty", "3rdparty", "extern", "externals",
     "_external", "ext_libs", "site-packages", "_distutils", "importlib_resources", "blib2to3"}
)  # fmt: skip
GENERATED = re.compile(r"(_pb2(_grpc)?|_generated|\.gen|_version|_parsetab|parsetab|lextab|_tables?|unicode_\w+)\.py$")
SIZE = (256, 100_000)
"""Characters of a file, at least and at most."""


def reason(path: str, text: str) -> str:
    """Why a file is left out, "" where it is taken. ``path`` is that inside of the package."""
    *folders, _ = path.split("/")
    if VENDORED.intersection(folders):
        return "vendored"
    if GENERATED.search(path):
        return "generated"
    if not SIZE[0] <= len(text) <= SIZE[1]:
        return "too short or too long"
    if found := unfit(text):
        return found
    if _share(text, r"\d") > 0.25 or _share(text, r"[^\x00-\x7f]") > 0.15:
        return "data"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "not valid Python"
    code = [n for n in tree.body if not isinstance(n, (ast.Import, ast.ImportFrom, ast.Expr))]
    return "" if code else "only imports"


def _share(text: str, pattern: str) -> float:
    return len(re.findall(pattern, text)) / len(text)
