"""``famulus bench review --part witness``: mutants of real functions, and calls that show them.

What a caller could see is what a search of ten times the inputs and time shows; existing doctests are among the inputs.
"""

from __future__ import annotations

import ast
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from famulus.bench.report import median, percentile, table
from famulus.bench.review_neutral import formatted, renamed_locals, rewritten
from famulus.bench.review_packages import Package, packages
from famulus.lsp_server.execution import search
from famulus.lsp_server.execution.functions import functions
from famulus.lsp_server.execution.mutants import Mutant, equivalent, mutants
from famulus.lsp_server.review.change import Memory, between
from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.rule import Clock, Context
from famulus.lsp_server.review.rules import witness

_PER_PACKAGE = 40
_MOST_FILES = 60
TENFOLD = 10


@dataclass
class Mutated:
    """A package in which some functions have a mutant each, none of which names another of them."""

    package: Package
    files: dict[str, str] = field(default_factory=dict)
    mutants: dict[tuple[str, str], Mutant] = field(default_factory=dict)
    """By path and dotted name of the function."""


@dataclass(frozen=True)
class Seen:
    """What the rule says of a version: findings by path and function, and seconds by the same."""

    findings: dict[tuple[str, str], Finding]
    seconds: dict[tuple[str, str], float]


def mutated(package: Package, most: int, dice: random.Random) -> Mutated:
    """Mutants of at most ``most`` functions: first a function is drawn, then a kind, then one of its mutants."""
    made = Mutated(package)
    modules = [m for m in package.modules() if not m[0].endswith("__main__.py")]
    dice.shuffle(modules)
    named: set[str] = set()
    taken: set[str] = set()
    for path, _, text, _ in modules:
        if len(made.mutants) >= most:
            break
        chosen: list[Mutant] = []
        by_function: dict[str, list[Mutant]] = {}
        for mutant in mutants(text):
            by_function.setdefault(mutant.function, []).append(mutant)
        known = functions(text)
        for name in dice.sample(sorted(by_function), len(by_function)):
            words = _words(known[name].node) if name in known else None
            last = name.rpartition(".")[2]
            if words is None or last in named or last.startswith("__") or words & taken or len(chosen) >= 6:
                continue
            kind = dice.choice(sorted({m.kind for m in by_function[name]}))
            mutant = dice.choice([m for m in by_function[name] if m.kind == kind])
            if len(made.mutants) < most and not equivalent(text, mutant.source):
                chosen.append(mutant)
                made.mutants[path, name] = mutant
                named |= words
                taken.add(last)
        if chosen:
            made.files[path] = _all(text, chosen)
    return made


