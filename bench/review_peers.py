"""What others say of the same change: griffe (breaks of an API) and basedpyright (new type errors), where installed."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from famulus.bench.review_targets import Break
from famulus.lsp_server.review.change import Change, Tree


def write(tree: Tree, folder: Path) -> None:
    """The files of a tree, on disk."""
    for path in tree.paths():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(tree.read(path) or b"")


def griffe(package: str, change: Change, made: Sequence[Break]) -> set[str] | None:
    """The kinds of break that it reports at the definition that was broken; None if it is not installed."""
    if importlib.util.find_spec("griffe") is None:
        return None
    loaded = importlib.import_module("griffe")
    with tempfile.TemporaryDirectory() as folder:
        sides = []
        for name, tree in (("old", change.old), ("new", change.new)):
            write(tree, Path(folder, name))
            sides.append(loaded.load(package, search_paths=[Path(folder, name)], try_relative_path=False))
        reported = {found.obj.path for found in loaded.find_breaking_changes(*sides)}
    return {
        broken.kind
        for broken in made
        if any(f"{path}.".startswith(f"{broken.target.dotted}.") for path in reported)
        or (broken.kind == "base class swapped" and broken.target.dotted.rpartition(".")[0] in reported)
    }


def basedpyright(change: Change) -> set[tuple[str, int]] | None:
    """Lines of ``app/`` with an error that the old version does not have; None if it is not installed."""
    if importlib.util.find_spec("basedpyright") is None:
        return None
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as both:
        sides = [(change.old, Path(folder, "old").resolve()), (change.new, Path(folder, "new").resolve())]
        old, new = both.map(lambda side: _errors(*side), sides)
    return new - old


def _errors(tree: Tree, top: Path) -> set[tuple[str, int]]:
    write(tree, top)
    settings = {"include": ["app"], "typeCheckingMode": "basic", "reportAttributeAccessIssue": "error"}
    (top / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-P", "-m", "basedpyright", "--outputjson", "-p", str(top)]
    done = subprocess.run(command, cwd=top, capture_output=True, text=True, check=False)
    return {
        (Path(e["file"]).relative_to(top).as_posix(), e["range"]["start"]["line"] + 1)
        for e in json.loads(done.stdout or "{}").get("generalDiagnostics", [])
        if e["severity"] == "error"
    }
