"""``famulus bench review --part noise``: findings on commits that change nothing."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from famulus.bench.report import median, table
from famulus.bench.review_neutral import KINDS
from famulus.bench.review_packages import Package, packages
from famulus.lsp_server.review.change import Change, Memory, between
from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.review import Options, counts, review

_MOST_FILES = 60
"""Of a package: larger ones only take longer."""
_SECONDS = 20.0


@dataclass(frozen=True)
class Commit:
    """A neutral change of one file, and what the whole review says of it."""

    kind: str
    package: str
    path: str
    findings: tuple[Finding, ...]
    seconds: float


def commits(most: int, seed: int) -> Iterator[tuple[str, Package, str, Change]]:
    """Neutral changes of real modules, the kinds in turn."""
    dice = random.Random(seed)
    known = [package for package in packages(99) if len(package.files) <= _MOST_FILES]
    made = 0
    tries = 0
    while made < most and tries < 20 * most:
        kind = list(KINDS)[made % len(KINDS)]
        tries += 1
        package = dice.choice(known)
        path, _, text, _ = dice.choice([m for m in package.modules() if m[2].count("\n") > 30])
        files = KINDS[kind](path, text, dice)
        if files is None or files.get(path) == text:
            continue
        made += 1
        new = {**package.files, **{name: content.encode() for name, content in files.items()}}
        yield kind, package, path, between(Memory(package.files), Memory(new))


def judged(most: int, seed: int) -> list[Commit]:
    """The reviews of ``most`` commits, with all rules that need no tests."""
    done = []
    options = Options(budget=_SECONDS, interpreter=Path(sys.executable))
    for kind, package, path, change in commits(most, seed):
        started = time.perf_counter()
        found = review(change, options).findings
        shown = tuple(finding for finding in found if counts(finding))
        done.append(Commit(kind, package.name, path, shown, time.perf_counter() - started))
        print(f"{kind}, {path}: {len(shown)} findings, {done[-1].seconds:.1f} s", file=sys.stderr, flush=True)
    return done


def report(most: int, seed: int, failures: int) -> str:
    """The table."""
    done = judged(most, seed)
    rows = []
    for kind in [*KINDS, "all"]:
        some = [c for c in done if kind in (c.kind, "all")]
        number = sum(len(c.findings) for c in some)
        noisy = sum(bool(c.findings) for c in some)
        share = f"{number / len(some):.2f}" if some else "–"
        rows.append([kind, len(some), number, noisy, share, f"{median([c.seconds for c in some]):.1f} s"])
    text = table(["neutral change", "commits", "findings", "commits with one", "per commit", "median time"], rows)
    lines = [f"- {c.kind}, {c.package}: {f.rule}: {f.message}" for c in done for f in c.findings]
    return "\n".join([text, "", *lines[:failures]])
