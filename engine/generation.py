"""An answer under way, as the synchronous client sees it. Standard library only."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from famulus.engine.errors import EngineRestarted, EngineUnavailable, FamulusError, from_wire

MAX_LINE = 256 << 20
"""Bytes; the longest event that is read."""


@dataclass(frozen=True)
class TokenScore:
    """A token, its text, its natural-log probability (None for the first), and alternatives at its place."""

    token: int
    text: str
    logprob: float | None
    top: list[tuple[int, str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Delta:
    """New text of candidate ``index``."""

    text: str
    index: int = 0
    tokens: int = 0
    logprobs: list[TokenScore] | None = None


@dataclass(frozen=True)
class Usage:
    """Tokens: of the prompt, of those from the cache, generated over all candidates."""

    prompt: int = 0
    cached: int = 0
    generated: int = 0


@dataclass(frozen=True)
class Timing:
    """Milliseconds from arrival: until scheduled, until the first token, until the end."""

    queue: float = 0.0
    first_token: float = 0.0
    total: float = 0.0


class Generation(Iterator[Delta]):
    """The answer under way: an iterator of :class:`Delta`. After its end ``usage``, ``timing``, ``model``,
    ``finish_reasons`` (by candidate) and ``prompt_scores`` are set; ``text`` is what candidate 0 said so far.

    Raises the engine's typed error, and :class:`EngineRestarted` when the stream is cut: it never just stops.
    """

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection, self._response = connection, response
        self._sock: socket.socket | None = connection.sock
        self._closed = self._ended = False
        self._text: list[str] = []
        self.usage = Usage()
        self.timing = Timing()
        self.model = ""
        self.finish_reasons: dict[int, str] = {}
        self.prompt_scores: list[TokenScore] = []

    @property
    def text(self) -> str:
        """All text of candidate 0 so far."""
        return "".join(self._text)

    def read(self) -> str:
        """Wait for the end and return the text of candidate 0."""
        for _ in self:
            pass
        return self.text

    def __iter__(self) -> Generation:
        return self

    def __next__(self) -> Delta:
        while not (self._ended or self._closed):
            delta = self._take(self._next_event())
            if delta is not None:
                return delta
        raise StopIteration

    def close(self) -> None:
        """Stop the generation; the engine frees what it holds within one step. Idempotent, from any
        thread."""
        self._closed = True
        if self._sock is not None:
            # A thread that waits in recv() is woken by shutdown, not by close.
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        if self._ended or self._sock is None:
            self._connection.close()

    def __enter__(self) -> Generation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._response.close()
        self._connection.close()

    def _next_event(self) -> dict[str, Any]:
        try:
            while line := self._response.readline(MAX_LINE):
                if line.startswith(b"data: "):
                    event: dict[str, Any] = json.loads(line[6:])
                    return event
        except TimeoutError:
            self.close()
            raise EngineUnavailable("The engine was silent for too long.") from None
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            # AttributeError: http.client drops its file when another thread closes the connection.
            if self._closed:
                raise StopIteration from None
            raise cut_off() from error
        if self._closed:
            raise StopIteration
        raise cut_off()

    def _take(self, event: dict[str, Any]) -> Delta | None:
        match event.get("type"):
            case "delta":
                if not event["index"]:
                    self._text.append(event["text"])
                scores = event["logprobs"]
                parsed = token_scores(scores) if scores is not None else None
                return Delta(event["text"], event["index"], event["tokens"], parsed)
            case "finish":
                self.finish_reasons[event["index"]] = event["reason"]
            case "prompt_scores":
                self.prompt_scores = token_scores(event["scores"])
            case "done":
                self.model = event["model"]
                self.usage, self.timing = Usage(**event["usage"]), Timing(**event["timing"])
                self._end()
            case "failed":
                self._end()
                raise from_wire(event["code"], event["message"])
            case _:
                self._end()
                raise error_of(event)
        return None

    def _end(self) -> None:
        self._ended = True
        self._response.close()
        self._connection.close()
        self._sock = None


def token_scores(raw: list[dict[str, Any]]) -> list[TokenScore]:
    """Scores as they come in JSON."""
    return [
        TokenScore(score["token"], score["text"], score["logprob"], [(t, s, p) for t, s, p in score["top"]])
        for score in raw
    ]


def error_of(body: dict[str, Any]) -> FamulusError:
    """The typed error in an answer of OpenAI's error shape."""
    error = body.get("error")
    if not isinstance(error, dict):
        return EngineUnavailable("The engine gave an answer that is not its own.", fix="Run `famulus doctor`.")
    return from_wire(str(error.get("code")), str(error.get("message")))


def cut_off() -> EngineRestarted:
    """The error for a stream that ended without its last event."""
    return EngineRestarted("The engine ended while this request ran; what came so far is partial.", fix="Ask again.")
