"""Arguments for which simple conditions of a function hold, or do not."""

from __future__ import annotations

import ast
import itertools
import operator
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from famulus.lsp_server.execution import regexes
from famulus.lsp_server.execution.functions import Function
from famulus.lsp_server.testgen.altering import (
    EMPTY,
    NOTHING,
    STEPS,
    Change,
    Written,
    always,
    at,
    different,
    ended,
    full,
    hashed,
    holding,
    in_slice,
    remainder,
    shifted,
    split,
)  # fmt: skip

_DEEP = 6


@dataclass(frozen=True)
class Condition:
    """An expression that shall be true, or shall not."""

    test: ast.expr
    wanted: bool


@dataclass(frozen=True)
class Step:
    """Change an argument: ``name`` of the parameter, of the constructor's where the object has ``kept`` it."""

    name: str
    change: Change
    kept: bool = False

    def new(self, text: str) -> str:
        """The expression in the place of ``text``."""
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            value = NOTHING
        try:
            changed = self.change(value)
        except (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError):
            return text or "None"
        said = repr(changed)
        return said if repr(NOTHING) not in said else text or "None"


Way = tuple[Step, ...]
_OF_TYPE: Mapping[str, tuple[Any, ...]] = {
    "str": ("abc",), "int": (3,), "float": (2.5,), "bool": (True,), "bytes": (b"abc",), "list": ([1, 2],),
    "tuple": ((1, 2),), "dict": ({"a": 1},), "set": ({1, 2},), "complex": (1j,), "Mapping": ({"a": 1},),
    "Sequence": ([1, 2],), "Iterable": ([1, 2],), "Number": (3,), "Integral": (3,),
    "Decimal": (Written("Decimal('1.5')"),),
    "bytearray": (Written("bytearray(b'abc')"),), "frozenset": (Written("frozenset({1, 2})"),),
    "datetime": (Written("datetime.datetime(2024, 2, 29, 12, 30)"),), "date": (Written("datetime.date(2024, 2, 29)"),),
    "timedelta": (Written("timedelta(hours=5)"),), "Path": (Written("Path('a/b.txt')"),), "type": (Written("int"),),
    "Callable": (Written("str"),),
}  # fmt: skip
_ASKED: Mapping[str, tuple[Any, ...]] = {
    "isdigit": ("12",), "isdecimal": ("12",), "isnumeric": ("12",), "isalpha": ("abc",), "isalnum": ("a1",),
    "isspace": (" ",), "isupper": ("ABC",), "islower": ("abc",), "istitle": ("Abc",), "isidentifier": ("name",),
    "isascii": ("abc",), "is_integer": (3.0,),
}  # fmt: skip
_OTHERWISE: Mapping[str, tuple[Any, ...]] = {
    "isspace": ("abc",), "isupper": ("abc",), "islower": ("ABC",), "isascii": ("äß",), "is_integer": (2.5,),
}  # fmt: skip
"""Values for which the methods say no; of the others a sign."""
_SAME = frozenset(("strip", "lstrip", "rstrip", "copy", "casefold", "encode", "decode"))
"""Steps that leave a value that fits as it is."""
_FLIPPED: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE, ast.Eq: ast.Eq, ast.NotEq: ast.NotEq,
}  # fmt: skip
_DENIED: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


