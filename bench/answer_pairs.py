"""``python -m famulus.bench.answer_pairs CORPUS``: questions with the answers that a model gives now.

Whoever learns edits and cells alone forgets how to talk: every question is answered as if it asked for an edit. So a
model learns its own answers beside what is new (self-distillation; Li & Hoiem 2016, "Learning without Forgetting"):
about functions of the corpus, in the prompts of production and in other words, and about things that programmers ask.
Where a function has a docstring, that is the answer to what it does.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import json
import lzma
import random
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from famulus.bench.code_pairs import in_turn, sources, told, write
from famulus.engine.protocol import Chat, Delta, Done, Failed, Finish, Generate, Message
from famulus.engine.settings import load_settings
from famulus.engine.training.data.build import documents
from famulus.engine.training.data.duplicates import hashed_runs
from famulus.engine.training.data.rewrites import functions
from famulus.engine.training.evaluation import heldout
from famulus.engine.training.evaluation.build import WANTED
from famulus.engine.training.evaluation.heldout import HeldOut, Pair
from famulus.engine.training.evaluation.subject import Subject
from famulus.lsp_server.commands import explain

Line = dict[str, Any]

KINDS = ("explain", "answers")

TOKENS = 160
AT_ONCE = 24
MOST = 3
"""Functions of a file."""
OWN = 0.5
"""How often a docstring is the answer to what its function does; else the model is asked."""
SHOWN = 1200
"""Characters of a function that is asked about."""

ABOUT = (
    "What does this function do?",
    "Explain this code to me.",
    "What can go wrong here?",
    "Which tests would you write for this?",
    "Is there a bug in this?",
    "Describe the parameters of this function.",
    "How could this be made faster?",
    "Write a docstring for this function.",
    "What does this return?",
    "Suggest a better name for this function, and say why.",
    "Review this code.",
    "Walk me through this step by step.",
)
PLAIN = (
    "What does {name} in the Python module {module} do?",
    "How do I use {module}.{name}?",
    "Show me an example of {module}.{name}.",
    "When would I use {name} from {module}?",
    "Why would I import {module} in Python?",
    "What is the difference between {name} and {other} in {module}?",
)
GENERAL = (
    "What is {thing}?",
    "Explain {thing} in simple words.",
    "Give me an example of {thing}.",
    "What are the advantages and drawbacks of {thing}?",
    "When should I use {thing}?",
    "What is a common mistake with {thing}?",
)
THINGS = (
    "a list comprehension",
    "a generator in Python",
    "recursion",
    "a binary search",
    "a hash table",
    "object-oriented programming",
    "a context manager",
    "a decorator in Python",
    "a race condition",
    "unit testing",
    "version control",
    "a REST API",
    "JSON",
    "a regular expression",
    "an exception in Python",
    "a virtual environment",
    "type hints",
    "a dataclass",
    "a lambda function",
    "multithreading",
    "an SQL join",
    "a pandas data frame",
    "a numpy array",
    "a linked list",
    "big O notation",
    "a stack and a queue",
    "dynamic programming",
    "a graph algorithm",
    "memory management",
    "garbage collection",
    "a compiler",
    "an operating system",
    "machine learning",
    "a neural network",
    "linear regression",
    "the median of a list",
    "photosynthesis",
    "the water cycle",
    "a good cover letter",
    "healthy food",
)
MEASURED = (
    "a tuple in Python",
    "a set and a dictionary",
    "sorting a list",
    "a queue",
    "an abstract base class",
    "string formatting in Python",
    "a web server",
    "caching",
    "a database index",
    "a merge conflict",
    "code review",
    "a command line program",
    "integer overflow",
    "a probability distribution",
    "a confusion matrix",
    "a histogram",
    "encryption",
    "the solar system",
    "a good night's sleep",
    "writing a short story",
)
"""Things that only what models are compared on asks about."""


def questions(files: Iterable[dict[str, str]], chance: random.Random) -> Iterator[tuple[Chat, str]]:
    """Conversations, each with its answer, or "" where the model is to be asked."""
    for file in files:
        tree = ast.parse(file["text"])
        found = list(functions(tree, file["text"]))
        for source in chance.sample(found, min(MOST, len(found))):
            bare, words = without_docstring(source)
            if len(bare) > SHOWN:
                continue
            if words and chance.random() < OWN:
                yield explained(bare), words
            elif chance.random() < 0.3:
                yield explained(bare), ""
            else:
                yield about(bare, chance), ""
        names = imported(tree)
        if names and chance.random() < 0.3:
            module, name, other = chance.choice(names)
            said = chance.choice(PLAIN if other else PLAIN[:-1]).format(module=module, name=name, other=other)
            yield Chat([Message("user", said)]), ""
        if chance.random() < 0.05:
            yield Chat([Message("user", chance.choice(GENERAL).format(thing=chance.choice(THINGS)))]), ""


def explained(code: str) -> Chat:
    """The question of ``famulus.explain``."""
    return explain.question(code.rstrip("\n"), "python")


def measured(items: HeldOut) -> list[tuple[Chat, str]]:
    """What models are compared on: like :func:`questions`, about what nothing is learned from."""
    chance = random.Random(0)
    found = dict.fromkeys(source for _, text in sources(items) for source in functions(ast.parse(text), text))
    short = [(bare, words) for bare, words in map(without_docstring, found) if len(bare) <= SHOWN]
    chance.shuffle(short)
    things = [form.format(thing=thing) for thing in MEASURED for form in chance.sample(GENERAL, 3)]
    asked = [(Chat([Message("user", said)]), "") for said in things]
    return [
        *((explained(bare), words) for bare, words in short if words),
        *asked,
        *((about(bare, chance), "") for _ in range(2) for bare, _ in short),
    ]


def about(bare: str, chance: random.Random) -> Chat:
    """A question about a function."""
    return Chat([Message("user", f"{chance.choice(ABOUT)}\n\n```python\n{bare}```")])


def pairs(model: Subject, asked: Iterable[tuple[Chat, str]], learned: set[int], count: int = WANTED) -> list[Pair]:
    """Up to ``count`` items with words of their own, and as many with what ``model`` answers; no answer has one of the
    runs of words ``learned``."""
    asked = list(asked)
    found: list[Pair] = []
    for kind, own in (("explain", True), ("answers", False)):
        lines = answered(model, ((chat, words) for chat, words in asked if bool(words) == own))
        with closing(lines):
            for line in itertools.islice(apart(lines, learned), count):
                messages = tuple(line["messages"])
                found.append(Pair(kind, line["answer"], messages=messages, answer_prefix=line["answer_prefix"]))
    return found


def apart(lines: Iterable[Line], runs: set[int]) -> Generator[Line]:
    """Those whose answers share none of ``runs``."""
    return (line for line in lines if not hashed_runs(line["answer"]) & runs)


def without_docstring(source: str) -> tuple[str, str]:
    """A function without its docstring, and the first sentence of that, "" where it says no more than a name."""
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.FunctionDef)
    said = ast.get_docstring(node)
    if said is None or len(node.body) < 2:
        return source, ""
    lines = source.splitlines(keepends=True)
    first = node.body[0]
    del lines[first.lineno - 1 : first.end_lineno]
    words = " ".join(re.split(r"\n\s*\n", said.strip())[0].split())
    sentence = re.split(r"(?<=[.!?])\s", words)[0]
    good = 20 <= len(sentence) <= 300 and sentence.isascii() and not re.search(r"[:`*<>{}|\\]|\w_\w", sentence)
    return "".join(lines), (sentence if sentence.endswith((".", "!", "?")) else f"{sentence}.") if good else ""


def imported(tree: ast.Module) -> list[tuple[str, str, str]]:
    """Modules with a name that the file takes from each, and another one or ""."""
    found: list[tuple[str, str, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [alias.name for alias in node.names if alias.name != "*"]
            if names:
                found.append((node.module, names[0], names[1] if len(names) > 1 else ""))
    return found


def answered(model: Subject, asked: Iterable[tuple[Chat, str]]) -> Generator[Line]:
    """The lines, those that the model is asked for as they come; what it did not end is cut behind a sentence."""
    running: dict[str, tuple[Chat, str, str]] = {}
    waiting, number, over = iter(asked), 0, False
    try:
        while not over or running:
            while not over and len(running) < AT_ONCE:
                chat, words = next(waiting, (None, ""))
                if chat is None:
                    over = True
                elif words:
                    yield {**told(chat), "answer": words}
                else:
                    number += 1
                    running[str(number)] = (chat, "", "")
                    model.core.submit(Generate(str(number), chat, max_tokens=TOKENS))
            for event in model.core.step(lambda: None) if running else ():
                if event.id not in running:
                    continue
                chat, text, reason = running[event.id]
                if isinstance(event, Delta):
                    running[event.id] = (chat, text + event.text, reason)
                elif isinstance(event, Finish):
                    running[event.id] = (chat, text, event.reason)
                elif isinstance(event, Done | Failed):
                    del running[event.id]
                    kept = whole(text, reason == "stop")
                    if kept:
                        yield {**told(chat), "answer": kept}
    finally:
        for id in running:
            model.core.cancel(id)


def whole(text: str, ended: bool) -> str:
    """An answer up to its last sentence, and none that goes round in circles."""
    text = text.strip()
    if not ended:
        text = text[: max((m.end() for m in re.finditer(r"[.!?](?=\s)|```(?=\n\n)", text)), default=0)]
        if text.count("```") % 2:
            return ""
    lines = [line for line in re.split(r"\n|(?<=[.!?])\s", text) if len(line) > 20]
    return "" if len(text) < 20 or len(set(lines)) < len(lines) else text


def runs_of(path: Path) -> set[int]:
    """Runs of words in the answers of a file, if there is one."""
    if not path.is_file():
        return set()
    with lzma.open(path, "rt", encoding="utf-8") as file:
        return {run for line in file for run in hashed_runs(json.loads(line)["answer"])}


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``pairs-answers.SPLIT.jsonl.xz`` and says how many there are."""
    parser = argparse.ArgumentParser(prog="python -m famulus.bench.answer_pairs", description=__doc__)
    parser.add_argument("corpus", type=Path, help="what `python -m famulus.engine.training.data` built")
    parser.add_argument("--model", default="smollm2-135m-instruct", help="whose answers")
    parser.add_argument("--count", type=int, default=2500, help="pairs to learn from, at most")
    parser.add_argument("--held", type=int, default=200, help="pairs in each of the other splits, at most")
    parser.add_argument("--items", action="store_true", help="make those that `famulus eval` measures on anew")
    said = parser.parse_args(arguments)
    items = heldout.read()
    model = Subject.load(said.model, load_settings().model_dump(), lambda _: None)
    if said.items:
        kept = tuple(pair for pair in items.pairs if pair.kind not in KINDS)
        made = pairs(model, measured(items), runs_of(said.corpus / "pairs-answers.train.jsonl.xz"))
        heldout.write(replace(items, pairs=(*kept, *made)), heldout.FILE)
        return
    seen = {run for pair in items.pairs if pair.kind in KINDS for run in hashed_runs(pair.answer)}
    for split in ("held-out", "validation", "train"):
        chance = random.Random(split)
        files = (file for file in documents(said.corpus, split) if split != "train" or chance.random() < 0.15)
        with closing(answered(model, questions(in_turn(files), chance))) as found:
            lines = apart(found, seen) if split == "train" else found
            count = said.count if split == "train" else said.held
            number = write(said.corpus, "answers", split, itertools.islice(lines, count))
        print(f"answers, {split}: {number}", flush=True)


if __name__ == "__main__":
    main()
