"""The synchronous client: HTTP over the engine's Unix socket, answers as server-sent events. Standard library
only, so that a notebook kernel adds nothing to its user's environment.

    with connect() as engine, engine.generate("def add(a, b):", max_tokens=32) as answer:
        for delta in answer:
            print(delta.text, end="")

Leaving the ``with``, or :meth:`Generation.close` from any thread, cancels what still runs.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from famulus.engine import launch
from famulus.engine.errors import EngineUnavailable, InvalidRequest
from famulus.engine.generation import (
    MAX_LINE,
    Delta,
    Generation,
    Timing,
    TokenScore,
    Usage,
    cut_off,
    error_of,
    token_scores,
)
from famulus.engine.runtime import Address

__all__ = ["Client", "Delta", "Generation", "Timing", "TokenScore", "Usage", "chat", "connect", "infill"]

PROTOCOL = 1
"""The protocol version this client speaks; a test holds it equal to
:data:`famulus.engine.protocol.VERSION`."""

READ_SECONDS = 120.0

SWITCH_SECONDS = 660.0
"""A model that is packed for the first time takes a while."""


def infill(prefix: str, suffix: str = "", **parts: Any) -> dict[str, Any]:
    """A prompt for the hole between two texts; ``parts`` as in :class:`famulus.engine.protocol.Infill`."""
    return {"type": "infill", "prefix": prefix, "suffix": suffix, **parts}


def chat(messages: Sequence[Mapping[str, Any]], **parts: Any) -> dict[str, Any]:
    """A prompt from chat messages; ``parts`` as in :class:`famulus.engine.protocol.Chat`."""
    return {"type": "chat", "messages": list(messages), **parts}


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
        return token_scores(self._ask("POST", "/v1/score", body)["scores"])

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

    def use(self, model: str) -> dict[str, Any]:
        """Have the engine serve another model, named as in the settings, and wait until it does →
        :class:`famulus.engine.protocol.ModelInfo` as a dictionary. Raises typed errors; the old one then stays."""
        patient = Client(self._address, find_again=self._find_again, timeout=SWITCH_SECONDS)
        found: dict[str, Any] = patient._ask("POST", "/v1/switch", {"model": model})
        return found

    def _new_id(self) -> str:
        return f"{os.getpid()}-{next(self._ids)}"

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        connection, response = self._send(method, path, body)
        try:
            return json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise cut_off() from error
        finally:
            connection.close()

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send a request and wait for its status.

        An engine that has left meanwhile (idle, updated, killed) is looked for once more: nothing was answered
        yet, and asking twice changes nothing.
        """
        try:
            payload = json.dumps(body, allow_nan=False).encode() if body is not None else None
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"The request cannot be written as JSON ({error}).") from error
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
                raise error_of(_json(response.read(MAX_LINE)))
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


def _json(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _unreachable(error: Exception) -> EngineUnavailable:
    return EngineUnavailable(f"No engine answers ({error}).", fix="Run `famulus serve`.")
