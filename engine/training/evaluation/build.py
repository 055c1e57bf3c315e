"""Held-out packages → the items of :mod:`famulus.engine.training.evaluation.heldout`, the same at every run.

A candidate of which any run of words also stands in what is learned from is left out: what is measured is nowhere in
the training data, not even in part. Of the rest as many are taken as are wanted, from all packages in turn.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import json
import lzma
import random
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from famulus.engine.training.corpus import Document
from famulus.engine.training.data.build import SPLITS, Package, Source, build, documents, fetched, packages
from famulus.engine.training.data.duplicates import runs
from famulus.engine.training.evaluation.heldout import Excerpt, Function, HeldOut, Hole, Origin, Pair
from famulus.engine.training.evaluation.runnable import alone, observed
from famulus.engine.training.infilling import hole

WANTED = 320
"""Items of each kind."""
RUN = 13
"""Words that an item and the training data may not have in common, one after the other."""
LENGTH = (500, 2000)
"""Characters of an excerpt."""
SPAN = (12, 240)
"""Characters of a hidden span."""
BODY = (24, 1000)
"""Characters of a hidden body."""
SPANS = ("lines", "syntax", "characters")
RUNNABLE = 1500
"""Functions that are tried whether they can be run by themselves."""

Say = Callable[[str], None]
_Item = TypeVar("_Item", Excerpt, Function)


@dataclass(frozen=True)
class Made:
    """What one file gives."""

    excerpts: list[Excerpt]
    functions: list[Function]


def make(corpus: Path, wheels: Path, say: Say, wanted: list[Package] | None = None, count: int = WANTED) -> HeldOut:
    """The items of the held-out packages in ``corpus``, which are fetched if they are not there.

    ``wanted``: other packages than those of ``packages.toml``. What is learned from is compared with where the corpus
    has it. Raises :class:`FetchFailed`.
    """
    chosen = [p for p in (packages() if wanted is None else wanted) if p.split == "held-out"]
    if not (corpus / "held-out.jsonl.xz").is_file():
        build(corpus, wheels, say, chosen)
    excerpts: list[Excerpt] = []
    functions: list[Function] = []
    for line in documents(corpus, "held-out"):
        found = candidates(line["package"], line["path"], line["text"])
        excerpts += found.excerpts
        functions += found.functions
    say(f"{len(excerpts)} excerpts and {len(functions)} functions to choose from")
    learned, compared = _learned(corpus, [e.text for e in excerpts] + [_own(f) for f in functions])
    say(f"compared with {compared} files that are learned from: {len(learned)} are like one of them")
    clean = [e for e in excerpts if e.text not in learned]
    taken = list(itertools.islice((e for e in _in_turn(clean) if _has_holes(e)), count))
    others = _in_turn([f for f in functions if _own(f) not in learned])
    bodies = _bodies(list(others), count, say)
    origins = [_origin(s, p, wheels, corpus) for s in _sources(corpus) for p in chosen if p.name == s.package]
    checked = {"run": RUN, "files": compared, "candidates": len(excerpts) + len(functions), "alike": len(learned)}
    return HeldOut(
        tuple(sorted(origins, key=lambda o: o.package)),
        tuple(taken),
        tuple(Hole(i, *_line(e)) for i, e in enumerate(taken)),
        tuple(Hole(i, *_span(e)) for i, e in enumerate(taken)),
        tuple(bodies),
        tuple(pairs(corpus, count)),
        checked,
    )


def candidates(package: str, path: str, text: str) -> Made:
    """The excerpts and functions of one file."""
    tree, lines = ast.parse(text), text.splitlines(keepends=True)
    excerpts = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            end = _fitting(node, lines)
            piece = "".join(lines[node.lineno - 1 : end])
            if end and len(piece) >= LENGTH[0]:
                excerpts.append(Excerpt(package, path, node.lineno, piece.rstrip() + "\n"))
    functions = [Function(package, path, line, source, start) for line, source, start in alone(tree, text)]
    return Made(excerpts, [f for f in functions if BODY[0] <= len(f.text) - f.start <= BODY[1]])


def _own(function: Function) -> str:
    """The function without what it needs of its module."""
    return function.text[function.text.rfind("\ndef ", 0, function.start) + 1 :]


def _fitting(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, lines: list[str]) -> int:
    """The last line of as much of a definition as fits, 0 for nothing."""

    def size(end: int) -> int:
        return sum(map(len, lines[node.lineno - 1 : end]))

    ends = [end for s in [*node.body, node] if (end := s.end_lineno or 0) and size(end) <= LENGTH[1]]
    return max(ends, default=0)


def _learned(corpus: Path, texts: list[str]) -> tuple[set[str], int]:
    """Which of ``texts`` share a run of words with a file that is learned from, and how many files there are."""
    owners: dict[str, list[str]] = {}
    for text in texts:
        for run in runs(text, RUN):
            owners.setdefault(run, []).append(text)
    alike: set[str] = set()
    count = 0
    for split in SPLITS:
        if split == "held-out" or not (corpus / f"{split}.jsonl.xz").is_file():
            continue
        for line in documents(corpus, split):
            count += 1
            for run in runs(line["text"], RUN):
                if run in owners:
                    alike.update(owners[run])
    return alike, count


def _in_turn(items: Iterable[_Item]) -> Iterator[_Item]:
    """From every package one after the other, within a package in an order that has nothing to do with names."""
    by_package: dict[str, list[_Item]] = {}
    for item in sorted(items, key=lambda i: hashlib.sha256(i.text.encode()).digest()):
        by_package.setdefault(item.package, []).append(item)
    rows = itertools.zip_longest(*(by_package[p] for p in sorted(by_package)))
    return (item for row in rows for item in row if item is not None)


def _chance(text: str) -> random.Random:
    return random.Random(hashlib.sha256(text.encode()).hexdigest())


def _has_holes(excerpt: Excerpt) -> bool:
    return _line(excerpt) != (0, 0) and _span(excerpt) != (0, 0)


def _line(excerpt: Excerpt) -> tuple[int, int]:
    """A statement of one line to hide, without its indentation; (0, 0) where there is none."""
    lines = excerpt.text.splitlines(keepends=True)
    starts = list(itertools.accumulate(map(len, lines), initial=0))
    found = []
    for node in ast.walk(ast.parse(excerpt.text)):
        simple = isinstance(node, (ast.Assign, ast.Return, ast.AugAssign, ast.Raise, ast.AnnAssign, ast.Expr))
        if simple and isinstance(node, ast.stmt) and node.lineno == node.end_lineno and node.lineno > 2:
            said = lines[node.lineno - 1].strip()
            if 10 <= len(said) <= 80 and "#" not in said and not said.startswith(("'", '"', "r'", 'r"', "...")):
                found.append((starts[node.lineno - 1] + lines[node.lineno - 1].index(said), len(said)))
    if not found:
        return 0, 0
    start, size = _chance(excerpt.text).choice(sorted(found))
    return start, start + size


def _span(excerpt: Excerpt) -> tuple[int, int]:
    """Characters, lines or a node to hide, none of them words for people; (0, 0) where none is found."""
    chance, document = _chance(excerpt.text), Document(excerpt.path, excerpt.text)
    first = chance.randrange(len(SPANS))
    told = _told(excerpt.text)
    for attempt in range(30):
        found = hole(document, SPANS[(first + attempt) % len(SPANS)], chance)
        if found is None:
            continue
        start, end = found
        hidden = excerpt.text[start:end]
        if not SPAN[0] <= len(hidden.strip()) <= SPAN[1] or excerpt.text.count("\n", 0, start) < 2:
            continue
        if "#" not in hidden and not any(a < end and start < b for a, b in told):
            return start, end
    return 0, 0


def _told(text: str) -> list[tuple[int, int]]:
    """Where documentation stands."""
    return [m.span() for m in re.finditer(r'"""(?s:.*?)"""|\'\'\'(?s:.*?)\'\'\'', text)]


def _bodies(functions: list[Function], count: int, say: Say) -> list[Function]:
    """Those first that can be run by themselves."""
    runnable: list[Function] = []
    others: list[Function] = []
    tried = functions[:RUNNABLE]
    for function, calls in zip(tried, observed(f.text for f in tried), strict=True):
        (runnable if calls else others).append(replace(function, calls=calls))
    say(f"{len(runnable)} of {len(runnable) + len(others)} functions run by themselves")
    return [*runnable[:count], *others[: max(0, count - len(runnable))]]


def pairs(corpus: Path, count: int) -> Iterator[Pair]:
    """Of every kind of pairs beside the corpus ``count`` held-out ones that are learned from nowhere, evenly taken."""
    for path in sorted(corpus.glob("pairs-*.held-out.jsonl.xz")):
        kind = path.name.split(".")[0].removeprefix("pairs-")
        asked: set[str] = set()
        answers: set[str] = set()
        for line in itertools.chain(_lines(corpus, kind, "train"), _lines(corpus, kind, "validation")):
            asked.add(_asked(line))
            answers.update(runs(line["answer"], RUN))
        rows = [line for line in _lines(corpus, kind, "held-out") if _asked(line) not in asked]
        rows = [line for line in rows if answers.isdisjoint(runs(line["answer"], RUN))]
        rows.sort(key=lambda line: hashlib.sha256(_asked(line).encode()).digest())
        for line in rows[:count]:
            check = tuple((imports, expression) for imports, expression in line.get("check", ()))
            told = (line.get("text", ""), tuple(line.get("messages", ())), line.get("setup", ""), check)
            prefix = line.get("answer_prefix", "")
            yield Pair(kind, line["answer"], *told, plot=line.get("plot", False), answer_prefix=prefix)


def _asked(line: dict[str, Any]) -> str:
    return json.dumps([line.get("text"), line.get("messages")], ensure_ascii=False)


def _lines(corpus: Path, kind: str, split: str) -> Iterator[dict[str, Any]]:
    path = corpus / f"pairs-{kind}.{split}.jsonl.xz"
    if path.is_file() and path.stat().st_size:
        with lzma.open(path, "rt", encoding="utf-8") as file:
            yield from map(json.loads, file)


def _sources(corpus: Path) -> list[Source]:
    found = json.loads((corpus / "sources.json").read_text(encoding="utf-8"))
    return [Source(s["package"], s["version"], s["licence"], s["split"]) for s in found if s["split"] == "held-out"]


def _origin(source: Source, package: Package, wheels: Path, corpus: Path) -> Origin:
    """What the package says of its rights; under the long licence that stands at the top of our own repository, what
    its files say."""
    if source.licence == "Apache-2.0":
        texts = [line["text"] for line in documents(corpus, "held-out") if line["package"] == source.package]
        said = sorted({m.strip() for text in texts for m in re.findall(r"^#\s*(Copyright .*\d{4}.*)$", text, re.M)})
        return Origin(
            source.package, source.version, source.licence, "\n".join(said) or f"The {source.package} authors"
        )
    with zipfile.ZipFile(fetched(package, wheels)) as file:
        names = [n for n in file.namelist() if re.search(r"\.dist-info/(.*/)?(licen[cs]e|copying)[^/]*$", n, re.I)]
        notice = "\n\n".join(file.read(name).decode("utf-8", "replace").strip() for name in sorted(names))
    notice = re.sub(r"^Copied from: .*\n", "", notice, flags=re.MULTILINE)  # where a file lay, no part of a licence
    return Origin(source.package, source.version, source.licence, notice)
