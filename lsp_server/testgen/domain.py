"""Which arguments a function is documented to take: a test of what it does with others is noise."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from itertools import pairwise

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import Function

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


_WORDS: tuple[tuple[re.Pattern[str], _Check], ...] = (
    (re.compile(r"\b(?:sorted|ascending)\b", re.I), _ordered),
    (re.compile(r"\bnon-?\s?empty\b|\bnot (?:be )?empty\b", re.I), _filled),
    (re.compile(r"\bpositive\b", re.I), _positive),
    (re.compile(r"\bnon-?\s?negative\b", re.I), _not_negative),
)
_NEAR = 4
"""Words between a condition and the parameter that it is about."""


class Domain:
    """The documented domain of a function's arguments, as far as words and assertions tell it."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self._conditions = self._read()

    def holds(self, call: Call) -> bool:
        """Whether nothing that is documented speaks against these arguments. Calls of the project's own always do."""
        if call.source in ("recorded", "test", "doctest"):
            return True
        return all(check(value) for name, value in self._values(call) for check in self._conditions.get(name, ()))

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

    def _read(self) -> dict[str, list[_Check]]:
        found: dict[str, list[_Check]] = {}
        words = re.findall(r"[\w'-]+", self.function.docstring)
        for parameter in self.function.parameters:
            for at, word in enumerate(words):
                if word != parameter.name:
                    continue
                near = " ".join(words[max(0, at - _NEAR) : at + _NEAR + 1])
                found.setdefault(parameter.name, []).extend(check for form, check in _WORDS if form.search(near))
        return found

    def _places(self, call: Call) -> list[tuple[int, str]]:
        """Position in :attr:`Call.expressions` and parameter of each argument."""
        own = 1 if call.receiver else 0
        names = [p.name for p in self.function.parameters if p.kind in ("position", "either")]
        found = [(own + n, name) for n, name in zip(range(len(call.args)), names, strict=False)]
        return found + [(own + len(call.args) + n, name) for n, (name, _) in enumerate(call.kwargs)]

    def _values(self, call: Call) -> list[tuple[str, object]]:
        return [(name, _literal(call.expressions[place])) for place, name in self._places(call)]


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
