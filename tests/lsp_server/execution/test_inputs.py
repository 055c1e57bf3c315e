"""Inputs: of the types that code and annotations speak of, from the project's own calls, and smaller and smaller."""

from __future__ import annotations

import ast
import collections
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.constructors import Constructors
from famulus.lsp_server.execution.functions import Function, functions
from famulus.lsp_server.execution.inputs import Inputs, vocabulary
from famulus.lsp_server.execution.mining import Mine, top_names
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.execution.regexes import Pattern
from famulus.lsp_server.execution.shapes import Shapes
from famulus.lsp_server.execution.shrink import shrunk
from famulus.lsp_server.execution.values import Vocabulary
from famulus.lsp_server.review.change import Memory


def function(source: str, name: str = "f") -> Function:
    return functions(source)[name]


def inputs(source: str, name: str = "f", found: Sequence[Call] = ()) -> Inputs:
    f = function(source, name)
    words = vocabulary(f.node)
    return Inputs(f, Constructors("a.py", source, words), words, found=found)


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        ("int", int),
        ("str", str),
        ("'int'", int),
        ("list[int]", list),
        ("typing.Sequence[str]", list),
        ("dict[str, list[int]]", dict),
        ("tuple[int, str]", tuple),
        ("set[int]", set),
        ("bytes", bytes),
        ("Annotated[int, 'x']", int),
        ("Literal['a', 'b']", str),
    ],
)
def test_annotations_are_obeyed(annotation: str, kind: type) -> None:
    calls = inputs(f"def f(x: {annotation}): ...").calls(40)
    assert len(calls) >= (2 if kind is str and "Literal" in annotation else 10)
    for call in calls:
        assert isinstance(ast.literal_eval(call.args[0]), kind), call.text


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("return x.split(',')", "str"),
        ("return x + 1", "int | float"),
        ("return x % 2", "int"),
        ("x.append(1)", "list[int]"),
        ("return x.get('a')", "dict[str, int | str]"),
        ("return x['a'] + x['b']", "dict[str, str | int]"),
        ("return [y.lower() for y in x]", "list[str]"),
        ("return x(1)", "callable"),
        ("return isinstance(x, bytes)", "bytes"),
        ("return x.read()", "stream"),
        ("return x == 'a'", "str"),
    ],
)
def test_use_tells_the_type(body: str, kind: str) -> None:
    f = function(f"def f(x):\n    {body}\n")
    shapes = Shapes(f, Vocabulary(), lambda name: None)
    assert shapes.options(f.parameters[0])[0].kind == kind


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        ("deque[int]", "deque"),
        ("collections.Counter[str]", "Counter"),
        ("OrderedDict[str, int]", "OrderedDict"),
        ("defaultdict[str, list[int]]", "defaultdict"),
        ("frozenset[int]", "frozenset"),
    ],
)
def test_containers_are_of_the_class_that_is_annotated(annotation: str, kind: str) -> None:
    made = [eval(call.args[0], {**vars(collections)}) for call in inputs(f"def f(x: {annotation}): ...").calls(40)]
    assert len(made) >= 10
    assert {type(value).__name__ for value in made} == {kind}
    assert any(made) and not all(made)
    if kind == "defaultdict":
        assert made[0]["nothing that is there"] == []


def test_annotations_are_obeyed_by_calls_that_grow_from_others() -> None:
    given = inputs("def f(n: int, text: str, m: int): ...", found=[Call("f", ("7", "'seven'", "8"))])
    for number in range(6):
        calls = given.calls(60)
        for call in calls:
            kinds = [type(ast.literal_eval(text)) for text in call.args]
            assert kinds == [int, str, int], call.text
            given.learn(call, Outcome({"value": ["int", "1"], "lines": [number]}))


def test_constants_of_the_code_and_their_neighbours_come_up() -> None:
    texts = {call.text for call in inputs("def f(x: int): return x > 731").calls(60)}
    assert {"f(730)", "f(731)", "f(732)"} <= texts


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_the_same_function_gets_the_same_calls(seed: int) -> None:
    source = f"def f(x, y=1, *z, k: str = 'a'): return x == {seed}"
    assert [c.text for c in inputs(source).calls(30)] == [c.text for c in inputs(source).calls(30)]


CLASSES = """
from dataclasses import dataclass
import enum
class Colour(enum.Enum):
    RED = 1
    BLUE = 2
@dataclass
class Point:
    x: int
    y: int = 0
class Base:
    def __init__(self, points: list[Point], *, colour: Colour): ...
class Shape(Base):
    def area(self, scale: float) -> float: ...
    @property
    def edges(self): ...
    @staticmethod
    def unit(n: int): ...
class Outer:
    class Inner:
        def go(self): ...
def f(p: Point, c: "Colour", s: Shape | None = None): ...
"""


