"""Which arguments a function is documented to take: a test of what it does with others is noise."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import Function, raises

_Check = Callable[[object], bool]


def _ordered(value: object) -> bool:
    if not isinstance(value, list | tuple):
        return True
    try:
        return all(a <= b for a, b in pairwise(value))
    except TypeError:
        return False


def _positive(value: object) -> bool:
    return not isinstance(value, int | float) or isinstance(value, bool) or value > 0


def _not_negative(value: object) -> bool:
    return not isinstance(value, int | float) or isinstance(value, bool) or value >= 0


def _filled(value: object) -> bool:
    return not isinstance(value, list | tuple | dict | set | str | bytes) or len(value) > 0


def _finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _not_zero(value: object) -> bool:
    return not isinstance(value, int | float) or isinstance(value, bool) or value != 0


def _distinct(value: object) -> bool:
    return not isinstance(value, list | tuple) or len({repr(item) for item in value}) == len(value)


_WORDS: tuple[tuple[re.Pattern[str], _Check], ...] = (
    (re.compile(r"\b(?:sorted|ascending)\b", re.I), _ordered),
    (re.compile(r"\bnon-?\s?empty\b|\bnot (?:be )?empty\b|\bat least one (?:item|element)", re.I), _filled),
    (re.compile(r"\bnon-?\s?zero\b|\bnot (?:be )?zero\b", re.I), _not_zero),
    (re.compile(r"\bdistinct\b|\bunique\b|\bno duplicates\b|\bwithout duplicates\b", re.I), _distinct),
    (re.compile(r"\bfinite\b", re.I), _finite),
    (re.compile(r"\bpositive\b", re.I), _positive),
    (re.compile(r"\bnon-?\s?negative\b", re.I), _not_negative),
)
_COUNTED = re.compile(
    r"\b(?:number|count|amount) of\b|\bhow (?:many|often|much|long)\b"
    r"|\b(?:size|length|width|height|duration|distance)\b|\b(?:seconds|minutes|hours|days|bytes|characters|times)\b",
    re.I,
)
"""Descriptions of parameters that are counts or sizes: nobody means less than nothing."""
_BETWEEN = re.compile(r"\b(?:between|from) (-?\d+(?:\.\d+)?) (?:and|to) (-?\d+(?:\.\d+)?)\b", re.I)
_NEAR = 4
"""Words between a condition and the parameter that it is about."""


class Domain:
    """The documented domain of a function's arguments, as far as words and assertions tell it."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self._conditions = self._read()
        self._checks_types = "TypeError" in raises(function)

    def holds(self, call: Call) -> bool:
        """Whether nothing that is documented speaks against these arguments. Calls of the project's own always do."""
        if call.source in ("recorded", "test", "doctest"):
            return True
        if not self._checks_types and not self._typed(call):
            return False
        return all(check(value) for name, value in self._values(call) for check in self._conditions.get(name, ()))

    def refuses(self, call: Call) -> bool:
        """Whether the arguments are what the documentation rules out, while the code has something to say to that."""
        return bool(raises(self.function)) and (self._checks_types or self._typed(call))

    def mended(self, call: Call) -> Call:
        """The call with its lists put in order where the function wants that."""
        for place, name in self._places(call):
            if _ordered in self._conditions.get(name, ()):
                value = _literal(call.expressions[place])
                if isinstance(value, list | tuple) and not _ordered(value):
                    try:
                        call = call.replaced(place, repr(type(value)(sorted(value))))
                    except TypeError:
                        continue
        return call

    def _typed(self, call: Call) -> bool:
        """Whether the arguments have the types that the annotations name, as far as these are plain."""
        hints = {p.name: p.annotation for p in self.function.parameters if p.annotation is not None}
        texts = [(name, call.expressions[place]) for place, name in self._places(call)]
        return all(_may_be(hints[name], text) for name, text in texts if name in hints)

    def _read(self) -> dict[str, list[_Check]]:
        found: dict[str, list[_Check]] = {}
        put = {name for node in ast.walk(self.function.node) for name in _put_in_order(node)}
        words = re.findall(r"[\w'-]+", self.function.docstring)
        for parameter in self.function.parameters:
            for at, word in enumerate(words):
                if word != parameter.name:
                    continue
                near = " ".join(words[max(0, at - _NEAR) : at + _NEAR + 1])
                found.setdefault(parameter.name, []).extend(check for form, check in _WORDS if form.search(near))
            told = _description(self.function.docstring, parameter.name)
            if told:
                found.setdefault(parameter.name, []).extend(_told(told))
        for name in put & set(found):  # "sorted" tells what it does with it
            found[name] = [check for check in found[name] if check is not _ordered]
        return found

    def _places(self, call: Call) -> list[tuple[int, str]]:
        """Position in :attr:`Call.expressions` and parameter of each argument; none for a call of something else."""
        if call.target not in (self.function.name, self.function.name.removesuffix(".__init__")):
            return []
        own = 1 if call.receiver else 0
        names = [p.name for p in self.function.parameters if p.kind in ("position", "either")]
        found = [(own + n, name) for n, name in zip(range(len(call.args)), names, strict=False)]
        return found + [(own + len(call.args) + n, name) for n, (name, _) in enumerate(call.kwargs)]

    def _values(self, call: Call) -> list[tuple[str, object]]:
        return [(name, _literal(call.expressions[place])) for place, name in self._places(call)]


