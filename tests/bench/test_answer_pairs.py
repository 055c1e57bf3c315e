"""Questions with plain answers: what functions' docstrings say of them, and what a model says."""

from __future__ import annotations

import ast
import json
import lzma
import random
from pathlib import Path

import pytest

from famulus.bench import answer_pairs
from famulus.engine.training.data.duplicates import hashed_runs
from famulus.engine.training.evaluation import heldout
from famulus.lsp_server.commands import explain

SOURCE = '''
from pathlib import Path, PurePath


def squares(values):
    """The squares of all the values, in order

    They are ints.
    """
    return [value * value for value in values]


def bare(values):
    return values[0]
'''


def test_a_docstring_answers_what_its_function_does() -> None:
    squares = SOURCE[SOURCE.index("def squares") : SOURCE.index("def bare")]
    code, words = answer_pairs.without_docstring(squares)
    assert words == "The squares of all the values, in order." and words[:-1] not in code
    ast.parse(code)
    for short in ("Squares.", "See :func:`other` for what it does.", "Takes values_of_all and gives more of them."):
        said = f'def f(x):\n    """{short}"""\n    return x\n'
        assert answer_pairs.without_docstring(said)[1] == "", "no answer to learn from"
    only = 'def f(x):\n    """What would be left of it is no function."""\n'
    assert answer_pairs.without_docstring(only) == (only, "")


def test_questions_are_of_many_kinds_and_never_show_their_answer() -> None:
    asked = [q for seed in range(60) for q in answer_pairs.questions([{"text": SOURCE}], random.Random(seed))]
    last = {chat.messages[-1].content: words for chat, words in asked}
    own = {text: words for text, words in last.items() if words}
    assert own == {explain.question("def squares(values):\n    return [value * value for value in values]", "python")
                   .messages[-1].content: "The squares of all the values, in order."}  # fmt: skip
    assert any("pathlib" in text and "PurePath" in text for text in last) and not any("in order" in t for t in last)
    assert any(thing in text for thing in answer_pairs.THINGS for text in last)
    assert not set(answer_pairs.THINGS) & set(answer_pairs.MEASURED)


def test_an_answer_ends_with_a_sentence_and_does_not_go_round_in_circles() -> None:
    long = "It adds the numbers one by one. Then it returns what came of"
    assert answer_pairs.whole(long, ended=False) == "It adds the numbers one by one."
    assert answer_pairs.whole(long, ended=True) == long
    again = "The function returns the sum of it. The function returns the sum of it."
    assert answer_pairs.whole(again, ended=True) == "" == answer_pairs.whole("Yes.", ended=True)
    assert answer_pairs.whole("As you see here:\n```python\nx = 1. \ny", ended=False) == "", "an open fence"


@pytest.mark.slow
def test_pairs_are_made_with_the_answers_of_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "validation", "held-out"):
        with lzma.open(tmp_path / f"{split}.jsonl.xz", "wt") as file:
            for at in range(40 if split == "train" else 3):
                line = {"package": str(at), "path": f"p/{at}.py", "text": SOURCE.replace("squares", f"squares_{at}")}
                file.write(json.dumps(line) + "\n")
    answer_pairs.main([str(tmp_path), "--count", "3", "--held", "2"])
    assert capsys.readouterr().out == "answers, held-out: 2\nanswers, validation: 2\nanswers, train: 3\n"
    for split, count in (("held-out", 2), ("validation", 2), ("train", 3)):
        with lzma.open(tmp_path / f"pairs-answers.{split}.jsonl.xz", "rt") as file:
            found = [json.loads(line) for line in file]
        assert len(found) == count
        assert all(pair["messages"][-1]["role"] == "user" and pair["answer_prefix"] == "" for pair in found)
        assert all(len(pair["answer"]) >= 20 for pair in found)
    learned = answer_pairs.runs_of(tmp_path / "pairs-answers.train.jsonl.xz")
    assert learned >= hashed_runs(found[0]["answer"])
    twice = [{"answer": "one two three four five six seven eight nine ten eleven twelve thirteen"}, found[0]]
    assert list(answer_pairs.apart(twice, hashed_runs(twice[0]["answer"]))) == [found[0]]


def test_what_is_measured_on_is_asked_of_the_other_fixed_items() -> None:
    items = heldout.read()
    asked = {chat.messages[-1].content: words for chat, words in answer_pairs.measured(items)}
    for pair in items.pairs:
        if pair.kind == "explain":
            assert pair.messages[0]["content"] == explain.SYSTEM
            assert asked[pair.messages[-1]["content"]] == pair.answer
        elif pair.kind == "answers":
            assert asked[pair.messages[-1]["content"]] == "" and len(pair.answer) >= 20
