"""Rule 2: changes that every call still fits, held against what callers, handlers and subclasses do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from famulus.lsp_server.review.change import Memory, between
from famulus.lsp_server.review.finding import Finding, Grade
from famulus.lsp_server.review.report import markdown
from famulus.lsp_server.review.report.source import Lines
from famulus.lsp_server.review.rule import Context
from famulus.lsp_server.review.rules.contracts import RULE


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The facts of these little files are not kept in the user's cache."""
    monkeypatch.setenv("FAMULUS_HOME", str(tmp_path / "home"))


def review(old: Mapping[str, str], new: Mapping[str, str]) -> list[Finding]:
    """The findings for the change from ``old`` to ``new``; files that ``new`` does not name stay as they were."""
    sides = [Memory({p: text.encode() for p, text in files.items()}) for files in (old, {**old, **new})]
    return list(RULE.check(Context(between(*sides))))


def found(findings: list[Finding]) -> set[str]:
    """Where what was found: ``u.py:4 none``."""
    return {f"{f.place} {f.rule.partition('/')[2]}" for f in findings}


PAIR, TRIPLE = "def f(a):\n    return a, 1\n", "def f(a):\n    return a, 1, 2\n"
SURE, MAYBE = "def f(a):\n    return str(a)\n", "def f(a):\n    if a:\n        return str(a)\n    return None\n"
LIST, GENERATOR = "def f(a):\n    return [a]\n", "def f(a):\n    yield a\n"
SYNC, ASYNC = "def f(a):\n    return str(a)\n", "async def f(a):\n    return str(a)\n"
PROPERTY = "class C:\n    @property\n    def f(self):\n        return 1.5\n"
METHOD = "class C:\n    def f(self):\n        return 1.5\n"
HELD = "class C:\n    def __init__(self):\n        self.x = 1\n"
READ = (
    "class C:\n    def __init__(self):\n        self._x = 1\n    @property\n    def x(self):\n        return self._x\n"
)
SET = READ + "    @x.setter\n    def x(self, value):\n        self._x = value\n"
DATA = "from dataclasses import dataclass\n@dataclass\nclass C:\n    x: int = 1\n"
SLOTS = "class C:\n    __slots__ = ('x', 'y')\n"
MANAGER = "from contextlib import contextmanager\n@contextmanager\ndef f(a):\n    yield a\n"
ASYNC_MANAGER = MANAGER.replace("contextmanager", "asynccontextmanager").replace("def", "async def")
ENTERED = "class M:\n    def __enter__(self): ...\n    def __exit__(self, *a): ...\n"
POINT = "from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(): return P(1, y=2)\n"
TYPED_POINT = "from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int\n"
COLOR = "from enum import Enum\nclass Color(Enum):\n    RED = 'red'\n    BLUE = 'blue'\n"
BLUE = COLOR.replace("RED = 'red'", "CRIMSON = 'crimson'")
ITEMS = "def f(a):\n    if a:\n        return {'a': 1}\n    return {'a': 1, 'b': 2}\n"
BUILT = "def f(a):\n    d = dict(a=a)\n    d['b'] = d['a']\n    if a:\n        d['c'] = 2\n    return d\n"
TYPED = "from typing import TypedDict\nclass T(TypedDict):\n    a: int\n    b: int\n"
THROUGH = "\ndef g(a):\n    return f(a)\n"
SHAPE = "from typing import Protocol\nclass Q(Protocol):\n    def go(self): ...\ndef run(n, q: Q | None): q.go()\n"
WALKER = "class C:\n    def go(self):\n        print(1)\n        return 2\n"
KEY, LOOKUP = "def f(a):\n    raise KeyError(a)\n", "def f(a):\n    raise OSError(a)\n"
CASES = {
    "arity": (PAIR, TRIPLE, "from m import f\n\nx, y = f(1)\n", "u.py:3 arity"),
    "arity in a loop": (
        "def f():\n    yield 1, 2\n",
        "def f():\n    yield 1, 2, 3\n",
        "from m import f\nfor a, b in f(): pass\n",
        "u.py:2 arity",
    ),
    "arity of annotation": (
        "def f() -> tuple[int, int]: return g()\n",
        "def f() -> tuple[int, int, int]: return g()\n",
        "from m import f\na, b = f()\n",
        "u.py:2 arity",
    ),
    "awaited arity": (
        "async " + PAIR,
        "async " + TRIPLE,
        "from m import f\nasync def g():\n    x, y = await f(1)\n",
        "u.py:3 arity",
    ),
    "arity with a star": (TRIPLE, "def f(a):\n    return (a,)\n", "from m import f\nx, y, *z = f(1)\n", "u.py:2 arity"),
    "none": (SURE, MAYBE, "from m import f\nprint(f(1).upper())\n", "u.py:2 none"),
    "none later": (SURE, MAYBE, "from m import f\ndef g():\n    x = f(1)\n    return x.upper()\n", "u.py:4 none"),
    "none at the end": (
        SURE,
        "def f(a):\n    if a:\n        return str(a)\n",
        "from m import f\nprint(f(1)[0])\n",
        "u.py:2 none",
    ),
    "none always": (SURE, "def f(a):\n    print(a)\n", "from m import f\nf(1)\nf(1).upper()\n", "u.py:3 none"),
    "none declared": (
        "def f() -> str: return g()\n",
        "def f() -> str | None: return g()\n",
        "from m import f\nlen(f())\n",
        "u.py:2 none",
    ),
    "none in a handler": (
        SURE,
        "def f(a):\n    try:\n        return str(a)\n    except ValueError:\n        pass\n",
        "from m import f\nf(1).upper()\n",
        "u.py:2 none",
    ),
    "generator measured": (LIST, GENERATOR, "from m import f\nlen(f(1))\n", "u.py:2 generator"),
    "generator indexed": (LIST, GENERATOR, "from m import f\nprint(f(1)[0])\n", "u.py:2 generator"),
    "generator twice": (
        LIST,
        GENERATOR,
        "from m import f\ndef g():\n    x = f(1)\n    for a in x: pass\n    return sum(x)\n",
        "u.py:5 generator",
    ),
    "generator for its effect": (
        "def f(a):\n    print(a)\n",
        "def f(a):\n    print(a)\n    yield a\n",
        "from m import f\nf(1)\n",
        "u.py:2 generator",
    ),
    "generator no more": (GENERATOR, LIST, "from m import f\nprint(next(f(1)))\n", "u.py:2 generator"),
    "not awaited": (SYNC, ASYNC, "from m import f\nf(1)\n", "u.py:2 not-awaited"),
    "not awaited later": (
        SYNC,
        ASYNC,
        "from m import f\ndef g():\n    x = f(1)\n    print(x.upper())\n",
        "u.py:4 not-awaited",
    ),
    "awaited": (ASYNC, SYNC, "from m import f\nasync def g():\n    return await f(1)\n", "u.py:3 awaited"),
    "gathered": (
        ASYNC,
        SYNC,
        "import asyncio\nfrom m import f\nasync def g():\n    await asyncio.gather(f(1))\n",
        "u.py:4 awaited",
    ),
    "property": (METHOD, PROPERTY, "from m import C\nprint(C().f())\n", "u.py:2 property"),
    "method": (PROPERTY, METHOD, "from m import C\nprint(C().f + 1)\n", "u.py:2 method"),
    "method whose result is used": (PROPERTY, METHOD, "from m import C\nprint(C().f.real())\n", "u.py:2 method"),
    "method that is indexed": (PROPERTY, METHOD, "from m import C\ndef g(c: C):\n    c.f[0]\n", "u.py:3 method"),
    "property whose result is used": (METHOD, PROPERTY, "from m import C\nprint(C().f().hex())\n", "u.py:2 property"),
    "method of what may be None": (
        PROPERTY,
        METHOD,
        "from m import C\ndef g(c: C | None):\n    return c.f + 1\n",
        "u.py:3 method",
    ),
    "method above": (
        PROPERTY,
        METHOD,
        "from m import C\nclass D(C):\n    def g(self): return super().f + 1\n",
        "u.py:3 method",
    ),
    "exception": (KEY, LOOKUP, "from m import f\ntry:\n    f(1)\nexcept KeyError:\n    pass\n", "u.py:3 exception"),
    "exception expected": (
        KEY,
        LOOKUP,
        "import pytest\nfrom m import f\ndef test():\n    with pytest.raises(LookupError):\n        f(1)\n",
        "u.py:5 exception",
    ),
    "exception rebased": (
        "class E(KeyError): ...\ndef f(): raise E()\n",
        "class E(OSError): ...\ndef f(): raise E()\n",
        "from m import f\ntry:\n    f()\nexcept KeyError:\n    pass\n",
        "u.py:3 exception",
    ),
    "default": ("def f(a, b=1): return a\n", "def f(a, b=2): return a\n", "from m import f\nf(1)\n", "m.py:1 default"),
    "data class default": (
        "from dataclasses import dataclass\n@dataclass\nclass C:\n    a: int = 1\n",
        "from dataclasses import dataclass\n@dataclass\nclass C:\n    a: int = 2\n",
        "from m import C\nC()\n",
        "m.py:3 default",
    ),
    "order": ("def f(lo, hi): ...\n", "def f(hi, lo): ...\n", "from m import f\nf(1, 2)\n", "u.py:2 argument-order"),
    "inserted": (
        "def f(a, b=1): ...\n",
        "def f(a, c=0, b=1): ...\n",
        "from m import f\nf(1, 2)\n",
        "u.py:2 argument-order",
    ),
    "data class order": (
        "from dataclasses import dataclass\n@dataclass\nclass C:\n    a: int\n    b: int\n",
        "from dataclasses import dataclass\n@dataclass\nclass C:\n    b: int\n    a: int\n",
        "from m import C\nC(1, 2)\n",
        "u.py:2 argument-order",
    ),
    "abstract": (
        "import abc\nclass B(abc.ABC): ...\n",
        "import abc\nclass B(abc.ABC):\n    @abc.abstractmethod\n    def go(self): ...\n",
        "from m import B\n\nclass C(B): ...\n",
        "u.py:3 abstract",
    ),
    "context manager": (
        "class C:\n    def __enter__(self): ...\n    def __exit__(self, *a): ...\n",
        "class C: ...\n",
        "from m import C\nwith C() as c: pass\n",
        "u.py:2 protocol",
    ),
    "length": (
        "class C:\n    def __len__(self): return 1\n",
        "class C: ...\n",
        "from m import C\nc = C()\nlen(c)\n",
        "u.py:3 protocol",
    ),
    "read-only": (HELD, READ, "from m import C\nc = C()\nc.x = 3\n", "u.py:3 read-only"),
    "read-only field": (DATA, READ, "from m import C\ndef g(c: C | None):\n    c.x += 3\n", "u.py:3 read-only"),
    "read-only behind an attribute": (
        HELD,
        READ,
        "from m import C\nclass D:\n    def __init__(self):\n        self.c = C()\n    def g(self):\n"
        "        self.c.x = 3\n",
        "u.py:6 read-only",
    ),
    "read-only below": (
        HELD,
        READ,
        "from m import C\nclass D(C):\n    def g(self):\n        self.x = 3\n",
        "u.py:4 read-only",
    ),
    "read-only of somebody": (HELD, READ, "from m import C\ndef g(c): c.x = 3\ng(C())\n", "u.py:2 read-only"),
    "setter gone": (SET, READ, "from m import C\ndel C().x\n", "u.py:2 read-only"),
    "frozen": (
        DATA,
        DATA.replace("@dataclass", "@dataclass(frozen=True)"),
        "import m\nm.C().x = 3\n",
        "u.py:2 read-only",
    ),
    "named tuple": (
        DATA,
        "from typing import NamedTuple\nclass C(NamedTuple):\n    x: int = 1\n",
        "import m\nm.C().x = 3\n",
        "u.py:2 read-only",
    ),
    "slot gone": (SLOTS, SLOTS.replace(", 'y'", ",").replace("x", "y"), "import m\nm.C().x = 3\n", "u.py:2 read-only"),
    "manager gone": (MANAGER, "def f(a):\n    yield a\n", "from m import f\nwith f(1): pass\n", "u.py:2 protocol"),
    "manager entered by a stack": (
        MANAGER,
        "def f(a):\n    return [a]\n",
        "import contextlib, m\nwith contextlib.ExitStack() as s:\n    s.enter_context(m.f(1))\n",
        "u.py:3 protocol",
    ),
    "manager became async": (MANAGER, ASYNC_MANAGER, "from m import f\nwith f(1) as x: pass\n", "u.py:2 protocol"),
    "manager no longer async": (
        ASYNC_MANAGER,
        MANAGER,
        "from m import f\nasync def g():\n    async with f(1) as x: pass\n",
        "u.py:3 protocol",
    ),
    "manager of another class": (
        f"{ENTERED}def f(): return M()\n",
        f"{ENTERED}class N: ...\ndef f(): return N()\n",
        "from m import f\ndef g():\n    x = f()\n    with x: pass\n",
        "u.py:4 protocol",
    ),
    "exit gone": (ENTERED, ENTERED.replace("__exit__", "leave"), "import m\nwith m.M(): pass\n", "u.py:2 protocol"),
    "named tuple given by position": (
        POINT,
        POINT.replace("x y", "y x"),
        "import m\nm.P(1, 2)\n",
        "u.py:2 argument-order",
    ),
    "named tuple unpacked": (
        POINT,
        POINT.replace("x y", "x y z").replace("y=2", "y=2, z=3"),
        "from m import f\na, b = f()\n",
        "u.py:2 fields",
    ),
    "named tuple in another order": (
        POINT,
        POINT.replace("x y", "y x").replace("(1,", "(x=1,"),
        "from m import P\ndef g(ps: list[P]):\n    for x, y in ps: pass\n",
        "u.py:3 fields",
    ),
    "named tuple counted": (
        TYPED_POINT,
        TYPED_POINT.replace("x:", "w: int\n    x:"),
        "from m import P\ndef g(p: P):\n    return p[1]\n",
        "u.py:3 fields",
    ),
    "named tuple shorter": (
        TYPED_POINT,
        TYPED_POINT.replace("    y: int\n", ""),
        "from m import P\ndef g(p: P):\n    x, y, *z = p\n",
        "u.py:3 fields",
    ),
    "class of a named tuple": (
        f"{POINT}class C(namedtuple('C', ['x', 'y'])): ...\n",
        f"{POINT}class C(namedtuple('C', ['y', 'x'])): ...\n",
        "from m import C\ndef g(c: C):\n    x, y = c\n    return c.x\n",
        "u.py:3 fields",
    ),
    "member by name": (COLOR, BLUE, "from m import Color as C\nC['RED']\nC['BLUE']\n", "u.py:2 member"),
    "member by value": (COLOR, BLUE, "import m\nm.Color('blue')\nm.Color('red')\n", "u.py:3 member"),
    "key": (ITEMS, ITEMS.replace("'a'", "'A'"), "from m import f\nf(1)['a']\nf(1)['A']\n", "u.py:2 key"),
    "key later": (
        "async " + ITEMS,
        "async " + ITEMS.replace("'a'", "'A'"),
        "from m import f\nasync def g():\n    x = await f(1)\n    return x['a'].real\n",
        "u.py:4 key",
    ),
    "key of a variable": (
        BUILT,
        BUILT.replace("['b']", "['B']"),
        "from m import f\nprint(f(1)['a'], f(1)['b'], f(1)['c'])\n",
        "u.py:2 key",
    ),
    "typed key": (
        TYPED,
        TYPED.replace("a:", "A:"),
        "from m import T\ndef g(t: T): return t['a'], t['b']\n",
        "u.py:2 key",
    ),
    "exception through another function": (
        KEY,
        LOOKUP,
        f"from m import f{THROUGH}try:\n    g(1)\nexcept KeyError:\n    pass\n",
        "u.py:5 exception",
    ),
    "structural": (WALKER, WALKER.replace("go", "walk"), f"import m\n{SHAPE}run(1, m.C())\n", "u.py:6 protocol"),
    "structural asks for more": (
        SHAPE,
        SHAPE.replace("def run", "    def stop(self): ...\ndef run"),
        f"import m\n{WALKER}m.run(1, q=C())\n",
        "u.py:6 protocol",
    ),
    "exception besides": (
        KEY,
        "def f(a):\n    if a < 0:\n        raise ValueError(a)\n    raise KeyError(a)\n",
        "from m import f\ntry:\n    f(1)\nexcept KeyError:\n    pass\n",
        "u.py:3 exception",
    ),
    "none instead of an exception": (
        "def f(a):\n    if a:\n        return 1\n    raise KeyError(a)\n",
        "def f(a):\n    if a:\n        return 1\n    return None\n",
        "from m import f\ntry:\n    x = f(1)\nexcept KeyError:\n    x = 0\n",
        "u.py:3 exception",
    ),
    "constant without the attribute": (
        "NAMES = ['a']\n",
        "NAMES = ('a',)\n",
        "import m\nm.NAMES.append(1)\n",
        "u.py:2 constant",
    ),
    "constant without length": ("N = 'abc'\n", "N = 3\n", "from m import N\nprint(len(N))\n", "u.py:2 constant"),
    "constant without items": (
        "N = {1: 2}\n",
        "N = {1, 2}\n",
        "from m import N\ndef f(): return N[1]\n",
        "u.py:2 constant",
    ),
    "constant to compute with": ("N = 3\n", "N = '3'\n", "from m import N\nx = N + 1\n", "u.py:2 constant"),
    "constant": ("OPEN = 'open'\n", "OPEN = 'opened'\n", "import m\ndef g(x): return x == m.OPEN\n", "m.py:1 constant"),
}


