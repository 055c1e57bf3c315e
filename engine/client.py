"""The synchronous client: HTTP over the engine's Unix socket, answers as server-sent events. Standard library
only, so that a notebook kernel adds nothing to its user's environment.

    with connect() as engine, engine.generate("def add(a, b):", max_tokens=32) as answer:
        for delta in answer:
            print(delta.text, end="")

Leaving the ``with``, or :meth:`Generation.close` from any thread, cancels what still runs.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from famulus.engine import launch
from famulus.engine.errors import EngineRestarted, EngineUnavailable, FamulusError, from_wire
from famulus.engine.runtime import Address

PROTOCOL = 1
"""The protocol version this client speaks; a test holds it equal to
:data:`famulus.engine.protocol.VERSION`."""

READ_SECONDS = 120.0
MAX_LINE = 16 << 20


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


def infill(prefix: str, suffix: str = "", **parts: Any) -> dict[str, Any]:
    """A prompt for the hole between two texts; ``parts`` as in :class:`famulus.engine.protocol.Infill`."""
    return {"type": "infill", "prefix": prefix, "suffix": suffix, **parts}


def chat(messages: Sequence[Mapping[str, Any]], **parts: Any) -> dict[str, Any]:
    """A prompt from chat messages; ``parts`` as in :class:`famulus.engine.protocol.Chat`."""
    return {"type": "chat", "messages": list(messages), **parts}


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
            raise EngineUnavailable(f"The engine was silent for {READ_SECONDS:.0f} s.") from None
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            # AttributeError: http.client drops its file when another thread closes the connection.
            if self._closed:
                raise StopIteration from None
            raise _cut_off() from error
        if self._closed:
            raise StopIteration
        raise _cut_off()

    def _take(self, event: dict[str, Any]) -> Delta | None:
        match event.get("type"):
            case "delta":
                if not event["index"]:
                    self._text.append(event["text"])
                scores = event["logprobs"]
                parsed = _scores(scores) if scores is not None else None
                return Delta(event["text"], event["index"], event["tokens"], parsed)
            case "finish":
                self.finish_reasons[event["index"]] = event["reason"]
            case "prompt_scores":
                self.prompt_scores = _scores(event["scores"])
            case "done":
                self.model = event["model"]
                self.usage, self.timing = Usage(**event["usage"]), Timing(**event["timing"])
                self._end()
            case "failed":
                self._end()
                raise from_wire(event["code"], event["message"])
            case _:
                self._end()
                raise _error_of(event)
        return None

    def _end(self) -> None:
        self._ended = True
        self._response.close()
        self._connection.close()
        self._sock = None


class Client:
    """A client of one engine; safe to use from several threads, each request has its own connection."""

    def __init__(
        self,
        address: Address,
        *,
        find_again: Callable[[], Address] | None = None,
        timeout: float = READ_SECONDS,
    ) -> None:
        self._address, self._find_again, self._timeout = address, find_again, timeout
        self._ids = itertools.count()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def generate(
        self,
        prompt: str | Mapping[str, Any],
        *,
        max_tokens: int = 128,
        n: int = 1,
        stop: Sequence[str] = (),
        lane: str = "chat",
        deadline: float | None = None,
        logprobs: int | None = None,
        prompt_logprobs: bool = False,
        constraint: Mapping[str, Any] | None = None,
        model: str = "",
        ignore_eos: bool = False,
        salt: str = "",
        **sampling: Any,
    ) -> Generation:
        """Write on from ``prompt`` (a text, :func:`infill`, :func:`chat`). ``deadline`` in seconds;
        ``sampling``: temperature, top_k, top_p, min_p, repetition_penalty, seed, logit_bias.

        Raises typed errors (:mod:`famulus.engine.errors`) here or while iterating.
        """
        body = {
            "id": self._new_id(),
            "prompt": _prompt(prompt),
            "model": model,
            "max_tokens": max_tokens,
            "n": n,
            "sampling": sampling,
            "stop": list(stop),
            "lane": lane,
            "deadline_ms": _milliseconds(deadline),
            "logprobs": logprobs,
            "prompt_logprobs": prompt_logprobs,
            "constraint": dict(constraint) if constraint is not None else None,
            "ignore_eos": ignore_eos,
            "salt": salt,
        }
        connection, response = self._send("POST", "/v1/generate", body)
        return Generation(connection, response)

    def score(
        self,
        prompt: str | Mapping[str, Any],
        continuation: str,
        *,
        lane: str = "chat",
        deadline: float | None = None,
    ) -> list[TokenScore]:
        """Log-probability of each token of ``continuation`` after ``prompt``; nothing is generated."""
        body = {
            "id": self._new_id(),
            "prompt": _prompt(prompt),
            "continuation": continuation,
            "lane": lane,
            "deadline_ms": _milliseconds(deadline),
        }
        return _scores(self._ask("POST", "/v1/score", body)["scores"])

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One normalised vector for each text."""
        vectors: list[list[float]] = self._ask("POST", "/v1/embed", {"id": self._new_id(), "texts": list(texts)})[
            "vectors"
        ]
        return vectors

    def tokenize(self, text: str) -> list[int]:
        """The model's tokens of ``text``."""
        tokens: list[int] = self._ask("POST", "/tokenize", {"content": text})["tokens"]
        return tokens

    def models(self) -> list[str]:
        """Names of the served models; waits while the model loads."""
        return [model["id"] for model in self._ask("GET", "/v1/models")["data"]]

    def status(self) -> dict[str, Any]:
        """:class:`famulus.engine.protocol.Status` as a dictionary; at once, in every state."""
        status: dict[str, Any] = self._ask("GET", "/v1/status")
        return status

    def shutdown(self) -> None:
        """Ask the engine to leave."""
        self._ask("POST", "/v1/shutdown", {})

    def _new_id(self) -> str:
        return f"{os.getpid()}-{next(self._ids)}"

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        connection, response = self._send(method, path, body)
        try:
            return json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _cut_off() from error
        finally:
            connection.close()

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send a request and wait for its status.

        An engine that has left meanwhile (idle, updated, killed) is looked for once more: nothing was answered
        yet, and asking twice changes nothing.
        """
        payload = json.dumps(body, allow_nan=False).encode() if body is not None else None
        try:
            return self._exchange(method, path, payload)
        except (OSError, http.client.HTTPException) as error:
            if self._find_again is None or isinstance(error, TimeoutError):
                raise _unreachable(error) from error
        self._address = self._find_again()
        try:
            return self._exchange(method, path, payload)
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(error) from error

    def _exchange(
        self, method: str, path: str, payload: bytes | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = launch.open_connection(self._address, self._timeout)
        try:
            connection.request(method, path, payload, self._headers())
            response = connection.getresponse()
            if response.status >= 400:
                raise _error_of(_json(response.read(MAX_LINE)))
        except BaseException:
            connection.close()
            raise
        return connection, response

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Famulus-Protocol": str(PROTOCOL)}
        if self._address.socket is None:
            headers["Authorization"] = f"Bearer {self._address.token}"
        return headers


def connect(home: Path | None = None, *, start: bool = True, python: str | None = None) -> Client:
    """A client of this user's engine, which is started if none runs (unless ``start`` is false).

    ``python``: the interpreter Famulus is installed in, where that is not this one. Raises
    :class:`EngineUnavailable`."""

    def find() -> Address:
        if start:
            return launch.find_or_start(home, python=python or sys.executable)
        found = launch.find(home)
        if found is None:
            raise EngineUnavailable("No engine runs.", fix="Run `famulus serve`.")
        return found

    return Client(find(), find_again=find)


def _prompt(prompt: str | Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": prompt} if isinstance(prompt, str) else dict(prompt)


def _milliseconds(seconds: float | None) -> int | None:
    return max(1, round(seconds * 1000)) if seconds is not None else None


def _scores(raw: list[dict[str, Any]]) -> list[TokenScore]:
    return [
        TokenScore(score["token"], score["text"], score["logprob"], [(t, s, p) for t, s, p in score["top"]])
        for score in raw
    ]


def _json(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _error_of(body: dict[str, Any]) -> FamulusError:
    error = body.get("error")
    if not isinstance(error, dict):
        return EngineUnavailable("The engine gave an answer that is not its own.", fix="Run `famulus doctor`.")
    return from_wire(str(error.get("code")), str(error.get("message")))


def _unreachable(error: Exception) -> EngineUnavailable:
    return EngineUnavailable(f"No engine answers ({error}).", fix="Run `famulus serve`.")


def _cut_off() -> EngineRestarted:
    return EngineRestarted("The engine ended while this request ran; what came so far is partial.", fix="Ask again.")
