"""Rule 3: calls that a changed function answers differently, and none where nothing changed for a caller."""

from __future__ import annotations

import ast
import contextlib
import os
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from famulus.lsp_server.review.change import Change, Memory, between
from famulus.lsp_server.review.finding import Finding, Grade
from famulus.lsp_server.review.rule import NOTHING_RUN, Clock, Context, TimeUp
from famulus.lsp_server.review.rules import witness

PYTHON = Path(sys.executable)


def change(old: str, new: str, **others: str) -> Change:
    rest = {f"{name}.py": text.encode() for name, text in others.items()}
    return between(Memory({"shop.py": old.encode(), **rest}), Memory({"shop.py": new.encode(), **rest}))


def context(what: Change, **more: object) -> Context:
    return Context(what, interpreter=PYTHON, **{"clock": Clock(100), **more})  # type: ignore[arg-type]


def findings(old: str, new: str, **others: str) -> list[Finding]:
    return list(witness.RULE.check(context(change(old, new, **others))))


CLAMP = "def clamp(x, lo, hi):\n    return max(lo, min(x, hi))\n"


def test_a_changed_value_is_shown_by_a_call() -> None:
    new = CLAMP.replace("hi))", "hi - 1))")
    (found,) = findings(CLAMP, new, cart="from shop import clamp\nprint(clamp(7, 0, 5))\n")
    assert (found.rule, found.grade, found.severity, found.certainty) == (
        "witness/value",
        Grade.WITNESSED,
        "warning",
        "certain",
    )
    assert (found.place.path, found.place.line, found.place.symbol) == ("shop.py", 2, "clamp")
    assert found.proof.text.startswith("clamp(")
    assert found.reach == 1
    assert (found.related[0].place.path, found.related[0].place.line) == ("cart.py", 2)
    assert holds(found.proof.code, CLAMP)
    assert not holds(found.proof.code, new)


def test_a_call_that_no_longer_fits_is_told_of_its_caller_and_not_here() -> None:
    old, new = "def area(w, h=1):\n    return w * h\n", "def area(w, height=1):\n    return w * height\n"
    cart = "from shop import area\nprint(area(0, h=0))\n"
    assert findings(old, new, cart=cart) == []
    (found,) = findings(old, new.replace("w * height", "w * height + 1"), cart=cart)
    assert found.rule == "witness/value"


def test_a_call_is_not_made_so_small_that_only_the_sign_of_a_zero_differs() -> None:
    old = """from dataclasses import dataclass
@dataclass
class Item:
    name: str
    price: float
def total(items: list[Item], discount: float = 0.0) -> float:
    return sum(i.price for i in items) * (1 - discount)
"""
    (found,) = findings(old, old.replace("1 - d", "1 + d"))
    assert found.rule == "witness/value" and "-0.0" not in found.proof.text


def holds(test: str, shop: str) -> bool:
    """Whether a test passes with this version."""
    module = types.ModuleType("shop")
    exec(shop, vars(module))
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "shop", module)
        exec(test, names)
        (run,) = [value for name, value in names.items() if name.startswith("test_")]
        try:
            run()
        except AssertionError:
            return False
    return True


DIFFERENT = {
    "exception": ("def f(n: int) -> int:\n    return 10 // (n or 1)\n", "def f(n: int) -> int:\n    return 10 // n\n"),
    "argument": (
        "def f(xs: list[int]):\n    xs = sorted(xs)\n    return len(xs)\n",
        "def f(xs: list[int]):\n    xs.sort()\n    return len(xs)\n",
    ),
    "output": ("def f(a: str):\n    print(a)\n", "def f(a: str):\n    print(a + '.')\n"),
    "end": ("def f(n: int):\n    while n > 0:\n        n -= 1\n", "def f(n: int):\n    while n > 0:\n        n += 1\n"),
    "state": (
        "class C:\n    def __init__(self): self.n = 0\n    def f(self, k: int):\n        self.n += k\n",
        "class C:\n    def __init__(self): self.n = 0\n    def f(self, k: int):\n        self.n -= k\n",
    ),
    "type": ("def f(n: int):\n    return n * 2\n", "def f(n: int):\n    return n * 2.0\n"),
    "value": ("async def f(n: int):\n    return n\n", "async def f(n: int):\n    return n or None\n"),
}


@pytest.fixture(scope="module")
def kinds() -> dict[str, list[Finding]]:
    old = {f"m_{kind}.py": pair[0].encode() for kind, pair in DIFFERENT.items()}
    new = {f"m_{kind}.py": pair[1].encode() for kind, pair in DIFFERENT.items()}
    found = list(witness.RULE.check(context(between(Memory(old), Memory(new)))))
    return {kind: [f for f in found if f.place.path == f"m_{kind}.py"] for kind in DIFFERENT}


