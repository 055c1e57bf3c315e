"""Small changes to an expression that is made of constants: a neighbouring input."""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from typing import Any

_EXTRA = " aB10-_.,:/\n'\"=%é<(\\#\t"
"""Characters that code treats in its own way."""


def mutated(text: str, dice: random.Random, pool: Sequence[str] = ()) -> str:
    """``text`` with one or two constants or containers changed, or one of ``pool`` in its place."""
    if pool and dice.random() < 0.15:
        return dice.choice(pool)
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    for _ in range(dice.choice((1, 1, 2))):
        places = [n for n in ast.walk(tree) if isinstance(n, ast.Constant | ast.List | ast.Set | ast.Tuple | ast.Dict)]
        if places:
            _change(dice.choice(places), dice)
    try:
        return ast.unparse(ast.fix_missing_locations(tree))
    except (ValueError, RecursionError):
        return text


def _change(node: ast.AST, dice: random.Random) -> None:
    if isinstance(node, ast.Constant):
        node.value = _constant(node.value, dice)
    elif isinstance(node, ast.Dict):
        if node.keys and dice.random() < 0.5:
            place = dice.randrange(len(node.keys))
            del node.keys[place], node.values[place]
    elif isinstance(node, ast.List | ast.Tuple | ast.Set):
        items = node.elts
        way = dice.randrange(5)
        if items and way == 0 and (len(items) > 1 or isinstance(node, ast.List)):
            del items[dice.randrange(len(items))]
        elif items and way == 1:
            items.append(items[dice.randrange(len(items))])
        elif items and way == 2:
            dice.shuffle(items)
        elif items and way == 3:
            items.reverse()
        elif items:
            items.insert(dice.randrange(len(items) + 1), _copied(dice.choice(items), dice))


def _copied(node: ast.expr, dice: random.Random) -> ast.expr:
    copy = ast.parse(ast.unparse(node), mode="eval").body
    inner = [n for n in ast.walk(copy) if isinstance(n, ast.Constant)]
    if inner:
        _change(dice.choice(inner), dice)
    return copy


def _constant(value: Any, dice: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return dice.choice((value + 1, max(value - 1, 0), value * 2, value // 2, 0, 1, dice.randint(0, 20), value + 10))
    if isinstance(value, float):
        return abs(dice.choice((value + 1, value / 2, value * 3, 0.0, 1.0, round(value), value + 0.25)))
    if isinstance(value, str):
        return _text(value, dice)
    if isinstance(value, bytes):
        return _text(value.decode("latin-1"), dice).encode("latin-1", "replace")
    return value


def _text(text: str, dice: random.Random) -> str:
    place = dice.randrange(len(text) + 1)
    end = min(len(text), place + dice.choice((1, 1, 2, 4)))
    extra = dice.choice(_EXTRA)
    return dice.choice(
        (
            text[:place] + extra + text[place:],
            text[:place] + text[end:],
            text[:place] + text[place:end] + text[place:],
            text + text,
            text.swapcase(),
            text[::-1],
            text[:place] + extra + text[end:],
            text + extra,
            extra + text,
            text[:place],
        )
    )
