"""What the model has written at one place, with the log-probability of every piece of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from famulus.engine.protocol import Delta, TokenLogprob

MAX_HEAL = 64
"""Characters; the engine cuts back no more than this of what stands before the cursor."""


@dataclass(frozen=True)
class Scored:
    """A part of a candidate: ``text`` and the log-probabilities (natural) of its tokens, in order."""

    text: str
    logprobs: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean log-probability of a token; 0 for none."""
        return sum(self.logprobs) / len(self.logprobs) if self.logprobs else 0.0


@dataclass
class Candidate:
    """One answer while it is written. ``before``: the end of the text before the cursor."""

    id: str
    before: str
    text: str = ""
    reason: str = ""
    """Why it ended: stop, length, cut (by us), or "" while it is written."""
    abandoned: Scored | None = None
    """What it was when it was given up; there is no text then."""
    _tokens: list[tuple[str, float]] = field(default_factory=list)
    _healed: int | None = None

    def take(self, delta: Delta) -> None:
        """Append what the engine sent."""
        self.text += delta.text
        self._tokens += [(token.text, _finite(token)) for token in delta.logprobs or ()]

    def cut(self, end: int) -> None:
        """Keep ``text[:end]`` only; nothing more will come."""
        self.text, self.reason = self.text[:end], "cut"

    def give_up(self) -> None:
        """Nothing of it is wanted."""
        self.abandoned = self.part()
        self.cut(0)

    def part(self, start: int = 0, end: int | None = None) -> Scored:
        """``text[start:end]`` with the tokens that reach into it.

        A token of which a piece lies before ``start`` counts: it is what the model chose there.
        """
        end = len(self.text) if end is None else min(end, len(self.text))
        at = -self._healing()
        found: list[float] = []
        for text, logprob in self._tokens:
            if at >= end:
                break
            at += len(text)
            if at > start:
                found.append(logprob)
        return Scored(self.text[start:end], tuple(found))

    def _healing(self) -> int:
        """How many characters before the cursor the engine wrote again (token healing)."""
        if self._healed is None and self.text:
            raw = "".join(text for text, _ in self._tokens)
            sizes = range(min(MAX_HEAL, len(raw)) + 1)
            fits = (n for n in sizes if raw[n:].startswith(self.text) and self.before.endswith(raw[:n]))
            self._healed = next(fits, 0)
        return self._healed or 0


def ranked(parts: Iterable[Scored]) -> list[int]:
    """Indices of the different ones that say something, the likeliest (mean of its tokens) first.

    Two are the same if they differ in white space at the end only; of these the first stays.
    """
    known: dict[str, tuple[int, Scored]] = {}
    for index, part in enumerate(parts):
        if part.text.strip():
            known.setdefault(part.text.rstrip(), (index, part))
    return [index for index, _ in sorted(known.values(), key=lambda entry: -entry[1].mean)]


def _finite(token: TokenLogprob) -> float:
    value = token.logprob
    return min(value, 0.0) if value is not None and math.isfinite(value) else -20.0
