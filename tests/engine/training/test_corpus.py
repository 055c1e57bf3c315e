"""What is learned from: permissive, written by people, without doubles; and holes as production asks for them."""

from __future__ import annotations

import ast
import email
import json
import random
import zipfile
from pathlib import Path

import pytest

from famulus.engine.errors import InvalidRequest
from famulus.engine.policy import Policy
from famulus.engine.prompt import PromptCard
from famulus.engine.templates import PREFIX, SUFFIX, FillFormat
from famulus.engine.text import Tokenizer
from famulus.engine.training.corpus import Document, hold_back, read_documents
from famulus.engine.training.data.build import SPLITS, Package, build, documents, packages
from famulus.engine.training.data.cleaning import reason
from famulus.engine.training.data.duplicates import Seen, hashed_runs
from famulus.engine.training.data.licences import licence_of
from famulus.engine.training.infilling import KINDS, hole, infilling
from tests.engine import tiny_models as tiny

SOURCE = Path(hole.__code__.co_filename).read_text()
OTHER = Path(build.__code__.co_filename).read_text()


@pytest.mark.parametrize(
    ("said", "licence"),
    [
        ("License-Expression: MIT", "MIT"),
        ("License-Expression: Apache-2.0 OR GPL-3.0-only", "Apache-2.0"),
        ("License-Expression: BSD-3-Clause AND Apache-2.0", "BSD AND Apache-2.0"),
        ("License-Expression: BSD-3-Clause AND GPL-2.0-only", ""),
        ("License-Expression: MPL-2.0", ""),
        ("Classifier: License :: OSI Approved :: MIT License", "MIT"),
        ("Classifier: License :: OSI Approved :: BSD License\nClassifier: License :: OSI Approved :: GNU GPL v3", ""),
        ("License: Apache 2.0", "Apache-2.0"),
        ("License: all rights reserved", ""),
        ("Summary: nothing is said", ""),
    ],
)
def test_only_what_is_permissive_throughout_is_learned_from(said: str, licence: str) -> None:
    assert licence_of(email.message_from_string(said + "\n\n")) == licence


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        ("p/infilling.py", SOURCE, ""),
        ("p/_vendor/six.py", SOURCE, "vendored"),
        ("p/service_pb2.py", SOURCE, "generated"),
        ("p/a.py", "# This file is auto-generated. DO NOT EDIT\n" + SOURCE, "generated, or data"),
        ("p/a.py", SOURCE.replace("def ", "def def "), "not valid Python"),
        ("p/a.py", "VALUES = [\n" + "    1234567, 1234567, 1234567,\n" * 60 + "]\n", "data"),
        ("p/__init__.py", "from a import b\n" * 40, "only imports"),
        ("p/a.py", "x = 1\n", "too short or too long"),
        ("p/a.py", f"text = {'y' * 500!r}\n", "generated, or data"),
    ],
)
def test_files_that_nobody_wrote_are_left_out(path: str, text: str, why: str) -> None:
    assert reason(path, text) == why


def test_a_file_that_is_much_like_another_is_a_double() -> None:
    seen = Seen()
    assert not seen.double(SOURCE)
    assert seen.double(SOURCE.replace("random", "chance", 3) + "\n# the end\n")
    assert not seen.double(OTHER)
    assert hashed_runs(SOURCE) & hashed_runs(SOURCE[500:]) and not hashed_runs(SOURCE) & hashed_runs("a b c d " * 9)
    shown = "{0} of it.\n\nParameters\n----------\n{0} : int\n    The {0}.\n\nReturns\n-------\nint\n"
    deep, wide = hashed_runs(shown.format("depth")), hashed_runs(shown.format("width"))
    assert deep and wide and not deep & wide, "the line under a heading is one word"