class Solver:
    """Solves conditions of one function. ``constants``: what names of its module stand for, patterns as
    :class:`.regexes.Pattern`; ``kept``: parameters of the constructor by the attribute that keeps them."""

    def __init__(self, function: Function, constants: Mapping[str, object], kept: Mapping[str, str]) -> None:
        self._constants, self._kept = constants, kept
        self._parameters = {parameter.name for parameter in function.parameters}
        self._assigned: dict[str, list[ast.expr]] = {}
        for node in ast.walk(function.node):
            match node:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.NamedExpr(target=ast.Name(id=name), value=value)
                ):
                    self._assigned.setdefault(name, []).append(value)
                case ast.For(target=ast.Name(id=name), iter=value):
                    first = ast.Subscript(value, ast.Constant(0), ast.Load())
                    self._assigned.setdefault(name, []).append(first)

    def ways(self, conditions: Sequence[Condition]) -> Iterator[Way]:
        """Ways to fulfil all of them, of those that can be solved; the last one is decisive."""
        each = [list(itertools.islice(self._solved(c.test, c.wanted, 0), 12)) for c in conditions]
        if not each or not each[-1]:
            return
        before = [solutions[:2] or [()] for solutions in each[:-1]]
        # What came before may have been fulfilled by the call that is changed: the last one alone is tried first.
        yield from each[-1][:6]
        for last in each[-1]:
            for rest in itertools.islice(itertools.product(*before), 4):
                way = (*itertools.chain.from_iterable(rest), *last)
                if len(way) > len(last):
                    yield way

    def _solved(self, test: ast.expr, wanted: bool, depth: int) -> Iterator[Way]:
        if depth > _DEEP:
            return
        match test:
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                yield from self._solved(inner, not wanted, depth + 1)
            case ast.BoolOp(op=sign, values=values):
                if isinstance(sign, ast.And) == wanted:
                    each = [list(itertools.islice(self._solved(v, wanted, depth + 1), 3)) or [()] for v in values]
                    for parts in itertools.islice(itertools.product(*each), 8):
                        if any(parts):
                            yield tuple(itertools.chain.from_iterable(parts))
                else:
                    for value in values:
                        yield from self._solved(value, wanted, depth + 1)
            case ast.Compare(left=left, ops=[sign], comparators=[right]):
                yield from self._compared(left, sign if wanted else _DENIED[type(sign)](), right, depth)
            case ast.Compare(left=left, ops=[one, two], comparators=[middle, right]) if wanted:
                low, high = self._constant(left), self._constant(right)
                if isinstance(low, int) and isinstance(high, int):
                    for number in dict.fromkeys((low + isinstance(one, ast.Lt), (low + high) // 2,
                                                 high - isinstance(two, ast.Lt))):  # fmt: skip
                        yield from self._made(middle, always(number), depth)
                else:
                    yield from self._compared(left, one, middle, depth)
                    yield from self._compared(middle, two, right, depth)
            case ast.Call():
                yield from self._asked(test, wanted, depth)
            case ast.NamedExpr(value=value):
                yield from self._solved(value, wanted, depth + 1)
            case ast.Name(id=name) if name in self._assigned and name not in self._parameters:
                for value in self._assigned[name][-2:]:
                    yield from self._solved(value, wanted, depth + 1)
            case _:
                yield from self._true(test, wanted, depth)

    def _true(self, node: ast.expr, wanted: bool, depth: int) -> Iterator[Way]:
        if wanted:
            yield from self._made(node, full, depth)
            yield from self._made(node, always(True), depth)
        else:
            yield from self._made(node, lambda v: type(v)() if type(v) in EMPTY else None, depth)
            yield from self._made(node, always(None), depth)

    def _compared(self, left: ast.expr, sign: ast.cmpop, right: ast.expr, depth: int) -> Iterator[Way]:
        known = self._constant(right)
        if known is NOTHING:
            other = self._constant(left)
            if other is not NOTHING and type(sign) in _FLIPPED:
                yield from self._compared(right, _FLIPPED[type(sign)](), left, depth + 1)
            elif other is not NOTHING and isinstance(sign, ast.In | ast.NotIn):
                yield from self._made(right, holding(other, isinstance(sign, ast.In)), depth)
            return
        match sign:
            case ast.Eq() | ast.Is():
                yield from self._made(left, always(known), depth)
            case ast.NotEq() | ast.IsNot():
                yield from self._made(left, lambda v: v if v is not NOTHING and v != known else different(known), depth)
            case ast.In() if isinstance(known, str | list | tuple | set | frozenset | dict) and known:
                items = sorted(known, key=repr) if isinstance(known, set | frozenset) else list(known)
                for item in dict.fromkeys((*map(hashed, items[:3]), *map(hashed, items[-1:]))):
                    yield from self._made(left, always(item), depth)
            case ast.NotIn():
                absent = "zz" if all(isinstance(item, str) for item in known) else 99
                yield from self._made(left, always(absent), depth)
            case ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE() if isinstance(known, int | float):
                small = -1 if isinstance(sign, ast.Lt | ast.LtE) else 1
                near = [known + small] if isinstance(sign, ast.Lt | ast.Gt) else [known, known + small]
                for number in near:
                    yield from self._made(left, always(number), depth)

    def _asked(self, call: ast.Call, wanted: bool, depth: int) -> Iterator[Way]:
        """A call that is true, or is not."""
        match call:
            case ast.Call(func=ast.Name(id="isinstance"), args=[subject, kinds]):
                names = [ast.unparse(k).rpartition(".")[2] for k in _alternatives(kinds)]
                fitting = [value for name in names for value in _OF_TYPE.get(name, ())]
                others = [v for name in ("str", "int", "list") if name not in names for v in _OF_TYPE[name]]
                for value in fitting if wanted else others:
                    yield from self._made(subject, always(value), depth)
            case ast.Call(func=ast.Name(id="callable"), args=[subject]):
                yield from self._made(subject, always(Written("str") if wanted else 3), depth)
            case ast.Call(func=ast.Attribute(value=subject, attr="startswith" | "endswith" as name), args=[what, *_]):
                ends = self._constant(what)
                for sign in ends if isinstance(ends, tuple) else (ends,):
                    if isinstance(sign, str | bytes):
                        yield from self._made(subject, ended(sign, name == "startswith", wanted), depth)
                    if isinstance(sign, str) and wanted:  # what follows is often a number
                        number = sign + "10" if name == "startswith" else "10" + sign
                        yield from self._made(subject, always(number), depth)
            case ast.Call(func=ast.Attribute(value=subject, attr=name)) if name in _ASKED:
                for value in _ASKED[name] if wanted else _OTHERWISE.get(name, ("-",)):
                    yield from self._made(subject, always(value), depth)
            case ast.Call(func=ast.Attribute(value=holder, attr="match" | "search" | "fullmatch"), args=[*given]) if (
                given
            ):
                held = self._constant(holder)
                pattern = held if isinstance(held, regexes.Pattern) else self._pattern(given[0])
                for text in _matching(pattern) if wanted else ("-",):
                    yield from self._made(given[0 if pattern is held else min(1, len(given) - 1)], always(text), depth)
            case _:
                yield from self._true(call, wanted, depth)

    def _pattern(self, node: ast.expr) -> regexes.Pattern | None:
        known = self._constant(node)
        try:
            return regexes.Pattern(known) if isinstance(known, str) else None
        except ValueError:
            return None

    def _constant(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name | ast.Attribute):
            return self._constants.get(ast.unparse(node).removeprefix("self.").removeprefix("cls."), NOTHING)
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError):
            return NOTHING

    def _made(self, node: ast.expr, change: Change, depth: int) -> Iterator[Way]:
        """Ways to change the value of an expression."""
        if depth > _DEEP:
            return
        match node:
            case ast.Name(id=name) if name in self._assigned:
                if name in self._parameters:
                    yield (Step(name, change),)
                for value in self._assigned[name][-2:]:
                    if not any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(value)):
                        yield from self._made(value, change, depth + 1)
            case ast.Name(id=name) if name in self._parameters:
                yield (Step(name, change),)
            case ast.Attribute(value=ast.Name(id="self"), attr=attribute) if attribute in self._kept:
                yield (Step(self._kept[attribute], change, kept=True),)
            case ast.BoolOp(op=ast.Or(), values=[first, *_]):
                yield from self._made(first, change, depth + 1)
            case ast.IfExp(body=first):
                yield from self._made(first, change, depth + 1)
            case ast.Subscript(value=holder, slice=key):
                place = self._constant(key)
                if place is not NOTHING or isinstance(key, ast.Name):
                    yield from self._made(holder, at(0 if place is NOTHING else place, change), depth + 1)
                elif isinstance(key, ast.Slice):
                    yield from self._made(holder, in_slice(self._bounds(key), change), depth + 1)
            case ast.Call(func=ast.Attribute(value=holder, attr="get"), args=[key, *_]):
                if (place := self._constant(key)) is not NOTHING:
                    yield from self._made(holder, at(place, change), depth + 1)
            case ast.Call(func=ast.Attribute(value=holder, attr=name)) if name in STEPS or name in _SAME:
                yield from self._made(holder, (STEPS[name](change) if name in STEPS else change), depth + 1)
            case ast.Call(func=ast.Attribute(value=holder, attr="split" | "partition"), args=[glue, *_]):
                if isinstance(sign := self._constant(glue), str):
                    yield from self._made(holder, split(sign, change), depth + 1)
            case ast.Call(func=ast.Name(id=name), args=[inner]) if name in STEPS:
                yield from self._made(inner, STEPS[name](change), depth + 1)
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as sign, right=right):
                if isinstance(number := self._constant(right), int | float):
                    back, forth = (operator.sub, operator.add)[:: 1 if isinstance(sign, ast.Add) else -1]
                    yield from self._made(left, shifted(number, back, forth, change), depth + 1)
            case ast.BinOp(left=left, op=ast.Mod(), right=right):
                if isinstance(number := self._constant(right), int) and number:
                    yield from self._made(left, remainder(number, change), depth + 1)

    def _bounds(self, node: ast.Slice) -> slice:
        """A slice, of whose bounds those that are not known are left out."""
        given = [self._constant(part) if part else None for part in (node.lower, node.upper)]
        low, high = (bound if isinstance(bound, int) else None for bound in given)
        return slice(low, high)


def _alternatives(kinds: ast.expr) -> Sequence[ast.expr]:
    match kinds:
        case ast.Tuple(elts=items):
            return items
        case ast.BinOp(left=left, right=right):
            return [*_alternatives(left), *_alternatives(right)]
    return [kinds]


def _matching(pattern: regexes.Pattern | None) -> list[str]:
    dice = random.Random(0)
    return list(dict.fromkeys(pattern.example(dice) for _ in range(4))) if pattern else []
