"""What the documentation says and the code does not do is told, and no test pins it."""

from __future__ import annotations

from typing import Any

import pytest

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import functions
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.testgen.case import Aim, Example
from famulus.lsp_server.testgen.expectation import without

SOURCE = '''
def find(items, wanted):
    """Index of wanted in items; returns -1 if it is not found.

    >>> find([1, 2], 2)
    1
    >>> find([], 3) + 1
    0
    """

def first(items):
    """The first item, or None if items is empty."""

def root(x):
    """The square root.

    Raises:
        ValueError: if x is negative.
    """

def cut(text, n):
    """The text, cut. Returns an empty string if n is zero."""

def flat(items):
    """All items.

    >>> list(flat([[1], [2]]))
    [1, 2]
    """

def loose(x, y):
    """Returns 0 if x is negative and y is odd. Returns 1 when the moon is full."""
'''
NONE: Any = {"value": ["const", "None"]}
REFUSED: Any = {"raised": ["exception", "ValueError", ["list", []]], "kinds": ["ValueError"], "message": ""}


def number(value: int) -> dict[str, Any]:
    return {"value": ["int", str(value)]}


@pytest.mark.parametrize(
    ("name", "arguments", "answer", "contradicted"),
    [
        ("find", ("[1, 2]", "2"), number(1), False),
        ("find", ("[1, 2]", "2"), number(0), True),
        ("find", ("[1, 2]", "2"), REFUSED, True),
        ("find", ("[1, 2]", "7"), number(-1), False),
        ("find", ("[1, 2]", "7"), NONE, True),
        ("find", ("[7, 2]", "7"), number(0), False),
        ("first", ("[]",), NONE, False),
        ("first", ("[]",), number(0), True),
        ("first", ("[4]",), number(4), False),
        ("root", ("-1",), REFUSED, False),
        ("root", ("-1",), number(1), True),
        ("root", ("4",), number(2), False),
        ("cut", ("'abc'", "0"), {"value": ["str", ""]}, False),
        ("cut", ("'abc'", "0"), {"value": ["str", "abc"]}, True),
        ("flat", ("[[1], [2]]",), {"value": ["iterator", [["int", "1"], ["int", "2"]]]}, False),
        ("flat", ("[[1], [2]]",), {"value": ["iterator", [["int", "2"]]]}, True),
        ("loose", ("-1", "2"), number(5), False),
    ],
)
def test_an_answer_is_compared_with_what_the_docstring_says(
    name: str, arguments: tuple[str, ...], answer: dict[str, Any], contradicted: bool
) -> None:
    aim = Aim("a.py", "a", SOURCE, functions(SOURCE)[name])
    kept, told = without(aim, [Example(Call(name, arguments), Outcome(answer))])
    assert (not kept, len(told)) == (contradicted, int(contradicted))
    assert all("doc" in sentence and ", but " in sentence for sentence in told)
