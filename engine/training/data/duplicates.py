"""Near doubles among documents: MinHash over runs of words (Broder 1997), found by bands (Leskovec et al., ch. 3)."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

RUN = 7
"""Words that are hashed together."""
PERMUTATIONS, ROWS = 64, 4
"""With 16 bands of 4 rows two documents that share 0.5, 0.7, 0.85 of their runs meet with 64, 99, 99.99 percent."""
ALIKE = 0.7
"""Share of equal hashes from which on two documents are doubles."""

_WORD = re.compile(r"\w+|[^\w\s]")
_SAID = re.compile(r"\w+|([^\w\s])\1*")
_PRIME = np.uint64((1 << 61) - 1)


def signature(text: str) -> NDArray[np.uint64]:
    """[PERMUTATIONS] uint64 of a text."""
    words = _WORD.findall(text)
    runs = {zlib.crc32(" ".join(words[i : i + RUN]).encode()) for i in range(max(1, len(words) - RUN + 1))}
    hashes = np.fromiter(runs, np.uint64, len(runs))
    g = np.random.default_rng(7)
    a = g.integers(1, 1 << 31, PERMUTATIONS, dtype=np.uint64)
    b = g.integers(0, 1 << 31, PERMUTATIONS, dtype=np.uint64)
    found = np.full(PERMUTATIONS, np.iinfo(np.uint64).max, np.uint64)
    for at in range(0, len(hashes), 4096):
        part = (hashes[at : at + 4096, None] * a + b) % _PRIME
        found = np.minimum(found, part.min(axis=0))
    return found


class Seen:
    """Documents one after the other: which are near doubles of an earlier one."""

    def __init__(self) -> None:
        self._bands: dict[tuple[int, bytes], list[int]] = {}
        self._signatures: list[NDArray[np.uint64]] = []

    def double(self, text: str) -> bool:
        """Whether ``text`` is like one before it; if not, it is remembered."""
        mine = signature(text)
        keys = [(at, mine[at : at + ROWS].tobytes()) for at in range(0, PERMUTATIONS, ROWS)]
        for other in {i for key in keys for i in self._bands.get(key, ())}:
            if float((self._signatures[other] == mine).mean()) >= ALIKE:
                return True
        self._signatures.append(mine)
        for key in keys:
            self._bands.setdefault(key, []).append(len(self._signatures) - 1)
        return False


def runs(text: str, run: int = 13) -> Iterator[str]:
    """Every run of ``run`` words of a text: two texts that share one have more than an idiom in common. A mark that is
    repeated, as in the line under a heading, is one word."""
    words = [found[0] for found in _SAID.finditer(text)]
    return (" ".join(words[i : i + run]) for i in range(len(words) - run + 1))


def hashed_runs(text: str, run: int = 13) -> set[int]:
    """A hash of every run of ``run`` words."""
    return {int.from_bytes(hashlib.blake2b(r.encode(), digest_size=8).digest()) for r in runs(text, run)}
