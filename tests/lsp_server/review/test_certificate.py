"""What is proven neutral is neutral, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from famulus.lsp_server.review.certificate import Certificate, certify_change, certify_files, store
from famulus.lsp_server.review.change import FileChange, Memory, between
from famulus.lsp_server.review.rule import Clock, Context
from famulus.lsp_server.review.rules.neutral import RULE


def _certified(old: str, new: str, path: str = "a.py") -> Certificate:
    return certify_files([FileChange(path, path, dedent(old).encode(), dedent(new).encode())]).files[0]


NEUTRAL = {
    "layout": ("def f(a,b):\n  return (a+\n    b)\n", "def f(a, b):\n    return a + b\n"),
    "quotes and prefixes": ("x = 'a' u'b'\n", 'x = "ab"\n'),
    "comments": ("x = 1  # one\n# two\ny = 2\n", "# three\nx = 1\n\ny = 2  # four\n"),
    "brackets and joins": ("if (a) and \\\n   (b): c()\n", "if a and b:\n    c()\n"),
    "number spelling": ("x = 0x10 + 1_000\n", "x = 16 + 1000\n"),
    "a pass too many": ("class A:\n    pass\n    x = 1\n", "class A:\n    x = 1\n"),
    "swapped branches": (
        "if not a:\n    b()\nelse:\n    c()\n",
        "if a:\n    c()\nelse:\n    b()\n",
    ),
    "a local's name": (
        "def f(a):\n    x = g(a)\n    return x * x\n",
        "def f(a):\n    squared = g(a)\n    return squared * squared\n",
    ),
    "a local's name inside a comprehension and a closure": (
        "def f(a):\n    n = len(a)\n    return [x + n for x in a], lambda: n\n",
        "def f(a):\n    n_a = len(a)\n    return [y + n_a for y in a], lambda: n_a\n",
    ),
    "not in": ("def f(a, b):\n    return not a in b\n", "def f(a, b):\n    return a not in b\n"),
    "elif for else if": (
        "def f(a):\n    if a:\n        return 1\n    else:\n        if a is None:\n            return 2\n",
        "def f(a):\n    if a:\n        return 1\n    elif a is None:\n        return 2\n",
    ),
    "a return that was there anyway": (
        "def f(a):\n    g(a)\n    return None\n",
        "def f(a):\n    g(a)\n    return\n",
    ),
    "a function that moved past others": (
        "import os\n\ndef f(a):\n    return a\n\ndef g(b: int = 3) -> str:\n    return f(b)\n\nX = 1\n",
        "import os\n\ndef g(b: int = 3) -> str:\n    return f(b)\n\nX = 1\n\ndef f(a):\n    return a\n",
    ),
}


@pytest.mark.parametrize("name", NEUTRAL)
def test_what_has_no_effect_is_proven(name: str) -> None:
    old, new = NEUTRAL[name]
    for made in (_certified(old, new), _certified(new, old)):
        assert made.lines, "the example differs"
        assert (made.proven, made.changed) == (made.lines, ()), made


CHANGED = {
    "an operator": ("def f(a, b):\n    return a + b\n", "def f(a, b):\n    return a - b\n"),
    "the type of a constant": ("x = f(1)\n", "x = f(1.0)\n"),
    "true for one": ("def f():\n    return (1, 2)\n", "def f():\n    return (True, 2)\n"),
    "the sign of zero": ("def f():\n    return 0.0\n", "def f():\n    return -0.0\n"),
    "bytes": ("x = 'a'\n", "x = b'a'\n"),
    "the order of a set": ("def f(a):\n    return a in {1, 9}\n", "def f(a):\n    return a in {9, 1}\n"),
    "a default": ("def f(a=1):\n    return a\n", "def f(a=2):\n    return a\n"),
    "a parameter's name": ("def f(a):\n    return a\n", "def f(b):\n    return b\n"),
    "a keyword of a call": ("def f(a):\n    return g(a, rate=1)\n", "def f(a):\n    return g(a, vat=1)\n"),
    "keywords exchanged": ("def f(a):\n    return a.g(b=a, c=1)\n", "def f(a):\n    return a.g(c=a, b=1)\n"),
    "a parameter's kind": ("def f(a):\n    return a\n", "def f(a, /):\n    return a\n"),
    "an annotation": ("def f(a: int):\n    return a\n", "def f(a: str):\n    return a\n"),
    "an annotation of a local": (
        "def f():\n    a: int = 1\n    return a\n",
        "def f():\n    a: str = 1\n    return a\n",
    ),
    "an annotation of an attribute": (
        "def f(a):\n    a.b: int\n    return a\n",
        "def f(a):\n    a.c: int\n    return a\n",
    ),
    "a decorator": ("@a\ndef f():\n    return 1\n", "@b\ndef f():\n    return 1\n"),
    "async": ("def f():\n    return 1\n", "async def f():\n    return 1\n"),
    "the order of imports": ("import a\nimport b\n", "import b\nimport a\n"),
    "equal for not unequal": ("def f(a):\n    return not a == 1\n", "def f(a):\n    return a != 1\n"),
    "a local that locals() shows": (
        "def f(a):\n    x = 1\n    return locals()\n",
        "def f(a):\n    y = 1\n    return locals()\n",
    ),
    "a local that a string spells": (
        "def f(t):\n    low = 1\n    return t.select('a > @low')\n",
        "def f(t):\n    least = 1\n    return t.select('a > @low')\n",
    ),
    "a local that an f-string shows": (
        "def f(a):\n    x = a\n    return f'{x=}'\n",
        "def f(a):\n    y = a\n    return f'{y=}'\n",
    ),
    "a local that is written from inside": (
        "def f():\n    n = 0\n    def g():\n        nonlocal n\n        n += 1\n    return g\n",
        "def f():\n    m = 0\n    def g():\n        nonlocal m\n        m += 1\n    return g\n",
    ),
    "two locals exchanged": (
        "def f(a, b):\n    x, y = a, b\n    return x - y\n",
        "def f(a, b):\n    y, x = a, b\n    return x - y\n",
    ),
    "code for -O": (
        "def f():\n    if not __debug__:\n        return 1\n    return 2\n",
        "def f():\n    if not __debug__:\n        return 3\n    return 2\n",
    ),
    "an assertion": ("def f(a):\n    assert a, 'x'\n", "def f(a):\n    assert a, 'y'\n"),
    "a guard that grew": (
        "def f():\n    try:\n        a()\n    except E:\n        c()\n    else:\n        b()\n",
        "def f():\n    try:\n        a()\n        b()\n    except E:\n        c()\n",
    ),
    "a move past a call": (
        "def f():\n    return 1\n\nf()\n",
        "f()\n\ndef f():\n    return 1\n",
    ),
    "a move past an import": (
        "def f():\n    return 1\n\nimport plugin\n",
        "import plugin\n\ndef f():\n    return 1\n",
    ),
    "a move past its namesake": (
        "def f():\n    return 1\n\ndef f():\n    return 2\n",
        "def f():\n    return 2\n\ndef f():\n    return 1\n",
    ),
    "a move past a decorated one": (
        "def f():\n    return 1\n\n@register\ndef g():\n    return 2\n",
        "@register\ndef g():\n    return 2\n\ndef f():\n    return 1\n",
    ),
    "a method moved in a class of unknown kind": (
        "class A(Base):\n    def f(self):\n        return 1\n    def g(self):\n        return 2\n",
        "class A(Base):\n    def g(self):\n        return 2\n    def f(self):\n        return 1\n",
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_may_have_an_effect_is_not_proven(name: str) -> None:
    old, new = CHANGED[name]
    for made in (_certified(old, new), _certified(new, old)):
        assert made.proven < made.lines, made
        assert not made.whole


def test_only_the_lines_that_matter_are_left() -> None:
    old = "def f(a,b):\n  x = a+b\n  y = a-b\n  return x,y\n"
    new = "# sums\ndef f(a, b):\n    x = a + b\n    y = a * b  # not a difference\n    return x, y\n"
    made = _certified(old, new)
    assert made.neutral == {1, 2, 3, 5} and made.old_neutral == {1, 2, 4}
    assert made.changed == ("f",)


GONE = {
    "beside": ("a.py", "def f(): a(); b()\n", "def f(): a()\n"),
    "below": ("a.py", "def f():\n    a()\n    b()\n", "def f():\n    a()  # as ever\n"),
    "in a type": (
        "a.tsx",
        "function f(p: {a: string, b: string}) { return 1; }\n",
        "function f(p: {a: string}) { return 1; }\n",
    ),
    "in braces": ("a.go", "package p\n\nfunc f() { a(); b() }\n", "package p\n\nfunc f() { a() }\n"),
}


@pytest.mark.parametrize("where", GONE)
def test_a_line_in_whose_place_something_is_gone_is_left(where: str) -> None:
    path, old, new = GONE[where]
    assert _certified(old, new, path).proven == 0


def test_lines_of_a_statement_shared_with_a_changed_one_are_left() -> None:
    made = _certified("a( ); b()\n", "a(); c()\n")
    assert made.proven == 0
    made = _certified("if x :\n    a( )\nelse: b( )\n", "if y:\n    a()\nelse: b()\n")
    assert made.neutral == {2}


def test_what_moved_past_a_changed_definition_is_left() -> None:
    body = "class A:\n    def f(self):\n        return 1\n\n    def g(self):\n        return 2\n"
    made = _certified("X = make()\n\n" + body + "\nY = 1\n", body.replace("1", "3") + "\nX = make()\n\nY = 1\n")
    assert made.neutral.isdisjoint({3, 8}), "the line difference shows `X` as moved"


def test_docstrings_are_a_class_of_their_own() -> None:
    made = _certified('def f():\n    """One."""\n    return  1\n', 'def f():\n    """Two."""\n    return 1\n')
    assert made.documentation == {2} and made.neutral == {3} and not made.changed
    assert not made.whole
    assert certify_files([FileChange("a.md", "a.md", b"old", b"new")]).files[0].documentation == {1}


def test_a_function_that_went_to_another_file_is_moved_not_neutral() -> None:
    body = "def f(a):\n    b = a + 1\n    return b * 2\n"
    change = between(
        Memory({"a.py": (body + "\nX = 1\n").encode(), "b.py": b"Y = 2\n"}),
        Memory({"a.py": b"from b import f\n\nX = 1\n", "b.py": ("Y = 2\n\n\n" + body).encode()}),
    )
    made = certify_change(change)
    moved = [m for file in made.files for m in file.moved]
    assert [(m.name, m.old_path, m.new_path, m.line, m.proven) for m in moved] == [("f", "a.py", "b.py", 4, False)]
    assert made.proven < made.lines and "3 moved unchanged" in str(made)


def test_files_that_cannot_be_read_are_not_proven() -> None:
    for path, old, new in (
        ("a.py", b"def f(:\n", b"def f( :\n"),
        ("a.py", b"x = '\xff'\n", b"x = '\xfe'\n"),
        ("a.bin", b"\0", b"\0\0"),
        ("a.unknown", b"a b", b"a  b"),
    ):
        [made] = certify_files([FileChange(path, path, old, new)]).files
        assert made.reason and not made.neutral and not made.proven
    [new_file] = certify_files([FileChange(None, "a.py", None, b"# only a comment\n")]).files
    assert new_file.reason and not new_file.neutral


def test_the_rule_fills_what_other_rules_read() -> None:
    context = Context(
        between(
            Memory({"a.py": b"x = 1\ny = 2\n", "b.py": b"z=1\n"}),
            Memory({"a.py": b"x = 1  # one\ny = 3\n", "b.py": b"z = 1\n"}),
        )
    )
    assert list(RULE.check(context)) == []
    assert context.neutral == {"a.py": {1}, "b.py": {1}}
    assert context.facts["neutral"] == "2 of 3 changed lines proven neutral"


SAME_TREES = {
    "a.js": ("function f(a){return a+1}\n", "function f(a) {\n  // one more\n  return a + 1\n}\n"),
    "a.ts": ("const f=(a:number)=>{return a}\n", "const f = (a: number) => {\n  return a\n}\n"),
    "a.go": ("package a\nfunc f(a int) int {return a}\n", "package a\n\nfunc f(a int) int {\n\treturn a\n}\n"),
    "a.rs": ("fn f(a:u8)->u8{a}\n", "fn f(a: u8) -> u8 {\n    a // it\n}\n"),
    "a.java": ("class A{int f(){return 1;}}\n", "class A {\n  /** One. */\n  int f() { return 1; }\n}\n"),
    "a.c": ("int f(int a){return a;}\n", "int f(int a)\n{\n    return a;\n}\n"),
    "a.cpp": ("int f(int a){return a;}\n", "int f(int a) /* a */\n{\n    return a;\n}\n"),
    "a.json": ('{"a":[1,2]}\n', '{\n  "a": [1, 2]\n}\n'),
}


@pytest.mark.parametrize("path", SAME_TREES)
def test_other_languages_are_neutral_where_their_trees_are_equal(path: str) -> None:
    old, new = SAME_TREES[path]
    made = _certified(old, new, path)
    assert made.lines and made.proven == made.lines, made
    changed = _certified(old, new.replace("1", "2").replace("return a", "return b").replace("  a", "  b"), path)
    assert changed.proven < changed.lines


OTHER_TREES = {
    "a.js": ("function f() {\n  return x\n}\n", "function f() {\n  return\n  x\n}\n"),
    "b.js": ("s = `a b`\n", "s = `a  b`\n"),
    "a.jsx": ("x = <p>a b</p>\n", "x = <p>a  b</p>\n"),
    "a.go": ("package a\n\nvar s string\n", "package a\n\n//go:embed a.txt\nvar s string\n"),
    "a.rs": ('const A: &str = "a b";\n', 'const A: &str = "a  b";\n'),
    "a.c": ("#define A x + 1\n", "#define A x+ 1\n"),
    "a.json": ('{"a": 1, "b": 2}\n', '{"b": 2, "a": 1}\n'),
    "b.json": ('{"a": "b c"}\n', '{"a": "b  c"}\n'),
}


@pytest.mark.parametrize("path", OTHER_TREES)
def test_other_languages_are_not_neutral_where_a_blank_or_comment_counts(path: str) -> None:
    old, new = OTHER_TREES[path]
    assert _certified(old, new, path).proven < _certified(old, new, path).lines


def test_in_other_languages_too_only_the_lines_that_matter_are_left() -> None:
    old = "function f(a){\n  g( a );\n  return a+1;\n}\n\nfunction h(){ return 1 }\n"
    new = "function f(a) {\n  g(a);\n  return a + 2;\n}\n\nfunction h() {\n  return 1;\n}\n"
    made = _certified(old.replace("return 1 ", "return 1; "), new, "a.js")
    assert made.neutral == {1, 2, 6, 7, 8}


FILES = {
    "a.py": b"def f(x):\n    y = x\n    z = y\n    return z + y\n\n\ndef g(x):\n    y = 1\n    return x - y\n",
    "b.py": b"def h(x):\n    w = x + 1\n    return w\n\n\ndef i():\n    return 0\n",
}
EDITED = {
    "a.py": b"def g(x):\n    one = 1\n    return x - one\n",
    "b.py": b"def i():\n    return 0\n\n\ndef f(x):\n    y = x\n    z = y\n    return z + y\n\n\n"
    b"def h(x):\n    w = x + 1\n    return w\n",
}


def test_what_was_proven_once_is_kept_with_what_moved_between_files(tmp_path: Path) -> None:
    change, no_time = between(Memory(FILES), Memory(EDITED)), Clock(0.0)
    unknown = certify_change(change, store(tmp_path), no_time)
    assert unknown.late == ("a.py", "b.py")
    assert unknown.proven == 0
    first = certify_change(change, store(tmp_path))
    assert first.late == ()
    assert sorted(moved.proven for file in first.files for moved in file.moved) == [False, True]
    assert certify_change(change, store(tmp_path), no_time) == first == certify_change(change)
    other = between(Memory(FILES), Memory({**EDITED, "a.py": EDITED["a.py"] + b"x = 1\n"}))
    assert certify_change(other, store(tmp_path), no_time).late == ("a.py",), "only what differs is looked at again"


def test_what_there_was_no_time_for_is_named_and_not_called_neutral() -> None:
    context = Context(between(Memory(FILES), Memory(EDITED)), seconds=0.0)
    context.clock = Clock(None)
    assert list(RULE.check(context)) == []
    assert context.neutral == {}
    assert context.left_out == [
        "Whether lines of a.py, b.py are neutral was not looked at, or not everywhere, for want of time."
    ]
