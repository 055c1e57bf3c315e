"""The processes of the engine with the real model: killed, frozen, cancelled at every moment, left by its clients."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from famulus.engine import stream
from famulus.engine.client import Client
from famulus.engine.errors import EngineRestarted
from famulus.engine.protocol import Chat, Infill, Message, Prompt, Text
from famulus.engine.runtime import Address

pytestmark = pytest.mark.e2e

SLACK = 5
"""Promised times are held to this multiple: the tests' machine has other work."""
CANCELS, ABREAST = 200, 10
LONG = "".join(f"value_{i} = {i}\n" for i in range(700))
"""Several thousand tokens: seconds of work for a prompt."""


class Engine:
    """The engine as its clients and its processes show it."""

    def __init__(self, home: Path) -> None:
        self.home, self.socket = home, str(home / "run/engine.sock")
        self.client = Client(Address(socket=self.socket))
        self.client.models()
        within(1, "the worker reports", lambda: bool(self.stats()))

    def status(self) -> dict[str, Any]:
        return self.client.status()

    def stats(self) -> dict[str, float]:
        stats: dict[str, float] = self.status()["stats"]
        return stats

    def at_rest(self) -> bool:
        """Is nothing running, and does every page lie in the cache or free?"""
        s = self.stats()
        idle = (s["running"], s["waiting"], s["tasks"]) == (0, 0, 0)
        return idle and s["pages_cached"] + s["pages_free"] == s["pages_total"]

    def descriptors(self) -> tuple[int, int]:
        """Open files of server and worker."""
        status = self.status()
        return psutil.Process(status["pid"]).num_fds(), psutil.Process(status["worker_pid"]).num_fds()

    def ready(self) -> int:
        """The status of ``/readyz``."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=self.socket)) as client:
            return client.get("http://localhost/readyz").status_code


@pytest.fixture(scope="module")
def engine(mortal: Any) -> Engine:
    return Engine(mortal.home)


def within(seconds: float, what: str, condition: Callable[[], bool]) -> None:
    """Ask until ``condition`` holds, for ``seconds`` and the slack at most."""
    deadline = time.monotonic() + seconds * SLACK
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def answers(engine: Engine) -> bool:
    with engine.client.generate("def add(a, b):\n    return", max_tokens=6) as answer:
        return "a + b" in answer.read()


# -- clients that go


def leave_before_the_first_byte(engine: Engine, path: str, body: dict[str, Any]) -> None:
    """Ask, and hang up as soon as the engine works on it."""
    payload = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(engine.socket)
        sock.sendall(head.encode() + payload)
        within(2, "the request runs", lambda: engine.stats()["running"] >= 1)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": LONG, "stream": True}),
        ("/v1/completions", {"prompt": LONG}),
        ("/v1/embeddings", {"input": [LONG, LONG + "x"]}),
        ("/v1/generate", {"id": "x", "prompt": {"type": "text", "text": LONG}}),
    ],
    ids=["streamed", "whole", "embeddings", "generate"],
)
def test_a_client_that_left_costs_nothing_more(engine: Engine, path: str, body: dict[str, Any]) -> None:
    tokens = len(engine.client.tokenize(LONG))
    # Its own first line: nothing of it is cached from the test before.
    key = "prompt" if "prompt" in body else "input"
    fresh = json.loads(json.dumps(body).replace("value_0 ", f"value_{random.randrange(10**9)} "))
    assert fresh[key] != body[key]
    before = engine.stats()["computed_tokens"]
    leave_before_the_first_byte(engine, path, fresh)
    within(1, "the request is dropped", lambda: engine.at_rest() and engine.status()["open_requests"] == 0)
    left = engine.stats()["computed_tokens"]
    assert left - before < tokens / 2
    assert answers(engine)
    within(1, "the engine is at rest", engine.at_rest)
    assert engine.stats()["computed_tokens"] - left < 50, "somebody went on with what nobody wants"


# -- clients that change their mind


async def change_your_mind(connection: stream.Stream, chance: random.Random) -> None:
    """One request of any kind, cancelled before it is sent, while it waits, in its prompt, or in its answer."""
    text = "".join(f"{chance.choice('abc')}{i} = {chance.randrange(100)}\n" for i in range(chance.choice((1, 2, 10))))
    if chance.random() < 0.1:
        asked = asyncio.ensure_future(connection.score(text, "x = 1\n" * 20))
        await asyncio.sleep(chance.choice((0, 0.03)))
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        return
    prompts: list[Prompt] = [Text(text), Infill(text, "\nprint(a0)\n"), Chat([Message("user", text)])]
    lane, candidates = chance.choice(("key", "chat", "idle")), chance.choice((1, 1, 1, 2))
    call = connection.generate(chance.choice(prompts), max_tokens=200, lane=lane, n=candidates)
    phase = chance.choice((0, 1, 1, 2))
    if phase == 1:
        await asyncio.sleep(chance.random() * 0.1)
    elif phase > 1:
        for _ in range(chance.randrange(1, 3)):
            await anext(call, None)
    call.cancel()


async def cancel_often(engine: Engine, chance: random.Random) -> None:
    """All over one connection, where nothing may pile up."""
    async with stream.connect(engine.home, start=False) as connection:
        await connection.tokenize("x")
        before = await asyncio.to_thread(engine.descriptors)
        for _ in range(CANCELS // ABREAST):
            await asyncio.gather(*(change_your_mind(connection, chance) for _ in range(ABREAST)))
        events = [type(event).__name__ async for event in connection.generate("def add(a, b):", max_tokens=2)]
        assert events[-1] == "Done"
        await asyncio.to_thread(within, 1, "everything is given back", engine.at_rest)

        def as_before() -> bool:
            # The connection of the question itself may be counted or already be closed.
            return all(now <= then for now, then in zip(engine.descriptors(), before, strict=True))

        await asyncio.to_thread(within, 1, f"no more open files than before, {before}", as_before)


def test_cancels_at_any_moment_leave_nothing(engine: Engine) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    cancelled, restarts = engine.stats()["cancelled"], engine.status()["restarts"]
    asyncio.run(cancel_often(engine, random.Random(seed)))
    assert engine.stats()["cancelled"] > cancelled + CANCELS / 4
    assert (engine.status()["open_requests"], engine.status()["restarts"]) == (0, restarts)


# -- workers that end


def test_a_worker_killed_in_the_middle_is_said_and_replaced(engine: Engine) -> None:
    worker = engine.status()["worker_pid"]
    with engine.client.generate("One, two, three,", max_tokens=4000, ignore_eos=True) as answer:
        assert next(answer).text
        os.kill(worker, signal.SIGKILL)
        killed = time.monotonic()
        with pytest.raises(EngineRestarted, match=r"Ask again\.$"):
            answer.read()
        assert time.monotonic() - killed < 1 * SLACK
    assert answers(engine)
    assert engine.status()["worker_pid"] != worker


def test_a_frozen_worker_is_noticed_and_replaced(engine: Engine) -> None:
    assert engine.ready() == 200
    worker = engine.status()["worker_pid"]
    os.kill(worker, signal.SIGSTOP)
    within(2, "/readyz says so", lambda: engine.ready() == 503)
    within(5, "a new worker starts", lambda: engine.status()["worker_pid"] not in (None, worker))
    assert not psutil.pid_exists(worker)
    assert answers(engine)
    assert engine.ready() == 200
