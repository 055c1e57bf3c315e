"""A notebook without words cells: each becomes the code that it came to, under its words as a comment. No model is
needed, and the result runs on the stock Python kernel."""

from __future__ import annotations

import ast
import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from famulus.engine.errors import FamulusError
from famulus.jupyter_kernel import detect, provenance
from famulus.jupyter_kernel.recordings import Recordings

OURS = ("%famulus", "%explain", "%context", "%accept", "%freeze", "%fix")
"""Magics that only look at words cells: a frozen notebook has none."""
STOCK = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


class CannotFreeze(FamulusError):
    """The file is no notebook, or a words cell of it has no known code."""


@dataclass
class _Frozen:
    """A cell on its way. ``words``: those of a words cell that nothing has undone yet."""

    cell: dict[str, Any]
    words: str = ""


def freeze(notebook: dict[str, Any], recordings: Recordings) -> dict[str, Any]:
    """A copy of the notebook (format 4) in which words cells are code. Raises :class:`CannotFreeze` and names the cell
    whose code is not known."""
    frozen: list[_Frozen] = []
    number = 0
    for cell in copy.deepcopy(notebook["cells"]):
        if cell.get("cell_type") != "code":
            frozen.append(_Frozen(cell))
            continue
        number += 1
        source = text_of(cell["source"])
        first = source.strip().partition(" ")[0].strip()
        if source.strip() in ("%undo", "%retry"):
            _take_back(frozen)
        if source.strip() == "%retry" or (first not in OURS and source.strip() != "%undo"):
            frozen.append(_freeze_cell(cell, source, number, recordings))
    result = copy.deepcopy(notebook)
    result["cells"] = [one.cell for one in frozen]
    result.setdefault("metadata", {})["kernelspec"] = dict(STOCK)
    return result


def script(notebook: dict[str, Any]) -> str:
    """A frozen notebook as one Python file: cells divided by ``# %%``, text as comments, magics commented out."""
    parts = []
    for cell in notebook["cells"]:
        source = text_of(cell["source"])
        if cell.get("cell_type") == "code":
            parts.append(f"# %%\n{_plain(source)}")
        elif source.strip():
            parts.append("# %% [markdown]\n" + _commented(source))
    return "\n\n".join(parts) + "\n"


def read(path: Path) -> dict[str, Any]:
    """The notebook in a file. Raises :class:`CannotFreeze`."""
    try:
        notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CannotFreeze(f"{path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise CannotFreeze(f"{path} is not a notebook (it is not JSON).") from error
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) and "source" in cell for cell in cells):
        raise CannotFreeze(f"{path} is not a notebook of format 4.", fix="Save it with a current Jupyter first.")
    return notebook


def text_of(source: Any) -> str:
    """The source of a cell, which is stored as one text or as lines."""
    return source if isinstance(source, str) else "".join(source)


def _freeze_cell(cell: dict[str, Any], source: str, number: int, recordings: Recordings) -> _Frozen:
    outputs = cell.get("outputs", [])
    record = next((found for output in outputs if (found := output.get("data", {}).get(provenance.MIME))), None)
    words = source
    if record is None or record.get("status") != "ok":
        reading = detect.read(source, (), magics=())
        if reading.kind != "words":
            return _Frozen(cell)
        words = reading.text
        recorded = recordings.of(words)
        if not recorded:
            raise CannotFreeze(
                f"Cell {number} (“{_start(words)}”) is in words and its code is not known.",
                fix="Run the notebook first and save it.",
            )
        code = recorded[0].code
    else:
        words, code = record["words"], record["code"]
    cell["outputs"] = [output for output in outputs if provenance.MIME not in output.get("data", {})]
    cell["source"] = _commented(words) + "\n" + code
    return _Frozen(cell, words)


def _take_back(frozen: list[_Frozen]) -> None:
    """The last words cell was undone: only its words stay."""
    for one in reversed(frozen):
        if one.words:
            one.cell["source"], one.cell["outputs"] = _commented(f"undone: {one.words}"), []
            one.words = ""
            return


def _plain(source: str) -> str:
    """A cell as plain Python. What only IPython understands becomes a comment."""
    if source.startswith("%%"):
        return _commented(source)
    lines = [f"# {line}" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines()]
    text = "\n".join(lines)
    try:
        ast.parse(text)
    except SyntaxError:
        return _commented(source)
    return text


def _commented(text: str) -> str:
    return "\n".join(f"# {line}".rstrip() for line in text.splitlines())


def _start(words: str, limit: int = 50) -> str:
    line = words.strip().splitlines()[0]
    return line if len(line) <= limit else line[: limit - 1] + "…"
