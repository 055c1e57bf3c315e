"""What of a candidate may be shown: the part that is likely enough, after the filters. Values in, values out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from famulus.lsp_server.completion import lexical
from famulus.lsp_server.completion.candidates import Candidate, Scored
from famulus.lsp_server.completion.confidence import Curve
from famulus.lsp_server.completion.explanation import Judged
from famulus.lsp_server.completion.filters import refine
from famulus.lsp_server.completion.situation import Situation, opens_block

BOX_SECONDS = 0.4
"""After this long a suggestion of several lines ends at the next line end."""
ASKED_BOX_SECONDS = 1.5
"""The same for one that a person asked for, and waits for."""
HOPELESS = 0.2
"""Of the threshold: below it a line is given up."""
FEW = 3
"""Tokens before which nothing is given up."""
UNLIKELY = "it is not likely enough"

_LINE = re.compile(r"\s*[^\n]*\S[^\n]*")


@dataclass(frozen=True)
class Measure:
    """How sure one must be. ``threshold`` 0 shows everything."""

    curve: Curve
    threshold: float

    def certain(self, candidate: Candidate, start: int) -> tuple[int, float]:
        """Where the likely part of ``text[start:]`` ends, and how likely its first line is (0 to 1).

        Each line is judged by itself, given those before; the first unlikely one ends it.
        """
        end, confidence = start, 0.0
        for first, last in _lines(candidate.text, start):
            probability = self.curve.probability(candidate.part(first, last))
            if first == start:
                confidence = probability
            if probability < self.threshold:
                break
            end = last
        return end, confidence

    def hopeless(self, part: Scored) -> bool:
        """Whether this line will not be likely enough even when a good part of it was typed."""
        return len(part.logprobs) >= FEW and self.curve.probability(part) < self.threshold * HOPELESS

    def doubtful(self, candidate: Candidate, start: int) -> bool:
        """Whether the first line of ``text[start:]`` is not likely enough already: it only becomes less likely."""
        first, last = next(_lines(candidate.text, start), (start, start))
        return first < last and self.curve.probability(candidate.part(first, last)) < self.threshold


@dataclass(frozen=True)
class Verdict:
    """What became of a candidate: ``text`` to show ("" for nothing) and the whole story."""

    id: str
    text: str
    confidence: float
    scored: Scored
    story: Judged


def judge(candidate: Candidate, typed: str, situation: Situation, measure: Measure) -> Verdict:
    """What to show of ``candidate``, of which ``typed`` is in the document already, in ``situation``."""
    if candidate.abandoned is not None:
        likely = measure.curve.probability(candidate.abandoned)
        story = Judged(candidate.abandoned.text, "", likely, (), UNLIKELY)
        return Verdict(candidate.id, "", likely, candidate.abandoned, story)
    start = len(typed)
    rest = candidate.text[start:]
    end, confidence = measure.certain(candidate, start)
    scored = candidate.part(start, end)
    if not scored.text.strip():
        why = UNLIKELY if rest.strip() else "there is nothing left of it"
        return Verdict(candidate.id, "", confidence, scored, Judged(rest, "", confidence, (), why))
    refined = refine(scored.text, situation, limited=candidate.reason == "length" and end == len(candidate.text))
    text = refined.text if refined.text.strip() and refined.dropped is None else ""
    cuts = tuple(refined.cuts) + (("unlikely lines",) if len(scored.text) < len(rest.rstrip()) else ())
    return Verdict(candidate.id, text, confidence, scored, Judged(rest, text, confidence, cuts, refined.dropped))


def watcher(
    measure: Measure, several: bool, invoked: bool, language: str, clock: Callable[[], float] = time.monotonic
) -> Callable[[Candidate, int], int | None]:
    """What :attr:`famulus.lsp_server.completion.request.Order.keep` asks: where to end the candidate, if anywhere.

    0 gives it up. ``several``: of more than one line. When time is up it ends with the line before, but within twice
    the time not where a block or a bracket has just been opened: there is soon something better to end with.
    """
    began, box = clock(), ASKED_BOX_SECONDS if invoked else BOX_SECONDS

    def keep(candidate: Candidate, start: int) -> int | None:
        lines = list(_lines(candidate.text, start))
        if not lines:
            return None
        done = lines[:-1]
        first, last = lines[-1]
        if not invoked and measure.hopeless(candidate.part(first, last)):
            return done[-1][1] if done else 0
        if several and done and (late := clock() - began - box) > 0:
            end = done[-1][1]
            if late > box or not _opens(candidate.text[start:end], language):
                return end
        return None

    return keep


def _opens(text: str, language: str) -> bool:
    """Whether the text ends with the head of a block, or in the middle of a call."""
    found = lexical.scan(text, language)
    return opens_block(text.rpartition("\n")[2], language) or any(text[place] in "([" for place in found.open)


def _lines(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Start and end of each line of ``text[start:]`` that says something, with the white space before it."""
    for match in _LINE.finditer(text, start):
        yield match.start(), match.end()
