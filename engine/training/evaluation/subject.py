"""A model that is measured: loaded and asked as the engine's worker does it, in this process."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from famulus.engine.core import Core
from famulus.engine.errors import EngineUnavailable
from famulus.engine.protocol import (
    Delta,
    Done,
    Event,
    Failed,
    Finish,
    Generate,
    Infill,
    Prompt,
    Score,
    Scored,
    Text,
    Tokenize,
    Tokenized,
    Tokens,
)

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Written:
    """An answer: what was shown, how it ended ("stop", "length"), and its tokens."""

    text: str
    reason: str
    tokens: int


@dataclass(frozen=True)
class Speed:
    """Tokens a second: of a prompt that is read, of an answer that is written."""

    reading: float
    writing: float


class Subject:
    """``name`` is what the table calls it; ``core`` is the engine's."""

    def __init__(self, name: str, core: Core) -> None:
        self.name, self.core = name, core

    @classmethod
    def load(cls, model: str, settings: dict[str, Any], progress: Callable[[str], None]) -> Subject:
        """A catalog id, a name in the models' folder or a path. Raises what loading a model raises."""
        core = Core.load({**settings, "model": model}, progress)
        return cls(core.info.id, core)

    def fill(self, prefix: str, suffix: str, path: str, lines: int, tokens: int) -> Written:
        """The hole between two texts, as the language server has it filled; the likeliest answer."""
        return self.write(Infill(prefix, suffix, path, "python", max_lines=lines), tokens)

    def write(self, prompt: Prompt, tokens: int, **fields: Any) -> Written:
        """The likeliest answer."""
        text, reason, generated = "", "", 0
        for event in self._events(Generate(self._id(), prompt, max_tokens=tokens, **fields)):
            if isinstance(event, Delta):
                text += event.text
            elif isinstance(event, Finish):
                reason = event.reason
            elif isinstance(event, Done):
                generated = event.usage.generated
        return Written(text, reason, generated)

    def bits(self, prompt: Prompt, continuation: str) -> float:
        """What it costs to say ``continuation`` after ``prompt``."""
        for event in self._events(Score(self._id(), prompt, continuation)):
            if isinstance(event, Scored):
                return -sum(s.logprob or 0.0 for s in event.scores) / math.log(2)
        return 0.0

    def tokens(self, text: str) -> tuple[list[int], list[str]]:
        """Ids, and the text of each."""
        for event in self._events(Tokenize(self._id(), text)):
            if isinstance(event, Tokenized):
                return event.tokens, event.texts
        return [], []

    def read(self, tokens: list[int]) -> None:
        """Computes a text anew, whatever was read before."""
        for _ in self._events(Generate(self._id(), Tokens(tokens), max_tokens=1, salt=self._id())):
            pass

    def speed(self, text: str, tokens: int) -> Speed:
        """Reads ``text`` anew and writes on, without drafts: they make a model fast that repeats itself. Time is that
        of the processor where the model runs on one."""
        drafts, self.core.speculation = self.core.speculation, None
        clock = time.perf_counter if self.on_gpu else time.process_time
        asked = Generate(self._id(), Text(text), max_tokens=tokens, ignore_eos=True, salt=self._id())
        began, first, read, written = clock(), 0.0, 0, 0
        try:
            for event in self._events(asked):
                if not first and isinstance(event, Delta):
                    first = clock()
                if isinstance(event, Done):
                    read, written = event.usage.prompt, event.usage.generated
            ended = clock()
        finally:
            self.core.speculation = drafts
        return Speed(read / max(1e-9, first - began), (written - 1) / max(1e-9, ended - first))

    @property
    def on_gpu(self) -> bool:
        """Whether the model runs on one."""
        return any(what == "device" and choice == "cuda" for what, choice, _ in self.core.plan)

    def _id(self) -> str:
        return f"eval-{next(_NUMBERS)}"

    def _events(self, request: Generate | Score | Tokenize) -> Iterator[Event]:
        """The events of one request as they come. Raises the error that it failed with."""
        self.core.submit(request)
        try:
            while self.core.busy:
                for event in self.core.step(lambda: None):
                    if isinstance(event, Failed):
                        raise EngineUnavailable(event.message)
                    yield event
        finally:
            self.core.cancel(request.id)