def test_objects_are_made_by_their_constructors() -> None:
    namespace: dict[str, object] = {}
    exec(CLASSES, namespace)
    for name in ("f", "Shape.area", "Shape.edges", "Shape.unit", "Base.__init__"):
        calls = inputs(CLASSES, name).calls(25)
        assert calls, name
        for call in calls:
            eval(call.text, namespace)  # arguments of another type would raise
    assert any("Colour.BLUE" in c.text and "Point(" in c.text for c in inputs(CLASSES, "f").calls(30))


AROUND = """
import codecs
from dataclasses import dataclass
class Kind: ...
class Large(Kind): ...
@dataclass
class Event:
    headers: list[tuple[bytes, bytes]]
@dataclass
class Reply(Event):
    status_code: int
class Grammar:
    def __init__(self, text):
        raise ValueError(text)
    def rules(self): ...
def load_grammar(): ...
def of_name(encoding): return codecs.lookup(encoding)
def of_use(x): return codecs.lookup(x)
def of_class(kind: type[Kind]): ...
def of_record(reply: Reply): ...
def of_maker(grammar: Grammar): ...
def of_attributes(it): return it.rules()
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("of_name", "'utf-8'"),
        ("of_use", "'utf-8'"),
        ("of_class", "Large"),
        ("of_record", "Reply([(b'Host', b'host.org'), (b'Transfer-Encoding', b'chunked')], 200)"),
        ("of_maker", "load_grammar()"),
        ("of_attributes", "load_grammar()"),
    ],
)
def test_arguments_fit_what_the_project_knows_of_them(name: str, text: str) -> None:
    assert any(call.args[0] == text for call in inputs(AROUND, name).calls(60))


def test_an_object_is_used_before_the_call() -> None:
    source = "class Box:\n    def put(self, n: int): ...\n    def take(self): ...\n"
    f = function(source, "Box.take")
    words = vocabulary(f.node)
    calls = Inputs(f, Constructors("a.py", source, words), words, stirring=True).calls(40)
    assert any(call.before and call.before[0].startswith("self.put(") for call in calls)


def mined(files: dict[str, str], name: str, path: str = "shop.py") -> list[str]:
    mine = Mine(Memory({p: text.encode() for p, text in files.items()}))
    found = mine.of(functions(files[path])[name], path, top_names(files[path]))
    return ["; ".join([*call.before, call.text]) for call in found.calls]


def test_calls_of_the_project_are_taken() -> None:
    shop = '''
class Stack:
    """A stack.

    >>> Stack([1]).push(9)
    2
    """
    def __init__(self, items=()): self.items = list(items)
    def push(self, item): self.items.append(item)
def price(net, rate=0.2):
    """
    >>> price(100)
    120.0
    """
'''
    tests = """
import pytest
from shop import Stack, price
import shop
NET = 12
@pytest.mark.parametrize("net, rate", [(1, 0.5), (2, 0.25)])
def test_price(net, rate):
    assert price(net, rate=rate)
def test_more(fixture):
    assert price(NET, fixture)
    assert shop.price(NET) == price(len("abc"))
def test_stack():
    stack = shop.Stack([5])
    stack.push("a")
    stack.push("b")
"""
    files = {"shop.py": shop, "tests/test_shop.py": tests, "other.py": "x = open('f').read()\nprice(x)\n"}
    assert mined(files, "price") == [
        "price(100)",
        "price(1, rate=0.5)",
        "price(2, rate=0.25)",
        "price(12)",
        "price(len('abc'))",
    ]
    assert mined(files, "Stack.push") == [
        "Stack([1]).push(9)",
        "Stack([5]).push('a')",
        "self.push('a'); Stack([5]).push('b')",
    ]


@given(st.from_regex(r"(?:[a-z]+-\d{2,4}|x(?:y|z)*)", fullmatch=True), st.randoms(use_true_random=False))
def test_examples_match_their_pattern(text: str, dice: object) -> None:
    import random
    import re

    pattern = rf"(?P<a>{re.escape(text)})(?:[^x-z\d]+|\w?)\s*(?P=a)$"
    assert isinstance(dice, random.Random)
    assert re.match(pattern, Pattern(pattern).example(dice)), pattern


def test_a_call_becomes_as_small_as_it_can() -> None:
    def shows(calls: Sequence[Call]) -> list[bool]:
        answers = []
        for call in calls:
            xs, text = (ast.literal_eval(part) for part in call.args)
            answers.append(any(x > 17 for x in xs) and "q" in text)
        return answers

    call = Call("f", ("[3, 4, 99, -5, 63]", "'the quick brown fox'"))
    assert shrunk(call, shows, required=2, rounds=50).text == "f([18], 'q')"