def wheel(folder: Path, name: str, licence: str, files: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as made:
        for path, text in files.items():
            made.writestr(path, text)
        made.writestr(f"{name}-1.0.dist-info/METADATA", f"Name: {name}\nLicense-Expression: {licence}\n\n")


def test_the_corpus_says_of_every_file_where_it_is_from(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheel(wheels, "first", "MIT", {"first/a.py": SOURCE, "first/b.py": "x = 1\n"})
    wheel(wheels, "second", "Apache-2.0", {"second/copy.py": SOURCE, "second/own.py": OTHER})
    wanted = [Package("second", "1.0", "train"), Package("first", "1.0", "held-out")]
    sources = build(tmp_path / "corpus", wheels, lambda _: None, wanted)
    assert [s.package for s in sources] == ["first", "second"], "what is measured on is read first"
    assert sources[1].left_out == {"like another": 1}, "what is like a held-out file is not learned from"
    held, learned = (list(documents(tmp_path / "corpus", split)) for split in ("held-out", "train"))
    assert [(d["path"], d["licence"]) for d in held + learned] == [
        ("first/a.py", "MIT"),
        ("second/own.py", "Apache-2.0"),
    ]
    assert learned[0]["text"] == OTHER
    said = json.loads((tmp_path / "corpus" / "sources.json").read_text())
    assert said[0]["left_out"] == {"too short or too long": 1}
    wheel(wheels, "third", "GPL-3.0-only", {"third/a.py": OTHER})
    with pytest.raises(InvalidRequest, match="third is not published under a licence"):
        build(tmp_path / "other", wheels, lambda _: None, [Package("third", "1.0")])


def test_the_list_has_enough_packages_and_no_package_twice() -> None:
    listed = packages()
    assert len({p.name for p in listed}) == len(listed) >= 61
    assert {p.split for p in listed} == set(SPLITS) and all(p.version for p in listed if p.name != "python")


def test_documents_are_read_under_the_policy(tmp_path: Path) -> None:
    for name, text in {"a.py": SOURCE, "b.py": SOURCE, "c.py": OTHER, "data.csv": "1,2", ".env": "KEY=1"}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / ".famulusignore").write_text("c.py\n")
    found = read_documents(tmp_path, ["a.py", "b.py", "c.py", "data.csv", ".env"], Policy([tmp_path]))
    assert [d.path for d in found.documents] == ["a.py"]
    assert found.left_out == {
        "the same as another": 1,
        "refused by the file policy, or too large": 1,
        "no source code": 2,
    }


def test_some_documents_are_kept_back_whatever_their_order() -> None:
    many = [Document(f"{i}.py", "") for i in range(30)]
    learned, held = hold_back(many, 0.1)
    assert len(held) == 3 and len(learned) == 27
    assert {d.path for d in hold_back(many[::-1], 0.1)[1]} == {d.path for d in held}
    assert hold_back(many[:1], 0.1) == (many[:1], [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_hole_is_what_its_kind_says(kind: str) -> None:
    document, chance = Document("p/infilling.py", SOURCE), random.Random(3)
    nodes = {ast.get_source_segment(SOURCE, node) for node in ast.walk(ast.parse(SOURCE)) if hasattr(node, "lineno")}
    for _ in range(60):
        found = hole(document, kind, chance)
        assert found is not None
        inside = SOURCE[found[0] : found[1]]
        assert 0 <= found[0] < found[1] <= len(SOURCE)
        if kind == "rest of line":
            assert "\n" not in inside and SOURCE[found[1]] == "\n"
        if kind == "lines":
            assert inside.endswith("\n") and SOURCE[found[0] - 1] == "\n"
        if kind == "syntax":
            assert inside in nodes
        if kind == "body":
            assert (
                SOURCE[: found[0]].rstrip().endswith('"""') and (SOURCE + "\n\n@").index("\n\n", found[1]) == found[1]
            )
    assert hole(Document("notes.md", SOURCE), "syntax", chance) is None


def test_an_item_is_the_engines_own_prompt_and_what_stood_in_the_hole(tmp_path: Path) -> None:
    tiny.write_tokenizer(tmp_path / "tokenizer.json", spare=5)
    tokenizer = Tokenizer.from_file(tmp_path / "tokenizer.json", {"eos_token": "<|im_end|>"})
    marks = [f"<|spare_{i}|>" for i in range(5)]
    fill = FillFormat.detect(tokenizer, {"fill": marks})
    assert fill is not None and fill.parts == (marks[0], marks[1], SUFFIX, marks[2], PREFIX)
    card = PromptCard("tiny", 1 << 20, 700, None, fill)
    document, others = Document("p/infilling.py", SOURCE), [Document("p/build.py", OTHER)]
    chance, orders, with_files = random.Random(1), set(), 0
    ids = [tokenizer.special_id(mark) for mark in marks]
    for _ in range(40):
        item = infilling(document, others, tokenizer, card, chance)
        if item is None:
            continue
        prompt, answer = list(item.tokens[: item.start]), list(item.tokens[item.start :])
        orders.add(prompt.index(ids[1]) > prompt.index(ids[0]) + 1)
        with_files += ids[4] in prompt
        middle = prompt[prompt.index(ids[2]) + 1 :]
        before = (
            tokenizer.decode(middle)
            if middle
            else tokenizer.decode(prompt[prompt.index(ids[0]) : prompt.index(ids[1])])
        )
        assert before + tokenizer.decode(answer) in SOURCE, "text before the hole and the hole follow each other"
        assert not set(ids) & set(answer)
    assert orders == {True, False} and with_files > 5
