"""One prompt's life in the engine: written once, waited for by every request that it still serves.

While a suggestion is written the user types on. Where the typed characters are what the model writes anyway, the
stream is kept and the newer request takes what is left of it; at the first character that differs it is cancelled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from famulus.engine.errors import FamulusError
from famulus.engine.protocol import Delta, Done, Finish, Infill, Lane, Prompt, Sampling, Timing, Usage
from famulus.lsp_server.completion.candidates import Candidate
from famulus.lsp_server.documents import Text

if TYPE_CHECKING:
    from famulus.engine.stream import Call

CLOSERS = frozenset(")]}>\"'`")
"""What editors put behind the cursor by themselves when its counterpart is typed."""
MOST_CLOSERS = 3
NEAR = 1 << 16
"""Code points on each side of the cursor that must be the same; beyond, the length has to do."""
TEMPERATURE = 0.6
"""Of all candidates but the first, which is greedy."""
DEADLINE_MS = 30_000


class Engine(Protocol):
    """What is needed of :class:`famulus.lsp_server.link.EngineLink`."""

    def generate(self, prompt: Prompt, **fields: Any) -> Call: ...

    def lost(self, error: FamulusError) -> None: ...


@dataclass(frozen=True)
class Place:
    """The cursor in a text."""

    text: Text
    offset: int

    def typed(self, later: Place) -> str | None:
        """What was typed here until ``later``, or None if anything else has changed.

        Closing brackets and quotes that the editor put behind the later cursor are allowed.
        """
        before, after = self.text.value, later.text.value
        length = later.offset - self.offset
        added = len(after) - len(before) - length
        if length < 0 or not 0 <= added <= MOST_CLOSERS:
            return None
        if not CLOSERS.issuperset(after[later.offset : later.offset + added]):
            return None
        start, behind = max(0, self.offset - NEAR), later.offset + added
        if after[start : self.offset] != before[start : self.offset]:
            return None
        if after[behind : behind + NEAR] != before[self.offset : self.offset + NEAR]:
            return None
        return after[self.offset : later.offset].replace("\r\n", "\n")

    def added(self, after: Text) -> list[str]:
        """As :meth:`typed` where the later cursor is not known yet: what may have been typed, the shortest first.

        Closing brackets and quotes at the end may be the editor's.
        """
        end = self.offset + len(after) - len(self.text)
        places = (Place(after, end - closers) for closers in range(MOST_CLOSERS, -1, -1))
        return [typed for typed in map(self.typed, places) if typed is not None]


@dataclass(frozen=True)
class Order:
    """How to ask. ``others``: candidates beside the greedy one.

    ``keep(candidate, typed)`` is asked whenever text has come, of which ``typed`` characters stand in the document by
    now: None to go on, else the length at which the candidate is to end (0: give it up). ``doubt(candidate, typed)``:
    whether it is not worth waiting for, although it may become so when more of it was typed.
    """

    prompt: Infill
    lane: Lane = "key"
    others: int = 0
    max_tokens: int = 64
    keep: Callable[[Candidate, int], int | None] = lambda candidate, typed: None
    doubt: Callable[[Candidate, int], bool] = lambda candidate, typed: False


class Writing:
    """An order while the engine works on it, and what came of it."""

    def __init__(self, engine: Engine, place: Place, order: Order, id: str) -> None:
        self.place, self.order = place, order
        end = order.prompt.prefix[-256:]
        self.candidates = [Candidate(f"{id}.{number}", end) for number in range(1 + order.others)]
        self.typed = ""
        """What the user has typed since."""
        self.diverged = False
        """Whether it was given up because the user typed something else."""
        self.error: FamulusError | None = None
        self.usage, self.timing = Usage(), Timing()
        self.started, self.first_text, self.ended = time.monotonic(), 0.0, 0.0
        self._engine = engine
        self._calls: list[Call] = []
        self._task: asyncio.Task[None] | None = None
        self._news: asyncio.Future[None] | None = None

    def start(self, spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]) -> None:
        """Send the order. Returns at once."""
        fields: dict[str, Any] = {
            "lane": self.order.lane,
            "max_tokens": self.order.max_tokens,
            "logprobs": 0,
            "deadline_ms": DEADLINE_MS,
        }
        self._calls = [self._engine.generate(self.order.prompt, **fields)]
        if self.order.others:
            sampling = Sampling(temperature=TEMPERATURE)
            self._calls.append(
                self._engine.generate(self.order.prompt, n=self.order.others, sampling=sampling, **fields)
            )
        self._task = spawn(self._run())

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self._task is not None and self._task.done()

    @property
    def useful(self) -> bool:
        """Whether it is still written, or came to its end with something."""
        return not self.diverged and self.error is None and (not self.over or any(c.reason for c in self.candidates))

    def serves(self, invoked: bool) -> bool:
        """Whether a request may take it; one that was invoked wants all candidates."""
        return self.useful and (not invoked or self.order.others > 0)

    @property
    def latency(self) -> tuple[float, float]:
        """Milliseconds until the first text and until the end, as they were seen here; 0 for what never came."""
        first = 1000 * (self.first_text - self.started) if self.first_text else 0.0
        return first, 1000 * (self.ended - self.started) if self.ended else 0.0

    @property
    def doubtful(self) -> bool:
        """Whether what comes is not worth waiting for; it is written on, as the next key may agree with it."""
        return not self.over and self.order.doubt(self.candidates[0], len(self.typed))

    async def wait(self, unless: asyncio.Event) -> None:
        """Until nothing more will come, or it is not worth waiting for, or ``unless`` is set."""
        assert self._task is not None, "it was started"
        stop = asyncio.ensure_future(unless.wait())
        try:
            while not (self.over or self.doubtful or unless.is_set()):
                self._news = asyncio.get_running_loop().create_future()
                signs: set[asyncio.Future[Any]] = {self._task, stop, self._news}
                await asyncio.wait(signs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()

    def cancel(self) -> None:
        """Nobody wants it any more: the engine is told at once."""
        for call in self._calls:
            call.cancel()
        if self._task is not None:
            self._task.cancel()

    def follow_any(self, typed: Sequence[str]) -> bool:
        """As :meth:`follow` for the first of several that it may serve."""
        return any(map(self.follow, typed))

    def follow(self, typed: str | None) -> bool:
        """The user has typed ``typed`` since (None: something else happened): may this still serve?"""
        if typed is None or not self._agrees(typed):
            return False
        self.typed = typed
        return True

    def _agrees(self, typed: str) -> bool:
        if self.over:
            ended = [c for c in self.candidates if c.reason]
            return any(not typed or (len(typed) < len(c.text) and c.text.startswith(typed)) for c in ended)
        text = self.candidates[0].text
        return text.startswith(typed) or typed.startswith(text)

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for call, mine in zip(self._calls, (self.candidates[:1], self.candidates[1:]), strict=False):
                    group.create_task(self._read(call, mine))
        except* FamulusError as errors:
            self.error = next(e for e in errors.exceptions if isinstance(e, FamulusError))
            self._engine.lost(self.error)
        finally:
            for call in self._calls:
                call.cancel()
            self.ended = time.monotonic()

    async def _read(self, call: Call, mine: Sequence[Candidate]) -> None:
        """Take the events of ``call``, which writes the candidates ``mine``."""
        greedy = mine[0] is self.candidates[0]
        async for event in call:
            if isinstance(event, Delta):
                self._take(mine[event.index], event, greedy)
                if self.diverged or all(candidate.reason for candidate in mine):
                    call.cancel()
            elif isinstance(event, Finish):
                mine[event.index].reason = mine[event.index].reason or event.reason
            elif isinstance(event, Done) and greedy:
                self.usage, self.timing = event.usage, event.timing

    def _take(self, candidate: Candidate, delta: Delta, greedy: bool) -> None:
        if candidate.reason:
            return
        candidate.take(delta)
        self.first_text = self.first_text or (time.monotonic() if candidate.text else 0.0)
        if greedy and not self._agrees(self.typed):
            self.diverged = True
            return
        end = self.order.keep(candidate, len(self.typed))
        if end == 0:
            candidate.give_up()
        elif end is not None:
            candidate.cut(end)
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
