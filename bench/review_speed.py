"""``famulus bench review --part speed``: a whole review of 1,000 changed lines among 200 files, and the ones after."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from famulus.bench import processor_time, review_interrupted
from famulus.bench.report import table
from famulus.bench.review_kinds import KINDS, breaks
from famulus.bench.review_neutral import commented, renamed_locals, rewritten
from famulus.bench.review_packages import packages
from famulus.bench.review_speed_suite import TESTS
from famulus.lsp_server.execution.mutants import equivalent, mutants
from famulus.lsp_server.review.change import difference

FILES, LINES = 200, 1000
_STAGES = 7
"""Rules that the second table names."""


def project() -> dict[str, str]:
    """About 200 files of whole packages, so that all of them can be imported, and tests of some of them."""
    found: dict[str, str] = dict(TESTS)
    for package in packages(99):
        if len(found) + len(package.files) <= FILES and len(package.files) > 8:
            found |= {path: text for path, _, text, _ in package.modules()}
    return found


def edited(files: Mapping[str, str], lines: int, dice: random.Random) -> dict[str, str]:
    """The project after a change of about ``lines`` lines: breaks, mutants, rewritten code, comments and new code."""
    made: dict[str, str] = {}
    for package in packages(3):
        broken = breaks(package, list(KINDS), 0)
        made |= {b.target.path: b.text for b in broken[:2] if b.target.path in files and len(made) < 6}
    paths = [path for path in files if path not in made and path not in TESTS and files[path].count("\n") > 60]
    dice.shuffle(paths)
    for path in paths:
        if sum(_changed(files[p], text) for p, text in made.items()) >= lines:
            break
        text = files[path]
        some = [mutant for mutant in mutants(text) if mutant.function]
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


@dataclass(frozen=True)
class _Timed:
    """One review by the command."""

    name: str
    run: processor_time.Run

    @property
    def told(self) -> Mapping[str, Any]:
        """Its report."""
        found: Mapping[str, Any] = json.loads(self.run.output)
        return found

    @property
    def stages(self) -> dict[str, float]:
        """Wall seconds of each rule, and of everything besides: the start, git, the report."""
        rules = {str(rule["rule"]): float(rule["seconds"]) for rule in self.told["rules"]}
        return {**rules, "the rest": self.run.wall - sum(rules.values())}

    @property
    def unfinished(self) -> str:
        """The rules that the time was too short for."""
        return ", ".join(r["rule"] for r in self.told["rules"] if r["state"] in ("time up", "not reached")) or "–"


def report(seed: int) -> str:
    """The tables: each review by the command, and where its time went."""
    dice = random.Random(seed)
    files = project()
    after = edited(files, LINES, dice)
    changed = sum(_changed(files[path], text) for path, text in after.items())
    timed: list[_Timed] = []
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as home:
        top = Path(folder)
        _write(top, files)
        _git(top, "init", "--quiet")
        _git(top, "add", ".")
        _git(top, "-c", "user.name=Bench", "-c", "user.email=bench@example.com", "commit", "--quiet", "-m", "Start")
        _write(top, after)
        path = top / min(after)
        for name, options in (("--no-run", ["--no-run"]), ("all rules", [])):
            path.write_text(after[min(after)], encoding="utf-8")
            cache = Path(home) / name.strip("-")
            cache.mkdir()
            for turn in ("first", "after one edit", "once more"):
                if turn == "after one edit":
                    with path.open("a") as file:
                        file.write("\n\ndef added(value):\n    return value + 1\n")
                timed.append(_Timed(f"{name}, {turn}", _review(top, cache, options)))
                print(timed[-1].name, f"{timed[-1].run.wall:.1f} s", file=sys.stderr, flush=True)
    changes = f"{len(files)} files, {len(after)} of them changed, {changed} changed lines."
    return "\n\n".join([changes, _tables(timed), review_interrupted.report(seed)])


def _tables(timed: list[_Timed]) -> str:
    rows = [
        [t.name, f"{t.run.wall:.1f} s", f"{t.run.processor:.1f} s", len(t.told["findings"]), t.unfinished]
        for t in timed
    ]
    text = table(["review", "time", "processor time", "findings", "not finished"], rows)
    longest = {stage: max(t.stages.get(stage, 0.0) for t in timed) for stage in timed[-1].stages}
    stages = sorted(longest, key=lambda stage: -longest[stage])[:_STAGES]
    parts = [[t.name, *(f"{t.stages.get(stage, 0.0):.2f} s" for stage in stages)] for t in timed]
    return f"{text}\n\n{table(['time of', *stages], parts)}"


def _write(top: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        target = top / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def _review(top: Path, home: Path, options: list[str]) -> processor_time.Run:
    """The command from start to end."""
    command = [sys.executable, "-P", "-m", "famulus", "review", "--format", "json", "--all", "--python", sys.executable]
    return processor_time.run([*command, *options], top, {"FAMULUS_HOME": str(home), "XDG_CACHE_HOME": str(home)})


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)
