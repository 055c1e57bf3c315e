"""``famulus bench review --part speed``: a whole review of 1,000 changed lines among 200 files, and the one after."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from famulus.bench.report import table
from famulus.bench.review_kinds import KINDS, breaks
from famulus.bench.review_neutral import commented, renamed_locals, rewritten
from famulus.bench.review_packages import packages
from famulus.lsp_server.execution.mutants import equivalent, mutants
from famulus.lsp_server.review.change import difference

FILES, LINES = 200, 1000


def project() -> dict[str, str]:
    """200 files of installed packages."""
    found: dict[str, str] = {}
    for package in packages(99):
        for path, _, text, _ in package.modules():
            if len(found) < FILES and len(package.files) > 8:
                found[path] = text
    return found


def edited(files: Mapping[str, str], lines: int, dice: random.Random) -> dict[str, str]:
    """The project after a change of about ``lines`` lines: breaks, mutants, rewritten code, comments and new code."""
    made: dict[str, str] = {}
    for package in packages(3):
        broken = breaks(package, list(KINDS), 0)
        made |= {b.target.path: b.text for b in broken[:2] if b.target.path in files and len(made) < 6}
    paths = [path for path in files if path not in made and files[path].count("\n") > 60]
    dice.shuffle(paths)
    for path in paths:
        if sum(_changed(files[p], text) for p, text in made.items()) >= lines:
            break
        text = files[path]
        some = mutants(text)
        for mutant in dice.sample(some, min(1, len(some))):
            text = text if equivalent(text, mutant.source) else mutant.source
        for edit in (renamed_locals, rewritten, commented):
            done = edit(path, text, dice)
            text = done[path] if done is not None else text
        made[path] = text + _NEW
    return made


_NEW = '''

def totals_by_name(rows, start=0):
    """Sums of the second column by the first."""
    found = {}
    for name, amount in rows:
        found[name] = found.get(name, start) + amount
    return found
'''


def _changed(old: str, new: str) -> int:
    hunks = difference(old.split("\n"), new.split("\n"))
    return sum(len(h.old_lines) + len(h.new_lines) for h in hunks)


def report(seed: int) -> str:
    """The table: the first review and the one after one more edit, each by the command."""
    dice = random.Random(seed)
    files = project()
    after = edited(files, LINES, dice)
    changed = sum(_changed(files[path], text) for path, text in after.items())
    rows: list[list[object]] = []
    slowest: Mapping[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as home:
        top = Path(folder)
        _write(top, files)
        _git(top, "init", "--quiet")
        _git(top, "add", ".")
        _git(top, "-c", "user.name=Bench", "-c", "user.email=bench@example.com", "commit", "--quiet", "-m", "Start")
        _write(top, after)
        for name, options in (("everything", ()), ("nothing run", ("--no-run",))):
            for turn in ("first", "after one edit"):
                if turn == "after one edit":
                    path = min(after)
                    with (top / path).open("a") as file:
                        file.write(f"\n\ndef added_{len(rows)}(value):\n    return value + {len(rows)}\n")
                seconds, told = _review(top, home if name == "everything" else f"{home}/static", options)
                slowest = slowest or {r["rule"]: r["seconds"] for r in told.get("rules", told.get("runs", []))}
                rows.append([f"{name}, {turn}", f"{seconds:.1f} s", len(told.get("findings", []))])
                print(*rows[-1], file=sys.stderr, flush=True)
    text = table(["review", "time", "findings"], rows)
    some = sorted(slowest.items(), key=lambda pair: -pair[1])[:6]
    parts = ", ".join(f"{rule} {seconds:.1f} s" for rule, seconds in some)
    return (
        f"{len(files)} files, {len(after)} of them changed, {changed} changed lines.\n\n{text}\n\n"
        + f"First review: {parts}."
    )


def _write(top: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        target = top / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def _review(top: Path, home: str, options: Sequence[str]) -> tuple[float, Mapping[str, Any]]:
    """Seconds of the command from start to end, and its report."""
    Path(home).mkdir(exist_ok=True)
    environment = {**os.environ, "FAMULUS_HOME": home, "XDG_CACHE_HOME": home}
    command = [sys.executable, "-P", "-m", "famulus", "review", "--format", "json", "--all", "--python", sys.executable]
    started = time.perf_counter()
    done = subprocess.run([*command, *options], cwd=top, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(done.stderr)
    return seconds, json.loads(done.stdout)


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)
