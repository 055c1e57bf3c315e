"""What is special about arguments, in the words that stand in a test's name."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

_KINDS: dict[object, str] = {list: "list", tuple: "tuple", dict: "dict", set: "set", str: "text", bytes: "bytes"}
BOUNDS = frozenset(
    ("n", "k", "size", "count", "window", "step", "width", "length", "limit", "index", "sep", "separator")
)
"""Names of what goes with a list and is none of its items."""


def literal(text: str) -> object:
    """The value of an expression; None also for what is no literal."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def argument_traits(text: str, name: str, *, bare: bool = False) -> Iterator[str]:
    """What is special about one argument: ``an_empty_list``; with the ``name`` of its parameter, which tells it from
    others, ``empty_items``; ``bare``: only ``empty``."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return
    kind = _KINDS.get(type(value), "")
    if value is None:
        yield "none" if bare or not name else f"no_{name}"
    elif isinstance(value, bool):
        return
    elif isinstance(value, int | float):
        if value == 0:
            yield f"zero_{name}" if name else "zero"
        elif value < 0:
            yield "negative" if bare else f"negative_{name}" if name else "a_negative_number"
    elif kind and isinstance(value, list | tuple | dict | set | str | bytes):
        if not value:
            yield "empty" if bare else f"empty_{name}" if name else f"an_empty_{kind}"
        elif isinstance(value, str):
            for said in _textual(value):
                yield said if bare else f"{said}_{name or kind}"
        elif not bare and len(value) == 1 and not isinstance(value, bytes):
            yield f"one_item_in_{name}" if name else "one_item"
        elif not bare and isinstance(value, list | tuple):
            if len({repr(item) for item in value}) < len(value):
                yield f"duplicates_in_{name}" if name else "duplicates"
            if any(isinstance(i, int | float) and not isinstance(i, bool) and i < 0 for i in value):
                yield f"negative_{name}" if name else "negative_numbers"


def relations(arguments: Sequence[tuple[str, str]], code: ast.AST) -> Iterator[str]:
    """How arguments stand to each other, where that is a boundary: ``x_is_the_first_item``, and ``x_equals_low`` where
    the ``code`` compares them."""
    values = [(name, literal(text)) for name, text in arguments]
    for name, many in values:
        if isinstance(many, list | tuple) and len(many) > 1:
            for other, one in values:
                if other != name and other not in BOUNDS and type(one) is type(many[0]):
                    yield from _place(other, one, many)
    numbers = [(name, v) for name, v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    compared = [
        {n.id for n in ast.walk(c) if isinstance(n, ast.Name)} for c in ast.walk(code) if isinstance(c, ast.Compare)
    ]
    for place, (name, value) in enumerate(numbers):
        for other, than in numbers[place + 1 :]:
            if value == than and any({name, other} <= names for names in compared):
                yield f"{name}_equals_{other}"


def _place(name: str, one: object, many: Sequence[object]) -> Iterator[str]:
    if one in many:
        if many.count(one) > 1:
            yield f"{name}_occurs_twice" if many.count(one) == 2 else f"{name}_occurs_often"
        elif one == many[0]:
            yield f"{name}_is_the_first_item"
        elif one == many[-1]:
            yield f"{name}_is_the_last_item"
    elif isinstance(one, str):
        yield f"{name}_is_missing"


def _textual(text: str) -> Iterator[str]:
    if text.isspace():
        yield "blank"
    elif text != text.strip():
        yield "padded"
    elif "\n" in text:
        yield "multiline"
    elif not text.isascii():
        yield "non_ascii"
