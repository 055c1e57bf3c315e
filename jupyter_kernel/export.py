"""A notebook without words cells: each becomes the code that it came to, under its words as a comment. No model is
needed, and the result runs on the stock Python kernel."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from famulus.engine.errors import FamulusError
from famulus.jupyter_kernel import detect, provenance
from famulus.jupyter_kernel.recordings import Recordings, normal

OURS = ("%famulus", "%explain", "%context", "%accept", "%freeze", "%fix")
"""Magics that only look at words cells: a frozen notebook has none."""
MAGICS = frozenset({
    "cat", "cd", "conda", "cp", "debug", "edit", "env", "hist", "history", "less", "ll", "load", "ls", "lsmagic",
    "magic", "man", "matplotlib", "mkdir", "more", "mv", "pinfo", "pinfo2", "pip", "pwd", "reset", "rm", "rmdir", "run",
    "tb", "time", "timeit", "who", "who_ls", "whos",
})  # fmt: skip
"""Magics of IPython that work without their ``%``."""
STOCK = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


class CannotFreeze(FamulusError):
    """The file is no notebook, or a words cell of it has no known code."""


@dataclass
class Step:
    """A cell and what it is for us. ``number`` counts the code cells that are not empty, as ``In [n]`` does in a fresh
    kernel; 0 for all others. ``words`` and ``code``: those of a words cell that ran; ``unrun``: its code was shown and
    did not run, or was undone or tried again since."""

    cell: dict[str, Any]
    place: int
    number: int = 0
    words: str = ""
    code: str | None = None
    unrun: str = ""
    ours: bool = False


def freeze(notebook: dict[str, Any], recordings: Recordings) -> dict[str, Any]:
    """A copy of the notebook (format 4) in which words cells are code. Raises :class:`CannotFreeze` and names the cell
    whose code is not known."""
    result = copy.deepcopy(notebook)
    result["cells"] = [_frozen(step, recordings) for step in steps(result) if not step.ours]
    result.setdefault("metadata", {})["kernelspec"] = dict(STOCK)
    return result


def idle(notebook: dict[str, Any]) -> set[int]:
    """The places of cells that a replay leaves out: words whose code did not run or was undone, and the ``%undo`` of
    these."""
    return {step.place for step in steps(notebook) if step.unrun in ("undone", "not run") or (step.ours and step.words)}


def steps(notebook: dict[str, Any]) -> Iterator[Step]:
    """The cells in order, ``%undo`` and ``%retry`` applied to those above them."""
    done: list[Step] = []
    found: list[Step] = []
    number = 0
    for place, cell in enumerate(notebook["cells"]):
        source = text_of(cell["source"]).strip()
        if cell.get("cell_type") != "code" or not source:
            found.append(Step(cell, place))
            continue
        number += 1
        step = Step(cell, place, number)
        found.append(step)
        if source in ("%undo", "%retry") and done:
            last = done.pop()
            # What other cells went on from stays: they would not run without it.
            used = any(one.number > last.number and not one.ours and not one.unrun for one in found[:-1])
            last.unrun = "" if used else "undone" if source == "%undo" else "tried again"
            step.ours = source == "%undo"
            step.words = "" if used else last.words
            if not step.ours:
                _read(step, last.words)
        elif source.partition(" ")[0].strip() in (*OURS, "%undo", "%retry"):
            step.ours = True
        else:
            _read(step, "")
        if step.words and not step.unrun and not step.ours:
            done.append(step)
    yield from found


def _read(step: Step, said: str) -> None:
    """Is it a cell in words, which ones, and what is known of their code? ``said``: the words that it tries again."""
    source = text_of(step.cell["source"])
    record = _record(step.cell)
    reading = detect.read(source, (), magics=MAGICS)
    words = said or (reading.text if reading.kind != "python" or record else "")
    if record is not None and (said or normal(record["words"]) == normal(words)):
        step.words, step.code = record["words"], record["code"]
        step.unrun = "not run" if record["status"] in ("shown", "refused") else ""
    elif said or (reading.kind == "words" and not _ran_as_python(step.cell)):
        step.words = words


def _record(cell: dict[str, Any]) -> dict[str, Any] | None:
    """What the panel of a words cell tells of it, None where there is none."""
    for output in reversed(outputs_of(cell)):
        data = output.get("data")
        record = data.get(provenance.MIME) if isinstance(data, dict) else None
        if isinstance(record, dict) and all(isinstance(record.get(key), str) for key in ("words", "code", "status")):
            return record
    return None


def _ran_as_python(cell: dict[str, Any]) -> bool:
    """It has outputs, none of them from us: a line that IPython understands, or Python with a mistake."""
    ours = ("NotUnderstood", "NotRun", "NotMine", "NotRecorded", "Unsure", "KeyboardInterrupt")
    outputs = outputs_of(cell)
    return bool(outputs) and not any(one.get("ename") in ours or _is_ours(one) for one in outputs)


def _is_ours(output: dict[str, Any]) -> bool:
    data = output.get("data")
    metadata = output.get("metadata")
    return (isinstance(data, dict) and provenance.MIME in data) or (
        isinstance(metadata, dict) and "famulus" in metadata
    )


def outputs_of(cell: dict[str, Any]) -> list[dict[str, Any]]:
    """The outputs of a cell, of which there may be none."""
    return [one for one in cell.get("outputs") or [] if isinstance(one, dict)]


def _frozen(step: Step, recordings: Recordings) -> dict[str, Any]:
    cell = step.cell
    if not step.words:
        return cell
    if step.unrun:
        text = _commented(f"{step.unrun}: {step.words.strip()}")
        cell["source"], cell["outputs"] = text, []
        if step.unrun == "not run" and step.code:
            cell["source"] += "\n" + _commented(step.code)
        cell["execution_count"] = None
        return cell
    code = step.code
    if code is None:
        known = next((one for one in recordings.of(step.words) if not one.undone), None)
        if known is None:
            raise CannotFreeze(
                f"Cell {step.number} (“{start(step.words)}”) is in words and its code is not known.",
                fix="Run the notebook first and save it.",
            )
        code = known.code if known.mine else f"# Recorded by somebody else.\n{known.code}"
    cell["outputs"] = [output for output in outputs_of(cell) if not _is_ours(output)]
    cell["source"] = _commented(step.words.strip()) + "\n" + code
    return cell


def read(path: Path) -> dict[str, Any]:
    """The notebook in a file. Raises :class:`CannotFreeze`."""
    try:
        notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CannotFreeze(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise CannotFreeze(f"{path} is not a notebook (it is not JSON).") from error
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or not all(map(_is_cell, cells)):
        raise CannotFreeze(f"{path} is not a notebook of format 4.", fix="Save it with a current Jupyter first.")
    return notebook


def _is_cell(cell: Any) -> bool:
    source = cell.get("source") if isinstance(cell, dict) else None
    return isinstance(source, str) or (isinstance(source, list) and all(isinstance(line, str) for line in source))


def text_of(source: str | list[str]) -> str:
    """The source of a cell, which is stored as one text or as lines."""
    return source if isinstance(source, str) else "".join(source)


def start(words: str, limit: int = 50) -> str:
    """How the words begin, for a message."""
    line = next(iter(words.strip().splitlines()), "")
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _commented(text: str) -> str:
    return "\n".join(f"# {line}".rstrip() for line in text.splitlines())
