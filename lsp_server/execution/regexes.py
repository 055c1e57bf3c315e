"""Texts that a regular expression matches, for inputs of code that looks for it."""

from __future__ import annotations

import importlib
import random
import re
import string
import warnings
from typing import Any

_PARSER: Any = importlib.import_module("re._parser")  # the standard library's own; there is no public one
_CATEGORIES = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_NOT_DIGIT": "ab -",
    "CATEGORY_SPACE": " \t\n",
    "CATEGORY_NOT_SPACE": "ab1-",
    "CATEGORY_WORD": "abcXYZ019_",
    "CATEGORY_NOT_WORD": " -.,:/",
}
_ANY = "abcXYZ 0123456789-_.,:/=<>()[]{}'\"#%&+*é\t"


class Pattern:
    """A regular expression that :meth:`example` finds texts for. Raises ValueError for one that cannot be read."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._tree = _PARSER.parse(pattern, flags & ~re.DEBUG)
        except (re.error, RecursionError, OverflowError, TypeError) as error:
            raise ValueError(str(error)) from error

    def example(self, dice: random.Random) -> str:
        """A text that it matches, or nearly: what it looks for around the match is left out."""
        self._groups: dict[int, str] = {}
        return self._sequence(self._tree, dice, 0)[:200]

    def _sequence(self, items: Any, dice: random.Random, depth: int) -> str:
        return "".join(self._item(str(code), value, dice, depth) for code, value in items) if depth < 12 else ""

    def _item(self, code: str, value: Any, dice: random.Random, depth: int) -> str:
        match code:
            case "LITERAL":
                return chr(value)
            case "NOT_LITERAL":
                return dice.choice([c for c in _ANY if c != chr(value)])
            case "ANY":
                return dice.choice(_ANY)
            case "IN":
                return self._one_of(value, dice)
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, most, inner = value
                times = dice.randint(least, min(int(most), least + dice.choice((0, 1, 1, 2, 4))))
                return "".join(self._sequence(inner, dice, depth + 1) for _ in range(min(times, 20)))
            case "SUBPATTERN":
                group, _, _, inner = value
                text = self._sequence(inner, dice, depth + 1)
                if group is not None:
                    self._groups[group] = text
                return text
            case "ATOMIC_GROUP":
                return self._sequence(value, dice, depth + 1)
            case "BRANCH":
                return self._sequence(dice.choice(value[1]), dice, depth + 1)
            case "GROUPREF":
                return self._groups.get(value, "")
            case "GROUPREF_EXISTS":
                return self._sequence(value[1] if value[0] in self._groups else value[2] or (), dice, depth + 1)
        return ""

    def _one_of(self, items: Any, dice: random.Random) -> str:
        allowed, refused, negated = "", set[str](), False
        for code, value in items:
            match str(code):
                case "NEGATE":
                    negated = True
                    continue
                case "LITERAL":
                    found = chr(value)
                case "RANGE":
                    low, high = value
                    found = "".join(map(chr, sorted({low, min(low + 1, high), (low + high) // 2, high})))
                case "CATEGORY":
                    found = _CATEGORIES.get(str(value), "a")
                case _:
                    continue
            allowed += found
            refused |= set(found)
        if negated:
            allowed = "".join(c for c in _ANY if c not in refused)
        return dice.choice(allowed or "a")


_SIGNS = ("\\d", "\\w", "\\s", "\\b", "[^", "(?", ".*", ".+", "]+", "]*", ")+")


def written_in(text: str) -> bool:
    """Whether a text in code looks like a regular expression and not like a plain text."""
    return len(text) > 2 and any(sign in text for sign in _SIGNS)
