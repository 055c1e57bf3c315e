"""How alike two pieces of code are: by the words in them."""

from __future__ import annotations

import re

WORD = re.compile(r"[^\W\d]\w*")
_SHORT = 3


def words(text: str) -> frozenset[str]:
    """The words of a text that tell something: three characters at least."""
    return frozenset(word for word in WORD.findall(text) if len(word) >= _SHORT)


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard index: shared words by all words, 0 to 1."""
    both = len(one & other)
    return both / (len(one) + len(other) - both) if both else 0.0
