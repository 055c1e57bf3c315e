"""The items that models are compared on, how they are made, and how answers are judged."""

from __future__ import annotations

import ast
import json
import lzma
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from famulus.engine.training.data.build import Package, packages
from famulus.engine.training.data.duplicates import runs
from famulus.engine.training.evaluation import build, heldout, runnable
from famulus.engine.training.evaluation.cells import judged
from famulus.engine.training.evaluation.coding import body_of, passes
from famulus.engine.training.evaluation.heldout import Pair
from famulus.engine.training.evaluation.measures import Measure
from famulus.engine.training.evaluation.part import parses, same
from famulus.engine.training.evaluation.parts import alike
from famulus.sandbox.selftest import level

needs_sandbox = pytest.mark.skipif(level().backend is None, reason=f"no sandbox: {level().reason}")
ARROW = next(p for p in packages() if p.name == "arrow")


def test_the_fixed_items_are_many_and_all_from_held_out_packages_with_their_licence() -> None:
    items = heldout.read()
    assert heldout.FILE.stat().st_size <= 2_500_000
    assert min(map(len, (items.excerpts, items.lines, items.spans, items.functions))) >= 300
    kinds = ("notebook", "edit", "summary", "values", "explain", "answers")
    assert all(sum(p.kind == kind for p in items.pairs) >= 300 for kind in kinds)
    assert sum(bool(function.calls) for function in items.functions) >= 300, "that can be run"
    held = {p.name: p.version for p in packages() if p.split == "held-out"}
    assert {o.package: o.version for o in items.origins} == held
    assert all(o.licence and o.notice for o in items.origins)
    assert {i.package for i in (*items.excerpts, *items.functions)} <= set(held)
    assert items.checked["files"] > 20_000 and items.checked["run"] == build.RUN
    for hole in (*items.lines, *items.spans):
        _, before, hidden, after = items.document(hole)
        assert hidden.strip() and parses(before + hidden + after)
    for function in items.functions:
        last = ast.parse(function.text).body[-1]
        assert isinstance(last, ast.FunctionDef) and ast.get_docstring(last)
        assert re.search(r"""["'](\s*#.*)?\s*$""", function.text[: function.start])


@pytest.mark.slow
def test_items_are_made_again_from_the_package_index(tmp_path: Path) -> None:
    made = [build.make(tmp_path / n, tmp_path / "wheels", lambda _: None, [ARROW], 5) for n in ("first", "second")]
    assert made[0] == made[1] and len(made[0].excerpts) == 5
    heldout.write(made[0], tmp_path / "items.json")
    assert heldout.read(tmp_path / "items.json") == made[0]
    fixed = [e for e in heldout.read().excerpts if e.package == "arrow"]
    with zipfile.ZipFile(next((tmp_path / "wheels").glob("arrow-*.whl"))) as wheel:
        for excerpt in fixed:
            lines = wheel.read(excerpt.path).decode().splitlines(keepends=True)
            assert "".join(lines[excerpt.line - 1 :]).startswith(excerpt.text.rstrip())
    assert fixed and made[0].origins[0].licence == "Apache-2.0" and made[0].origins[0].notice


def test_what_is_learned_is_not_measured_on(tmp_path: Path) -> None:
    names = ("first", "second")
    bodies = {
        n: "\n".join(f"    {n}_{i} = values[{i}] + {n}_total({i}, scale, {i * 7})" for i in range(20)) for n in names
    }
    texts = {n: f"def {n}(values, scale):\n{body}\n    return {n}_3\n" for n, body in bodies.items()}
    said = [{"package": n, "path": f"{n}.py", "licence": "MIT", "text": t} for n, t in texts.items()]
    repeated = "import os\n\n\n" + "".join(texts["first"].splitlines(keepends=True)[4:9])
    for split, lines in (("held-out", said), ("train", [{**said[0], "text": repeated}])):
        with lzma.open(tmp_path / f"{split}.jsonl.xz", "wt") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "sources.json").write_text("[]")
    asked = {"text": "# Task: double x\n", "answer": "x * 2\n\n"}
    other = {"text": "# Task: negate x\n", "answer": "-x\n\n"}
    for split, pairs in (("held-out", [asked, other]), ("train", [asked])):
        with lzma.open(tmp_path / f"pairs-notebook.{split}.jsonl.xz", "wt") as file:
            file.writelines(json.dumps(line) + "\n" for line in pairs)
    items = build.make(tmp_path, tmp_path, lambda _: None, [Package("second", "1.0", "held-out")])
    assert [e.package for e in items.excerpts] == ["second"]
    assert not set(runs(items.excerpts[0].text)) & set(runs(repeated))
    assert [p.answer for p in items.pairs] == ["-x\n\n"]


