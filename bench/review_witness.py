"""``famulus bench review --part witness``: mutants of real functions, and calls that show them.

What a caller could see is told by three others: a small program that uses the package, plain Hypothesis, and a search
of ten times the inputs. The first two share nothing with the review.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import math
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from famulus.bench.report import median, percentile, table
from famulus.bench.review_neutral import formatted, renamed_locals, rewritten
from famulus.bench.review_packages import Package, packages
from famulus.bench.review_visible import Key, tables, visible
from famulus.lsp_server.execution import lanes, search
from famulus.lsp_server.execution.functions import functions
from famulus.lsp_server.execution.inputs import Inputs
from famulus.lsp_server.execution.mutants import Mutant, equivalent, mutants
from famulus.lsp_server.review.change import Memory, between
from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.rule import Clock, Context
from famulus.lsp_server.review.rules import witness

_MOST_FILES, _LARGEST = 70, 1 << 20
_AT_ONCE = 9
"""Mutants of one package before the next one has its turn."""
_NEUTRAL = 150
"""Functions of copies that do the same."""
_TENFOLD, _PATIENCE = 10, 4.0
"""Times the inputs, and seconds for a function, of the search that tells what could have been seen."""


@dataclass
class Mutated:
    """A package in which some functions have a mutant each, none of which names another of them."""

    package: Package
    files: dict[str, str] = field(default_factory=dict)
    mutants: dict[Key, Mutant] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """What the rule says of a version: findings and seconds by function, and how the search for each ended."""

    findings: dict[Key, Finding]
    seconds: dict[Key, float]
    ends: dict[Key, tuple[search.Found, frozenset[int]]]
    """What was found by calls of the function itself, and the lines that they reached."""


@dataclass(frozen=True)
class Record:
    """One mutant. ``shown``: by the rule, in words; else ``seen``: by whom else; ``reason``: why not by the rule."""

    package: str
    path: str
    function: str
    change: str
    seconds: float
    shown: str = ""
    seen: str = ""
    reason: str = ""


def mutated(package: Package, most: int, dice: random.Random, without: Collection[Key] = ()) -> Mutated:
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
            if (
                (path, name) in without
                or words is None
                or last in named
                or last.startswith("__")
                or words & taken
                or len(chosen) >= 6
            ):
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


def look(package: Package, files: dict[str, str]) -> Seen:
    """Runs the rule on a package and its other version, one function after the other."""
    old = {**_data(package), **package.files}
    new = {**old, **{path: text.encode() for path, text in files.items()}}
    starts: list[tuple[Key, float]] = []
    ends: dict[Key, tuple[search.Found, frozenset[int]]] = {}
    plain = search.Search.witness

    def progress(text: str) -> None:
        name, _, path = text.removeprefix("running ").removeprefix("what comes to ").partition(" of ")
        starts.append(((path, name), time.perf_counter()))

    def told(self: search.Search, subject: search.Subject, inputs: Inputs, *, seconds: float) -> search.Found:
        found = plain(self, subject, inputs, seconds=seconds)
        if subject.within is None:
            ends[subject.old_path, subject.old.name] = (found, frozenset(inputs._lines))
        return found

    change = between(Memory(old), Memory(new))
    context = Context(change, clock=Clock(None), interpreter=Path(sys.executable), progress=progress)
    with patch.object(search.Search, "witness", told), patch.object(lanes, "MOST", 1):
        found = list(witness.RULE.check(context))
    ticks = [*(at for _, at in starts), time.perf_counter()]
    seconds: dict[Key, float] = {}
    for n, (key, _) in enumerate(starts):  # first itself, then what comes to it
        seconds[key] = seconds.get(key, 0.0) + ticks[n + 1] - ticks[n]
    return Seen({(f.place.path, f.place.symbol): f for f in found}, seconds, ends)


def _data(package: Package) -> dict[str, bytes]:
    """What the package reads when it runs, as far as it is no code."""
    spec = importlib.util.find_spec(package.name)
    installed = Path((spec.submodule_search_locations or [""])[0] if spec else "")
    known = [p for p in installed.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc", ".pyi", ".so")]
    return {p.relative_to(installed.parent).as_posix(): p.read_bytes() for p in known if p.stat().st_size < _LARGEST}


def _fits(package: Package) -> bool:
    """Whether it is small enough, and whole: of some, a large or a foreign module that they import is left out."""
    spec = importlib.util.find_spec(package.name)
    installed = Path((spec.submodule_search_locations or [""])[0] if spec else "")
    missing = {p.relative_to(installed.parent).as_posix() for p in installed.rglob("*.py")} - package.files.keys()
    return len(package.files) <= _MOST_FILES and all("/test" in path for path in missing)


def rounds(number: int, seed: int) -> Iterator[Mutated]:
    """Packages with mutants, until there are ``number`` of them; the same ones for the same seed."""
    dice = random.Random(seed)
    known = [p for p in packages(99) if _fits(p)]
    each = min(_AT_ONCE, math.ceil(number / len(known)))
    used: dict[str, set[Key]] = {package.name: set() for package in known}
    for _ in range(20):
        for package in known:
            if number <= 0:
                return
            made = mutated(package, min(number, each), dice, used[package.name])
            number -= len(made.mutants)
            used[package.name] |= made.mutants.keys()
            if made.mutants:
                yield made


def records(made: Mutated, storage: Path) -> list[Record]:
    """What became of the mutants of one package."""
    seen = look(made.package, made.files)
    if any(finding.rule == "witness/import" for finding in seen.findings.values()):
        seen = _alone(made)
    rest = {key: mutant for key, mutant in made.mutants.items() if key not in seen.findings}
    others = visible(made.package, rest, storage)
    deeper = _deeper(made, rest.keys() - others.keys()) if rest.keys() - others.keys() else {}
    found = []
    for key, mutant in made.mutants.items():
        shown = seen.findings[key].proof.text.splitlines()[0] if key in seen.findings else ""
        told = others.get(key) or (f"tenfold: {deeper[key].proof.text.splitlines()[0]}" if key in deeper else "")
        reason = "" if shown else _reason(key, mutant, seen)
        seconds = seen.seconds.get(key, 0.0)
        found.append(Record(str(made.package), *key, str(mutant), seconds, shown, told, reason))
    return found


def _alone(made: Mutated) -> Seen:
    """Each mutant in a version of its own: one of them keeps the package from being imported, and so hid the others."""
    seen = Seen({}, {}, {})
    for key, mutant in made.mutants.items():
        one = look(made.package, {key[0]: mutant.source})
        told = [f for f in one.findings.values() if f.rule == "witness/import"]
        found = one.findings.get(key) or next(iter(told), None)
        if found is not None:
            seen.findings[key] = found
        seen.seconds.update({k: s for k, s in one.seconds.items() if k == key})
        seen.ends.update({k: end for k, end in one.ends.items() if k == key})
    return seen


def _reason(key: Key, mutant: Mutant, seen: Seen) -> str:
    """Why the rule did not show a mutant."""
    if key not in seen.seconds:
        return "not looked at"
    if key not in seen.ends:
        return "no way to make its object"
    found, lines = seen.ends[key]
    if not found.usable:
        return "no call that is answered"
    if found.unstable:
        return "differs, but not steadily"
    return "same answers" if mutant.line in lines else "changed line not reached"


def report(number: int, seed: int, failures: int, state: Path | None = None) -> str:
    """The tables. ``state``: keeps what is done, so that a stopped run goes on; Ctrl-C gives the tables of it."""
    kept = [json.loads(line) for line in state.read_text().splitlines()] if state and state.exists() else []
    kept = [entry for entry in kept if entry["run"] == [number, seed]]
    done: list[dict[str, Any]] = []

    def keep(entry: dict[str, Any]) -> None:
        done.append(entry)
        if state:
            with state.open("a") as file:
                file.write(json.dumps({**entry, "run": [number, seed]}) + "\n")

    try:
        with tempfile.TemporaryDirectory() as name:
            storage = tables(Path(name).resolve())
            for turn, made in enumerate(rounds(number, seed)):
                known = [entry for entry in kept if entry.get("turn") == turn]
                if known:
                    done += known
                    continue
                keep({"turn": turn, "records": [asdict(record) for record in records(made, storage)]})
                print(
                    f"{made.package}: {_share([Record(**r) for r in done[-1]['records']])}", file=sys.stderr, flush=True
                )
        for package in _quiet_packages(seed):
            if sum(entry.get("quiet", 0) for entry in done) >= _NEUTRAL:
                break
            known = [entry for entry in kept if entry.get("neutral") == package.name]
            done += known
            if not known:
                keep({"neutral": package.name, **_neutral(package, seed)})
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    found = [Record(**record) for entry in done for record in entry.get("records", ())]
    return _tables(found, [entry for entry in done if "neutral" in entry], failures)


def _deeper(made: Mutated, rest: set[Key]) -> dict[Key, Finding]:
    """What ten times the inputs show of the mutants that nothing else saw."""
    texts = {path: text for path, _, text, _ in made.package.modules()}
    files = {path: _all(texts[path], [m for (p, n), m in made.mutants.items() if p == path and (p, n) in rest])
             for path, _ in rest}  # fmt: skip
    with (
        patch.object(search, "ROUNDS", _TENFOLD * search.ROUNDS),
        patch.object(search, "_STALE", _TENFOLD * search._STALE),
        patch.object(witness, "_SECONDS", _PATIENCE),
    ):
        return look(made.package, files).findings


def _quiet_packages(seed: int) -> list[Package]:
    found = [p for p in packages(99) if _fits(p)]
    return random.Random(seed).sample(found, len(found))


def _neutral(package: Package, seed: int) -> dict[str, Any]:
    """Findings on a copy that does the same with other instructions, and how many functions were run."""
    dice = random.Random(seed)
    files = {}
    for path, _, text, _ in package.modules():
        for edit in (renamed_locals, rewritten, formatted):
            made = edit(path, text, dice)
            text = made[path] if made is not None else text
        files[path] = text
        if len(files) >= 8:
            break
    seen = look(package, files)
    return {"quiet": len(seen.seconds), "findings": [f"{f.rule}: {f.message}" for f in seen.findings.values()]}


def _tables(found: Sequence[Record], quiet: Sequence[dict[str, Any]], failures: int) -> str:
    by_package: dict[str, list[Record]] = {}
    for record in found:
        by_package.setdefault(record.package, []).append(record)
    heads = [
        "package",
        "mutants",
        "shown",
        "seen by a program",
        "by Hypothesis",
        "tenfold",
        "by none",
        "shown of visible",
    ]
    rows = [_row(name, own) for name, own in [*sorted(by_package.items()), ("all", found)]]
    run = [r.seconds for r in found if r.seconds]
    shown = [r.seconds for r in found if r.shown]
    text = table(heads, rows)
    if shown:
        text += f"\n\nSeconds for a function: median {median(run):.2f}, of a shown one {median(shown):.2f}, "
        text += f"90 % within {percentile(run, 0.9):.2f}. "
    said = [text for entry in quiet for text in entry["findings"]]
    text += f"Neutral copies: {len(said)} findings on {sum(e['quiet'] for e in quiet)} functions that were run."
    missed = [r for r in found if not r.shown and r.seen]
    reasons = Counter(r.reason for r in missed).most_common()
    text += "\n\nMissed: " + ", ".join(f"{count} {reason}" for reason, count in reasons) + "."
    lines = [f"- {r.path}: {r.function}: {r.change}: {r.reason}: {r.seen}" for r in missed]
    return "\n".join([text, "", *lines[:failures], *(f"- neutral: {text}" for text in said)])


def _by(found: Sequence[Record], word: str) -> int:
    return sum(r.seen.startswith(word) and not r.shown for r in found)


def _share(found: Sequence[Record]) -> str:
    visible = sum(bool(r.shown or r.seen) for r in found)
    return f"{100 * sum(bool(r.shown) for r in found) / visible:.0f} %" if visible else "–"


def _row(name: str, found: Sequence[Record]) -> list[object]:
    counts = [_by(found, word) for word in ("a program", "Hypothesis", "tenfold")]
    none = sum(not r.shown and not r.seen for r in found)
    return [name, len(found), sum(bool(r.shown) for r in found), *counts, none, _share(found)]