def _put_in_order(node: ast.AST) -> set[str]:
    """Names in what a node puts in order."""
    match node:
        case (
            ast.Call(func=ast.Name(id="sorted"), args=[what, *_])
            | ast.Call(func=ast.Attribute(value=what, attr="sort"))
        ):
            return {part.id for part in ast.walk(what) if isinstance(part, ast.Name)}
    return set()


def _description(docstring: str, name: str) -> str:
    """What a list of parameters in a docstring says of one: of Sphinx's, Google's, numpy's or a plain form."""
    start = r"^[ \t]*(?::param(?:eter)?\s+(?:[\w.\[\], ]+\s+)?|[-*]\s*)?"
    match = re.search(rf"{start}`*\**{re.escape(name)}`*(?:\s*\([^)\n]*\))?\s*:(.*)$", docstring, re.M)
    if match is None:
        return ""
    below = re.match(r"\n((?:[ \t]{4,}.*\n?)*)", docstring[match.end() :])
    return match[1] + " " + (below[1] if below else "").replace("\n", " ")


def _told(description: str) -> Iterator[_Check]:
    """Conditions in the description of a parameter."""
    yield from (check for form, check in _WORDS if form.search(description))
    if _COUNTED.search(description):
        yield _not_negative
    if match := _BETWEEN.search(description):
        low, high = float(match[1]), float(match[2])
        yield lambda value: not isinstance(value, int | float) or low <= value <= high


_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (float, int), "complex": (complex, float, int), "str": (str,), "bytes": (bytes,),
    "bool": (bool,), "None": (type(None),), "list": (list,), "List": (list,), "tuple": (tuple,), "Tuple": (tuple,),
    "dict": (dict,), "Dict": (dict,), "set": (set,), "Set": (set,), "Sequence": (list, tuple, str, bytes),
    "Mapping": (dict,),
}  # fmt: skip
"""Plain names of annotations, and what a literal of them is."""


def _may_be(hint: ast.expr, text: str) -> bool:
    """Whether a literal has the annotated type; True for what is no literal, or no plain annotation."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return True
    return _is(hint, value)


def _is(hint: ast.expr, value: object) -> bool:
    match hint:
        case ast.Constant(value=None):
            return value is None
        case ast.Constant(value=str() as text):
            try:
                return _is(ast.parse(text, mode="eval").body, value)
            except (SyntaxError, ValueError):
                return True
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _is(left, value) or _is(right, value)
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return value is None or _is(inner, value)
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=options)):
            return any(_is(option, value) for option in options)
        case ast.Subscript(value=ast.Name(id=name) as whole, slice=inner) if name in _TYPES:
            if not _is(whole, value):
                return False
            pairs = isinstance(inner, ast.Tuple)
            return pairs or not isinstance(value, list | set) or all(_is(inner, item) for item in value)
        case ast.Name(id="ndarray" | "DataFrame" | "Series") | ast.Attribute(attr="ndarray" | "DataFrame" | "Series"):
            return False  # no literal is one
        case ast.Name(id=name) if name in _TYPES:
            return isinstance(value, _TYPES[name]) and (name == "bool" or not isinstance(value, bool))
    return True


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
