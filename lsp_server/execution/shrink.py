"""Makes a call smaller as long as it still shows what it shows."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from famulus.lsp_server.execution.calls import Call

Shows = Callable[[Sequence[Call]], Sequence[bool]]
_AT_ONCE = 40


def shrunk(
    call: Call, shows: Shows, *, required: int = 0, go_on: Callable[[], bool] = lambda: True, rounds: int = 12
) -> Call:
    """The smallest call found that still ``shows`` it, greedily: all smaller neighbours are tried in one go.

    ``required``: how many positional arguments must stay. ``go_on`` is asked before each of at most ``rounds``."""
    seen = {call}
    for _ in range(rounds):
        if not go_on():
            break
        neighbours = (c for c in dict.fromkeys(_neighbours(call, required)) if c not in seen)
        smaller = sorted((c for c in neighbours if _weight(c) < _weight(call)), key=_weight)
        smaller = smaller[:_AT_ONCE]
        seen.update(smaller)
        if not smaller:
            break
        answers = shows(smaller)
        best = next((c for c, yes in zip(smaller, answers, strict=True) if yes), None)
        if best is None:
            break
        call = best
    return call


def _weight(call: Call) -> tuple[tuple[int, int, int], str]:
    return call.size, call.text


def _neighbours(call: Call, required: int) -> Iterator[Call]:
    for place in range(len(call.kwargs)):
        rest = (*call.kwargs[:place], *call.kwargs[place + 1 :])
        yield replace(call, kwargs=rest)
    if len(call.args) > required:
        yield replace(call, args=call.args[:-1])
    for place in range(len(call.before)):
        yield replace(call, before=(*call.before[:place], *call.before[place + 1 :]))
    for place, text in enumerate(call.expressions):
        for smaller in smaller_expressions(text):
            yield call.replaced(place, smaller)


def smaller_expressions(text: str) -> Iterator[str]:
    """Expressions like ``text`` with less in them: fewer items, shorter texts, simpler numbers, fewer arguments."""
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for smaller in _smaller(tree, 0):
        try:
            yield ast.unparse(smaller)
        except (ValueError, RecursionError):
            continue


def _smaller(node: ast.expr, depth: int) -> Iterator[ast.expr]:
    if depth > 5:
        return
    match node:
        case ast.Constant(value=value):
            yield from (ast.Constant(v) for v in _smaller_constants(value))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield operand
            yield from (ast.UnaryOp(ast.USub(), inner) for inner in _smaller(operand, depth + 1))
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            yield from (_like(node, rest) for rest in _without(items, 1 if isinstance(node, ast.Set) else 0))
            for place, item in enumerate(items[:12]):
                for inner in _smaller(item, depth + 1):
                    yield _like(node, [*items[:place], inner, *items[place + 1 :]])
        case ast.Dict(keys=keys, values=values):
            both = list(zip(keys, values, strict=True))
            for rest in _without(both, 0):
                yield ast.Dict([k for k, _ in rest], [v for _, v in rest])
            for place, item in enumerate(values[:8]):
                for inner in _smaller(item, depth + 1):
                    yield ast.Dict(keys, [*values[:place], inner, *values[place + 1 :]])
            for place, (key, _) in enumerate(both[:8]):
                for inner in _smaller(key, depth + 1) if key is not None else ():
                    yield ast.Dict([*keys[:place], inner, *keys[place + 1 :]], values)
        case ast.Call(func=func, args=args, keywords=keywords):
            for place in range(len(keywords)):
                yield ast.Call(func, args, [*keywords[:place], *keywords[place + 1 :]])
            for place, argument in enumerate(args):
                for inner in _smaller(argument, depth + 1):
                    yield ast.Call(func, [*args[:place], inner, *args[place + 1 :]], keywords)
            for place, keyword in enumerate(keywords):
                for inner in _smaller(keyword.value, depth + 1):
                    changed = ast.keyword(keyword.arg, inner)
                    yield ast.Call(func, args, [*keywords[:place], changed, *keywords[place + 1 :]])


def _like(node: ast.expr, items: list[ast.expr]) -> ast.expr:
    return (
        ast.Set(items)
        if isinstance(node, ast.Set)
        else ast.Tuple(items)
        if isinstance(node, ast.Tuple)
        else ast.List(items)
    )


def _without(items: Sequence[Any], least: int) -> Iterator[list[Any]]:
    """Fewer items: none, one half, all but one."""
    if len(items) > least and not least:
        yield []
    half = len(items) // 2
    if half > least:
        yield list(items[:half])
        yield list(items[half:])
    if len(items) > least + 1 or (len(items) > least and not least):
        yield from ([*items[:n], *items[n + 1 :]] for n in range(min(len(items), 16)))


def _smaller_constants(value: object) -> Iterator[bool | int | float | str | bytes]:
    if isinstance(value, bool):
        if value:
            yield False
    elif isinstance(value, int):
        yield from dict.fromkeys(n for n in (0, 1, value // 10, value // 2, value - 1) if abs(n) < abs(value))
    elif isinstance(value, float):
        yield from dict.fromkeys(
            f
            for f in (0.0, 1.0, float(round(value)), round(value, 1))
            if abs(f) < abs(value) or len(repr(f)) < len(repr(value))
        )
    elif isinstance(value, str):
        yield from _smaller_texts(value)
    elif isinstance(value, bytes):
        yield from (text.encode("latin-1") for text in _smaller_texts(value.decode("latin-1")))


def _smaller_texts(text: str) -> Iterator[str]:
    if not text:
        return
    yield ""
    half = len(text) // 2
    if half:
        yield text[:half]
        yield text[half:]
        yield from dict.fromkeys(text[:n] + text[n + 1 :] for n in range(min(len(text), 24)))
    plain = "".join("a" if c.isalpha() and c != "a" else c for c in text)
    if plain != text:
        yield plain
