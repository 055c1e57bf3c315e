"""What the model says about a function and about small changes of it, in two stages.

First the function's own tokens: places that the model did not expect. Then, at the worst of them only, the likeliest
valid alternatives: how much likelier do they make the rest of their line, and the lines after it? A causal model sees
nothing of what follows a token, so the lines after it are asked themselves. All numbers are nats.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from famulus.engine.protocol import Delta, Text
from famulus.lsp_server.link import EngineLink
from famulus.lsp_server.prediction.surprise.candidates import KINDS, Alternative, Kind, alternatives
from famulus.lsp_server.prediction.surprise.plausible import Plausible
from famulus.lsp_server.prediction.surprise.source import Function, Source

Weighed = tuple[str, float]
"""A token's text and its log-probability."""

CONTEXT = 1600
"""Code points of the file before the function that the model sees."""
BELOW = 800
"""Code points after it that are shown to the model in the other context."""
BLOCK = 8
"""Lines that are scored by one request; those before a change need not be scored again."""
LOWEST = 2.0
"""A place is looked at where the model gave what stands there no more than e⁻² = 14 %."""
PLACES, EACH = 6, 3
"""So many places of a function, and so many alternatives at each."""
FOLLOWING = 4
"""Lines after the changed one that are asked."""
LONGEST = 480
"""Code points of such a continuation."""
TOP = 20


class Asker(Protocol):
    """The model."""

    async def score(self, prompt: str, continuation: str) -> list[Weighed]:
        """The tokens of ``continuation`` after ``prompt``."""

    async def next(self, prompt: str) -> list[Weighed]:
        """The likeliest tokens after ``prompt``, best first."""


class LinkAsker:
    """The engine's model, in the lane that gives way to everything else."""

    def __init__(self, link: EngineLink) -> None:
        self._link = link

    async def score(self, prompt: str, continuation: str) -> list[Weighed]:
        """Cancelling the task cancels it in the engine."""
        found = await self._link.score(Text(prompt), continuation, lane="idle")
        return [(s.text, s.logprob or 0.0) for s in found.scores]

    async def next(self, prompt: str) -> list[Weighed]:
        """Cancelling the task cancels it in the engine."""
        call = self._link.generate(Text(prompt), lane="idle", max_tokens=1, logprobs=TOP)
        found: list[Weighed] = []
        try:
            async for event in call:
                if isinstance(event, Delta) and event.logprobs:
                    found = [(text, value) for _, text, value in event.logprobs[0].top]
        finally:
            call.cancel()
        return found


@dataclass(frozen=True)
class Evidence:
    """What speaks for ``alternative``.

    ``surprisal`` of what stands there now; ``rank`` of the alternative's first token among the likeliest; gains in
    log-probability, of the rest of the ``line`` and of each line ``after`` it; ``usual``: the function's mean surprisal
    of a token.
    """

    alternative: Alternative
    surprisal: float
    rank: int
    line: float
    after: tuple[float, ...]
    usual: float

    def gain(self, lines: int) -> float:
        """The gain of the line and of ``lines`` after it."""
        return self.line + sum(self.after[:lines])


@dataclass(frozen=True)
class _Token:
    start: int
    end: int
    logprob: float


def context(source: Source, function: Function, name: str) -> str:
    """What the model reads before the function: the file's name, and what stands above it."""
    text = source.text.value[: function.start]
    first = max(0, len(text) - CONTEXT)
    first = text.find("\n", first) + 1 if first else 0
    owner = ""
    if function.owner is not None and source.start(function.owner) < first:
        owner = source.text.line(function.owner.lineno - 1) + "\n    ...\n\n"
    return f"# {name}\n{owner}{text[first:]}"


def other_context(source: Source, function: Function, name: str) -> str:
    """Another view of the same file: what stands below the function, as if it stood above."""
    end = source.text.line_end(source.text.place(function.end)[0])
    below = source.text.value[end : end + BELOW].rpartition("\n")[0].strip("\r\n")
    owner = source.text.line(function.owner.lineno - 1) + "\n    ...\n\n" if function.owner is not None else ""
    return f"# {name}\n{owner}{below}\n\n" if below else f"# {name}\n{owner}"


async def contrast(
    asker: Asker, source: Source, function: Function, name: str, evidence: Sequence[Evidence]
) -> dict[Alternative, Evidence]:
    """The same alternatives in the other context; those that are not worth asking about there are left out."""
    found = sorted((e.alternative for e in evidence), key=lambda a: (a.start, a.end))
    answers = await examine(asker, source, function, other_context(source, function, name), found)
    return {answer.alternative: answer for answer in answers}


