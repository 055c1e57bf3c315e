"""``famulus bench review --part culprit``: histories of 30 hunks, one of which makes a test fail."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from famulus.bench.report import median, table
from famulus.lsp_server.review.comparison import Asked, compared
from famulus.lsp_server.review.culprit import Culprit
from famulus.lsp_server.review.review import Options, review

HUNKS = 30
_FILES, _COMMITS = 6, 10
TEST = "tests/test_total.py::test_total"
_BREAKING = (
    ("value * {n} + 1", "value * {n} + 2"),
    ("value * {n} + 1", "value * {n} - 1"),
    ("value * {n} + 1", "str(value * {n} + 1)"),
    ("value * {n} + 1", "value[{n}]"),
    ("value * {n} + 1", "undefined_{n}"),
)
"""What a function computes, and what it computes when it is broken."""
_HARMLESS = (
    ("value * {n} + 1", "1 + value * {n}"),
    ("value * {n} + 1", "{n} * value + 1"),
    ("value * {n} + 1", "value * {n} + 1 if value else 1"),
    ("value * {n} + 1", "sum((value * {n}, 1))"),
)


@dataclass(frozen=True)
class Result:
    """One history. ``exact``: the breaking hunk was named, and nothing else."""

    exact: bool
    runs: int
    seconds: float
    said: str


@dataclass(frozen=True)
class History:
    """A repository with a good and a bad revision; ``path`` and ``line``: of the breaking hunk."""

    folder: Path
    good: str
    bad: str
    path: str
    line: int
    breaking: str


def history(folder: Path, dice: random.Random) -> History:
    """A project of six modules with five functions each, all of which the test calls, changed in ten commits."""
    numbers = list(range(HUNKS))
    guilty = dice.choice(numbers)
    bodies = dict.fromkeys(numbers, "value * {n} + 1")
    _commit(folder, bodies)
    dice.shuffle(numbers)
    breaking = dice.choice(_BREAKING)[1]
    for start in range(0, HUNKS, HUNKS // _COMMITS):
        for number in numbers[start : start + HUNKS // _COMMITS]:
            bodies[number] = breaking if number == guilty else dice.choice(_HARMLESS)[1]
        _commit(folder, bodies)
    path, text = _path(guilty), _module(guilty // (HUNKS // _FILES), bodies)
    line = text.split("\n").index(f"    return {breaking.format(n=guilty + 2)}") + 1
    return History(folder, f"HEAD~{_COMMITS}", "HEAD", path, line, breaking)


def _path(number: int) -> str:
    return f"shop/part{number // (HUNKS // _FILES)}.py"


def _module(index: int, bodies: dict[int, str]) -> str:
    size = HUNKS // _FILES
    text = f'"""Part {index}."""\n'
    for number in range(index * size, (index + 1) * size):
        body = bodies[number].format(n=number + 2)
        text += f'\n\ndef step{number}(value):\n    """Step {number}."""\n    return {body}\n'
    return text


def _commit(folder: Path, bodies: dict[int, str]) -> None:
    """Writes all files and commits them."""
    files = {"shop/__init__.py": ""}
    files |= {f"shop/part{index}.py": _module(index, bodies) for index in range(_FILES)}
    imports = "".join(f"from {_path(n)[:-3].replace('/', '.')} import step{n}\n" for n in bodies)
    calls = "".join(f"    total += step{n}(3)\n" for n in bodies)
    expected = sum(3 * (n + 2) + 1 for n in bodies)
    test = f"{imports}\n\ndef test_total():\n    total = 0\n{calls}    assert total == {expected}\n"
    for path, text in {**files, "tests/test_total.py": test}.items():
        target = folder / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(text)
    if not (folder / ".git").exists():
        _git(folder, "init", "--quiet")
    _git(folder, "add", ".")
    _git(folder, "-c", "user.name=Bench", "-c", "user.email=bench@example.com", "commit", "--quiet", "-m", "Change")


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


def result(made: History) -> Result:
    """What ``famulus review --why`` says of a history."""
    started = time.perf_counter()
    rule = Culprit(TEST, folder=made.folder)
    options = Options(budget=None, interpreter=Path(sys.executable), instead=(rule,))
    with compared(Asked((f"{made.good}..{made.bad}",), folder=made.folder)) as found:
        report = review(found.change, options, found.root)
    seconds = time.perf_counter() - started
    places = {(f.place.path, f.place.line) for f in report.findings}
    runs = int(report.findings[0].proof.data["runs"]) if report.findings else 0
    single = len(report.findings) == 1 and len(report.findings[0].proof.data["culprits"]) == 1
    said = "; ".join(f"{f.place}: {f.message}" for f in report.findings) or "; ".join(report.left_out)
    return Result(single and places == {(made.path, made.line)}, runs, seconds, said)


def report(most: int, seed: int, failures: int) -> str:
    """The table."""
    dice = random.Random(seed)
    done: list[tuple[str, Result]] = []
    lines: list[str] = []
    for number in range(most):
        with tempfile.TemporaryDirectory() as folder:
            made = history(Path(folder), dice)
            found = result(made)
        done.append((made.breaking, found))
        if not found.exact and len(lines) < failures:
            lines.append(f"- history {number}: `{made.breaking}` at {made.path}:{made.line}; said: {found.said}")
    rows = [_row(name, [r for b, r in done if name in (b, "all")]) for name in [*(b for _, b in _BREAKING), "all"]]
    text = table(["breaking hunk", "histories", "exact culprit", "median runs", "most runs", "median time"], rows)
    return "\n".join([text, "", *lines])


def _row(name: str, some: Sequence[Result]) -> list[object]:
    exact = f"{100 * sum(r.exact for r in some) / len(some):.0f} %" if some else "–"
    runs = [r.runs for r in some]
    times = f"{median([r.seconds for r in some]):.1f} s"
    return [name, len(some), exact, median(runs), max(runs, default="–"), times]
