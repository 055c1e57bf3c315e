"""The piece that instructions are cut into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TokenKind = Literal["word", "number", "quoted", "path", "date", "literal", "symbol"]
NOISE, WEAK, FULL = 0.05, 0.3, 1.0


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an instruction between the characters ``start`` and ``end``.

    ``key``: the concept of a word or phrase, else its stem; literals have their text. ``value``: for numbers Python's
    spelling, for quoted text what stands between the quotes. ``weight``: how much is lost if it is left unused.
    """

    text: str
    start: int
    end: int
    kind: TokenKind
    key: str
    weight: float = FULL
    value: str = ""
    parts: tuple[str, ...] = ()
