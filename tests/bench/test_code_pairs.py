"""Pairs of edits, subjects and values: true of the code, and in the prompts that the language server sends."""

from __future__ import annotations

import ast
import json
import lzma
import random
import re
import sys
from pathlib import Path

import pytest

from famulus.bench import code_pairs
from famulus.engine.protocol import Chat
from famulus.engine.training.data.rewrites import Rewrite, functions, rewrites
from famulus.engine.training.evaluation import heldout
from famulus.engine.training.evaluation.parts import prompt_of
from famulus.lsp_server.commands.commit import subject_of
from famulus.lsp_server.commands.rewrite import SYSTEM

SOURCE = '''
def squares(values, limit):
    """The squares of the values."""
    found = []  # in order
    for value in values:
        found.append(value * value)
    print("done", 12)
    total = 0
    for value in found:
        total = total + value
    return found if total else limit


def shout(text):
    """The text in capitals.

    >>> shout('ab')
    'AB!'
    """
    return text.upper() + "!"


def whole(values):
    """Only what is whole."""
    kept = []
    for value in values:
        kept.append(value // 3)
    return kept
'''


def test_an_edit_is_what_its_words_say() -> None:
    made: dict[str, list[Rewrite]] = {}
    for source in functions(ast.parse(SOURCE), SOURCE):
        for seed in range(12):
            for rewrite in rewrites(source, random.Random(seed)):
                made.setdefault(rewrite.kind, []).append(rewrite)
    assert set(made) == {
        "rename", "default", "guard", "early return", "number", "docstring", "augmented", "condition", "prints",
        "comprehension",
    }  # fmt: skip
    for rewrite in (r for some in made.values() for r in some):
        assert ast.dump(ast.parse(rewrite.before)) != ast.dump(ast.parse(rewrite.after))
    for rewrite in made["rename"]:
        old, new = re.findall(r"Rename (\w+) to (\w+)", rewrite.told)[0]
        names = {n.id for n in ast.walk(ast.parse(rewrite.after)) if isinstance(n, ast.Name)}
        assert old not in names and new in names and old in rewrite.asked and new in rewrite.asked
    keeping = [r for kind in ("rename", "augmented", "condition", "comprehension", "docstring") for r in made[kind]]
    for rewrite in keeping:
        for arguments in (([1, 5], 3), ([], 3)):
            spaces: list[dict[str, object]] = [{}, {}]
            for space, text in zip(spaces, (rewrite.before, rewrite.after), strict=True):
                exec(text, space)
                call = space[rewrite.name]
                assert callable(call)
                given = arguments if rewrite.name == "squares" else arguments[:1] if rewrite.name == "whole" else ("a",)
                space["answer"] = call(*given)
            assert spaces[0]["answer"] == spaces[1]["answer"], rewrite


def test_pairs_stand_in_the_prompts_of_production(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split in ("train", "validation", "held-out"):
        text = SOURCE if split != "train" else SOURCE + SOURCE[SOURCE.index("def shout") :].replace("shout", "cry")
        text = text if split != "train" else text.replace("upper", "lower").replace("values", "numbers")
        line = {"package": split, "path": f"p/{split}.py", "text": text}
        with lzma.open(tmp_path / f"{split}.jsonl.xz", "wt") as file:
            file.write(json.dumps(line) + "\n")
    monkeypatch.setattr(sys, "argv", ["code_pairs", str(tmp_path), "--count", "9"])
    code_pairs.main()
    found = {}
    for kind in code_pairs.KINDS:
        for split in code_pairs.ORDER:
            with lzma.open(tmp_path / f"pairs-{kind}.{split}.jsonl.xz", "rt") as file:
                found[kind, split] = [json.loads(line) for line in file]
    edits = found["edit", "held-out"]
    assert len(edits) == 3
    for pair in edits:
        assert pair["messages"][0] == {"role": "system", "content": SYSTEM} and pair["answer_prefix"] == "```python\n"
        assert pair["answer"].startswith("def ") and pair["answer"].endswith("\n```")
    for pair in found["summary", "held-out"]:
        shown = pair["messages"][1]["content"]
        assert subject_of(pair["answer"], set(re.findall(r"\w+", shown))) == pair["answer"], (
            "production would refuse it"
        )
    values = {pair["text"].rpartition("\n")[2] + pair["answer"] for pair in found["values", "held-out"]}
    assert "assert shout('ab') == 'AB!'\n" in values
    for pair in found["values", "held-out"]:
        name = re.findall(r"(\w+)\(", pair["text"].rpartition("\n")[2])[0]
        assert f"def {name}(" in pair["text"], "a call of the function that is shown"
    held = {pair["answer"] for (kind, split), pairs in found.items() for pair in pairs if split != "train"}
    assert not held & {pair["answer"] for pair in found["edit", "train"]}


def test_what_is_measured_on_is_made_of_the_other_fixed_items() -> None:
    items = heldout.read()
    for kind in code_pairs.KINDS:
        assert code_pairs.measured(items, kind) == [pair for pair in items.pairs if pair.kind == kind]
    for pair in (pair for pair in items.pairs if pair.kind == "edit"):
        asked = prompt_of(pair)
        assert isinstance(asked, Chat) and asked.answer_prefix == "```python\n"
        ast.parse(pair.answer.removesuffix("```"))
    for pair in (pair for pair in items.pairs if pair.kind == "summary"):
        shown = pair.messages[1]["content"]
        assert subject_of(pair.answer, set(re.findall(r"\w+", shown))) == pair.answer
