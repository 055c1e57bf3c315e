"""``python -m famulus.bench.code_pairs CORPUS``: pairs to train on beside a corpus, in the very prompts of production.

*edit*: an instruction and a function → the function changed; *summary*: a diff → a commit's subject (both from small
rewrites on the syntax tree, whose words say only what was done); *values*: a documented function and a call → its
value, which was computed in the sandbox. Each split has the functions of its own packages, and what shares a run of
words with a held-out or validation item is not learned from.

With ``--items`` it makes those that models are compared on, out of the texts of the other fixed items.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import itertools
import json
import lzma
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from famulus.engine.errors import FamulusError
from famulus.engine.protocol import Chat
from famulus.engine.training.data.build import documents
from famulus.engine.training.data.duplicates import hashed_runs
from famulus.engine.training.data.rewrites import Rewrite, functions, rewrites
from famulus.engine.training.evaluation import heldout
from famulus.engine.training.evaluation.build import WANTED
from famulus.engine.training.evaluation.heldout import HeldOut, Pair
from famulus.engine.training.evaluation.runnable import alone, observed
from famulus.lsp_server.commands import commit, rewrite
from famulus.lsp_server.commands.staged import parse_diff
from famulus.lsp_server.testgen import forecast

KINDS = ("edit", "summary", "values")
ORDER = ("held-out", "validation", "train")
"""What is measured on is made first."""
MOST = {"edit": 3, "summary": 3, "values": 12}
"""Pairs of one file, so that many give some."""
SHOWN = 900
"""Characters of a function in an item that is measured on."""

FUNCTIONS = 8
"""Of one file, that are run."""

Line = dict[str, Any]
File = tuple[str, str, str]
"""Path, text and seed."""


def lines(kind: str, files: Iterable[File]) -> Iterator[tuple[int, Line, str]]:
    """The pairs that files give, each with the number of its file and what it shows of it."""
    if kind == "values":
        yield from values(files)
        return
    for number, (path, text, seed) in enumerate(files):
        chance = random.Random(seed)
        for source in functions(ast.parse(text), text):
            found = list(rewrites(source, chance))
            if found:
                (made,) = chance.choices(found, range(1, len(found) + 1))  # the rarer ones stand last
                line = edit(made) if kind == "edit" else summary(made, path, source)
                words = set(re.findall(r"[A-Za-z_]\w*", line["messages"][1]["content"]))
                if kind == "edit" or commit.subject_of(line["answer"], words) == line["answer"]:  # else it is refused
                    yield number, line, source


def edit(made: Rewrite) -> Line:
    """An instruction with its code, as the language server asks."""
    asked = rewrite.question(made.asked, made.before.rstrip("\n"), "python")
    return {**told(asked), "answer": made.after + "```"}


def summary(made: Rewrite, path: str, source: str) -> Line:
    """A diff with its subject, as the language server asks."""
    before, after = source.splitlines(keepends=True), made.after.splitlines(keepends=True)
    diff = "".join(difflib.unified_diff(before, after, f"a/{path}", f"b/{path}"))
    (change,) = parse_diff(f"diff --git a/{path} b/{path}\n{diff}")
    return {**told(commit.question([change])), "answer": made.told}


def told(asked: Chat) -> Line:
    """A conversation as JSON."""
    messages = [{"role": m.role, "content": m.content} for m in asked.messages]
    return {"messages": messages, "answer_prefix": asked.answer_prefix}


def values(files: Iterable[File]) -> Iterator[tuple[int, Line, str]]:
    """Calls of functions that can be run by themselves, as test generation asks; of each file the first."""
    found, again = itertools.tee(
        (number, source, start)
        for number, (_, text, _) in enumerate(files)
        for _, source, start in itertools.islice(alone(ast.parse(text), text), FUNCTIONS)
    )
    for (number, source, start), calls in zip(found, observed(source for _, source, _ in again), strict=True):
        node = ast.parse(source).body[-1]
        assert isinstance(node, ast.FunctionDef)
        for call, value in calls:
            if len(value) <= 40 and _literal(value):
                asked = forecast.question(node, ast.get_docstring(node), call)
                shown = source[source.rfind("\ndef ", 0, start) + 1 :]
                yield number, {"text": asked, "answer": f"{value}\n"}, shown


def measured(items: HeldOut, kind: str, count: int = WANTED) -> list[Pair]:
    """Up to ``count`` pairs of a kind out of the excerpts and functions of ``items``, which share no run of words with
    what is learned from; the values are those that the functions gave there."""
    found: dict[str, Pair] = {}
    if kind == "values":
        for function in items.functions:
            node = ast.parse(function.text).body[-1]
            assert isinstance(node, ast.FunctionDef)
            for call, value in function.calls:
                if len(value) <= 40 and _literal(value):
                    asked = forecast.question(node, ast.get_docstring(node), call)
                    found[asked] = Pair(kind, f"{value}\n", asked)
    else:
        for _, line, shown in lines(kind, [(path, text, text) for path, text in sources(items)]):
            if len(shown) <= SHOWN:
                told = tuple(line["messages"])
                found[shown] = Pair(kind, line["answer"], messages=told, answer_prefix=line["answer_prefix"])
    chosen = sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest())[:count]
    return [found[text] for text in chosen]


def sources(items: HeldOut) -> list[tuple[str, str]]:
    """Path and text of what the fixed items show: the functions each by itself, and the excerpts."""
    texts = [(f.path, f.text[f.text.rfind("\ndef ", 0, f.start) + 1 :]) for f in items.functions]
    return texts + [(excerpt.path, excerpt.text) for excerpt in items.excerpts]


def _literal(value: str) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return False
    return True


def chosen(corpus: Path, kind: str, split: str, count: int, seen: set[int]) -> Iterator[Line]:
    """Up to ``count`` pairs of a split; ``seen``: runs of words of what is measured on."""
    made = 0
    files = documents(corpus, split) if split == "train" else in_turn(documents(corpus, split))
    found = lines(kind, ((file["path"], file["text"], file["path"]) for file in files))
    for _, some in itertools.groupby(found, lambda pair: pair[0]):
        for _, line, shown in itertools.islice(some, MOST[kind]):
            own = hashed_runs(shown + line["answer"])
            if split == "train" and own & seen:
                continue
            seen.update(own if split != "train" else ())
            yield line
            made += 1
            if made == count:
                return


def in_turn(files: Iterable[dict[str, str]]) -> Iterator[dict[str, str]]:
    """From every package one after the other; for splits that fit into memory."""
    by_package: dict[str, list[dict[str, str]]] = {}
    for file in files:
        by_package.setdefault(file["package"], []).append(file)
    rows = itertools.zip_longest(*by_package.values())
    return (file for row in rows for file in row if file is not None)


def write(corpus: Path, kind: str, split: str, found: Iterable[Line]) -> int:
    """Puts them beside the corpus → how many."""
    path, count = corpus / f"pairs-{kind}.{split}.jsonl.xz", 0
    draft = path.with_suffix(".part")
    with lzma.open(draft, "wt", encoding="utf-8") as file:
        for line in found:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    draft.replace(path)
    return count


def main() -> None:
    """Writes ``pairs-KIND.SPLIT.jsonl.xz`` and says how many there are."""
    parser = argparse.ArgumentParser(prog="python -m famulus.bench.code_pairs", description=__doc__)
    parser.add_argument("corpus", type=Path, nargs="?", help="what `python -m famulus.engine.training.data` built")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this one (may be repeated)")
    parser.add_argument("--count", type=int, default=20_000, help="pairs of a kind to learn from, at most")
    parser.add_argument("--held", type=int, default=400, help="pairs of a kind in each of the other splits, at most")
    parser.add_argument("--items", action="store_true", help="make those that `famulus eval` measures on anew")
    said = parser.parse_args()
    items = heldout.read()
    if said.items:
        own = [pair for pair in items.pairs if pair.kind not in KINDS]
        own += [pair for kind in KINDS for pair in measured(items, kind)]
        heldout.write(replace(items, pairs=tuple(own)), heldout.FILE)
        return
    if said.corpus is None:
        parser.error("name the corpus")
    for kind in said.kind or KINDS:
        seen: set[int] = set()
        for pair in (pair for pair in items.pairs if pair.kind == kind):
            seen |= hashed_runs(pair.text + pair.answer)
        try:
            for split in ORDER:
                count = said.count if split == "train" else said.held
                made = write(said.corpus, kind, split, chosen(said.corpus, kind, split, count, seen))
                print(f"{kind}, {split}: {made}", flush=True)
        except FamulusError as error:
            parser.error(str(error))


if __name__ == "__main__":
    main()
