"""Rule 1: what a change breaks at the callers is found there, and nothing else is."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest

from famulus.lsp_server.review.change import Memory, between
from famulus.lsp_server.review.comparison import Asked, compared
from famulus.lsp_server.review.finding import Finding, Grade
from famulus.lsp_server.review.rule import Context
from famulus.lsp_server.review.rules.callsites import RULE

Files = Mapping[str, str]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The facts of these little files are not kept in the user's cache."""
    monkeypatch.setenv("FAMULUS_HOME", str(tmp_path / "home"))


def review(old: Files, new: Files, renames: Mapping[str, str] | None = None) -> list[Finding]:
    """The findings for the change from ``old`` to ``new``; files that ``new`` does not name stay as they were."""
    sides = []
    for files in (old, {**old, **new}):
        sides.append(
            Memory({p: textwrap.dedent(text).lstrip("\n").encode() for p, text in files.items() if text != GONE})
        )
    return list(RULE.check(Context(between(*sides, renames=renames))))


GONE = "<gone>"


def found(findings: list[Finding]) -> set[str]:
    """Where what was found: ``cart.py:4 unknown-keyword``."""
    return {f"{f.place} {f.rule.partition('/')[2]}" for f in findings}


SHOP = """
def price(net, rate=0.2):
    return round(net * (1 + rate), 2)
"""
RENAMED_KEYWORD = {"shop.py": SHOP.replace("rate", "vat")}
CALLERS = {
    "import": "import shop\n\nshop.price(1, rate=2)\n",
    "from": "from shop import price\n\nprice(1, rate=2)\n",
    "alias": "from shop import price as p\n\np(1, rate=2)\n",
    "module alias": "import shop as s\n\ns.price(1, rate=2)\n",
    "star": "from shop import *\n\nprice(1, rate=2)\n",
    "assigned": "import shop\n\ncost = shop.price\ncost(1, rate=2)\n",
    "partial": "import functools, shop\nhalf = functools.partial(shop.price, 1)\nhalf(rate=2)\n",
    "re-exported": "from pkg import price\n\nprice(1, rate=2)\n",
    "renamed re-export": "import pkg\n\npkg.cost(1, rate=2)\n",
    "local import": "def f():\n    from shop import price\n    return price(1, rate=2)\n",
    "default": "import shop\n\ndef f(x=shop.price(1, rate=2)): return x\n",
    "comprehension": "import shop\n\n[shop.price(n, rate=2) for n in range(3)]\n",
    "lambda": "import shop\n\nf = lambda: shop.price(1, rate=2)\n",
    "f-string": "import shop\n\nprint(f'{shop.price(1, rate=2)}')\n",
    "decorated caller": "import shop\nimport functools\n@functools.cache\ndef f(): return shop.price(1, rate=2)\n",
    "chained": "import shop\n\nshop.price(1, rate=2).hex()\n",
    "conditional": "import shop\n\nx = shop.price(1, rate=2) if shop else None\n",
    "nested": "import shop\n\nprint(max(1, shop.price(1, rate=2)))\n",
    "star arguments": "import shop\n\ndef f(a): shop.price(*a, rate=2)\n",
    "try import": "try:\n    from shop import price\nexcept ImportError:\n    price = None\nprice(1, rate=2)\n",
    "class body": "import shop\n\nclass A:\n    x = shop.price(1, rate=2)\n",
    "walrus": "import shop\n\nif (x := shop.price(1, rate=2)): print(x)\n",
    "type checking": "from typing import TYPE_CHECKING\n"
    "if TYPE_CHECKING:\n"
    "    import shop\n"
    "def f(): return shop.price(1, rate=2)\n",
}
PACKAGE = {"pkg/__init__.py": "from shop import price\nfrom shop import price as cost\n"}


@pytest.mark.parametrize("how", CALLERS)
def test_a_call_is_found_however_the_name_came_there(how: str) -> None:
    caller = CALLERS[how]
    line = next(i for i, text in enumerate(caller.split("\n"), 1) if "rate=2" in text)
    findings = review({"shop.py": SHOP, "user.py": caller, **PACKAGE}, RENAMED_KEYWORD)
    assert found(findings) == {f"user.py:{line} unknown-keyword"}