@pytest.mark.parametrize("kind", list(DIFFERENT))
def test_every_kind_of_difference_is_seen(kinds: dict[str, list[Finding]], kind: str) -> None:
    (found,) = kinds[kind]
    assert found.rule == f"witness/{kind}"
    assert "→" in found.proof.text
    ast.parse(found.proof.code)


FIXTURES = """
import pytest
from shop import Cart, total
@pytest.fixture
def cart():
    return Cart([{"sku": "a-" + str(n), "net": n * 3.5} for n in range(3)], 'EUR')
def test_total(cart):
    assert total(cart, code=",".join("XY").lower()) > 0
"""
SHOP = """
class Cart:
    def __init__(self, lines, currency):
        self.lines = lines
        self._currency = currency
def total(cart, code):
    if code != ','.join('xy') or cart._currency != "E" + "UR":
        return 0
    return sum(line["net"] for line in cart.lines{0})
"""


def test_arguments_that_only_a_running_test_has_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness, "_WAITED", 60.0)  # for the tests of the project, on a busy machine
    old, new = SHOP.replace("{0}", ""), SHOP.replace("{0}", "[1:][1:]")
    (found,) = findings(old, new, test_shop=FIXTURES)
    assert found.rule == "witness/value"
    assert found.certainty == "certain"
    assert found.proof.data["calls"][0]["call"].startswith("total(Cart(lines=[")
    assert holds(found.proof.code, old)
    assert not holds(found.proof.code, new)


def test_a_constant_that_differs_is_seen_where_it_is_read() -> None:
    old = "RATE = 2\n\ndef price(net: int):\n    return net * RATE\n"
    (found,) = findings(old, old.replace("2", "3"))
    assert (found.place.line, found.place.symbol) == (1, "price")


def test_a_module_that_can_no_longer_be_imported_is_a_finding() -> None:
    (found,) = findings(CLAMP, CLAMP.replace("hi))", "hi - 1))") + "LIMITS = clamp(1)\n")
    assert (found.rule, found.severity, found.place.line) == ("witness/import", "error", 3)
    user = "from shop import clamp\ndef f(x: int):\n    return clamp(x, 0, {})\n"
    old = {"shop.py": CLAMP, "a.py": user.format(3), "b.py": user.format(3)}
    new = {"shop.py": CLAMP.replace("hi))", "hi))\nLIMIT = 1 / 0"), "a.py": user.format(4), "b.py": user.format(4)}
    sides = [Memory({path: text.encode() for path, text in side.items()}) for side in (old, new)]
    (one,) = witness.RULE.check(context(between(*sides)))  # and not one for each module that imports it
    assert (one.place.path, one.place.line) == ("shop.py", 3)
    assert findings(CLAMP, "import not_installed\n" + CLAMP.replace("hi))", "hi - 1))")) == []


UNSTABLE = """
import os, pathlib, random, time
seed = random.Random()
def names(xs: list[str]):
    return list(set(xs))
def now():
    return [time.time()]
def dice(n: int):
    return [random.randint(0, 10**9)]
def own():
    return [seed.random()]
def where(x: int):
    return [repr(object()), os.getpid()]
def place():
    return [sum(map(ord, __file__))]
def here():
    return [len(os.getcwd()) % 7 or os.getcwd()[-3:]]
def nothing(n: int):
    return [n]
def touched(path: pathlib.Path):
    return [path.stat().st_mtime]
def started():
    return [os.stat("/").st_mtime]
def number(n: int):
    return [os.stat(__file__).st_ino]
def coin():
    return [random.random() < 0.5]
def coins():
    return [random.choice("abc") + random.choice("ab")]
"""


def test_what_is_not_stable_is_no_witness() -> None:
    """The second version differs in its code and, for a caller, in nothing but chance."""
    new = UNSTABLE.replace("set(xs)", "set(xs[::-1])").replace("return [", "return list() + [")
    assert findings(UNSTABLE, new) == []


def test_only_shapes_that_fit_both_versions_are_called() -> None:
    assert findings("def f(a: int):\n    return a\n", "def f(a: int, b: int):\n    return a + b\n") == []
    assert findings("def f(a: int, rate=1):\n    return a\n", "def f(a: int, vat=1):\n    return a\n") == []
    (found,) = findings("def f(a: int):\n    return a\n", "def f(b: int, c: int = 0):\n    return b + 1\n")
    assert found.proof.data["calls"][0]["call"].count(",") == 0


def test_another_text_of_an_exception_is_a_note_that_nobody_has_to_see() -> None:
    old = "def f(n: int):\n    if n:\n        raise ValueError('no')\n    return 1\n"
    (found,) = findings(old, old.replace("'no'", "'No.'"))
    assert (found.rule, found.severity, found.certainty) == ("witness/message", "note", "possible")