@needs_sandbox
def test_a_body_is_judged_by_what_it_does() -> None:
    doc = '    """What is left.\n\n    >>> room([1, 2])\n    7\n    """\n'
    whole = f"import math\n\nLIMIT = 10\n\n\ndef room(values):\n{doc}"
    whole += "    return LIMIT - math.ceil(sum(values))\n"
    [(line, source, start)] = runnable.alone(ast.parse(whole), whole)
    assert line == 6 and source.startswith("from __future__ import annotations\nimport math\n\n\nLIMIT = 10")
    [calls] = runnable.observed([source])
    assert calls[0] == ("room([1, 2])", "7") and len(calls) >= runnable.LEAST
    assert passes(source, calls)
    assert passes(source[:start] + "return 10 - sum(math.ceil(v) for v in [sum(values)])\n", calls)
    assert not passes(source[:start] + "return LIMIT - max(values)\n", calls)
    assert not passes(source[:start] + "return LIMIT - (\n", calls)
    assert not passes(source[:start] + "import os\n    os._exit(0)\n", calls)


@needs_sandbox
def test_calls_take_what_a_function_says_it_takes() -> None:
    source = '''def {}:
    """What is asked for.

    Parameters
    ----------
    matrix : ndarray
        Square.
    label : str
    """
    {}
'''
    taken = "trace_of(matrix, label)", "return label.upper(), matrix.trace().item()"
    asked = [taken, ("is_short(label)", "return len(label.strip()) < 5"), ("nothing(label)", "return 7")]
    asked += [
        ("pieces(label)", "yield from label.split()"),
        ("place(label)", "return __import__('sys').prefix + label"),
        ("shout(label)", "import os; os.write(1, b'[1]'); os._exit(0)"),
    ]
    kept, short, nothing, pieces, place, silent = runnable.observed(source.format(*one) for one in asked)
    assert len(kept) >= runnable.LEAST and all("numpy" in call for call, _ in kept), kept
    assert sorted(value for _, value in short) == ["False", "False", "True", "True"]
    assert nothing == place == silent == ()
    assert all(eval(call, {"pieces": lambda label: iter(label.split())}) == ast.literal_eval(v) for call, v in pieces)
    assert len(pieces) >= runnable.LEAST


@needs_sandbox
def test_a_value_that_another_process_does_not_give_is_not_measured_on() -> None:
    source = 'def letters(label):\n    """Those of a str.\n\n    label : str\n    """\n    return {*label}\n'
    [kept] = runnable.observed([source])
    assert kept and all(value.count("'") < 8 for _, value in kept), "the order of many letters is by chance"


@needs_sandbox
def test_a_cell_is_judged_by_what_it_does() -> None:
    pair = Pair(
        "notebook",
        "total = sum(prices)\n\n",
        setup="prices = [3, 4]",
        check=(("", "total == 7"), ("", "prices == [3, 4]")),
    )
    codes = [
        "total = 0\nfor p in prices:\n    total += p",
        "",
        "total = 7; prices.clear()",
        "raise SystemExit(0)",
        "total = sum(prices)",
    ]
    assert judged(pair, codes) == [True, False, False, False, True]


def test_a_body_ends_with_its_function() -> None:
    assert body_of("return x\n\ndef other(:\n    return") == "return x\n\n" and body_of("") == ""
    assert body_of("y = [\n        1,\n\n    ]\n    return y\n# end\n") == "y = [\n        1,\n\n    ]\n    return y\n"


def test_answers_are_equal_but_for_white_space_at_the_ends() -> None:
    assert same("return x  \n", " return x") and same("a = 1\n    b = 2", "a = 1 \n    b = 2\n")
    assert not same("a = 1\nb = 2", "a = 1\n  b = 2") and not same("return y", "return x")


def test_prose_is_judged_by_the_words_that_it_shares() -> None:
    right = "Returns the sum of the values."
    assert alike(right, right) == 1 and alike("returns, THE sum of the values", right) == 1
    assert alike("Rename low to high", right) == 0 and alike("", right) == 0
    assert 0.5 < alike("It gives the sum of the values.", right) < 1
    assert alike("the " * 20, right) < 0.3, "a word counts as often as both have it"


def test_intervals_hold_what_is_true_and_differences_are_of_the_same_items() -> None:
    chance = np.random.default_rng(3)
    share = Measure("lines", "exact match", "share", 2)
    for _ in range(400):
        hard = chance.random()
        share.add([float(hard < 0.4), float(hard < 0.5)])
    (low, high), _ = share.intervals()
    assert low < 0.4 < high < 0.5
    found, least, most = share.differences()[1]
    assert least < 0.1 < most and found == pytest.approx(share.found()[1] - share.found()[0])
    assert most - least < high - low, "the same items were easy for both"
    ratio = Measure("text", "bits per byte", "ratio", 1)
    ratio.add([30.0], 10)
    ratio.add([10.0], 30)
    assert ratio.found()[0] == 1.0
    median = Measure("speed", "tokens", "median", 1)
    for value in (1.0, 2.0, 90.0):
        median.add([value])
    assert median.found()[0] == 2.0
