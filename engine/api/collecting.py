"""Gathers the events of one generation into whole candidates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from famulus.engine.errors import EngineUnavailable, from_wire
from famulus.engine.protocol import (
    Delta,
    Done,
    Event,
    Failed,
    Finish,
    PromptScores,
    Timing,
    TokenLogprob,
    Usage,
)
from famulus.engine.tickets import Ticket

E = TypeVar("E", bound=Event)


@dataclass
class Candidate:
    """One answer: its text, its tokens' log-probabilities if asked for, and why it ended."""

    text: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    reason: str = "length"


@dataclass
class Collected:
    """Everything that a generation said."""

    candidates: list[Candidate]
    prompt_scores: list[TokenLogprob] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    timing: Timing = field(default_factory=Timing)
    model: str = ""


async def events(ticket: Ticket) -> AsyncIterator[Event]:
    """The ticket's events; :class:`Failed` is raised as the typed error that it names."""
    async for event in ticket:
        if isinstance(event, Failed):
            raise from_wire(event.code, event.message)
        yield event


async def merge(tickets: Sequence[Ticket]) -> AsyncIterator[tuple[int, Event]]:
    """The events of several tickets as they come, each with the place of its ticket; the first failure is
    raised."""
    if len(tickets) == 1:
        async for event in events(tickets[0]):
            yield 0, event
        return
    streams = [aiter(events(ticket)) for ticket in tickets]
    pending = {asyncio.ensure_future(anext(stream)): place for place, stream in enumerate(streams)}
    try:
        while pending:
            done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                place = pending.pop(future)
                try:
                    event = future.result()
                except StopAsyncIteration:
                    continue
                yield place, event
                pending[asyncio.ensure_future(anext(streams[place]))] = place
    finally:
        for future in pending:
            future.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def collect(ticket: Ticket, n: int) -> Collected:
    """Wait for the end of a generation of ``n`` candidates."""
    result = Collected([Candidate() for _ in range(n)])
    async for event in events(ticket):
        match event:
            case Delta():
                candidate = result.candidates[event.index]
                candidate.text.append(event.text)
                candidate.logprobs += event.logprobs or ()
            case Finish():
                result.candidates[event.index].reason = event.reason
            case PromptScores():
                result.prompt_scores = event.scores
            case Done():
                result.usage, result.timing, result.model = event.usage, event.timing, event.model
    return result


async def one(ticket: Ticket, kind: type[E]) -> E:
    """The single answer of a request that does not stream."""
    async with ticket:
        async for event in events(ticket):
            if isinstance(event, kind):
                return event
    raise EngineUnavailable("The worker answered with something else than was asked for.")
