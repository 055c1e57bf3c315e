"""The engine as the kernel uses it: asked in threads, given up at any moment, never waited for longer than planned.

Nothing here runs when the kernel starts. Whatever happens to the engine (none installed, still loading, frozen,
killed) a words cell goes on without it; :attr:`Model.trouble` then says why.
"""

from __future__ import annotations

import ast
import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from famulus.engine import launch
from famulus.engine.client import Client
from famulus.engine.errors import FamulusError
from famulus.engine.generation import Generation
from famulus.engine.runtime import Address
from famulus.jupyter_kernel.context import Context
from famulus.jupyter_kernel.interrupt import in_thread

SECONDS = 20.0
"""For everything that one words cell asks of the engine."""

PAUSE = 60.0
"""Seconds in which the engine is not asked again after it did not answer."""

LARGE = 700_000_000
"""Parameters from which a model writes better Python without a grammar than within one."""

TOKENS, TOKENS_LARGE = 64, 320
CONTEXT_TOKENS, CONTEXT_TOKENS_LARGE = 700, 4000
TEMPERATURE, TEMPERATURE_LARGE = 0.5, 0.8


@dataclass(frozen=True)
class Request:
    """What the model is to write. ``grammar`` in Lark form, "" for free text; ``stops`` end an answer. ``told`` is
    the prompt by parts, for whoever asks what was sent."""

    prompt: str
    grammar: str = ""
    stops: tuple[str, ...] = ()
    seed: int = 0
    told: Context | None = None


@dataclass(frozen=True)
class Written:
    """One answer, as it came. ``likelihood`` is the mean natural-log probability of its tokens."""

    text: str
    likelihood: float | None = None