@pytest.mark.parametrize("kind", CASES)
def test_each_kind_of_contract_is_held_against_its_users(kind: str) -> None:
    old, new, user, expected = CASES[kind]
    assert found(review({"m.py": old, "u.py": user}, {"m.py": new})) == {expected}


QUIET = {
    "unpacked by nobody": (PAIR, TRIPLE, "from m import f\nx = f(1)\nprint(x)\n"),
    "starred": (PAIR, TRIPLE, "from m import f\nx, *y = f(1)\n"),
    "adapted": (PAIR, TRIPLE, "from m import f\nx, y, z = f(1)\n"),
    "none looked for": (
        SURE,
        MAYBE,
        "from m import f\ndef g():\n    x = f(1)\n    if x is not None:\n        return x.upper()\n",
    ),
    "none truth": (SURE, MAYBE, "from m import f\ndef g():\n    x = f(1)\n    return x and x.upper()\n"),
    "none walrus": (SURE, MAYBE, "from m import f\ndef g():\n    if x := f(1):\n        return x.upper()\n"),
    "none ready": (SURE, MAYBE, "from m import f\ntry:\n    f(1).upper()\nexcept AttributeError:\n    pass\n"),
    "none before": (MAYBE, MAYBE.replace("str", "repr"), "from m import f\nf(1).upper()\n"),
    "generator in a loop": (LIST, GENERATOR, "from m import f\nfor x in f(1): pass\n"),
    "coroutine handed on": (SYNC, ASYNC, "import asyncio\nfrom m import f\nasyncio.run(f(1))\n"),
    "coroutine awaited": (SYNC, ASYNC, "from m import f\nasync def g():\n    await f(1)\n"),
    "coroutine returned": (SYNC, ASYNC, "from m import f\ndef g():\n    return f(1)\n"),
    "coroutine kept": (SYNC, ASYNC, "from m import f\nasync def g():\n    x = f(1)\n    return await x\n"),
    "none to be overridden": (
        "class C:\n    def f(self): return 'a'\nclass D(C):\n    def f(self): return 'b'\n",
        "class C:\n    def f(self): pass\nclass D(C):\n    def f(self): return 'b'\n",
        "from m import C\ndef g(c: C): return c.f().upper()\n",
    ),
    "none only said": (
        "def f(a):\n    return a or str(a)\n",
        "def f(a: str | None) -> str | None:\n    return a or str(a)\n",
        "from m import f\nf(1).upper()\n",
    ),
    "awaitable of another kind": (
        "async def f(): return 1\n",
        "class A:\n    def __await__(self): yield\ndef f(): return A()\n",
        "from m import f\nasync def g(): return await f()\n",
    ),
    "exception in a helper": (
        KEY,
        "def h(a):\n    raise KeyError(a)\ndef f(a):\n    if a:\n        raise OSError(a)\n    return h(a)\n",
        "from m import f\ntry:\n    f(1)\nexcept KeyError:\n    pass\n",
    ),
    "exception for misuse": (
        KEY,
        "def f(a):\n    if not isinstance(a, int):\n        raise TypeError\n    raise KeyError(a)\n",
        "from m import f\ntry:\n    f(1)\nexcept KeyError:\n    pass\n",
    ),
    "constant that does the same": (
        "N = ['a']\n",
        "N = ('a',)\n",
        "from m import N\nfor n in N: print(n, len(N), N[0])\n",
    ),
    "constant of another name": ("N = [1]\n", "N = (1,)\n", "def f(N): N.append(1)\ndef g(x): x.N.append(1)\n"),
    "exception caught above": (KEY, LOOKUP, "from m import f\ntry:\n    f(1)\nexcept Exception:\n    pass\n"),
    "exception of the same kind": (
        KEY,
        "def f(a):\n    raise IndexError(a)\n",
        "from m import f\ntry:\n    f(1)\nexcept LookupError:\n    pass\n",
    ),
    "default given": (
        "def f(a, b=1): return a\n",
        "def f(a, b=2): return a\n",
        "from m import f\nf(1, 3)\nf(1, b=3)\n",
    ),
    "default filled in by partial": (
        "def f(a, b=1): return a\n",
        "def f(a, b=2): return a\n",
        "import functools\nfrom m import f\nfunctools.partial(f, 1, b=3)()\n",
    ),
    "default spelt otherwise": ("def f(b='x'): 0\n", 'def f(b="x"): 0\n', "from m import f\nf()\n"),
    "default none for false": (
        "def f(a, b=None): return a\n",
        "def f(a, b=False): return a\n",
        "from m import f\nf(1)\n",
    ),
    "default filled in by the class": (
        "class C:\n    def __init__(self, a=8): self.a = a\n    def g(self): return self.a\n",
        "class C:\n    def __init__(self, a=None): self.a = a\n    def g(self): return self.a or 8\n",
        "from m import C\nC()\n",
    ),
    "default filled in": (
        "def f(a, b=1): return b\n",
        "def f(a, b=None):\n    if b is None:\n        b = 1\n    return b\n",
        "from m import f\nf(1)\n",
    ),
    "default an ellipsis": ("def f(b=1): b\n", "def f(b=...):\n    if b is not ...: w()\n", "from m import f\nf()\n"),
    "default handed on": ("def f(a, b=1): g(b=b)\n", "def f(a, b=None): g(b=b)\n", "from m import f\nf(1)\n"),
    "mutable default": ("def f(a, b=[]): return a\n", "def f(a, b=None): return a\n", "from m import f\nf(1)\n"),
    "renamed by position": ("def f(a, b): ...\n", "def f(a, c): ...\n", "from m import f\nf(1, 2)\n"),
    "appended": ("def f(a, b=1): ...\n", "def f(a, b=1, c=2): ...\n", "from m import f\nf(1, 2)\n"),
    "abstract and there": (
        "import abc\nclass B(abc.ABC): ...\n",
        "import abc\nclass B(abc.ABC):\n    @abc.abstractmethod\n    def go(self): ...\n",
        "from m import B\n\nclass C(B):\n    def go(self): ...\n",
    ),
    "property with a setter": (HELD, SET, "from m import C\nc = C()\nc.x = 3\n"),
    "read-only before": (READ, READ.replace("_x", "_y"), "from m import C\nc = C()\nc.x = 3\n"),
    "read-only of one of several": (
        HELD,
        READ,
        "from m import C\nclass D:\n    x = 1\ndef g(c): c.x = 3\ng(C())\n",
    ),
    "read-only or something else": (
        HELD,
        READ,
        "import m, other\ndef g():\n    c = m.C() or other.make()\n    c.x = 3\n",
    ),
    "read-only elsewhere": (HELD, READ, "def g(c): c.x = 3\n"),
    "a stand-in that is set": (
        HELD,
        READ,
        "import m, other\ndef g():\n    c = other.Mock(m.C)\n    c.x = 3\n",
    ),
    "cached property": (
        HELD,
        "import functools\nclass C:\n    @functools.cached_property\n    def x(self): return 1\n",
        "from m import C\nc = C()\nc.x = 3\n",
    ),
    "read-only and ready for it": (
        HELD,
        READ,
        "from m import C\ntry:\n    C().x = 3\nexcept AttributeError:\n    pass\n",
    ),
    "setter below": (
        HELD,
        READ,
        "from m import C\nclass D(C):\n    x = 3\ndef g(c: C):\n    c.x = 3\n",
    ),
    "set by the class itself": (
        HELD,
        READ + "    def __setattr__(self, name, value):\n        self.__dict__[name] = value\n",
        "from m import C\nC().x = 3\n",
    ),
    "slot of a base": (
        SLOTS,
        f"class B:\n    __slots__ = ('x',)\n{SLOTS.replace('C:', 'C(B):')}".replace("('x', 'y')", "('y',)"),
        "from m import C\nC().x = 3\n",
    ),
    "manager of a class": (
        MANAGER,
        f"{ENTERED}def f(a):\n    return M()\n",
        "from m import f\nwith f(1): pass\n",
    ),
    "manager from outside": (
        MANAGER,
        "import contextlib\ndef f(a): return contextlib.closing(a)\n",
        "from m import f\nwith f(1): pass\n",
    ),
    "named tuple by name": (
        POINT,
        POINT.replace("x y", "y x").replace("(1,", "(x=1,"),
        "from m import f\np = f()\nprint(p.x, p.y)\n",
    ),
    "field renamed": (TYPED_POINT, TYPED_POINT.replace("y:", "z:"), "import m\na, b = m.P(1, 2)\n"),
    "starred fields": (TYPED_POINT, TYPED_POINT + "    z: int = 0\n", "import m\na, *b = m.P(1, 2)\n"),
    "member looked for": (
        COLOR,
        BLUE,
        "import m\ntry:\n    m.Color('red')\nexcept ValueError:\n    pass\nm.Color['BLUE']\n",
    ),
    "member that is found otherwise": (
        COLOR,
        BLUE + "    @classmethod\n    def _missing_(cls, value): return cls.BLUE\n",
        "import m\nm.Color('red')\n",
    ),
    "key of a variable now and then": (
        BUILT,
        BUILT.replace("    d['b']", "    if a: d['b']"),
        "import m\nprint(m.f(1)['b'])\n",
    ),
    "key of a variable that was not always there": (
        BUILT,
        BUILT.replace("['c']", "['C']"),
        "import m\nprint(m.f(1)['c'])\n",
    ),
    "key of a variable that is handed on": (
        BUILT,
        BUILT.replace("d['b'] = d['a']", "fill(d)"),
        "import m\nprint(m.f(1)['b'])\n",
    ),
    "key before an early return": (
        BUILT.replace("    d['b']", "    if a > 1: return d\n    d['b']"),
        BUILT.replace("    d['b']", "    if a > 1: return d\n    d['B']"),
        "import m\nprint(m.f(1)['b'])\n",
    ),
    "key now and then": (ITEMS, ITEMS.replace("'a': 1, ", ""), "from m import f\nf(1)['a']\n"),
    "key that was not always there": (ITEMS, ITEMS.replace(", 'b': 2", ""), "from m import f\nf(0)['b']\n"),
    "key from somewhere": (
        ITEMS,
        ITEMS.replace("'a': 1}", "**d}"),
        "from m import f\nf(1)['a']\n",
    ),
    "key looked for": (
        ITEMS,
        ITEMS.replace("'a'", "'A'"),
        "from m import f\ndef g():\n    x = f(1)\n    return x['a'] if 'a' in x else x.get('A')\n",
    ),
    "key put there": (
        ITEMS,
        ITEMS.replace("'a'", "'A'"),
        "from m import f\ndef g():\n    x = f(1)\n    x['a'] = 1\n    return x['a']\n",
    ),
    "typed key looked for": (
        TYPED,
        TYPED.replace("a:", "A:"),
        "from m import T\ndef g(t: T): return t['a'] if 'a' in t else 0\n",
    ),
    "exception through one that keeps it": (
        KEY,
        LOOKUP,
        "from m import f\ndef g(a):\n    try:\n        return f(a)\n    except OSError:\n        pass\n"
        "try:\n    g(1)\nexcept KeyError:\n    pass\n",
    ),
    "exception through one that raises it too": (
        KEY,
        LOOKUP,
        "from m import f\ndef g(a):\n    if a:\n        raise KeyError\n    return f(a)\n"
        "try:\n    g(1)\nexcept KeyError:\n    pass\n",
    ),
    "structural and still there": (WALKER, WALKER.replace("2", "3"), f"import m\n{SHAPE}run(1, m.C())\n"),
    "structural of no class in view": (
        WALKER,
        WALKER.replace("go", "walk").replace("C:", "C(other.D):"),
        f"import m\n{SHAPE}run(1, m.C())\n",
    ),
    "constant used only": ("OPEN = 'open'\n", "OPEN = 'opened'\n", "import m\nprint(m.OPEN)\n"),
    "protocol kept by base": (
        "class A:\n    def __len__(self): ...\nclass C(A):\n    def __len__(self): return 1\n",
        "class A:\n    def __len__(self): ...\nclass C(A): ...\n",
        "from m import C\nc = C()\nlen(c)\n",
    ),
}