async def examine(
    asker: Asker,
    source: Source,
    function: Function,
    before: str,
    found: Sequence[Alternative] | None = None,
    kinds: Collection[Kind] = KINDS,
) -> list[Evidence]:
    """The evidence for each alternative worth asking about; ``before`` as of :func:`context`.

    The worst places are those of all kinds; at those of other ``kinds`` nothing is asked.
    """
    if found is None:
        plausible = Plausible(source, function)
        found = [a for a in alternatives(source, function) if plausible(a)]
    if not found:
        return []
    tokens = await _tokens(asker, source, function, before)
    if not tokens:
        return []
    usual = -sum(t.logprob for t in tokens) / len(tokens)
    places = [(key, list(group)) for key, group in groupby(found, key=lambda a: (a.start, a.end))]
    weighed = [(_surprisal(tokens, start, end), group) for (start, end), group in places]
    worst = sorted((w for w in weighed if w[0] >= LOWEST), key=lambda w: -w[0])[:PLACES]
    answers = await asyncio.gather(
        *(
            _place(asker, source, function, before, tokens, surprisal, usual, group)
            for surprisal, group in worst
            if group[0].kind in kinds
        )
    )
    return [evidence for answer in answers for evidence in answer]


async def _tokens(asker: Asker, source: Source, function: Function, before: str) -> list[_Token]:
    """The function's tokens; none if they do not spell it."""
    text = source.text.value
    first, _ = source.text.place(function.start)
    last, _ = source.text.place(function.end)
    tokens: list[_Token] = []
    for line in range(first, last + 1, BLOCK):
        start = source.text.starts[line]
        end = min(function.end, source.text.starts[line + BLOCK] if line + BLOCK <= last else function.end)
        prompt, continuation = before + text[function.start : start], text[start:end]
        kept = prompt.rstrip()  # a line break and the indentation after it are one token
        lead = prompt[len(kept) :]
        scores = await asker.score(kept, (lead + continuation).rstrip())
        spelt = "".join(t for t, _ in scores)
        if spelt != (lead + continuation).rstrip():
            return []
        at = start - len(lead)
        for word, logprob in scores:
            tokens.append(_Token(at, at + len(word), logprob))
            at += len(word)
    return tokens


def _surprisal(tokens: Sequence[_Token], start: int, end: int) -> float:
    return -sum(t.logprob for t in tokens if t.start < max(end, start + 1) and t.end > start)


async def _place(
    asker: Asker,
    source: Source,
    function: Function,
    before: str,
    tokens: Sequence[_Token],
    surprisal: float,
    usual: float,
    group: Sequence[Alternative],
) -> list[Evidence]:
    """Ask about the likeliest alternatives at one place."""
    text, start = source.text.value, group[0].start
    cut = max((t.start for t in tokens if t.start <= start), default=start)
    ends = _line_ends(source, function, group[0].end)
    prompt = before + text[function.start : cut] if cut >= function.start else before[: cut - function.start]
    ranked = _ranked(await asker.next(prompt), text[cut:start], text[group[0].end : ends[0]], group)
    own = [sum(t.logprob for t in tokens if a <= t.start < b) for a, b in zip([cut, *ends], ends, strict=False)]

    async def ask(rank: int, alternative: Alternative) -> Evidence | None:
        shift = len(alternative.replacement) - (alternative.end - alternative.start)
        changed = text[cut:start] + alternative.replacement + text[alternative.end : ends[-1]]
        scores = await asker.score(prompt, changed)
        if "".join(t for t, _ in scores) != changed:
            return None
        edges = [cut, *(e + shift for e in ends)]
        sums = [0.0] * len(ends)
        at = cut
        for word, logprob in scores:
            sums[next(i for i, edge in enumerate(edges[1:]) if at < edge)] += logprob
            at += len(word)
        gains = [theirs - ours for theirs, ours in zip(sums, own, strict=True)]
        return Evidence(alternative, surprisal, rank, gains[0], tuple(gains[1:]), usual)

    answers = await asyncio.gather(*(ask(rank, a) for rank, a in ranked[:EACH]))
    return [a for a in answers if a is not None]


def _line_ends(source: Source, function: Function, offset: int) -> list[int]:
    """The end of the line of ``offset`` and those of some lines with text after it, in the function."""
    line, _ = source.text.place(offset)
    ends = [min(source.text.line_end(line), function.end)]
    last, _ = source.text.place(function.end)
    for following in range(line + 1, last + 1):
        end = min(source.text.line_end(following), function.end)
        if len(ends) > FOLLOWING or end - offset > LONGEST:
            break
        if source.text.line(following).strip():
            ends.append(end)
    return ends


def _ranked(
    likely: Sequence[Weighed], lead: str, rest: str, group: Sequence[Alternative]
) -> list[tuple[int, Alternative]]:
    """Those alternatives that begin with a likely token, with the rank of the likeliest such token, best first."""
    found = []
    for alternative in group:
        whole = lead + alternative.replacement + rest
        rank = next((i for i, (t, _) in enumerate(likely) if t.strip() and whole.startswith(t)), None)
        if rank is not None:
            found.append((rank, alternative))
    return sorted(found, key=lambda f: f[0])