@dataclass(frozen=True)
class About:
    """The model that answers; ``parameters`` is 0 where unknown."""

    name: str = ""
    parameters: int = 0
    context: int = 0

    @property
    def large(self) -> bool:
        """Whether its guesses are worth more than those of the embedded model."""
        return self.parameters >= LARGE

    @property
    def budget(self) -> int:
        """Tokens of the notebook's context that it is told."""
        wanted = CONTEXT_TOKENS_LARGE if self.large else CONTEXT_TOKENS
        return max(100, min(wanted, self.context // 3)) if self.context else wanted


class Model:
    """One for each kernel. ``python`` is the interpreter that the engine is started with, ``home`` its folder."""

    def __init__(self, python: str, home: Path | None = None) -> None:
        self._python, self._home, self._seconds = python, home, SECONDS
        self._until = self._quiet_until = 0.0
        self._client: Client | None = None
        self.about = About()
        self.seed: int | None = None
        self.trouble = ""
        self.told: Context | None = None

    def begin(self, seconds: float = SECONDS) -> None:
        """A words cell begins: its time starts, of which there are ``seconds``."""
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self.trouble = ""

    @property
    def ready(self) -> bool:
        """Whether an engine answered before and is not known to be in trouble; asks nobody."""
        return self._client is not None and time.monotonic() >= self._quiet_until

    async def connect(self) -> bool:
        """Finds the engine or starts it, and learns which model it has. False, with :attr:`trouble`, if there is
        none within the time of this cell."""
        if time.monotonic() < self._quiet_until:
            self.trouble = "the model did not answer a moment ago"
            return False
        if self._client is not None and self.about.name:
            return True

        def look() -> tuple[Client, dict[str, Any]]:
            client = self._client or Client(self._find(), find_again=self._find, timeout=self._seconds)
            client.models()  # waits while the model loads
            return client, client.status().get("model") or {}

        found = await self._within(_Work(), look)
        if found is None:
            self._quiet_until = time.monotonic() + PAUSE
            return False
        self._client, model = found
        self.about = About(str(model.get("id", "")), int(model.get("parameters", 0)), int(model.get("context", 0)))
        return True

    async def write(
        self, request: Request, n: int = 8, on_text: Callable[[str], None] = lambda _text: None
    ) -> list[Written]:
        """``n`` answers, the likeliest first and then drawn by chance; fewer where time ran out, none without an
        engine. ``on_text`` gets the first one as it grows, on the event loop."""
        if not await self.connect():
            return []
        assert self._client is not None
        self.told = request.told or self.told
        self.seed = request.seed or secrets.randbelow(1 << 31)
        work, loop, client = _Work(), asyncio.get_running_loop(), self._client

        def show(text: str) -> None:
            if not work.stopped and not loop.is_closed():
                loop.call_soon_threadsafe(lambda: None if work.stopped else on_text(text))

        def ask(count: int, offset: int, watch: Callable[[str], None], **sampling: Any) -> None:
            work.read(lambda: self._generate(client, request, count, sampling), offset, watch)

        def run() -> None:
            ask(1, 0, show, temperature=0.0)
            if n > 1 and not work.stopped:
                warm = TEMPERATURE_LARGE if self.about.large else TEMPERATURE
                ask(n - 1, 1, lambda _text: None, temperature=warm, top_p=0.95, seed=self.seed)

        await self._within(work, run)
        return work.finished()

    async def score(self, text: str, codes: Sequence[str]) -> list[float | None]:
        """The mean log-probability of a token of each code after ``text``; None where there was no time."""
        scores: list[float | None] = [None] * len(codes)
        if not codes or not await self.connect():
            return scores
        assert self._client is not None
        work, client = _Work(), self._client

        def run() -> None:
            for at, code in enumerate(codes):
                if work.stopped:
                    return
                known = [s.logprob for s in client.score(text, f"{code}\n\n") if s.logprob is not None]
                scores[at] = sum(known) / len(known) if known else None
                work.heard = True

        await self._within(work, run)
        return list(scores)

    def _generate(self, client: Client, request: Request, n: int, sampling: dict[str, Any]) -> Generation:
        return client.generate(
            request.prompt,
            n=n,
            max_tokens=TOKENS_LARGE if self.about.large else TOKENS,
            stop=request.stops,
            deadline=max(0.1, self._until - time.monotonic()),
            logprobs=0,
            constraint={"grammar": request.grammar} if request.grammar else None,
            **sampling,
        )

    def _find(self) -> Address:
        return launch.find_or_start(self._home, python=self._python, timeout=self._seconds)

    async def _within(self, work: _Work, run: Callable[[], Any]) -> Any:
        """What ``run`` gives, in a thread, or None when the time of the cell is over or the engine fails."""
        left = self._until - time.monotonic()
        try:
            async with asyncio.timeout(left):
                return await in_thread(run, work.stop)
        except TimeoutError:
            self.trouble = f"the model gave no answer within {self._seconds:.0f} s"
            if not work.heard:
                self._quiet_until = time.monotonic() + PAUSE
        except FamulusError as error:
            self.trouble = error.args[0] if error.args else str(error)
            self._client = None
        return None


@dataclass
class _Answer:
    text: str = ""
    scores: list[float] = field(default_factory=list)


class _Work:
    """Requests of one thread, which any other thread can stop; what came of them until then is kept. ``heard``: the
    engine answered anything, so that it is slow at worst."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Generation | None = None
        self._read: dict[int, Generation] = {}
        self._answers: dict[int, _Answer] = {}
        self.stopped = self.heard = False

    def stop(self) -> None:
        with self._lock:
            self.stopped = True
            if self._open is not None:
                self._open.close()

    def read(self, ask: Callable[[], Generation], offset: int, watch: Callable[[str], None]) -> None:
        """Reads a batch to its end; ``watch`` gets the text of its first answer."""
        with ask() as generation:
            with self._lock:
                self._open = generation
                self._read[offset] = generation
                if self.stopped:
                    return
            for delta in generation:
                self._take(offset + delta.index, delta.text, [s.logprob for s in delta.logprobs or ()])
                if not delta.index:
                    watch(generation.text)

    def finished(self) -> list[Written]:
        """Answers that came to their own end, in order."""
        with self._lock:
            ended = {
                offset + index
                for offset, generation in self._read.items()
                for index, reason in generation.finish_reasons.items()
                if reason == "stop"
            }
            answers = [answer for index, answer in sorted(self._answers.items()) if index in ended]
        return [Written(a.text, sum(a.scores) / len(a.scores) if a.scores else None) for a in answers]

    def _take(self, index: int, text: str, scores: Sequence[float | None]) -> None:
        with self._lock:
            self.heard = True
            answer = self._answers.setdefault(index, _Answer())
            answer.text += text
            answer.scores += [score for score in scores if score is not None]


def parses(code: str) -> bool:
    """Whether it is Python that does something."""
    try:
        return bool(ast.parse(code).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
