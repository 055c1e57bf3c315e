"""Changes of a function: they parse, they resolve, they have inverses, and the implausible ones are known."""

from __future__ import annotations

import ast
import inspect
import subprocess
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.lsp_server.documents import Text
from famulus.lsp_server.prediction import ruff_program
from famulus.lsp_server.prediction.surprise.candidates import KINDS, alternatives
from famulus.lsp_server.prediction.surprise.plausible import Plausible
from famulus.lsp_server.prediction.surprise.source import Source

REAL = Text(inspect.getsource(textwrap))


def changes(code):
    source = Source(Text(textwrap.dedent(code)))
    return [(a.original, a.replacement) for a in alternatives(source, source.functions[0])]


def plausible(code):
    source = Source(Text(textwrap.dedent(code)))
    allowed = Plausible(source, source.functions[0])
    return [(a.original, a.replacement) for a in alternatives(source, source.functions[0]) if allowed(a)]


def test_another_variable_that_is_bound_by_then():
    found = changes(
        """
        def f(a, b):
            c = a
            for d in c:
                print(d)
        """
    )
    assert found == [("a", "b"), ("c", "a"), ("c", "b"), ("d", "c"), ("d", "a"), ("d", "b")]


def test_names_of_inner_scopes_stay_inside():
    found = changes(
        """
        def f(a):
            b = [x for x in a]
            def g(y):
                return y
            return b
        """
    )
    assert ("b", "x") not in found and ("b", "y") not in found
    assert ("x", "a") in found and ("y", "b") in found


def test_attributes_of_the_same_object_and_kind():
    source = Source(
        Text(
            textwrap.dedent(
                """
                class Box:
                    size: int
                    def __init__(self):
                        self.left = self.right = 0
                    @property
                    def area(self): return 1
                    def grow(self): pass
                    def shrink(self):
                        self.grow()
                        return self.left
                """
            )
        )
    )
    found = [(a.original, a.replacement) for a in alternatives(source, source.functions[-1])]
    assert found == [("grow", "shrink"), ("left", "area"), ("left", "right"), ("left", "size")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("f(1, x)", [("1", "0"), ("1", "2"), ("1, x", "x, 1")]),
        ("x <= 3.5", [("<=", "<"), ("<=", ">="), ("<=", ">")]),
        ("x is  not None", [("is  not", "is")]),
        ("(x) in (u)", [("in", "not in")]),
        ("u and v", [("and", "or")]),
        ("u and v or w", [("and", "or"), ("or", "and")]),
        ("g(flag=True)", [("True", "False")]),
        ("x[n - 1]", [("-", "+"), ("1", "0"), ("1", "2")]),
        ("x[0]", [("0", "1")]),
        ("1 if not u else 2", [("1", "0"), ("1", "2"), ("not ", ""), ("2", "1"), ("2", "3")]),
        ("1000 + 0x1f + 1.5", []),
        ('f"{x + 1} {n < 3}"', []),
        ("'x < 1 and y'", []),
        ("f(*u, v)", []),
    ],
)
def test_each_kind(line, expected):
    assert changes(f"def f():\n    {line}\n") == expected


def test_a_condition_without_a_comparison_can_be_inverted():
    assert changes("def f():\n    if u:\n        pass\n") == [("", "not ")]
    assert changes("def f():\n    while not u():\n        pass\n") == [("not ", "")]


def test_annotations_defaults_and_decorators_belong_to_others():
    assert changes("@d(1)\ndef f(a: X[1], b=2) -> Y[3]:\n    c: Z[4] = None\n") == []


def test_every_kind_occurs_in_real_code_and_every_change_parses_and_can_be_undone():
    source, kinds = Source(REAL), set()
    for function in source.functions:
        for change in alternatives(source, function)[::23]:
            changed = Source(Text(change.applied(REAL.value)))
            again = next(f for f in changed.functions if f.start == function.start)
            undone = {a.applied(changed.text.value) for a in alternatives(changed, again) if a.start == change.start}
            assert REAL.value in undone, change
            kinds.add(change.kind)
    assert kinds == set(KINDS)


def test_no_change_of_a_name_makes_it_undefined(tmp_path: Path):
    source = Source(REAL)
    program = ruff_program.program()
    assert program is not None
    for number, function in enumerate(source.functions):
        for change in [a for a in alternatives(source, function) if a.kind == "name"][::40]:
            (tmp_path / f"m{number}_{change.start}.py").write_text(change.applied(REAL.value))
    done = subprocess.run(
        [program, "check", "--isolated", "--no-cache", "--select", "F821,F823", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert len(list(tmp_path.iterdir())) > 10 and done.returncode == 0, done.stdout


def test_what_nobody_means_is_not_asked_about():
    found = plausible(
        """
        def f(total, lines, limit):
            for line in lines:
                if line == total and limit < 3:
                    g(line, lines)
            return total
        """
    )
    assert ("limit", "total") not in found, "limit would be read nowhere"
    assert ("total", "line") not in found[:4], "line == line"
    assert ("lines", "line") not in found, "g(line, line)"
    assert ("total", "lines") in found and ("<", "<=") in found


@given(st.text(alphabet="é😀\u2028 x=1\n#'\"()\r\f\t", max_size=40))
def test_places_hold_beside_any_text(noise):
    code = f"a = 'é😀'; b = 1 # {noise}".replace("\n", " ").replace("\r", " ").replace("\f", " ")
    text = Text(f"# é\r\nif 1:\r    {code}\n\ndef f(one, two):\r\n    s = '😀é', one\n    return s[0] < two\n")
    source = Source(text)
    (function,) = source.functions
    assert text.value[function.start :].startswith("def f(") and function.end == len(text) - 1
    for change in alternatives(source, function):
        assert change.original in ("one", "two", "0", "<", "s")
        ast.parse(change.applied(text.value).replace("\r\n", "\n").replace("\r", "\n"))
