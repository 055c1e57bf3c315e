"""Which callers really fail or get something else: each is called in the old and in the new package, and traced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from famulus.bench.review_callers import Site
from famulus.bench.review_peers import write
from famulus.bench.review_targets import Break
from famulus.lsp_server.review.change import Change

_WORKER = Path(__file__).with_name("review_traced_worker.py")
_SECONDS = 60.0
_LATER = 100
"""Seconds by which a changed file is younger, so that its compiled form is not taken for the old one's."""


def traced(change: Change, made: Sequence[Break], sites: Sequence[Site]) -> dict[Site, bool]:
    """Whether each caller notices the break alone; those that fail in the old package as well are left out."""
    found: dict[Site, bool] = {}
    mine = {broken.kind: [site for site in sites if site.kind == broken.kind] for broken in made}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        write(change.old, folder)
        before = _run(folder, [_asked(broken, mine[broken.kind], new=False) for broken in made])
        for broken, old in zip(made, before, strict=True):
            file = folder / broken.target.path
            content, time = file.read_bytes(), file.stat().st_mtime
            file.write_text(broken.text, encoding="utf-8", newline="")
            os.utime(file, (time + _LATER, time + _LATER))
            (new,) = _run(folder, [_asked(broken, mine[broken.kind], new=True)]) or [[]]
            file.write_bytes(content)
            os.utime(file, (time, time))
            for site, was, now in zip(mine[broken.kind], old, new, strict=False):
                if "failed" not in was and site.form != "**kwargs":  # what the dictionary holds is nowhere written
                    found[site] = _other(was, now)
    return found


def _asked(broken: Break, sites: Sequence[Site], *, new: bool) -> dict[str, Any]:
    target = broken.target
    return {
        "kind": broken.kind, "module": target.module, "owner": target.owner.name if target.owner else "",
        "name": target.node.name, "arity": broken.arity, "new": new,
        "sites": [
            {"module": site.path.removesuffix(".py").replace("/", "."), "function": site.function, "form": site.form}
            for site in sites
        ],
    }  # fmt: skip


def _run(folder: Path, asked: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The outcomes; none where the process came to harm."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(_WORKER), str(folder)], input=json.dumps(asked), cwd=folder,
            capture_output=True, text=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
        return json.loads(done.stdout)  # type: ignore[no-any-return]
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return [[] for _ in asked]


def _other(was: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether a caller fails now, gets something else, or its arguments arrive elsewhere."""
    if "bound" in was and "bound" in now:
        return any(now["bound"].get(name, value) != value for name, value in was["bound"].items())
    return "failed" in now or was != now