@pytest.mark.parametrize("kind", QUIET)
def test_nothing_is_said_where_nobody_is_concerned(kind: str) -> None:
    old, new, user = QUIET[kind]
    assert review({"m.py": old, "u.py": user}, {"m.py": new}) == []


def test_messages_say_the_consequence_first() -> None:
    old = {"m.py": PAIR, "u.py": "from m import f\nx, y = f(1)\n"}
    (arity,) = review(old, {"m.py": TRIPLE})
    assert arity.message == "u.py:2 unpacks two values from f(), which now returns three values."
    assert arity.grade is Grade.PROVED and str(arity.related[0].place) == "m.py:1"
    (none,) = review({"m.py": SURE, "u.py": "import m\nm.f(1).upper()\n"}, {"m.py": MAYBE})
    assert none.message == "u.py:2 uses `.upper` of the result of m.f(), which can now be None."
    assert none.certainty == "likely" and none.grade is Grade.MEASURED
    assert [f"{r.place} {r.message}" for r in none.related] == [
        "m.py:1 f() can return None now.",
        "m.py:4 f() returns None here.",
    ]
    (never,) = review({"m.py": SURE, "u.py": "import m\nm.f(1).upper()\n"}, {"m.py": "def f(a):\n    print(a)\n"})
    assert never.message == "u.py:2 uses `.upper` of the result of m.f(), which now always returns None."
    assert never.related[-1].message == "f() ends here without a value."
    calls = "from m import f\nf(1)\nf(2)\n"
    (default,) = review({"m.py": "def f(a, b=1): return a\n", "u.py": calls}, {"m.py": "def f(a, b=2): return a\n"})
    assert default.message == "m.py:1 makes `b` of f() 2 where it was 1; 2 calls rely on it, as u.py:2."
    assert default.reach == 2 and [str(r.place) for r in default.related] == ["u.py:2", "u.py:3"]


def test_a_changed_default_names_every_call_that_relies_on_it() -> None:
    calls = "".join(f"f({n})\nfunctools.partial(f, {n})()\nfunctools.partial(f, a={n})()\n" for n in range(8))
    old = {"m.py": "def f(a, b=1): return a\n", "u.py": f"import functools\nfrom m import f\n{calls}"}
    (default,) = review(old, {"m.py": "def f(a, b=2): return a\n"})
    assert {r.place.line for r in default.related} == set(range(3, 27))
    assert "- and 1" in markdown.block(default, Lines(between(Memory({}), Memory({}))))