def test_arguments_that_the_old_code_refused_by_accident_show_nothing() -> None:
    old = "def f(s: str | None):\n    return s.strip()\n"
    assert findings(old, "def f(s: str | None):\n    return (s or '').strip()\n") == []


def test_what_was_not_run_is_said() -> None:
    new = CLAMP.replace("hi))", "hi - 1))")
    refused = context(change(CLAMP, new), run_code="no")
    assert list(witness.RULE.check(refused)) == []
    assert refused.left_out == [NOTHING_RUN]
    broken = context(change("import nothing_there\n" + CLAMP, "import nothing_there\n" + new))
    assert list(witness.RULE.check(broken)) == []
    assert any("No module named 'nothing_there'" in sentence for sentence in broken.left_out)
    impossible = context(change("def f(x):\n    return x.a.b.c\n", "def f(x):\n    return x.a.b.d\n"))
    assert list(witness.RULE.check(impossible)) == []
    assert any("No arguments were found" in sentence for sentence in impossible.left_out)
    short = context(change(CLAMP, new), clock=Clock(0.0))
    with pytest.raises(TimeUp):
        list(witness.RULE.check(short))


def test_without_a_sandbox_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from famulus.lsp_server.execution import version

    monkeypatch.setattr(version, "can_run", lambda: "Code is not run on this machine: no sandbox.")
    without = context(change(CLAMP, CLAMP.replace("hi))", "hi - 1))")))
    assert list(witness.RULE.check(without)) == []
    assert without.left_out == ["1 changed function was not run. Code is not run on this machine: no sandbox."]
    without.run_code = "unsafe"
    assert len(list(witness.RULE.check(without))) == 1


def test_neutral_lines_are_not_run() -> None:
    known = context(change(CLAMP, CLAMP.replace("hi))", "hi - 1))")))
    known.neutral["shop.py"] = frozenset({2})
    assert list(witness.RULE.check(known)) == []


OURS = f"famulus-run-{os.getpid()}-"


def folders() -> set[str]:
    return {name for name in os.listdir(tempfile.gettempdir()) if name.startswith(OURS)}


def workers() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes()
        except OSError:
            continue
        if b"famulus_worker" in text and OURS.encode() in text:
            found.append(text.split(OURS.encode())[1][:8].decode(errors="replace"))
    return found


def test_a_review_that_is_given_up_leaves_nothing() -> None:
    before, running = folders(), workers()
    functions = "".join(f"def f{n}(x: int):\n    return x + {{0}}\n" for n in range(13))
    run = witness.RULE.check(context(change(functions.format(1), functions.format(2))))
    assert isinstance(run, Iterator)
    next(run)
    assert folders() - before
    assert len(workers()) > len(running)
    started = time.monotonic()
    run.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < 5
    assert folders() <= before
    assert [name for name in workers() if name not in running] == []


class _Renamer(ast.NodeTransformer):
    """Gives the local names of plain functions other names."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        inner = [n for n in ast.walk(node) if n is not node]
        scopes = (
            ast.FunctionDef | ast.ClassDef | ast.Lambda | ast.ExceptHandler | ast.Global | ast.Nonlocal | ast.Import
        )
        if any(isinstance(n, scopes | ast.ImportFrom) for n in inner):
            return node
        arguments = {n.arg for n in inner if isinstance(n, ast.arg)}
        names = [n for n in inner if isinstance(n, ast.Name)]
        local = {n.id for n in names if isinstance(n.ctx, ast.Store)} - arguments
        for name in names:
            if name.id in local:
                name.id += "_renamed"
        return node


@pytest.mark.parametrize("module", ["textwrap", "posixpath", "fnmatch", "heapq"])
def test_a_copy_with_other_names_and_another_layout_shows_nothing(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness, "_SECONDS", 0.35)
    source = Path(os.__file__).with_name(f"{module}.py").read_text()
    renamed = ast.unparse(_Renamer().visit(ast.parse(source)))
    moved = between(Memory({"copied.py": source.encode()}), Memory({"copied.py": renamed.encode()}))
    run = context(moved, clock=Clock(6))
    found: list[Finding] = []
    with contextlib.suppress(TimeUp):
        found += witness.RULE.check(run)
    assert [f.proof.text for f in found] == []


def test_the_sentences_are_english_and_callers_are_named_once_a_line() -> None:
    (found,) = findings("def f(n):\n    return [n]\n", "def f(n):\n    yield n\n\nf(1), f(2)\n")
    assert found.message.endswith("now yields 0; it was [0].")
    assert [(place.place.line, place.message) for place in found.related] == [(4, "Calls f().")]
    (found,) = findings("def f(n):\n    raise KeyError(1)\n", "def f(n):\n    raise OSError(1)\n")
    assert "now raises OSError(1); before, it raised KeyError(1)." in found.message
