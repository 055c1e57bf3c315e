"""What becomes of answers as models give them: one row for each thing that goes wrong, or must be left alone."""

from __future__ import annotations

import ast
from dataclasses import dataclass

import pytest

from famulus.lsp_server.completion.filters import insertion, refine
from famulus.lsp_server.documents import Text
from famulus.lsp_server.syntax import parse
from tests.lsp_server.completion.marked import after, at


@dataclass(frozen=True)
class Case:
    """``shown`` is None where nothing may be. ``parses``: the document does afterwards."""

    name: str
    language: str
    document: str
    candidate: str
    shown: str | None = "as it is"
    replaces: int = 0
    parses: bool = True


PY, TS, GO, RS = "python", "typescript", "go", "rust"

CASES = [
    # --- left alone
    Case("the rest of an expression", PY, "def area(r):\n    return ‸\n", "3.14 * r ** 2"),
    Case("a name's end", PY, "total = 1\nprint(to‸)\n", "tal"),
    Case("arguments between brackets", PY, "print(‸)\n", "a, b"),
    Case("a block's body", PY, "for x in xs:\n    ‸\n", "print(x)\n    total += x"),
    Case("two statements", PY, "def f(a):\n    ‸\n", "b = a + 1\n    return b"),
    Case("a dictionary's next entry", PY, 'd = {\n    "a": 1,\n    ‸\n}\n', '"b": 2,'),
    Case("a string with a sentence", PY, "x = ‸\n", '"This is a sentence that stays here."'),
    Case("a docstring's sentence", PY, 'def f():\n    """‸"""\n', "Return the sum of all numbers."),
    Case("a comment's sentence", PY, "x = 1\n# ‸\n", "The list of names that we have seen."),
    Case("a text that is not indented", PY, "def f():\n    sql = ‸\n    return sql\n", '"""\nSELECT 1\n"""'),
    Case("an else after its if", PY, "def f(a):\n    if a:\n        return 1\n    ‸\n", "else:\n        return 2"),
    Case("a decorator's function", PY, "‸\n", "@cache\ndef f():\n    return 1"),
    Case("a method chain", TS, "const a = list‸;\n", ".map((x) => x + 1)"),
    Case("a block with its end", TS, "function f(a: number) {\n  ‸\n}\n", "if (a) {\n    return 1;\n  }\n  return 2;"),
    Case("a list item", "markdown", "- one\n- ‸\n", "This is the second item of the list."),
    Case("a fence in Markdown", "markdown", "Run:\n\n‸\n", "```sh\nmake\n```"),
    Case("a YAML value", "yaml", "on:\n  push:\n    branches: ‸\n", "[main]"),
    Case("a JSON value", "json", '{\n  "a": ‸\n}\n', "[1, 2]"),
    Case("an unknown language", "nobodyknows", "foo ‸\n", "bar baz"),
    # --- fences, prose, template
    Case("a fence around it all", PY, "def f(a):\n    ‸\n", "```python\nreturn a\n```", "return a"),
    Case(
        "words, then a fence",
        PY,
        "def f(a):\n    return ‸\n",
        "\nHere is the rest of the function:\n```python\na + 1\n```\nI hope it helps.",
        "a + 1",
    ),
    Case("a fence behind", PY, "x = ‸\n", "f(1)\n```\nThis calls the function f.", "f(1)"),
    Case("a sentence behind", PY, "x = ‸\n", "f(1)\n\nThis code calls the function with one.", "f(1)"),
    Case("only a sentence", PY, "def f():\n    ‸\n", "Here is the code that you asked for:", None),
    Case("a label", PY, "x = ‸\n", "f(1)\nExplanation: it calls f", "f(1)"),
    Case("the end of a chat turn", TS, "const a = ‸;\n", "f(1)<|im_end|>\n<|im_start|>user", "f(1)"),
    Case("the mark of an end of text", GO, "package a\n\nvar x = ‸\n", "1<|endoftext|>package b", "1"),
    Case("a fill-in-the-middle mark", PY, "x = ‸\n", "<fim_middle>f(1)<fim_suffix>", "f(1)"),
    Case("a role at the start", PY, "x = ‸\n", "<|im_start|>assistant\nf(1)", "f(1)"),
    Case("marks in code about marks", PY, 'END = "<|im_end|>"\nother = ‸\n', 'END + "<|im_end|>"'),
    Case("a zero byte", PY, "x = ‸\n", "f(1)\x00\x01", "f(1)"),
    Case("text that turns its direction", PY, "x = ‸\n", "f(1)  # \u202e)2(f", "f(1)  #"),
    # --- repetition
    Case(
        "the same line for ever",
        PY,
        "def f(a):\n    ‸\n",
        "print(a.value)\n    print(a.value)\n    print(a.value)",
        "print(a.value)",
    ),
    Case(
        "two lines for ever",
        GO,
        "package a\n\nfunc f() {\n\t‸\n}\n",
        "one(first)\n\ttwo(second)\n\tone(first)\n\ttwo(second)",
        "one(first)\n\ttwo(second)",
    ),
    Case("a phrase for ever", PY, "x = [‸]\n", "make(1), make(1), make(1), make(1), make(1), ", "make(1),"),
    Case("the cursor's own line", PY, "def f(total):\n    return total ‸\n", "return total + 1", "+ 1"),
    Case("the half-typed name", PY, "x = compu‸\n", "compute_all(1)", "te_all(1)"),
    Case("the line above", PY, "import os\nvalue = compute(1, 2)\n‸\n", "value = compute(1, 2)", None),
    Case(
        "the function above",
        PY,
        "def f(a):\n    first = a + 1\n    return first * 2\n\n\n‸\n",
        "def g(a):\n    first = a + 1\n    return first * 2",
    ),
    # --- indentation and scope
    Case("the indentation once more", PY, "def f(a):\n    ‸\n", "    return a", "return a"),
    Case(
        "blanks where the file has tabs",
        GO,
        "package a\n\nfunc f() {\n\t‸\n}\n",
        "if a {\n        b()\n    }",
        "if a {\n\t\tb()\n\t}",
    ),
    Case(
        "tabs where the file has blanks",
        PY,
        "def f(a):\n    ‸\n",
        "if a:\n\t\treturn 1\n\treturn 2",
        "if a:\n        return 1\n    return 2",
    ),
    Case(
        "written from the left edge",
        PY,
        "def f(a):\n    x = 1\n    ‸\n",
        "if a:\n    return 1",
        "if a:\n        return 1",
    ),
    Case("another function follows", PY, "def f(a):\n    return ‸\n", "a + 1\n\n\ndef g(b):\n    return b", "a + 1"),
    Case(
        "code of the module follows",
        PY,
        "def f(a):\n    ‸\n\nx = 1\n",
        'return a\n\nif __name__ == "__main__":\n    f(1)',
        "return a",
    ),
    Case(
        "another method follows",
        PY,
        "class A:\n    def f(self):\n        ‸\n",
        "return 1\n\n    def g(self):\n        return 2",
        "return 1",
    ),
    Case(
        "the block's bracket",
        TS,
        "function f() {\n  ‸\n}\n",
        "return 1;\n}\n\nfunction g() {\n  return 2;\n}",
        "return 1;",
    ),
    Case("the block's bracket, missing", TS, "function f() {\n  ‸", "return 1;\n}\n\nfunction g() {", "return 1;\n}"),
    Case(
        "the function's bracket in Rust",
        RS,
        "fn f(a: i32) -> i32 {\n    ‸\n}\n",
        "a + 1\n}\n\nfn main() {\n    f(1);\n}",
        "a + 1",
    ),
    Case("something else after two blank lines", GO, "package a\n\nvar x = ‸\n", "1\n\n\nvar y = 2", "1"),
    Case(
        "YAML leaves the key",
        "yaml",
        "jobs:\n  build:\n    steps:\n      - run: ‸\n  test:\n    needs: build\n",
        "make\n  deploy:\n    needs: test",
        "make",
    ),
    # --- brackets and quotes
    Case("the bracket is there already", PY, "print(‸)\n", "a, b)", "a, b"),
    Case("two brackets are there", PY, "print(str(‸))\n", "a))", "a"),
    Case("the quote is there", PY, 'print("‸")\n', 'hello")', "hello"),
    Case("its own bracket stays", PY, "print(‸)\n", "f(a)"),
    Case("it goes on behind the bracket", PY, "x = f(‸)\n", "a) + g(b)", "a) + g(b)", 1),
    Case("behind quote and bracket", PY, 'print("‸")\n', 'hello", end="")', 'hello", end="")', 2),
    Case("a head behind the bracket", TS, "if (‸) {\n}\n", "a > 1) {", "a > 1"),
    Case(
        "a head is finished", TS, "function f(‸)\n", "a: number) {\n  return a;\n}", "a: number) {\n  return a;\n}", 1
    ),
    Case("the semicolon is there", TS, "const a = ‸;\n", "f(1);", "f(1)"),
    Case("a bracket nobody opened", PY, "x = a‸\n", " + b)", " + b"),
    Case("a bracket left open", PY, "x = ‸\n", "f(1, 2", "f(1, 2)"),
    Case("the call's bracket", PY, "x = f(‸\n", "1, 2", "1, 2)"),
    Case("a string left open", PY, "x = ‸\n", '"hello', '"hello"'),
    Case("a block left open", TS, "function f(a: number) {\n  ‸\n}\n", "if (a) {\n    g();", "if (a) {\n    g();\n  }"),
    Case("a brace in Go", GO, "package a\n\nfunc f() {\n\tx := []int{‸}\n}\n", "1, 2}", "1, 2"),
    Case("a JSON list", "json", '{\n  "a": [‸]\n}\n', "1, 2]", "1, 2"),
    # --- the lines below
    Case(
        "the next line again", PY, "def f(a):\n    ‸\n    return compute(a)\n", "b = a\n    return compute(a)", "b = a"
    ),
    Case("only the next line", PY, "def f(a):\n    ‸\n    return compute(a)\n", "return compute(a)", None),
    Case(
        "nearly the next line",
        PY,
        "def f(a):\n    ‸\n    return compute_everything(a, b, c)\n",
        "x = 1\n    return compute_everything(a, b, d)",
        "x = 1",
    ),
    Case("the closing line below", TS, "f({\n  a: 1,\n  ‸\n});\n", "b: 2,\n});", "b: 2,"),
    Case("its own closing line stays", GO, "package a\n\nfunc f() {\n\t‸\n}\n", "if a {\n\t\tb()\n\t}"),
    Case("the rest of the line", RS, "fn main() {\n    let a = ‸.unwrap();\n}\n", "read().unwrap();", "read()"),
    # --- what would not parse
    Case("half a second line", PY, "def f(a):\n    ‸\n", "b = a + 1\n    return b +", "b = a + 1"),
    Case("a block without a body", PY, "def f(a):\n    b = 1\n    ‸\n    return b\n", "if a:", None),
    Case("a head that is being typed", PY, "def f(a):\n    for x in ‸\n", "range(a):", "range(a):", parses=False),
    Case("a head with its body below", PY, "def f(a):\n    if ‸\n        return a\n", "a > 1:"),
    Case("no code at all", PY, "def f(a):\n    ‸\n    return a\n", ") ) (", None),
    Case("the second line is wrong", RS, "fn f() {\n    ‸\n}\n", "let a = 1;\n    let b = = 2;", "let a = 1;"),
    Case("an unexpected indentation", PY, "def f(a):\n    ‸\n    return a\n", "b = 1\n        c = 2", "b = 1"),
    # --- heads of blocks without the block
    Case("a new head", PY, "def f(n):\n    ‸\n", "if n == 0:", None),
    Case("a new head on a new line", PY, "def f(n):‸\n", "\n    if n:", None),
    Case(
        "a last line that is a head",
        PY,
        "def f(n):\n    ‸\n",
        "a = n\n    if n == 0:\n        return a\n    else:",
        "a = n\n    if n == 0:\n        return a",
    ),
    Case("a head with a comment", PY, "def f(n):\n    ‸\n", "a = n\n    for x in n:\n        # go", "a = n"),
    Case("a head in a head", PY, "def f(n):\n    ‸\n", "if n:\n        for x in n:", None),
    Case("a head of several lines", PY, "def f(n):\n    ‸\n", "a = 1\n    if g(\n        n,\n    ):", "a = 1"),
    Case("a head that the user began", PY, "def f(n‸\n", ", b,\n      c):", parses=False),
    Case("a last head with its body below", PY, "def f(n):\n    ‸\n        return 1\n", "a = 2\n    if n:"),
    Case("a brace alone", TS, "function f(x: number) {\n  if (x > 0) ‸\n}\n", "{", None),
    Case("a head's brace", TS, "function f(x: number) {\n  if (x‸\n}\n", " > 0) {", " > 0)", parses=False),
    Case("a new head with its brace", TS, "function f(x: number) {\n  ‸\n}\n", "if (x > 0) {", None),
    Case("a last head with its brace", TS, "function f(x: number) {\n  ‸\n}\n", "g(x);\n  if (x > 0) {", "g(x);"),
    Case(
        "an else without its block",
        TS,
        "function f(x: number) {\n  ‸\n}\n",
        "if (x > 0) {\n    g();\n  } else {",
        "if (x > 0) {\n    g();\n  }",
    ),
    Case("an object", TS, "function f(x: number) {\n  ‸\n}\n", "const a = {", "const a = {}"),
    Case("a loop's brace", RS, "fn f(v: Vec<i32>) {\n    for x in ‸\n}\n", "v {", "v", parses=False),
    Case(
        "a loop's brace",
        "java",
        "class A {\n  void f() {\n    for (int i = 0; ‸\n  }\n}\n",
        "i < 3; i++) {",
        "i < 3; i++)",
        parses=False,
    ),
    Case("a loop's brace", "c", "int f() {\n  for (int i = 0; ‸\n}\n", "i < 3; i++) {", "i < 3; i++)", parses=False),
    Case(
        "a loop's brace",
        GO,
        "package a\n\nfunc f() {\n\tfor i := 0; ‸\n}\n",
        "i < 3; i++ {",
        "i < 3; i++",
        parses=False,
    ),
    Case("a head's last word", "shellscript", "if [ -f x ]; ‸\n", "then", parses=False),
    Case("nothing but blanks", PY, "x = ‸\n", "   \n\n  ", None),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.language}: {case.name}")
def test_what_is_shown(case: Case) -> None:
    situation = at(case.document, case.language)
    refined = refine(case.candidate, situation)
    if case.shown is None:
        assert refined.text == ""
        assert refined.dropped
        return
    assert refined.text == (case.candidate if case.shown == Case.shown else case.shown), refined.cuts
    assert refined.replaces == case.replaces
    assert refined.dropped is None
    document = after(situation, insertion(refined.text, situation))
    tree = parse(case.language, Text(document))
    if case.parses and tree is not None and case.language != "markdown":
        assert not tree.root.has_error, document
    if case.parses and case.language == PY:
        ast.parse(document)


def test_the_table_is_large_enough() -> None:
    names = [(case.language, case.name) for case in CASES]
    assert len(set(names)) == len(names) >= 60
