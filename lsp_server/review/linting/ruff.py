"""Ruff over the changed files of one version, in a private folder.

The project's own configuration is used where it is trusted, the one of the new version for both sides, so that another
configuration does not make old remarks new. Else only the rules of pyflakes and the syntax errors are asked for.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from famulus.lsp_server.prediction.ruff_program import RULES, SYNTAX, RuffFailed, program
from famulus.lsp_server.review.change import Tree, decoded
from famulus.lsp_server.review.finding import Edit, Severity
from famulus.lsp_server.review.linting.newly import Remark

_CONFIGURATIONS = ("ruff.toml", ".ruff.toml", "pyproject.toml")
_AT_ONCE = 400
_ROOTS = ("", "src/")
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+(\w[\w.]*)[ \t]+import\b|import[ \t]+([\w., \t]+))", re.MULTILINE)
_PROVED = ("F", "E9")
_OPINIONS = "F403,F405"
"""Of pyflakes: that a star import is there, and that a name may come from it, which is no fault."""
_ERRORS = ("E9", "F50", "F52", "F63", "F7", "F82", SYNTAX)


def proved(code: str) -> bool:
    """Whether a rule states a fact and no opinion."""
    return code == SYNTAX or (code.startswith(_PROVED) and (code[1:].isdigit() or code.startswith("E9")))


def remarks(
    side: Tree, paths: Iterable[str], configuration: Tree | None, seconds: float, root: Path | None = None
) -> list[Remark]:
    """What ruff says about files of ``side``. ``configuration``: the version whose configuration counts, None for none;
    ``root``: where the project lies, to see which modules are its own.

    Raises :class:`.RuffFailed` if ruff is missing, fails, or takes longer than ``seconds``.
    """
    ruff = program()
    if ruff is None:
        raise RuffFailed("Ruff is not installed beside Famulus.", fix="Install Famulus again, with its dependencies.")
    wanted = [path for path in paths if _inside(path) and side.read(path) is not None]
    if not wanted:
        return []
    with tempfile.TemporaryDirectory(prefix="famulus-ruff-") as name:
        folder = Path(name)
        own = configuration is not None and _configure(configuration, folder)
        if own:
            _neighbours(side, folder, wanted, root)
        for path in wanted:
            _write(folder, path, side.read(path) or b"")
        found: list[Remark] = []
        for start in range(0, len(wanted), _AT_ONCE):
            raw = _run(ruff, folder, wanted[start : start + _AT_ONCE], own, seconds)
            found += _read(raw, folder.resolve(), side)
    return found


def _inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts and "\0" not in path


def _write(folder: Path, path: str, content: bytes) -> None:
    target = folder.joinpath(*PurePosixPath(path).parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def _configure(tree: Tree, folder: Path) -> bool:
    """Copies the configuration files; whether one of them speaks to ruff."""
    speaks = False
    for path in tree.paths():
        name = PurePosixPath(path).name
        if name in _CONFIGURATIONS and _inside(path):
            content = tree.read(path) or b""
            if name == "pyproject.toml" and b"tool.ruff" not in content:
                continue
            _write(folder, path, content)
            speaks = True
    return speaks


def _neighbours(side: Tree, folder: Path, wanted: Sequence[str], root: Path | None) -> None:
    """Names, empty, what the changed files import from the project, since imports are sorted by what is there."""
    paths = set(side.paths())
    folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    for path in wanted:
        text = decoded(side.read(path) or b"")
        for module in {name for found in _IMPORT.findall(text) for name in re.split(r"[\s,]+", "".join(found)) if name}:
            for base in _ROOTS:
                place = base + module.replace(".", "/")
                on_disk = None if root is None else root.joinpath(place)
                if place in folders or (on_disk is not None and on_disk.is_dir()):
                    folder.joinpath(place).mkdir(parents=True, exist_ok=True)
                elif f"{place}.py" in paths or (on_disk is not None and on_disk.with_suffix(".py").is_file()):
                    _write(folder, f"{place}.py", b"")
        for parent in PurePosixPath(path).parents:
            if str(parent / "__init__.py") in paths:
                _write(folder, str(parent / "__init__.py"), b"")


def _run(ruff: Path, folder: Path, paths: Sequence[str], own: bool, seconds: float) -> list[dict[str, Any]]:
    choice = ["--force-exclude"] if own else ["--isolated", "--select", RULES, "--ignore", _OPINIONS]
    command = [
        str(ruff),
        "check",
        "--no-cache",
        "--quiet",
        "--exit-zero",
        "--no-fix",
        "--output-format",
        "json",
        *choice,
    ]
    try:
        done = subprocess.run(
            [*command, "--", *paths],
            cwd=folder,
            env={k: v for k, v in os.environ.items() if not k.startswith("RUFF_")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=max(seconds, 0.1),
            check=False,
        )
        found = json.loads(done.stdout or b"[]")
    except subprocess.TimeoutExpired:
        raise RuffFailed(f"Ruff did not answer within {seconds:.0f} s.") from None
    except ValueError as error:
        raise RuffFailed("Ruff gave an answer that cannot be read.") from error
    if done.returncode != 0 or not isinstance(found, list):
        said = done.stderr.decode("utf-8", "replace").strip().split("\n")[0][:200]
        raise RuffFailed(f"Ruff failed: {said}.", fix="Look at the ruff configuration of the project.")
    return found


def _read(raw: list[dict[str, Any]], folder: Path, side: Tree) -> Iterator[Remark]:
    broken: set[str] = set()
    for item in raw:
        path = Path(item["filename"]).resolve().relative_to(folder).as_posix()
        code = str(item.get("code") or SYNTAX)
        if code == SYNTAX and path in broken:
            continue
        if code == SYNTAX:
            broken.add(path)
        start, end = item["location"], item["end_location"]
        message = str(item["message"]).rstrip(".")
        yield Remark(
            tool="ruff",
            code=code,
            message=message[:1].upper() + message[1:],
            path=path,
            line=start["row"],
            column=start["column"],
            end_line=end["row"],
            end_column=end["column"],
            severity=_severity(code),
            url=str(item.get("url") or ""),
            fix=_fix(item.get("fix"), path, side),
        )


def _severity(code: str) -> Severity:
    if code.startswith(_ERRORS) and proved(code):
        return "error"
    return "warning" if proved(code) and code not in ("F401", "F841", "F842") else "note"


def _fix(fix: dict[str, Any] | None, path: str, side: Tree) -> tuple[str, tuple[Edit, ...]] | None:
    """A safe fix as whole lines."""
    if fix is None or fix.get("applicability") != "safe" or not fix.get("edits"):
        return None
    lines = decoded(side.read(path) or b"").split("\n")
    edits = sorted(fix["edits"], key=lambda e: (e["location"]["row"], e["location"]["column"]))
    first = edits[0]["location"]["row"]
    ends = [e["end_location"] for e in edits]
    last = max(first, *(e["row"] - (e["column"] == 1) for e in ends))  # an end before the first column is a line above
    if not 0 < first <= last <= len(lines):
        return None
    starts, text = {}, ""
    for number in range(first, last + 1):
        starts[number] = len(text)
        text += lines[number - 1] + "\n"
    starts.setdefault(last + 1, len(text))
    for edit in reversed(edits):
        begin = starts[edit["location"]["row"]] + edit["location"]["column"] - 1
        stop = starts[edit["end_location"]["row"]] + edit["end_location"]["column"] - 1
        text = text[:begin] + str(edit.get("content") or "") + text[stop:]
    title = str(fix.get("message") or "Apply ruff's fix").replace("`", "")
    return title, (Edit(path=path, line=first, end_line=last, text=text),)