def test_the_message_says_the_consequence_and_the_finding_carries_proof_and_edit() -> None:
    caller = "from shop import price\n\ndef total(items):\n    return sum(price(i, rate=0.1) for i in items)\n"
    (finding,) = review({"shop.py": SHOP, "cart.py": caller}, RENAMED_KEYWORD)
    assert finding.message == "cart.py:4 calls price() with `rate`, which it no longer takes."
    assert finding.grade is Grade.PROVED and finding.certainty == "certain" and finding.reach == 1
    assert finding.place.symbol == "total" and finding.place.column == 16
    assert finding.old_place is not None and finding.old_place.line == 4
    (related,) = finding.related
    assert str(related.place) == "shop.py:1" and "price(net, rate=0.2)" in related.message
    assert finding.suggestion is not None
    assert finding.suggestion.edits[0].text == "    return sum(price(i, vat=0.1) for i in items)"
    with pytest.raises(TypeError, match="rate"):
        exec(finding.proof.code, {})


CHANGES = {
    "needed": ("def f(a): ...", "def f(a, b): ...", "f(1)", "missing-argument"),
    "dropped": ("def f(a, b): ...", "def f(a): ...", "f(1, 2)", "too-many-arguments"),
    "keyword only": ("def f(a, b): ...", "def f(a, *, b): ...", "f(1, 2)", "too-many-arguments"),
    "positional only": ("def f(a, b): ...", "def f(a, b, /): ...", "f(1, b=2)", "positional-only"),
    "swallowed no more": ("def f(a, **k): ...", "def f(a): ...", "f(1, b=2)", "unknown-keyword"),
    "in a dictionary": ("def f(a, b): ...", "def f(a): ...", 'f(1, **{"b": 2})', "unknown-keyword"),
    "in dict()": ("def f(a, b): ...", "def f(a): ...", "f(1, **dict(b=2))", "unknown-keyword"),
    "in a list": ("def f(a, b): ...", "def f(a): ...", "f(*[1, 2])", "too-many-arguments"),
    "too few in a tuple": ("def f(a, b): ...", "def f(a, b, c): ...", "f(1, *(2,))", "missing-argument"),
    "star no more": ("def f(*a): ...", "def f(a): ...", "f(1, 2)", "too-many-arguments"),
    "default gone": ("def f(a, b=1): ...", "def f(a, b): ...", "f(1)", "missing-argument"),
    "keyword needed": ("def f(a): ...", "def f(a, *, key): ...", "f(1)", "missing-argument"),
    "order": ("def f(a, b=1): ...", "def f(b, a=1): ...", "f(1, b=2)", "given-twice"),
    "async": ("async def f(a): ...", "async def f(a, b): ...", "g = lambda: f(1)", "missing-argument"),
    "class": (
        "class f:\n    def __init__(self, a): ...",
        "class f:\n    def __init__(self, a, b): ...",
        "f(1)",
        "missing-argument",
    ),
    "new": (
        "class f:\n    def __new__(cls, a): ...",
        "class f:\n    def __new__(cls): ...",
        "f(1)",
        "too-many-arguments",
    ),
    "inherited": (
        "class B:\n    def __init__(self, a): ...\nclass f(B): ...",
        "class B:\n    def __init__(self): ...\nclass f(B): ...",
        "f(1)",
        "too-many-arguments",
    ),
    "data class": (
        "from dataclasses import dataclass\n@dataclass\nclass f:\n    a: int",
        "from dataclasses import dataclass\n@dataclass\nclass f:\n    a: int\n    b: int",
        "f(1)",
        "missing-argument",
    ),
    "data class field renamed": (
        "import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass f:\n    a: int = 0",
        "import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass f:\n    b: int = 0",
        "f(a=1)",
        "unknown-keyword",
    ),
    "named tuple": (
        "from typing import NamedTuple\nclass f(NamedTuple):\n    a: int",
        "from typing import NamedTuple\nclass f(NamedTuple):\n    a: int\n    b: int",
        "f(1)",
        "missing-argument",
    ),
    "collections.namedtuple": (
        "from collections import namedtuple\nf = namedtuple('f', 'a b')",
        "from collections import namedtuple\nf = namedtuple('f', 'a')",
        "f(1, 2)",
        "too-many-arguments",
    ),
    "context manager": (
        "from contextlib import contextmanager\n@contextmanager\ndef f(a): yield",
        "from contextlib import contextmanager\n@contextmanager\ndef f(): yield",
        "with f(1): pass",
        "too-many-arguments",
    ),
    "wrapping decorator": (
        "import functools\n"
        "def d(g):\n"
        "    @functools.wraps(g)\n"
        "    def w(*a, **k):\n"
        "        return g(*a, **k)\n"
        "    return w\n"
        "@d\n"
        "def f(a): ...",
        "import functools\n"
        "def d(g):\n"
        "    @functools.wraps(g)\n"
        "    def w(*a, **k):\n"
        "        return g(*a, **k)\n"
        "    return w\n"
        "@d\n"
        "def f(): ...",
        "f(1)",
        "too-many-arguments",
    ),
    "gone": ("def f(a): ...\ndef g(): ...", "def g(): ...", "f(1)", "missing-import"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_each_kind_of_change_is_found(kind: str) -> None:
    old, new, call, rule = CHANGES[kind]
    line = 1 if rule == "missing-import" else 2
    assert found(review({"m.py": old, "u.py": f"from m import f\n{call}\n"}, {"m.py": new})) == {f"u.py:{line} {rule}"}


METHODS = """
class Cart:
    def __init__(self, owner):
        self.owner = owner

    def total(self, rate): ...

    @classmethod
    def empty(cls, owner): return cls(owner)

    @staticmethod
    def parse(text): ...

    def again(self):
        return self

class Big(Cart):
    def twice(self):
        return self.total(2) * 2

    def total(self, rate):
        return super().total(rate)
"""
RECEIVERS = {
    "object": "Cart(1).total(2)",
    "local": "def f():\n    c = Cart(1)\n    return c.total(2)",
    "annotated": "def f(c: Cart): return c.total(2)",
    "optional": "from typing import Optional\ndef f(c: Optional[Cart]): return c.total(2)",
    "union": "def f(c: 'Cart | None'): return c.total(2)",
    "element": "def f(cs: list[Cart]):\n    for c in cs: c.total(2)",
    "returned": "def make() -> Cart: ...\nmake().total(2)",
    "inferred": "def make():\n    return Cart(1)\nmake().total(2)",
    "fluent": "Cart(1).again().again().total(2)",
    "class method": "Cart.empty(1).total(2)",
    "attribute": "class A:\n    def __init__(self): self.c = Cart(1)\n    def g(self): return self.c.total(2)",
    "attribute of parameter": "class A:\n"
    "    def __init__(self, c: Cart): self.c = c\n"
    "    def g(self): return self.c.total(2)",
    "declared attribute": "class A:\n    c: Cart\n    def g(self): return self.c.total(2)",
    "unbound": "Cart.total(Cart(1), 2)",
    "awaited": "async def make() -> Cart: ...\nasync def f(): (await make()).total(2)",
    "own": "class Mine(Cart):\n    def g(self): return self.total(2)",
    "super": "class Mine(Cart):\n    def g(self): return super().total(2)",
    "with": "class W:\n"
    "    def __enter__(self) -> Cart: ...\n"
    "    def __exit__(self, *a): ...\n"
    "def f():\n"
    "    with W() as c: c.total(2)",
    "property": "class A:\n    @property\n    def c(self) -> Cart: ...\nA().c.total(2)",
    "module global": "CART = Cart(1)\ndef f(): return CART.total(2)",
}


@pytest.mark.parametrize("how", RECEIVERS)
def test_a_method_is_found_through_its_receiver(how: str) -> None:
    caller = "from shop import Cart\n" + RECEIVERS[how] + "\n"
    line = next(i for i, text in enumerate(caller.split("\n"), 1) if "total(" in text)
    old = METHODS.partition("class Big")[0]
    findings = review({"shop.py": old, "u.py": caller}, {"shop.py": old.replace("total(self, rate)", "total(self)")})
    assert found(findings) == {f"u.py:{line} too-many-arguments"}
    assert all(f.grade is Grade.PROVED for f in findings)


def test_overrides_and_super_calls_are_held_against_the_changed_base() -> None:
    new = METHODS.replace("def total(self, rate): ...", "def total(self): ...")
    got = found(review({"shop.py": METHODS}, {"shop.py": new}))
    assert got == {"shop.py:21 too-many-arguments", "shop.py:20 override"}


def test_a_method_on_an_unknown_receiver_is_likely_when_its_name_is_unique() -> None:
    old = {
        "a.py": "class Ledger:\n    def settle_all(self, day): ...\n",
        "u.py": "def f(x):\n    x.settle_all(day=1)\n",
    }
    (finding,) = review(old, {"a.py": "class Ledger:\n    def settle_all(self, date): ...\n"})
    assert finding.certainty == "likely" and finding.grade is Grade.MEASURED and finding.place.line == 2
    assert not review(
        {**old, "b.py": "class Other:\n    def settle_all(self, day): ...\n"},
        {"a.py": "class Ledger:\n    def settle_all(self, date): ...\n"},
    )
    (gone,) = review(old, {"a.py": "class Ledger:\n    pass\n"})
    assert gone.rule == "call-site/missing-name" and gone.certainty == "likely"


def test_everyday_names_on_unknown_receivers_are_left_alone() -> None:
    old = {"a.py": "class A:\n    def get(self, key): ...\n", "u.py": "def f(x):\n    x.get('a')\n"}
    assert not review(old, {"a.py": "class A:\n    def get(self): ...\n"})


GONE_NAMES = {
    "removed": ("def f(): ...\n", "", "import m\nm.f()\n", "u.py:2 missing-name"),
    "from": ("X = 1\n", "", "from m import X\nprint(X)\n", "u.py:1 missing-import"),
    "class attribute": (
        "class C:\n    A = 1\n    B = 2\n",
        "class C:\n    A = 1\n",
        "from m import C\nprint(C.B)\n",
        "u.py:2 missing-name",
    ),
    "enum member": (
        "import enum\nclass C(enum.Enum):\n    A = 1\n    B = 2\n",
        "import enum\nclass C(enum.Enum):\n    A = 1\n",
        "from m import C\nprint(C.B)\n",
        "u.py:2 missing-name",
    ),
    "instance attribute": (
        "class C:\n    def __init__(self):\n        self.a = 1\n",
        "class C:\n    def __init__(self):\n        self.b = 1\n",
        "from m import C\nprint(C().a)\n",
        "u.py:2 missing-name",
    ),
    "method": (
        "class C:\n    def go(self): ...\n",
        "class C:\n    x = 1\n",
        "from m import C\nC().go()\n",
        "u.py:2 missing-name",
    ),
    "base swapped": (
        "class A:\n    def go(self): ...\nclass B: ...\nclass C(A): ...\n",
        "class A:\n    def go(self): ...\nclass B: ...\nclass C(B): ...\n",
        "from m import C\nC().go()\n",
        "u.py:2 missing-name",
    ),
    "import handed on": ("from os import sep\n", "import os\n", "from m import sep\nprint(sep)\n", None),
    "re-export": ("from n import g\n", "", "from m import g\ng()\n", "u.py:1 missing-import"),
    "star hidden": (
        "__all__ = ['f', 'g']\ndef f(): ...\ndef g(): ...\n",
        "__all__ = ['f']\ndef f(): ...\ndef g(): ...\n",
        "from m import *\ng()\n",
        "u.py:2 missing-name",
    ),
    "mock.patch": (
        "def f(): ...\n",
        "def h(): ...\n",
        "from unittest import mock\nmock.patch('m.f')\n",
        "u.py:2 missing-in-string",
    ),
    "monkeypatch": (
        "def f(): ...\n",
        "def h(): ...\n",
        "import m\ndef test(monkeypatch):\n    monkeypatch.setattr(m, 'f', 1)\n",
        "u.py:3 missing-in-string",
    ),
    "getattr": ("def f(): ...\n", "def h(): ...\n", "import m\ngetattr(m, 'f')()\n", "u.py:2 missing-in-string"),
    "own module": ("def f(): ...\ndef g(): return f()\n", "def g(): return f()\n", "", "m.py:1 missing-name"),
    "__all__": ("__all__ = ['f']\ndef f(): ...\n", "__all__ = ['f']\n", "", "m.py:1 missing-in-string"),
    "decorator": ("def deco(f): return f\n", "", "import m\n@m.deco\ndef f(): ...\n", "u.py:2 missing-name"),
    "base": ("class A: ...\n", "", "import m\nclass B(m.A): ...\n", "u.py:2 missing-name"),
    "except": ("class E(Exception): ...\n", "", "import m\ntry: pass\nexcept m.E: pass\n", "u.py:3 missing-name"),
    "annotation": ("class A: ...\n", "", "import m\ndef f(a: m.A): ...\n", "u.py:2 missing-name"),
}


@pytest.mark.parametrize("kind", GONE_NAMES)
def test_a_name_that_is_gone_is_missed_where_it_is_used(kind: str) -> None:
    old, new, user, expected = GONE_NAMES[kind]
    got = found(review({"m.py": old, "n.py": "def g(): ...\n", "u.py": user}, {"m.py": new}))
    assert got == ({expected} if expected else {"u.py:1 missing-import"})


def test_a_removed_module_is_missed_by_its_importers() -> None:
    old = {"pkg/__init__.py": "", "pkg/a.py": "def f(): ...\n", "u.py": "from pkg.a import f\nimport pkg.a\nf()\n"}
    assert found(review(old, {"pkg/a.py": GONE})) == {"u.py:1 missing-import", "u.py:2 missing-import"}


TOP = {
    "shop.py": SHOP,
    "a.py": "import shop\nshop.price(1)\n",
    "b.py": "from shop import price\nprice(1)\n",
    "c.py": "from shop import *\nprice(1)\n",
    "d.py": "from unittest import mock\nmock.patch('shop.price')\n",
    "e.py": "try:\n    import shop\nexcept ImportError:\n    shop = None\n",
    "pyproject.toml": '[project]\nname = "shop"\n[project.scripts]\nshop = "shop:price"\n',
}


@pytest.mark.parametrize("fate", ["deleted", "renamed"])
def test_a_module_outside_of_packages_is_missed_as_well(fate: str) -> None:
    new, renames = ({"store.py": SHOP}, {"store.py": "shop.py"}) if fate == "renamed" else ({}, None)
    findings = review(TOP, {"shop.py": GONE, **new}, renames)
    imports = {f"{name}.py:1 missing-import" for name in "abc"}
    assert found(findings) == imports | {"d.py:2 missing-in-string", "pyproject.toml:4 missing-in-string"}
    assert all(finding.certainty == "certain" for finding in findings)
    (plain,) = (finding.message for finding in findings if finding.place.path == "a.py")
    assert plain == f"a.py:1 imports shop, which {'is now store' if renames else 'the project no longer has'}."


STILL_THERE = {
    "a dependency": ("shop", {"requirements.txt": "shop==1.0\n"}),
    "not kept": ("shop", {".gitignore": "/shop.py\n"}),
    "compiled": ("shop", {"shop.pyx": "def price(net, rate=0.2): ...\n"}),
    "Python's own": ("graphlib", {}),
    "in src": ("shop", {"src/shop.py": SHOP}),
    "a package": ("shop", {"shop/__init__.py": SHOP}),
}


@pytest.mark.parametrize("how", STILL_THERE)
def test_a_module_that_comes_from_elsewhere_now_is_not_missed(how: str) -> None:
    name, new = STILL_THERE[how]
    old = {f"{name}.py": SHOP, "u.py": f"import {name}\nfrom {name} import price\nprice(1)\n"}
    assert not review(old, {f"{name}.py": GONE, **new})


@pytest.mark.parametrize("use", ["f().go()", "x = f()\nx.go()", "async def g(): (await h()).go()", "C().f().go()"])
def test_a_function_that_gives_another_class_is_told_where_its_object_is_used(use: str) -> None:
    old = {
        "m.py": "class A:\n    def go(self): ...\n    def stay(self): ...\nclass B:\n    def stay(self): ...\n"
        "def f() -> A: return A()\nasync def h(): return A()\nclass C:\n    def f(self): return A()\n",
        "u.py": f"from m import *\n{use}\n",
        "v.py": "from m import f\nf().stay()\ndef other(x): x.go()\n",
    }
    (finding,) = review(old, {"m.py": old["m.py"].replace("return A()", "return B()").replace("-> A", "-> B")})
    assert finding.place.path == "u.py" and finding.message.endswith(".go(), which B does not have.")
    assert finding.certainty == "certain" and not finding.proof.text.endswith("it had on the old one.")


def test_a_name_that_is_put_into_globals_may_be_there() -> None:
    old = {"m.py": "def f(): ...\n", "u.py": "from m import f\nf()\n"}
    for now in ("globals()['f'] = len\n", "globals().update(f=len)\n", "for n in 'f': vars()[n] = len\n"):
        assert not review(old, {"m.py": now})
    assert review(old, {"m.py": "x = globals()['f']\n"})


def test_a_call_of_a_new_file_fails_for_certain_if_it_fits_the_old_code_only() -> None:
    (finding,) = review({"shop.py": SHOP}, {**RENAMED_KEYWORD, "u.py": "import shop\nshop.price(1, rate=2)\n"})
    assert finding.place.path == "u.py" and finding.certainty == "certain" and finding.grade is Grade.PROVED


def test_renames_and_moves_are_named_and_edited() -> None:
    body = (
        "def {}(items, start=0):\n    total = start\n    for item in items:\n        total += item\n    return total\n"
    )
    old = {"m.py": body.format("add"), "u.py": "from m import add\n\nprint(add([1]))\n"}
    (renamed,) = review(old, {"m.py": body.format("total_of")})
    assert renamed.message == "u.py:1 imports `add` from m, which is now called `total_of`."
    assert renamed.suggestion is not None and renamed.suggestion.edits[0].text == "from m import total_of as add"
    (moved,) = review(old, {"m.py": "", "n.py": body.format("add")})
    assert moved.message == "u.py:1 imports `add` from m, which moved to n.add."
    assert moved.suggestion is not None and moved.suggestion.edits[0].text == "from n import add"


HANDED_ON = {
    "partial": "functools.partial(f, 1, b=2)",
    "executor": "pool.submit(f, 1, b=2)",
    "thread": "threading.Thread(target=f, args=(1,), kwargs={'b': 2}).start()",
    "to_thread": "asyncio.to_thread(f, 1, b=2)",
}


@pytest.mark.parametrize("how", HANDED_ON)
def test_functions_that_are_handed_on_with_arguments_are_checked(how: str) -> None:
    old = {
        "m.py": "def f(a, b): ...\n",
        "u.py": f"import asyncio, functools, threading\nfrom m import f\n{HANDED_ON[how]}\n",
    }
    assert found(review(old, {"m.py": "def f(a, c): ...\n"})) == {"u.py:3 unknown-keyword"}
    assert not review(old, {"m.py": "def f(a, b, c=1): ...\n"})


def test_a_renamed_method_of_a_class_with_strange_bases_is_likely_missed() -> None:
    model = """
    import x
    class M(x.Model):
        def area(self):
            return self.w * self.h
        def g(self): return self.area()
    """
    (finding,) = review({"m.py": model}, {"m.py": model.replace("def area", "def surface")})
    assert found([finding]) == {"m.py:5 missing-name"} and finding.certainty == "likely"


def test_an_override_is_told_once_with_the_nearest_base_that_changed() -> None:
    one = "class {0}({1}):\n    def go(self, a): ...\n"
    old = {"m.py": one.format("A", "object") + one.format("B", "A"), "u.py": "from m import B\n" + one.format("C", "B")}
    (finding,) = review(old, {"m.py": old["m.py"].replace("a): ...", "a, b): ...")})
    assert "C.go() takes too few arguments by position, unlike B.go()" in finding.message


def test_a_method_is_not_guessed_where_others_have_it_or_the_line_is_new() -> None:
    loop = "class Loop:\n    def add_reader(self, a): ...\n    def own_thing(self, a): ...\n"
    old = {"m.py": loop, "u.py": "def f(x): x.add_reader(1)\ndef g(x): x.own_thing(1)\n", "v.py": ""}
    now = {"m.py": "class Loop: ...\n", "v.py": "def h(x): x.own_thing(1)\n"}
    assert found(review(old, now)) == {"u.py:2 missing-name"}


def test_a_method_that_got_an_alias_is_still_there() -> None:
    before = "class C:\n    def set_it(self, a): ...\n"
    old = {"m.py": before, "u.py": "def f(x, c): x.set_it(1)\n"}
    assert not review(old, {"m.py": before.replace("set_it", "put_it") + "    set_it = put_it\n"})


def test_a_module_that_is_gone_is_named_as_it_is_imported() -> None:
    old = {"p/__init__.py": "", "p/a.py": "x = 1\n", "u.py": "from p.a import x\n"}
    (finding,) = review(old, {"p/a.py": GONE})
    assert finding.message == "u.py:1 imports p.a, which p no longer has."


def test_an_override_of_a_renamed_method_is_an_orphan() -> None:
    base = "class Shape:\n    def area(self):\n        total = 0\n        return total + self.size\n"
    old = {"m.py": base, "u.py": "from m import Shape\n\nclass Square(Shape):\n    def area(self):\n        return 1\n"}
    assert found(review(old, {"m.py": base.replace("area", "surface")})) == {"u.py:4 orphan"}


FIXTURE = "import pytest\n\n@pytest.fixture\ndef cart(): return []\n"


def test_a_fixture_that_is_gone_is_missed_by_the_tests_that_ask_for_it() -> None:
    asking = "def test_total(cart): assert not cart\n\ndef plain(cart): ...\n"
    old = {"tests/conftest.py": FIXTURE, "tests/test_a.py": asking, "other/test_b.py": asking}
    renamed = {"tests/conftest.py": FIXTURE.replace("cart", "basket")}
    assert found(review(old, renamed)) == {"tests/test_a.py:1 missing-fixture"}
    assert not review(old, {"tests/conftest.py": "", "tests/test_a.py": FIXTURE + asking})


def test_a_method_of_the_only_subclass_that_has_it_is_likely_meant() -> None:
    base = "class A: ...\nclass B(A):\n    def go(self, day): ...\n"
    old = {"m.py": base, "u.py": "from m import A, B\ndef f(a: A):\n    if isinstance(a, B):\n        a.go(day=1)\n"}
    (finding,) = review(old, {"m.py": base.replace("day", "date")})
    assert found([finding]) == {"u.py:4 unknown-keyword"} and finding.certainty == "likely"


BASES = "class A:\n    def go(self): ...\nclass B(A): ...\nclass C(B):\n    def go(self): ...\n    def us(self): ...\n"


def test_an_object_of_just_the_class_has_nothing_of_those_below_it() -> None:
    user = "from m import B\nB().go()\nb = B()\nb.go()\nB.go(b)\ndef f(b: B):\n    b.go()\ndef g(b: B):\n"
    user += "    if isinstance(b, B):\n        b.go()\ndef h(b):\n    b.go()\ndef i(b: B):\n    b.us()\n"
    findings = review({"m.py": BASES, "u.py": user}, {"m.py": BASES.replace("B(A)", "B")})
    assert found(findings) == {f"u.py:{line} missing-name" for line in (2, 4, 5, 7)}
    assert {f.place.line for f in findings if f.certainty == "likely"} == {7}
    own = BASES.replace(
        "class C", "    def run(self): self.go()\n    @classmethod\n    def make(cls): cls().go()\nclass C"
    )
    assert not review({"m.py": own.replace("B(A): ...", "B(A):")}, {"m.py": own.replace("B(A): ...", "B:")})


def test_objects_that_are_called_are_followed() -> None:
    old = {"m.py": "class C:\n    def __call__(self, a): ...\n", "u.py": "from m import C\nc = C()\nc(1)\n"}
    assert found(review(old, {"m.py": "class C:\n    def __call__(self): ...\n"})) == {"u.py:3 too-many-arguments"}


def test_examples_in_the_documentation_are_likely_findings() -> None:
    old = {"m.py": "def f(): ...\ndef g(): ...\n", "README.md": "Use it:\n\n    from m import g, f\n"}
    (finding,) = review(old, {"m.py": "def g(): ...\n"})
    assert found([finding]) == {"README.md:3 missing-in-string"} and finding.certainty == "likely"
    assert finding.place.column == 22


def test_a_fingerprint_outlives_moved_lines_and_files() -> None:
    user = "from shop import price\n\ndef f():\n    price(1, rate=2)\n"
    (first,) = review({"shop.py": SHOP, "u.py": user}, RENAMED_KEYWORD)
    (second,) = review({"shop.py": SHOP, "other/place.py": "\n\n\n" + user}, RENAMED_KEYWORD)
    assert first.fingerprint == second.fingerprint


def test_entry_points_are_followed() -> None:
    settings = '[project]\nname = "x"\n[project.scripts]\nrun = "app.cli:main"\n'
    old = {"pyproject.toml": settings, "app/__init__.py": "", "app/cli.py": "def main(): ...\n"}
    assert found(review(old, {"app/cli.py": "def start(): ...\n"})) == {"pyproject.toml:4 missing-in-string"}


QUIET = {
    "caller adapted": (
        {"m.py": "def f(a): ...\n", "u.py": "from m import f\nf(1)\n"},
        {"m.py": "def f(a, b): ...\n", "u.py": "from m import f\nf(1, 2)\n"},
    ),
    "broken before": (
        {"m.py": "def f(a): ...\n", "u.py": "from m import f\nf(1, 2, 3)\n"},
        {"m.py": "def f(a, b=1): ...\n"},
    ),
    "default added": ({"m.py": "def f(a): ...\n", "u.py": "from m import f\nf(1)\n"}, {"m.py": "def f(a, b=1): ...\n"}),
    "stars": (
        {"m.py": "def f(a): ...\n", "u.py": "from m import f\ndef g(*a, **k): f(*a, **k)\n"},
        {"m.py": "def f(a, b): ...\n"},
    ),
    "expected": (
        {
            "m.py": "def f(a): ...\n",
            "u.py": "import pytest\nfrom m import f\ndef test():\n    with pytest.raises(TypeError):\n        f(1)\n",
        },
        {"m.py": "def f(a, b): ...\n"},
    ),
    "fallback import": (
        {"m.py": "def f(): ...\n", "u.py": "try:\n    from m import f\nexcept ImportError:\n    f = None\n"},
        {"m.py": ""},
    ),
    "getattr hook": ({"m.py": "def f(): ...\n", "u.py": "import m\nm.f()\n"}, {"m.py": "def __getattr__(name): ...\n"}),
    "moved and handed on": (
        {"m.py": "def f(): ...\n", "u.py": "from m import f\nf()\n"},
        {"m.py": "from n import f\n", "n.py": "def f(): ...\n"},
    ),
    "other function of the name": (
        {"m.py": "def f(a): ...\n", "u.py": "def f(a): ...\nf(1)\n"},
        {"m.py": "def f(): ...\n"},
    ),
    "shadowed": (
        {"m.py": "def f(a): ...\n", "u.py": "from m import f\ndef g(f):\n    f(1)\n"},
        {"m.py": "def f(): ...\n"},
    ),
    "overload": (
        {
            "m.py": "from typing import overload\n"
            "@overload\n"
            "def f(a: int): ...\n"
            "@overload\n"
            "def f(a: str): ...\n"
            "def f(a): ...\n",
            "u.py": "from m import f\nf(1)\n",
        },
        {
            "m.py": "from typing import overload\n"
            "@overload\n"
            "def f(a: int): ...\n"
            "@overload\n"
            "def f(a: str, b: int): ...\n"
            "def f(a, b=0): ...\n"
        },
    ),
    "unknown base": (
        {"m.py": "import x\nclass A(x.B):\n    def go(self): ...\n", "u.py": "from m import A\nA().go()\n"},
        {"m.py": "import x\nclass A(x.B):\n    pass\n"},
    ),
    "mixin": (
        {"m.py": "class A:\n    def go(self): ...\n    def run(self): self.go()\n"},
        {"m.py": "class A:\n    def run(self): self.go()\nclass B(A):\n    def go(self): ...\n"},
    ),
    "property made of attribute": (
        {"m.py": "class A:\n    def __init__(self):\n        self.x = 1\n", "u.py": "from m import A\nprint(A().x)\n"},
        {"m.py": "class A:\n    @property\n    def x(self): return 1\n"},
    ),
    "unparsable": ({"m.py": "def f(a): ...\n", "u.py": "from m import f\nf(1\n"}, {"m.py": "def f(): ...\n"}),
}


@pytest.mark.parametrize("case", QUIET)
def test_nothing_is_said_where_nothing_breaks(case: str) -> None:
    assert review(*QUIET[case]) == []


HOOK = "class B:\n    def __init_subclass__(cls, name, kind=0, **more): ...\n"
SUBCLASSES = "import m\nclass C(m.B, name=1): ...\nclass D(C, name=2, kind=3): ...\nclass E(m.B, name=4, **m.x): ...\n"


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (HOOK.replace("kind=0, **more", "").replace("name,", "name"), {"u.py:3 unknown-keyword"}),
        (HOOK.replace("cls,", "cls, label,"), {"u.py:2 missing-argument", "u.py:3 missing-argument"}),
        ("class B: ...\n", {"u.py:2 unknown-keyword", "u.py:3 unknown-keyword"}),
        (HOOK.replace("kind=0, ", ""), set()),
        (HOOK + "class F(B, name=1): ...\n", set()),
    ],
)
def test_keywords_of_a_class_are_held_against_the_hook_above_it(new: str, expected: set[str]) -> None:
    assert found(review({"m.py": HOOK, "u.py": SUBCLASSES}, {"m.py": new})) == expected


