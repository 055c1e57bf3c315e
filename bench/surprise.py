"""``famulus bench surprise``: does the model find small mistakes in Python, and keep quiet where there are none?

Functions of installed packages are scored as they are and with one seeded mutation each, by the code that the language
server runs. Thresholds are tuned on some packages and reported on others: precision (hints on mutated functions that
restore the original), recall by kind, and hints per 1,000 lines that nobody mutated. ``--cache`` keeps the model's
answers, so that another rule costs no model.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import importlib.util
import itertools
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from famulus.bench.report import heading
from famulus.bench.surprise_rules import Case, report
from famulus.engine.client import connect
from famulus.lsp_server.documents import Text
from famulus.lsp_server.link import EngineLink
from famulus.lsp_server.prediction.surprise.candidates import KINDS, Alternative, alternatives
from famulus.lsp_server.prediction.surprise.decide import LEAST
from famulus.lsp_server.prediction.surprise.scoring import (
    FOLLOWING,
    Asker,
    LinkAsker,
    Weighed,
    context,
    contrast,
    examine,
)
from famulus.lsp_server.prediction.surprise.source import Function, Source

TUNED_ON = (
    "cattrs",
    "click",
    "httpx",
    "huggingface_hub",
    "jinja2",
    "networkx",
    "packaging",
    "pathspec",
    "pygls",
    "starlette",
    "websockets",
)
HELD_OUT = ("anyio", "filelock", "pluggy", "requests", "rich", "tqdm", "urllib3", "uvicorn")
SHORTEST, LONGEST = 5, 50
"""Lines of a function that takes part."""


@dataclass(frozen=True)
class Sample:
    """A function of a package, and its mutation."""

    package: str
    path: Path
    source: Source
    function: Function
    mutation: Alternative

    @property
    def lines(self) -> int:
        """Lines of the function that are not empty."""
        return sum(bool(line.strip()) for line in self._text.splitlines())

    @property
    def _text(self) -> str:
        return self.source.text.value[self.function.start : self.function.end]

    def mutated(self) -> tuple[Source, Function]:
        """The file with the mutation, and the function in it."""
        changed = Source(Text(self.mutation.applied(self.source.text.value)))
        return changed, next(f for f in changed.functions if f.start == self.function.start)


class OutOfTime(Exception):
    """The time for asking the model is over."""


class CachedAsker:
    """Remembers the model's answers in a file, one JSON line each. Asks for ``minutes`` at most."""

    def __init__(self, asker: Asker, model: str, path: Path | None, minutes: float) -> None:
        self._asker, self._model, self._path = asker, model, path
        self._end = time.monotonic() + 60 * minutes
        self._known: dict[str, list[Weighed]] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                key, answer = json.loads(line)
                self._known[key] = [(text, value) for text, value in answer]

    async def score(self, prompt: str, continuation: str) -> list[Weighed]:
        """As the model's."""
        key = self._key("score", prompt, continuation)
        if key not in self._known:
            self._in_time()
            self._keep(key, await self._asker.score(prompt, continuation))
        return self._known[key]

    async def next(self, prompt: str) -> list[Weighed]:
        """As the model's."""
        key = self._key("next", prompt)
        if key not in self._known:
            self._in_time()
            self._keep(key, await self._asker.next(prompt))
        return self._known[key]

    def _in_time(self) -> None:
        if time.monotonic() > self._end:
            raise OutOfTime

    def _key(self, *parts: str) -> str:
        return hashlib.sha256("\0".join([self._model, *parts]).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def _keep(self, key: str, answer: list[Weighed]) -> None:
        self._known[key] = answer
        if self._path is not None:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps([key, answer]) + "\n")


def samples(packages: Sequence[str], lines: int, seed: int) -> list[Sample]:
    """Functions of the packages in a seeded order, about ``lines`` lines in all, evenly from each."""
    found: list[Sample] = []
    for package in packages:
        chooser = random.Random(f"{seed} {package}")
        files = [path for path in _files(package) if path.stat().st_size < 120_000 and "test" not in str(path)]
        chooser.shuffle(files)
        taken = 0
        for path in files:
            mine = _of_file(package, path, chooser)
            found += mine
            taken += sum(s.lines for s in mine)
            if taken >= lines / len(packages):
                break
    random.Random(seed).shuffle(found)
    return found


def _files(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return []
    return sorted(Path(spec.submodule_search_locations[0]).rglob("*.py"))


def _of_file(package: str, path: Path, chooser: random.Random) -> list[Sample]:
    """At most four functions of a file, each with a mutation: first a kind is drawn, then one of its changes."""
    try:
        source = Source(Text(path.read_text(encoding="utf-8")))
    except (SyntaxError, UnicodeDecodeError):
        return []
    functions = [f for f in source.functions if SHORTEST <= _lines(source, f) <= LONGEST]
    mine: list[Sample] = []
    for function in chooser.sample(functions, min(4, len(functions))):
        changes = alternatives(source, function)
        kinds = [kind for kind in KINDS if any(a.kind == kind for a in changes)]
        if kinds:
            kind = chooser.choice(kinds)
            mutation = chooser.choice([a for a in changes if a.kind == kind])
            mine.append(Sample(package, path, source, function, mutation))
    return mine


def _lines(source: Source, function: Function) -> int:
    return source.text.place(function.end)[0] - source.text.place(function.start)[0] + 1


async def cases(asker: Asker, sample: Sample) -> list[Case]:
    """A sample as it is, and mutated. Raises :class:`OutOfTime`."""
    done: list[Case] = []
    name = f"{sample.package}/{sample.path.name}:{sample.function.name}"
    before = context(sample.source, sample.function, sample.path.name)
    original = sample.source.text.value
    for mutation in (None, sample.mutation):
        source, function = sample.mutated() if mutation else (sample.source, sample.function)
        evidence = await examine(asker, source, function, before)
        worth = [e for e in evidence if e.gain(FOLLOWING) >= LEAST]
        other = await contrast(asker, source, function, sample.path.name, worth) if worth else {}
        gains = {alternative: e.gain(FOLLOWING) for alternative, e in other.items()}
        done.append(Case(name, sample.lines, mutation, source.text.value, original, evidence, gains))
    return done


async def measure(home: Path | None, options: Any) -> str:
    """Ask the model, and the tables."""
    with connect(home) as client:
        client.tokenize("x")
        model = client.status()["model"]["id"]
    link = EngineLink(home)
    asker = CachedAsker(LinkAsker(link), model, options.cache, options.minutes)
    sides: tuple[list[Case], list[Case]] = ([], [])
    chosen = [samples(packages, options.lines, options.seed) for packages in (TUNED_ON, HELD_OUT)]
    try:
        for pair in itertools.zip_longest(*chosen):
            for sample, side in zip(pair, sides, strict=True):
                with contextlib.suppress(OutOfTime):
                    side += await cases(asker, sample) if sample is not None else []
    finally:
        await link.close()
    return report(model, *sides)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="famulus bench surprise", description=__doc__)
    parser.add_argument("--lines", type=int, default=2000, help="clean lines, about, on either side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="keep the model's answers in this file")
    parser.add_argument(
        "--minutes", type=float, default=60, help="then functions that were not asked about are left out"
    )
    options = parser.parse_args(arguments)
    print(heading(f"famulus bench surprise --lines {options.lines} --seed {options.seed}"))
    print(asyncio.run(measure(None, options)))


if __name__ == "__main__":
    main()
