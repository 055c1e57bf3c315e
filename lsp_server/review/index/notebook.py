"""The Python of a Jupyter notebook, each line where it stands in the file, so that places are lines of the file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from famulus.lsp_server.review.change import decoded, parsed

_TYPE = re.compile(r'^([ \t]*)"cell_type":', re.MULTILINE)
_OF_PYTHON = re.compile(r"%%(time|timeit|capture|prun)\b")
"""Magics whose cell is Python all the same."""
_ASSIGNED = re.compile(r"^(\s*[\w.,\s]+=\s*)[%!].*")
_COMMAND = re.compile(r"^(\s*)([%!?].*|[\w.]+\?{1,2}\s*)$")


def code(content: bytes) -> tuple[bytes, Mapping[int, str]]:
    """The source of all cells of Python, with empty lines for all other lines of the file; and for each line of a cell
    how a reader finds it: ``cell 3, line 2``, counted from 1, cells of text included.

    What only IPython knows is left out, and so are cells that are no Python. Raises :class:`ValueError` for what is no
    notebook, and where lines of code do not stand on lines of their own.
    """
    text = decoded(content)
    notebook = json.loads(text)
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    indent = _TYPE.search(text)
    if not isinstance(cells, list) or (cells and indent is None):
        raise ValueError("it is no notebook of a known form")
    lines = text.split("\n")
    heads = [n for n, line in enumerate(lines) if indent and line.startswith(f'{indent[1]}"source":')]
    source, places = [""] * len(lines), {}
    for number, (cell, head) in enumerate(zip(cells, heads, strict=True), 1):
        if cell.get("cell_type") == "code" and _speaks_python(notebook):
            start = head + lines[head].rstrip().endswith("[")
            written = _written(cell, lines[start:])
            for offset, line in enumerate(_python(written)):
                source[start + offset] = line
                places[start + offset + 1] = f"cell {number}, line {offset + 1}"
    return "\n".join(source).encode(), places


def _speaks_python(notebook: Mapping[str, Any]) -> bool:
    return notebook.get("metadata", {}).get("language_info", {}).get("name", "python") in ("python", "ipython")


def _written(cell: Mapping[str, Any], lines: Sequence[str]) -> list[str]:
    """The lines of a cell, which the first of ``lines`` hold as JSON."""
    given = cell.get("source", [])
    written = [given] if isinstance(given, str) and given else list(given)
    try:
        held = [
            json.loads(line.strip().removeprefix('"source":').strip().removesuffix(",").strip("[] "))
            for line in lines[: len(written)]
        ]
    except ValueError:
        held = []
    if held != written or any("\n" in line[:-1] for line in written):
        raise ValueError("its lines of code do not stand on lines of their own")
    return [line.rstrip("\n") for line in written]


def _python(lines: list[str]) -> list[str]:
    """The lines of a cell without what only IPython knows; empty if it is no Python."""
    if lines and lines[0].startswith("%%"):
        lines = ["", *lines[1:]] if _OF_PYTHON.match(lines[0]) else []
    if parsed("\n".join(lines)) is None:
        lines = [_COMMAND.sub(r"\1pass", _ASSIGNED.sub(r"\1None", line)) for line in lines]
    return lines if parsed("\n".join(lines)) is not None else []
