"""Small deterministic cores for tests of processes and sockets: they echo the prompt's words, one per step.

Loaded by the real worker through ``--core stand_in_core:NAME``; no weights, no torch. The subclasses fail in
the ways that real workers fail."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from famulus.engine.errors import BadWeights, InvalidRequest
from famulus.engine.protocol import (
    Chat,
    Delta,
    Detokenize,
    Done,
    Embed,
    Embedded,
    Event,
    Finish,
    Generate,
    Infill,
    ModelInfo,
    PromptScores,
    Score,
    Scored,
    Text,
    Timing,
    Tokenize,
    Tokenized,
    TokenLogprob,
    Tokens,
    Usage,
)


def encode(text: str) -> list[int]:
    """One token per code point."""
    return [ord(letter) for letter in text]


def decode(tokens: list[int]) -> str:
    """Raises :class:`InvalidRequest` for what is no character, as the real core does for what is no token."""
    if any(token > 0x10FFFF or 0xD800 <= token < 0xE000 for token in tokens):
        raise InvalidRequest("There is no such token.")
    return "".join(map(chr, tokens))


def scores(text: str, top: int = 1) -> list[TokenLogprob]:
    alternatives = [(65 + place, chr(65 + place), -1.0 - place) for place in range(top)]
    return [TokenLogprob(ord(letter), letter, -0.5, alternatives) for letter in text]


class _Run:
    """A generation under way."""

    def __init__(self, request: Generate, prompt: str) -> None:
        self.request, self.prompt, self.made = request, prompt, 0


class Core:
    """Answers a text prompt with itself in upper case, letter by letter and for ever if need be."""

    step_seconds = 0.0

    def __init__(self) -> None:
        self.info = ModelInfo("stand-in", "none", 4096, 0x110000, 1, "none", "none", True, "Apache-2.0")
        self.plan = [("device", "none", "a stand-in needs none")]
        self.progress = 0
        self._runs: dict[str, _Run] = {}
        self._answers: list[Event] = []
        self._cancelled = 0

    @classmethod
    def load(cls, settings: dict[str, Any], progress: Callable[[str], None]) -> Core:
        progress("reading nothing")
        return cls()

    @property
    def busy(self) -> bool:
        return bool(self._runs or self._answers)

    def submit(self, request: Any) -> None:
        match request:
            case Generate():
                prompt = self._prompt(request.prompt)
                if request.constraint is not None and request.constraint.json_schema is not None:
                    prompt += f"{{{request.constraint.json_schema.get('type')}}}"
                if len(prompt) > self.info.context:
                    raise InvalidRequest("The prompt is too long.")
                self._runs[request.id] = _Run(request, prompt)
            case Score():
                usage = Usage(len(self._prompt(request.prompt)), 0, 0)
                self._answers.append(Scored(request.id, scores(request.continuation), usage))
            case Embed():
                vectors = [[float(len(text)), 0.5] for text in request.texts]
                self._answers.append(Embedded(request.id, vectors, Usage(sum(map(len, request.texts)))))
            case Tokenize():
                self._answers.append(Tokenized(request.id, encode(request.text), list(request.text), request.text))
            case Detokenize():
                text = decode(request.tokens)
                self._answers.append(Tokenized(request.id, request.tokens, list(text), text))

    def _prompt(self, prompt: Any) -> str:
        match prompt:
            case Text():
                return prompt.text
            case Tokens():
                return decode(prompt.tokens)
            case Infill():
                return prompt.prefix + "<hole>" + prompt.suffix + "".join(f"<{p.path}>" for p in prompt.pieces)
            case Chat():
                functions = [tool.get("function") for tool in prompt.tools or []]
                tools = [f"[{function.get('name')}]" for function in functions if isinstance(function, dict)]
                return "".join([*(f"{m.role}:{m.content};" for m in prompt.messages), *tools])
        raise InvalidRequest("no such prompt")

    def cancel(self, id: str) -> None:
        self._cancelled += self._runs.pop(id, None) is not None

    def step(self, poll: Callable[[], None]) -> list[Event]:
        poll()
        time.sleep(self.step_seconds)
        self.progress += 1
        events, self._answers = self._answers, []
        for run in list(self._runs.values()):
            events += self._advance(run)
        return events

    def _advance(self, run: _Run) -> list[Event]:
        request, id = run.request, run.request.id
        events: list[Event] = []
        if run.made == 0 and request.prompt_logprobs:
            events.append(PromptScores(id, scores(run.prompt)))
        if run.made < request.max_tokens:
            letter = (run.prompt.upper() or "?")[run.made % max(1, len(run.prompt))]
            logprobs = scores(letter, request.logprobs) if request.logprobs is not None else None
            events += [Delta(id, letter, index, 1, logprobs) for index in range(request.n)]
            run.made += 1
        if run.made >= request.max_tokens:
            usage = Usage(len(run.prompt), 0, run.made * request.n)
            events += [Finish(id, "length", index) for index in range(request.n)]
            events.append(Done(id, self.info.id, usage, Timing(0.1, 0.2, 0.3)))
            del self._runs[id]
        return events

    def stats(self) -> dict[str, float]:
        return {"running": float(len(self._runs)), "cancelled": float(self._cancelled)}

    def close(self) -> None:
        self._runs.clear()


class Slow(Core):
    """A letter every 20 ms: streams that can be interrupted in the middle."""

    step_seconds = 0.02


class Hefty(Core):
    """Half a megabyte in a second: fills the buffers of a client that does not read."""

    step_seconds = 0.002

    def _advance(self, run: _Run) -> list[Event]:
        return [Delta(e.id, e.text * 1024, e.index, 1) if isinstance(e, Delta) else e for e in super()._advance(run)]


class Monstrous(Core):
    """Answers a prompt that names it with more than a frame may hold."""

    def _advance(self, run: _Run) -> list[Event]:
        if "monster" in run.prompt:
            return [Delta(run.request.id, "x" * (65 << 20))]
        return super()._advance(run)


class SlowLoad(Core):
    """Loads until somebody creates the file named in its settings."""

    @classmethod
    def load(cls, settings: dict[str, Any], progress: Callable[[str], None]) -> Core:
        while not os.path.exists(settings["gate"]):
            progress("waiting for the gate")
            time.sleep(0.02)
        return cls()


class Corrupt(Core):
    """Weights that are broken."""

    @classmethod
    def load(cls, settings: dict[str, Any], progress: Callable[[str], None]) -> Core:
        raise BadWeights("The file model.gguf is truncated.", fix="Pull it again.")


class CorruptUntil(Core):
    """Weights that are broken until somebody repairs them (creates the file named in the settings)."""

    @classmethod
    def load(cls, settings: dict[str, Any], progress: Callable[[str], None]) -> Core:
        if not os.path.exists(settings["gate"]):
            raise BadWeights("The file model.gguf is truncated.", fix="Pull it again.")
        return cls()


class Bewildered(Core):
    """Fails in a way that nobody foresaw."""

    @classmethod
    def load(cls, settings: dict[str, Any], progress: Callable[[str], None]) -> Core:
        raise ZeroDivisionError("division by zero")


class DiesLoading(Core):
    """A worker that never gets anywhere."""

    @classmethod
    def load(cls, settings: dict[str, Any], progress: Callable[[str], None]) -> Core:
        sys.exit(9)


class DiesOnWord(Core):
    """One poisonous request ends the process as a segmentation fault would."""

    def submit(self, request: Any) -> None:
        if isinstance(request, Generate) and "poison" in self._prompt(request.prompt):
            os.kill(os.getpid(), signal.SIGKILL)
        super().submit(request)


class Stuck(Core):
    """Takes a request and never moves again, although its heart beats."""

    def step(self, poll: Callable[[], None]) -> list[Event]:
        while True:
            poll()
            time.sleep(0.01)


class NativeCall(Core):
    """One long step that holds the interpreter and computes: alive, although no beat can be sent."""

    def step(self, poll: Callable[[], None]) -> list[Event]:
        sum(range(60_000_000))
        return super().step(poll)


class Clumsy(Core):
    """Has a fault of its own: one prompt makes it raise what no caller expects."""

    def submit(self, request: Any) -> None:
        if isinstance(request, Generate) and request.prompt == Text("?"):
            raise RuntimeError("a fault")
        super().submit(request)


class Named(Slow):
    """Serves whatever model its settings name, but two; answers end when somebody creates the file ``gate``."""

    gate: str

    def _advance(self, run: _Run) -> list[Event]:
        if os.path.exists(self.gate):
            run.made = max(run.made, run.request.max_tokens - 1)
        return super()._advance(run)

    @classmethod
    def load(cls, settings: dict[str, Any], progress: Callable[[str], None]) -> Core:
        if settings["model"] == "broken":
            raise BadWeights("The file model.gguf is truncated.", fix="Pull it again.")
        if settings["model"] == "deadly":
            sys.exit(9)
        found = cls()
        found.gate = settings.get("gate", "/")
        found.info = msgspec.structs.replace(found.info, id=settings["model"])
        return found
