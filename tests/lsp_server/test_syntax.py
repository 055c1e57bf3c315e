"""What trees say about places, blocks, errors and names."""

from __future__ import annotations

import subprocess
import sys

import pytest

from famulus.lsp_server.documents import Text
from famulus.lsp_server.syntax import Tree, parse
from famulus.lsp_server.syntax.grammars import GRAMMARS
from famulus.lsp_server.syntax.problems import open_until


def at(language: str, marked: str) -> tuple[Tree, int]:
    """The tree of a text whose cursor is marked by ``¦``."""
    offset = marked.index("¦")
    tree = parse(language, Text(marked.replace("¦", "")))
    assert tree is not None
    return tree, offset


@pytest.mark.parametrize("language", GRAMMARS)
def test_every_language_has_its_grammar(language: str) -> None:
    tree = parse(language, Text("x\n"))
    assert tree is not None
    assert tree.root.end_byte > 0


def test_other_languages_have_no_tree() -> None:
    assert parse("cobol", Text("x")) is None


def test_grammars_are_loaded_when_they_are_used() -> None:
    code = (
        "import sys; from famulus.lsp_server.documents import Text; from famulus.lsp_server.syntax import parse;"
        "assert 'tree_sitter' not in sys.modules; parse('go', Text('x'));"
        "assert 'tree_sitter_go' in sys.modules and 'tree_sitter_python' not in sys.modules"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


PLACES = [
    ("python", 'x = "a¦bc"', "string"),
    ("python", 'x = "abc"¦', "code"),
    ("python", 'x = "abc¦\ny=1', "string"),
    ("python", 'x = "🙂🙂" + b¦\n', "code"),
    ("python", "# abc¦", "comment"),
    ("python", "# abc\n¦", "code"),
    ("python", 'f"a{b¦}c"', "code"),
    ("python", 'f"a¦{b}c"', "string"),
    ("python", '"""doc¦\n\nfoo()\n', "string"),
    ("typescript", "/* é ¦*/", "comment"),
    ("typescript", "/* a */¦", "code"),
    ("typescript", "`a ${x¦} c`", "code"),
    ("typescript", "`a ¦", "string"),
    ("typescriptreact", "const a = <b>{x¦}</b>", "code"),
    ("javascript", "// foo¦", "comment"),
    ("rust", "/// foo¦\nfn f(){}", "comment"),
    ("go", "x := `ab¦", "string"),
    ("c", '#include "a¦"', "string"),
    ("json", '{"a": "b¦', "string"),
]


@pytest.mark.parametrize(("language", "marked", "place"), PLACES)
def test_inside(language: str, marked: str, place: str) -> None:
    tree, offset = at(language, marked)
    assert tree.inside(offset) == place


ERRORS = [
    ("python", "x = foo(a,\ny = 2\nz = 3\n", [("(", "'(' was never closed")]),
    ("python", 'x = "abc\ny = 1\n', [('"', "unterminated string literal")]),
    ("python", "def f(a)\n    return 1\n", [(")", "expected ':'")]),
    ("python", "if a:\nb = 1\n", [(":", "expected an indented block after 'if' statement")]),
    ("python", "for a in b:\n    # later\n\nc = 1\n", [(":", "expected an indented block after 'for' statement")]),
    ("python", "é = 1\nx = = 2\n\n\ny = * 3\n", [("=", "invalid syntax"), ("y = * 3", "this does not parse")]),
    ("typescript", "function f(a) {\n  if (a) {\n    g()\n\n}\n", [("{", '"{" is never closed')]),
    ("typescript", "const x = [1, 2\nlet y = 1;\n", [("[", '"[" is never closed')]),
    ("javascript", "const 🙂 = 1\n", [("const 🙂 =", "this does not parse")]),
    ("c", "int f() { return 1 }\n", [("1", '";" is missing here')]),
    ("java", "class A { void f() { g(); } } }\n", [("}", '"}" closes nothing')]),
    ("json", '{"a": [1, 2}\n', [("[", '"[" is never closed')]),
    ("jsonc", '{"a": [1, 2,],} // x\n', []),
]


@pytest.mark.parametrize(("language", "text", "expected"), ERRORS)
def test_errors_stand_at_their_cause(language: str, text: str, expected: list[tuple[str, str]]) -> None:
    tree = parse(language, Text(text))
    assert tree is not None and tree.broken
    assert [(text[p.start : p.end], p.message) for p in tree.errors()] == expected


def test_what_python_accepts_has_no_errors() -> None:
    tree = parse("python", Text("def f(é: int = 1, /, *, b) -> 'x':\r\n    return é\r\nprint(f'{f(1)!r:>{3}}')\r\n"))
    assert tree is not None and not tree.broken and tree.errors() == []


WRITTEN = '''class Shape(Base):
    """What has
    sides."""

    sides = {"square": [4], "many": lambda n: n}

    @property
    def total(self, values: list[int]) -> int:
        try:
            result = sum(
                value for value in values
            )
        except ValueError:
            # nothing to count
            raise
        else:
            with self.lock:
                match result:
                    case 1:
                        pass
        return result
'''


@pytest.mark.parametrize("below", ["", "\n\n# far\n\ndef other():\n    return 1\n"])
def test_no_pause_in_writing_what_is_right_meets_an_error_elsewhere(below: str) -> None:
    for end in range(1, len(WRITTEN)):
        text = Text(WRITTEN[:end] + below)
        tree = parse("python", text)
        assert tree is not None
        open_to, here = open_until(text, end), text.place(end)[0]
        shown = [p for p in tree.errors() if text.place(p.start)[0] != here and p.start >= open_to]
        assert shown == [], text.value[:end]


@pytest.mark.parametrize(
    "marked",
    [
        "def f(:\n    return ¦\n",
        "x = = 1\nfor x in y:\n    ¦",
        "if a\n    print(¦\n",
        "print(1))\n\ndef f():\n    ¦",
        "a = 1\nb = ¦\nc = (",
    ],
)
def test_what_is_wrong_before_the_place_of_writing_leaves_nothing_open(marked: str) -> None:
    tree, offset = at("python", marked)
    assert tree.errors() and open_until(tree.text, offset) == 0


NAMES = [
    (
        "python",
        "import os.path, json as j\nfrom a import b as c\nX = 1\ndef f(p, *r, k=1, **kw):\n    y = 1\n"
        "    for i, (z, w) in p:\n        with p as h:\n            ¦\n    later = 2\ndef g(): pass\n",
        "h w z i y kw k r p g f X c j os",
        "later b json path",
    ),
    ("python", "class A:\n    t = 1\n    def m(self):\n        q = [n for n in s if ¦n]\n", "n self A", "t q"),
    ("python", "class A:\n    t = 1\n    ¦\n    z = 1\n", "t", "A z"),
    ("python", "def f(a):\n    x = 1\n    ¦", "x a f", ""),
    ("python", "def f(a):\n    x = 1\n\n¦", "f", "x a"),
    ("python", "x = lambda u, v=1: ¦u\n", "u v", ""),
    ("python", "def o(a):\n    def i():\n        return ¦a\n    b = 1\n", "a b i o", ""),
    ("python", "try:\n    pass\nexcept E as e:\n    ¦\n", "e", "E"),
    ("python", "match x:\n    case P(a, b=c) | [*d]:\n        ¦\n", "a c d", "P b _"),
    (
        "typescript",
        "import fs, {a as b, c} from 'x'; import * as ns from 'y';\nfunction f(p: T, {q, r: s}, ...rest) {\n"
        "  const [u, v] = p;\n  for (const w of u) { let zz = 1; ¦ }\n  let later = 1;\n}\nclass C {}\n",
        "zz w v u rest s q p C f ns c b fs",
        "later a r T",
    ),
    (
        "go",
        'package m\nimport ("fmt"; x "a/b"; "net/http")\nfunc (r *R) f(a, b int) error {\n\ty, z := 1, 2\n'
        "\tfor i, v := range a {\n\t\t¦\n\t}\n\tlater := 1\n}\nvar G = 1\n",
        "v i z y b a r G http x fmt",
        "later int",
    ),
    (
        "rust",
        "use a::b::{c, d as e};\nfn f(a: u8, (g, h): (T, T)) {\n let x = 1;\n match a { Some(q) => { ¦ } }\n}\n"
        "struct S;\n",
        "q x h g a S f e c",
        "Some d T b",
    ),
    (
        "java",
        "import a.b.C;\nclass A { int f = 1; void m(int p, String... r) { int x; for (T s : r) { ¦ } int y; } "
        "void n() {} }",
        "s x r p n m f A C",
        "y String T",
    ),
    ("c", "#define MAX 3\nint f(int a, char *b[]) { int x = 1, *y; ¦ int z; }\n", "y x b a f MAX", "z"),
    ("cpp", "int f(const T& a, int b = 2) { auto x = 1; for (auto& e : v) { ¦ } }", "e x b a f", "v T"),
    ("shellscript", "A=1\nf() { local b=2; for x in a; do ¦\ndone; }\n", "x b f A", ""),
]


@pytest.mark.parametrize(("language", "marked", "bound", "unbound"), NAMES)
def test_names_in_scope(language: str, marked: str, bound: str, unbound: str) -> None:
    tree, offset = at(language, marked)
    found = tree.names_at(offset)
    assert [name for name in bound.split() if name not in found] == []
    assert [name for name in unbound.split() if name in found] == []
    assert len(set(found)) == len(found)


def test_the_nearest_names_come_first() -> None:
    tree, offset = at("python", "g = 1\ndef f(a, b):\n    x = 1\n    y = 2\n    ¦\n")
    assert tree.names_at(offset) == ["y", "x", "a", "b", "f", "g"]


BLOCKS = [
    ("python", "def f():\n    if a:\n        b¦\n        c\n\n    d\n", "        c"),
    ("python", "def f():\n    a¦\n    g(\n  1,\n)\n    d\ne\n", "    d"),
    ("python", "def f():\n    ¦\n\nx = 1\n", "    "),
    ("python", 'def f():\n    a¦\n    """b\nc"""\n    d\ne\n', "    d"),
    ("typescript", "function f() {\n  if (a) {\n    b¦\n    c\n  }\n  d\n}\n", "    c\n  "),
    ("go", "func f() {\n\ta¦\n}\nfunc g() {}\n", "\ta\n"),
    ("json", '{"a": [1, ¦2], "b": 3}', '{"a": [1, 2'),
    ("rust", "fn f() { match x { A => 1¦, B => 2 } }", "B => 2 "),
]


@pytest.mark.parametrize(("language", "marked", "last"), BLOCKS)
def test_a_block_ends_where_its_statements_end(language: str, marked: str, last: str) -> None:
    tree, offset = at(language, marked)
    assert tree.text.value[: tree.block_end(offset)].endswith(last)


OPENS = [
    ("python", "def f(a):\n    ¦\n", True),
    ("python", "def f(a):¦", True),
    ("python", "class A:\n    def f(self) -> int:  # why\n        ¦\n\n    def g(self):\n        pass\n", True),
    ("python", "def f(a):\n    ¦\n    return 1\n", False),
    ("python", "x = {1:¦\n}", False),
    ("python", "x: ¦", False),
    ("python", "y = a[1:¦]", False),
    ("python", "if a:\n    b\nelse:\n    ¦", True),
    ("python", "# note:\n¦", False),
    ("typescript", "function f() {\n  ¦\n}\n", True),
    ("typescript", "function f() {\n  ¦\n  return 1\n}\n", False),
    ("go", "func f() {\n\t¦\n}\n", True),
    ("c", "int f() {\n    ¦\n", True),
    ("java", 'String s = "{¦";', False),
]


@pytest.mark.parametrize(("language", "marked", "opens"), OPENS)
def test_a_block_that_was_just_opened(language: str, marked: str, opens: bool) -> None:
    tree, offset = at(language, marked)
    assert tree.opens_block(offset) is opens


FUNCTIONS = [
    (
        "python",
        "@d\nasync def f(): return 1\nclass A:\n    def g(self):\n        x\n",
        [("f", "return 1"), ("g", "x\n")],
    ),
    ("typescript", "const a = (x) => x;\nclass B { c() {y} }\n", [("a", "x;"), ("c", "y}")]),
    ("go", "func (r R) f() {a}\n", [("f", "a}")]),
    ("rust", "impl A { fn f(&self) -> u8 {1} }", [("f", "1}")]),
    ("cpp", "int A::f(int x) {1;}", [("A::f", "1;}")]),
    ("c", "static char *f(int x) {1;}", [("f", "1;}")]),
    ("shellscript", "f() {a; }", [("f", "a;")]),
]


@pytest.mark.parametrize(("language", "text", "expected"), FUNCTIONS)
def test_functions_and_their_bodies(language: str, text: str, expected: list[tuple[str, str]]) -> None:
    tree = parse(language, Text(text))
    assert tree is not None
    found = tree.functions()
    assert [f.name for f in found] == [name for name, _ in expected]
    for function, (_, body) in zip(found, expected, strict=True):
        assert text[function.body_start :].startswith(body)
        inner = tree.function_at(function.body_start + 1)
        assert inner is not None and inner.start == function.start


def test_wildcard_imports_are_told() -> None:
    assert parse("python", Text("from a import *\n")).wildcard  # type: ignore[union-attr]
    assert not parse("python", Text("from a import b\n")).wildcard  # type: ignore[union-attr]
