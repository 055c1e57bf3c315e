"""One running request as its owner sees it: events out, cancel in, bounded memory between.

A ticket frees what it holds exactly once, whether it is iterated to its end, cancelled in the middle, or
never looked at (a generator that was never started would never run its ``finally``)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType

import msgspec

from famulus.engine.errors import Cancelled, FamulusError, InvalidRequest, ModelNotFound, SlowConsumer
from famulus.engine.protocol import (
    Delta,
    Detokenize,
    Done,
    Embed,
    Embedded,
    Event,
    Failed,
    Generate,
    PromptScores,
    Score,
    Scored,
    Tokenize,
    Tokenized,
    encode,
    request_decoder,
)

Work = Generate | Score | Embed | Tokenize | Detokenize
"""Every request that opens a ticket."""

LAST = (Done, Scored, Embedded, Tokenized, Failed)
"""Event types after which nothing follows."""

BUFFER_BYTES = 64 << 10
MOST_BYTES = 1 << 20
SLOW_SECONDS = 30.0
_EVENT_BYTES = 64


def failure(id: str, error: FamulusError) -> Failed:
    """``error`` as the last event of request ``id``."""
    return Failed(id, error.code, str(error))


class Ticket(AsyncIterator[Event]):
    """Asynchronous iterator over the events of one request; the last one is one of :data:`LAST`.

    At most one task may iterate it. More than 64 KiB unread for 30 s ends the request with
    :class:`SlowConsumer`."""

    def __init__(
        self, request: Work, on_cancel: Callable[[Ticket], None], *, slow_seconds: float = SLOW_SECONDS
    ) -> None:
        self.request = request
        self.ended = False
        self._on_cancel = on_cancel
        self._slow_seconds = slow_seconds
        self._buffer: deque[Event] = deque()
        self._size = 0
        self._exhausted = False
        self._wake: asyncio.Future[None] | None = None
        self._slow: asyncio.TimerHandle | None = None

    # -- the owner's side

    def __aiter__(self) -> Ticket:
        return self

    async def __anext__(self) -> Event:
        while not self._buffer:
            if self._exhausted:
                raise StopAsyncIteration
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        event = self._buffer.popleft()
        self._size -= _size(event)
        if self._size <= BUFFER_BYTES:
            self._stop_slow_timer()
        self._exhausted = isinstance(event, LAST)
        return event

    @property
    def unread(self) -> bool:
        """Are there events that nobody has taken yet?"""
        return bool(self._buffer)

    def cancel(self) -> None:
        """Stop the request; everything it holds is free after one step. Idempotent, and safe after its
        end."""
        if not self.ended:
            self._on_cancel(self)
            self.push(failure(self.request.id, Cancelled("The request was cancelled.")))

    async def __aenter__(self) -> Ticket:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    # -- the supervisor's side

    def push(self, event: Event) -> None:
        """Hand an event to the owner, under the owner's own request id. Ignored after the end."""
        if self.ended:
            return
        event = msgspec.structs.replace(event, id=self.request.id)
        self._buffer.append(event)
        self._size += _size(event)
        if isinstance(event, LAST):
            self.ended = True
        if self.ended or self._size <= BUFFER_BYTES:
            self._stop_slow_timer()
        elif self._size > MOST_BYTES:
            self._drop()
        elif self._slow is None:
            self._slow = asyncio.get_running_loop().call_later(self._slow_seconds, self._drop)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _drop(self) -> None:
        self._stop_slow_timer()
        self._buffer.clear()
        self._size = 0
        self._on_cancel(self)
        seconds = f"{self._slow_seconds:.0f} s"
        self.push(failure(self.request.id, SlowConsumer(f"The stream was not read for {seconds} and was dropped.")))

    def _stop_slow_timer(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None


def _size(event: Event) -> int:
    """About how many bytes an event holds."""
    if isinstance(event, Delta):
        return _EVENT_BYTES + len(event.text) + 4 * _EVENT_BYTES * len(event.logprobs or ())
    if isinstance(event, PromptScores):
        return _EVENT_BYTES * (1 + len(event.scores))
    return _EVENT_BYTES


def unknown_model(wanted: str, served: str) -> ModelNotFound:
    """The error for a model name that is not the served one."""
    return ModelNotFound(f"This engine serves {served!r}, not {wanted[:80]!r}.", fix=f"Ask for {served!r}.")


def check(request: Work) -> None:
    """Refuse what the worker could not read, whichever route built it: one such message would end the worker, and
    with it everybody's requests. Raises :class:`InvalidRequest`."""
    try:
        request_decoder.decode(encode(request))
    except OverflowError:
        raise InvalidRequest("A number in the request has more than 64 bits.") from None
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{error}.") from None


def deadline(request: Work) -> float | None:
    """Seconds the request allows itself, None for no limit."""
    milliseconds = getattr(request, "deadline_ms", None)
    return milliseconds / 1000 if milliseconds is not None else None
