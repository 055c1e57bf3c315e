"""Facts about Python that need no model, from ruff: undefined and unused names, redefinitions, wrong formats.

Only the rules of pyflakes (F) and the syntax class (E9) are asked for. Ruff runs no code and no program; in an
untrusted workspace it reads no configuration either.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from famulus.lsp_server.documents import Change, Snapshot, Text
from famulus.lsp_server.prediction.finding import Finding, Fix, Severity
from famulus.lsp_server.prediction.ruff_program import RULES, SYNTAX, RuffFailed, program

SECONDS = 5.0
"""The longest that ruff may take; it needs some ten milliseconds."""
_UNNECESSARY = ("F401", "F841", "F842")
_ERRORS = ("E9", "F5", "F63", "F7", "F82", SYNTAX)
_NOT_IN_CELLS = ("F401", "F704", "F811", "F822", "F841")
"""What is right in a notebook although a single cell looks wrong: what later cells use, and ``await`` outside."""
_NOTEBOOK_NAMES = 'builtins = ["display", "get_ipython", "exit", "quit", "In", "Out", "_", "__", "___"]'
_MAGIC = re.compile(r"^([ \t]*)[%!?][^\r\n]*", re.MULTILINE)


async def findings(snapshot: Snapshot, *, trusted: bool, cells: Sequence[Snapshot] = ()) -> list[Finding]:
    """What ruff says about a text; ``cells``: those before it in its notebook.

    Raises :class:`RuffFailed` if ruff is missing, fails, or takes too long. Cancelling ends the process.
    """
    whole = snapshot.kind == "document"
    earlier = [cell for cell in cells if cell.language == "python" and cell.kind == "code"]
    before = "".join(_plain(cell) + "\n\n" for cell in earlier)
    raw = await _run(before + _plain(snapshot), snapshot, trusted)
    found = _read(raw, Text(before + snapshot.text.value), len(before))
    if whole:
        return found
    # IPython's own commands may define any name.
    unclear = any(_MAGIC.search(cell.text.value) for cell in (*earlier, snapshot))
    return [f for f in found if f.code not in _NOT_IN_CELLS and not (unclear and f.code == "F821")]


def _plain(snapshot: Snapshot) -> str:
    """A cell without IPython's own lines, in as many characters."""
    text = snapshot.text.value
    if snapshot.kind == "document":
        return text
    return _MAGIC.sub(lambda m: m[1] + "0".ljust(len(m[0]) - len(m[1])), text)


async def _run(text: str, snapshot: Snapshot, trusted: bool) -> list[dict[str, Any]]:
    ruff = program()
    if ruff is None:
        raise RuffFailed("Ruff is not installed beside Famulus.", fix="Install Famulus again, with its dependencies.")
    name = str(snapshot.path) if snapshot.path is not None and snapshot.kind == "document" else "untitled.py"
    whole = snapshot.kind == "document"
    process = await asyncio.create_subprocess_exec(
        ruff,
        *("check", "--no-cache", "--quiet", "--select", RULES, "--output-format", "json", "--stdin-filename", name),
        *(["--force-exclude"] if trusted else ["--isolated"]),
        *([] if whole else ["--config", _NOTEBOOK_NAMES]),
        "-",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=_folder(snapshot.path),
        env={k: v for k, v in os.environ.items() if not k.startswith("RUFF_")},
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, _ = await process.communicate(text.encode("utf-8", "replace"))
    except TimeoutError:
        raise RuffFailed(f"Ruff did not answer within {SECONDS:.0f} s.") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        found = json.loads(out or b"[]")
    except ValueError as error:
        raise RuffFailed("Ruff gave an answer that cannot be read.") from error
    if not isinstance(found, list) or process.returncode not in (0, 1):
        raise RuffFailed(
            f"Ruff failed with status {process.returncode}.", fix="Look at the ruff configuration of the project."
        )
    return found


def _folder(path: Path | None) -> Path:
    """The nearest folder of ``path`` that exists: configuration is looked for from there upwards."""
    for folder in path.parents if path is not None else ():
        if folder.is_dir():
            return folder
    return Path.home()


def _read(raw: list[dict[str, Any]], text: Text, skip: int) -> list[Finding]:
    """Ruff's findings behind the first ``skip`` code points, with offsets from there; of syntax errors the first."""
    found: list[Finding] = []
    for item in raw:
        code = str(item.get("code") or SYNTAX)
        start, end = _offset(text, item["location"]), _offset(text, item["end_location"])
        if start < skip or (code == SYNTAX and any(f.code == SYNTAX for f in found)):
            continue
        message = str(item["message"])
        found.append(
            Finding(
                start - skip,
                max(start, end) - skip,
                f"{message[:1].upper()}{message[1:]}" + ("" if message.endswith(".") else "."),
                "ruff",
                _severity(code),
                code,
                item.get("url"),
                code in _UNNECESSARY,
                _fixes(item.get("fix"), text, skip),
            )
        )
    return found


def _severity(code: str) -> Severity:
    if code.startswith(_ERRORS):
        return "error"
    return "hint" if code in _UNNECESSARY else "warning"


def _fixes(fix: dict[str, Any] | None, text: Text, skip: int) -> tuple[Fix, ...]:
    if fix is None or fix.get("applicability") not in ("safe", "unsafe"):
        return ()
    changes = []
    for edit in fix["edits"]:
        start, end = _offset(text, edit["location"]), _offset(text, edit["end_location"])
        if start < skip:
            return ()
        changes.append(Change(start - skip, end - skip, str(edit["content"] or "")))
    title = str(fix.get("message") or "Apply ruff's fix").replace("`", "")
    return (Fix(title, tuple(changes), fix["applicability"] == "safe"),)


def _offset(text: Text, location: dict[str, int]) -> int:
    """The offset of a row and a column that count from 1; columns are code points."""
    row = min(location["row"] - 1, text.lines - 1)
    return min(len(text), text.starts[row] + location["column"] - 1)
