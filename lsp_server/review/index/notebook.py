"""The Python of a Jupyter notebook, each line where it stands in the file, so that places are lines of the file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

import msgspec

from famulus.lsp_server.review.change import decoded, parsed

_TYPE = re.compile(r'^([ \t]*)"cell_type":', re.MULTILINE)
_OF_PYTHON = re.compile(r"%%(time|timeit|capture|prun)\b")
"""Magics whose cell is Python all the same."""
_ASSIGNED = re.compile(r"^(\s*[\w.,\s]+=\s*)[%!].*")
_CROWDED = "its lines of code do not stand on lines of their own"
_COMMAND = re.compile(r"^(\s*)([%!?].*|[\w.]+\?{1,2}\s*)$")


class _Cell(msgspec.Struct):
    cell_type: str
    source: list[str] | str = ""


class _Notebook(msgspec.Struct):
    cells: list[_Cell]
    metadata: dict[str, object] = {}


def code(content: bytes) -> tuple[bytes, Mapping[int, str]]:
    """The source of all cells of Python, with empty lines for all other lines of the file; and for each line of a cell
    how a reader finds it: ``cell 3, line 2``, counted from 1, cells of text included.

    What only IPython knows is left out, and so are cells that are no Python. Raises :class:`ValueError` for what is no
    notebook, and where lines of code do not stand on lines of their own.
    """
    text = decoded(content)
    try:
        notebook = msgspec.json.decode(text, type=_Notebook)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ValueError("it is no notebook of a known form") from error
    lines = text.split("\n")
    indent = _TYPE.search(text)
    heads = [n for n, line in enumerate(lines) if indent and line.startswith(f'{indent[1]}"source":')]
    if len(heads) != len(notebook.cells):
        raise ValueError(_CROWDED)
    source, places = [""] * len(lines), {}
    for number, (cell, head) in enumerate(zip(notebook.cells, heads, strict=True), 1):
        if cell.cell_type == "code" and _speaks_python(notebook):
            start = head + lines[head].rstrip().endswith("[")
            written = _written(cell, lines[start:])
            for offset, line in enumerate(_python(written)):
                source[start + offset] = line
                places[start + offset + 1] = f"cell {number}, line {offset + 1}"
    return "\n".join(source).encode(), places


def _speaks_python(notebook: _Notebook) -> bool:
    language = notebook.metadata.get("language_info")
    return not isinstance(language, dict) or language.get("name", "python") in ("python", "ipython")


def _written(cell: _Cell, lines: Sequence[str]) -> list[str]:
    """The lines of a cell, which the first of ``lines`` hold as JSON."""
    written = [cell.source] if isinstance(cell.source, str) and cell.source else list(cell.source)
    try:
        held = [
            json.loads(line.strip().removeprefix('"source":').strip().removesuffix(",").strip("[] "))
            for line in lines[: len(written)]
        ]
    except ValueError:
        held = []
    if held != written or any("\n" in line[:-1] for line in written):
        raise ValueError(_CROWDED)
    return [line.rstrip("\n") for line in written]


def _python(lines: list[str]) -> list[str]:
    """The lines of a cell without what only IPython knows; empty if it is no Python."""
    if lines and lines[0].startswith("%%"):
        lines = ["", *lines[1:]] if _OF_PYTHON.match(lines[0]) else []
    if parsed("\n".join(lines)) is None:
        lines = [_COMMAND.sub(r"\1pass", _ASSIGNED.sub(r"\1None", line)) for line in lines]
    return lines if parsed("\n".join(lines)) is not None else []