def test_callers_in_notebooks_are_found_and_shown_with_their_cell(repo: Any) -> None:
    cells = [
        nbformat.v4.new_markdown_cell("# Prices\nshop.price(1, rate=2)"),
        nbformat.v4.new_code_cell("%matplotlib inline\nimport shop\nfiles = !ls\nshop.price?"),
        nbformat.v4.new_code_cell("%%bash\nshop.price(1, rate=2)"),
        nbformat.v4.new_code_cell('name = "ä"\nfor n in range(3):\n    shop.price(n, rate=[2])'),
        nbformat.v4.new_code_cell("if no Python"),
    ]
    book = nbformat.writes(nbformat.v4.new_notebook(cells=cells))
    line = book.split("\n").index('    "    shop.price(n, rate=[2])"') + 1
    repo.commit({"shop.py": SHOP, "docs/prices.ipynb": book, "one_line.ipynb": json.dumps(json.loads(book))})
    repo.write(RENAMED_KEYWORD)
    with compared(Asked(folder=repo.path)) as comparison:
        context = Context(comparison.change)
        (finding,) = RULE.check(context)
    assert finding.message.startswith(f"docs/prices.ipynb:{line} (cell 4, line 3) calls shop.price() with `rate`")
    assert finding.old_place is not None and finding.old_place.line == line
    (left_out,) = context.left_out
    assert left_out.startswith("one_line.ipynb was not read")


def test_fields_are_there_that_a_class_takes_from_a_named_tuple() -> None:
    old = "class C:\n    x, y = 1, 2\n"
    new = "import collections\nclass C(collections.namedtuple('C', 'x z')): ...\n"
    user = "from m import C\ndef g(c: C):\n    print(c.x, c._asdict())\n    return c.y\n"
    assert found(review({"m.py": old, "u.py": user}, {"m.py": new})) == {"u.py:4 missing-name"}