def _words(node: ast.AST) -> set[str]:
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return names | {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


def _all(text: str, chosen: Sequence[Mutant]) -> str:
    for mutant in sorted(chosen, key=lambda m: -m.start):
        text = text[: mutant.start] + mutant.text + text[mutant.end :]
    return text


def look(package: Package, files: dict[str, str], *, only: set[tuple[str, str]] | None = None) -> Seen:
    """Runs the rule on a package and its other version. ``only``: functions; other changes are taken back."""
    new = {**package.files, **{path: text.encode() for path, text in files.items()}}
    seconds: dict[tuple[str, str], float] = {}
    running: list[tuple[tuple[str, str], float]] = []

    def progress(text: str) -> None:
        _, name, _, path = text.split(" ", 3)
        if running:
            seconds[running[-1][0]] = time.perf_counter() - running[-1][1]
        running.append(((path, name), time.perf_counter()))

    change = between(Memory(package.files), Memory(new))
    context = Context(change, clock=Clock(None), interpreter=Path(sys.executable), progress=progress)
    found = list(witness.RULE.check(context))
    if running:
        seconds[running[-1][0]] = time.perf_counter() - running[-1][1]
    return Seen({(f.place.path, f.place.symbol): f for f in found}, seconds)


def rounds(number: int, seed: int) -> Iterator[Mutated]:
    """Packages with mutants, until there are ``number`` of them."""
    dice = random.Random(seed)
    known = [p for p in packages(99) if len(p.files) <= _MOST_FILES]
    while number > 0:
        for package in known:
            made = mutated(package, min(number, _PER_PACKAGE), dice)
            number -= len(made.mutants)
            if made.mutants:
                yield made
            if number <= 0:
                return


def report(number: int, seed: int, failures: int) -> str:
    """The tables."""
    seconds: list[float] = []
    shown: list[float] = []
    states: dict[str, Counter[str]] = {}
    missed = []
    for made in rounds(number, seed):
        seen = look(made.package, made.files)
        seconds += seen.seconds.values()
        shown += [seen.seconds[key] for key in seen.findings if key in seen.seconds]
        print(f"{made.package}: {len(seen.findings)} of {len(made.mutants)}", file=sys.stderr, flush=True)
        rest = {key for key in made.mutants if key in seen.seconds and key not in seen.findings}
        deeper = _deeper(made, rest) if rest else {}
        for key, mutant in made.mutants.items():
            state = "witnessed" if key in seen.findings else "seen by more" if key in deeper else "not seen"
            state = state if key in seen.seconds else "not run"
            states.setdefault(made.package.name, Counter())[state] += 1
            if state == "seen by more":
                missed.append(f"- {key[0]}: {key[1]}: {mutant}: {deeper[key].proof.text.splitlines()[0]}")
    quiet, functions_run = _neutral(number, seed)
    totals = sum(states.values(), Counter())
    rows = [_row(name, counts) for name, counts in sorted(states.items())] + [_row("all", totals)]
    text = table(
        ["package", "mutants", "run", "witnessed", "by tenfold search only", "by none", "share witnessed"], rows
    )
    text += f"\n\nSeconds for a function: median {median(seconds):.2f}, of a witnessed one {median(shown):.2f}, "
    text += f"90 % within {percentile(seconds, 0.9):.2f}. "
    text += f"Neutral copies: {len(quiet)} findings on {functions_run} functions that were run."
    lines = [*missed, *(f"- neutral: {f.rule}: {f.message} {f.proof.text}" for f in quiet)]
    return "\n".join([text, "", *lines[:failures]])


def _deeper(made: Mutated, rest: set[tuple[str, str]]) -> dict[tuple[str, str], Finding]:
    """What ten times the inputs and time show of the mutants that were not witnessed."""
    texts = {path: text for path, _, text, _ in made.package.modules()}
    files = {path: _all(texts[path], [m for (p, n), m in made.mutants.items() if p == path and (p, n) in rest])
             for path, _ in rest}  # fmt: skip
    with (
        patch.object(search, "ROUNDS", TENFOLD * search.ROUNDS),
        patch.object(witness, "_SECONDS", TENFOLD * witness._SECONDS),
    ):
        return look(made.package, files).findings


def _neutral(number: int, seed: int) -> tuple[list[Finding], int]:
    """Findings on copies that do the same with other instructions, and how many functions were run."""
    dice = random.Random(seed)
    found: list[Finding] = []
    run = 0
    for package in [p for p in packages(99) if len(p.files) <= _MOST_FILES]:
        files = {}
        for path, _, text, _ in package.modules():
            for edit in (renamed_locals, rewritten, formatted):
                made = edit(path, text, dice)
                text = made[path] if made is not None else text
            files[path] = text
            if len(files) >= 8:
                break
        seen = look(package, files)
        found += seen.findings.values()
        run += len(seen.seconds)
        if run >= number:
            break
    return found, run


def _row(name: str, counts: Counter[str]) -> list[object]:
    visible = counts["witnessed"] + counts["seen by more"]
    share = f"{100 * counts['witnessed'] / visible:.0f} %" if visible else "–"
    ran = counts.total() - counts["not run"]
    return [name, counts.total(), ran, counts["witnessed"], counts["seen by more"], counts["not seen"], share]
