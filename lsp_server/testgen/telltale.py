"""Arguments at which code goes wrong that is right for plain ones: repeated and tied items, other orders and cases,
two separators in a row, blanks around a text, numbers beyond those that the code names."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Sequence

from famulus.lsp_server.testgen.special import literal

_NUMBERS = ("[5, 3, 8, 3]", "[2, 2, 1, 1, 1, 4]", "[1, 1, 1, 1]", "[7, -3, 12, 25, 4]", "[10, 20, 15, 5, 30]")
_FLOATS = ("[4.5, 1.0, 3.0]", "[2.5, 2.5, 10.0, 1.0]")
_WORDS = ("['b', 'A', 'a', 'c', 'B']", "['pear', 'fig', 'kiwi', 'fig']", "['  a', '', '    b']", "['a', 'bb', 'cc']")
_PAIRS = ("[(3, 5), (1, 2), (2, 4)]", "[(1, 3), (3, 5)]", "[(1, 10), (2, 3), (12, 15)]", "[(5, 5), (1, 2)]")
_ROWS = ("[[1, 2], [3, 4, 5]]", "[[3], [1, 2], []]")
_COUNTS = ("{'b': 2, 'a': 2, 'c': 5}", "{'a': 0, 'b': 3}")
_LARGE = ("1234", "111", "12", "60")
_MOST_NUMBERS = 12


def telltales(text: str, code: ast.AST) -> list[str]:
    """Expressions of the type of a literal, for its place in a call of ``code``; none for what is no literal."""
    value = literal(text)
    match value:
        case bool() | None:
            return []
        case int():
            return [n for n in dict.fromkeys([*_beyond(code), *_LARGE]) if n != text]
        case float():
            return [*(repr(float(n)) for n in _beyond(code)[:6]), "-2.5", "0.005", "1234.5"]
        case str():
            return [repr(one) for one in dict.fromkeys(_texts(value)) if one != value]
        case list() if value:
            return list(_lists(value))
        case dict() if all(isinstance(one, int) for one in value.values()):
            return list(_COUNTS)
    return []


def _beyond(code: ast.AST) -> list[str]:
    """Numbers around those of the code, and sums of two of them."""
    found = [n.value for n in ast.walk(code) if isinstance(n, ast.Constant) and type(n.value) is int and n.value > 1]
    constants = list(dict.fromkeys(found))[:4]
    near = [n + step for n in constants for step in (0, -1, 1)]
    sums = [a + b for a, b in itertools.combinations_with_replacement(constants, 2)]
    mixed = [n for pair in itertools.zip_longest(near, sums) for n in pair if n is not None]
    return [str(n) for n in dict.fromkeys(mixed) if n < 10**7][:_MOST_NUMBERS]


def _texts(text: str) -> Iterator[str]:
    yield from (text.upper(), f" {text} ", text.title())
    if mark := re.search(r"[^\w]", text):
        sign = mark[0]
        yield from (text.replace(sign, sign * 2), sign + text, text + sign, text.upper() + sign + text)
    if text:
        yield from (text[0] * 2 + text, text + text[-1], text[::-1])


def _lists(value: Sequence[object]) -> Iterator[str]:
    match value[0]:
        case bool():
            yield "[True, False, True]"
        case int():
            yield from _NUMBERS
        case float():
            yield from _FLOATS
        case str():
            yield from _WORDS
        case (int(), int()):
            yield from _PAIRS
        case [int(), *_]:
            yield from _ROWS
    if len(value) > 1:
        yield repr([*value, value[0]])
        yield repr(value[::-1])
