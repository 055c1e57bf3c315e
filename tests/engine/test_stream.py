"""The asynchronous client and ``/v1/stream``: what the language server relies on at every keystroke."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from famulus.engine.errors import (
    DeadlineExceeded,
    EngineRestarted,
    EngineUnavailable,
    InvalidRequest,
    ModelNotFound,
    VersionMismatch,
)
from famulus.engine.protocol import (
    MAX_BODY,
    SUBPROTOCOL,
    Cancel,
    Delta,
    Done,
    Event,
    Failed,
    Generate,
    Infill,
    Sampling,
    Text,
    encode,
    event_decoder,
)
from famulus.engine.runtime import Address
from famulus.engine.stream import Call, Stream, connect

pytestmark = pytest.mark.anyio


def stream(running: Any) -> Stream:
    return Stream(lambda: running.address)


async def text_of(call: Call) -> str:
    return "".join([event.text async for event in call if isinstance(event, Delta)])


async def test_a_hundred_requests_share_one_connection(steady: Any) -> None:
    async with stream(steady) as engine:
        calls = [engine.generate(chr(97 + n % 26), max_tokens=3) for n in range(100)]
        texts = await asyncio.gather(*map(text_of, calls))
    assert texts == [chr(65 + n % 26) * 3 for n in range(100)]


async def test_every_kind_of_request_is_answered(steady: Any) -> None:
    async with stream(steady) as engine:
        assert [score.text for score in (await engine.score("ab", "cd")).scores] == ["c", "d"]
        assert (await engine.embed(["abc"])).vectors == [[3.0, 0.5]]
        assert (await engine.tokenize("ab")).tokens == [97, 98]
        assert (await engine.detokenize([97, 98])).text == "ab"
        events = [event async for event in engine.generate(Infill("a", "b"), max_tokens=1, lane="key")]
        assert isinstance(events[-1], Done)
        assert engine.generation


async def test_cancel_ends_one_call_and_leaves_the_others(serve: Any, eventually: Any) -> None:
    running = serve("Slow")
    async with stream(running) as engine:
        doomed, other = engine.generate("abc", max_tokens=100_000), engine.generate("xyz", max_tokens=30)
        await anext(doomed)
        doomed.cancel()
        doomed.cancel()
        assert [event async for event in doomed] == []
        assert await text_of(other) == "XYZ" * 10
    eventually(lambda: running.client.status()["stats"]["cancelled"] == 1, 5, "the worker was told")


async def test_a_thousand_keystrokes_cancel_without_a_trace(serve: Any, eventually: Any) -> None:
    """Cancelled while queued, before, during and after their first word: pages, tasks, files are where they
    were."""
    running = serve("Slow")
    pids = [running.process.pid, running.worker_pid()]

    def held() -> tuple[int, ...]:
        return tuple(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)

    async with stream(running) as engine:
        await text_of(engine.generate("warm", max_tokens=1))
        before = held()
        for n in range(1000):
            call = engine.generate("abc", max_tokens=1000, lane="key")
            if n % 100 == 50:
                await anext(call)
            elif n % 7 == 0:
                await asyncio.sleep(0)
            call.cancel()
        assert await text_of(engine.generate("done", max_tokens=4)) == "DONE"
        eventually(lambda: running.client.status()["open_requests"] == 0, 10, "all requests are gone")
        eventually(lambda: running.client.status()["stats"]["running"] == 0, 10, "the worker runs nothing")
        eventually(lambda: held() == before, 10, "no descriptor is left")


async def test_leaving_cancels_everything(serve: Any, eventually: Any) -> None:
    running = serve("Slow")
    async with stream(running) as engine:
        calls = [engine.generate("abc", max_tokens=100_000) for _ in range(5)]
        await anext(calls[0])
    with pytest.raises(EngineUnavailable):
        await text_of(calls[1])
    eventually(lambda: running.client.status()["open_requests"] == 0, 5, "all requests are gone")


async def test_errors_are_typed_and_hit_one_call_only(steady: Any) -> None:
    async with stream(steady) as engine:
        wrong = engine.submit(Generate("wrong", Text("a"), max_tokens=-1))
        other = engine.generate("ab", max_tokens=2)
        with pytest.raises(InvalidRequest, match="max_tokens"):
            await text_of(wrong)
        with pytest.raises(ModelNotFound, match="stand-in"):
            await text_of(engine.generate("a", model="another"))
        assert await text_of(other) == "AB"


async def test_what_cannot_be_sent_fails_alone(steady: Any) -> None:
    async with stream(steady) as engine:
        other = engine.generate("abc", max_tokens=50)
        await anext(other)
        for bad in (
            engine.generate("x" * (MAX_BODY + 1)),
            engine.generate("\ud800"),
            engine.generate("x", sampling=Sampling(seed=10**30)),
            engine.generate("x", sampling=Sampling(temperature=float("nan"))),
        ):
            with pytest.raises(InvalidRequest):
                await text_of(bad)
        assert len(await text_of(other)) == 49


async def test_a_dead_worker_is_an_error_within_a_second_and_the_next_request_works(serve: Any) -> None:
    running = serve("Slow")
    async with stream(running) as engine:
        call = engine.generate("abc", max_tokens=100_000)
        await anext(call)
        os.kill(running.worker_pid(), signal.SIGKILL)
        async with asyncio.timeout(1):
            with pytest.raises(EngineRestarted):
                await text_of(call)
        async with asyncio.timeout(10):
            assert await text_of(engine.generate("ab", max_tokens=2)) == "AB"


async def test_a_dead_server_is_an_error_and_the_next_request_finds_the_new_one(serve: Any) -> None:
    first, second = serve("Slow"), serve()
    addresses = iter([first.address, second.address])
    async with Stream(lambda: next(addresses)) as engine:
        call = engine.generate("abc", max_tokens=100_000)
        await anext(call)
        first.process.kill()
        with pytest.raises(EngineRestarted):
            await text_of(call)
        assert await text_of(engine.generate("ab", max_tokens=2)) == "AB"


async def test_a_deadline_passes_while_the_model_loads(serve: Any, tmp_path: Any) -> None:
    settings = '{"gate": "%s"}' % (tmp_path / "gate")
    running = serve("SlowLoad", "--core-settings", settings, ready=False)
    async with stream(running) as engine:
        with pytest.raises(DeadlineExceeded):
            await text_of(engine.generate("ab", deadline_ms=100))
        patient = engine.generate("ab", max_tokens=2)
        (tmp_path / "gate").touch()
        assert await text_of(patient) == "AB"


async def test_tcp_needs_the_token(serve: Any) -> None:
    running = serve("Core", "--port", "0")
    async with Stream(lambda: Address(port=running.port, token=running.token)) as engine:
        assert await text_of(engine.generate("ab", max_tokens=2)) == "AB"
    async with Stream(lambda: Address(port=running.port, token="wrong")) as engine:
        with pytest.raises(Exception, match="token"):
            await text_of(engine.generate("ab"))


async def test_connects_to_the_engine_of_a_home(steady: Any) -> None:
    running = steady
    async with connect(running.home, start=False) as engine:
        assert await text_of(engine.generate("ab", max_tokens=2)) == "AB"


# -- the wire itself, as a client of another make or age would use it


def raw(running: Any, **options: Any) -> Any:
    options = {"subprotocols": [SUBPROTOCOL], "compression": None, "max_size": None} | options
    return unix_connect(str(running.files.socket), "ws://localhost/v1/stream", **options)


async def receive(connection: ClientConnection) -> Event:
    message = await connection.recv()
    assert isinstance(message, bytes)
    return event_decoder.decode(message)


async def test_another_protocol_version_gets_one_clear_sentence(steady: Any) -> None:
    running = steady
    with pytest.raises(InvalidStatus) as refused:
        async with raw(running, subprotocols=["famulus.999"]):
            pass
    assert refused.value.response.status_code == VersionMismatch.status
    body = (refused.value.response.body or b"").decode()
    assert "protocol 1" in body
    assert "999" in body


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xc1",
        b"\x91" * 5000,
        encode({"type": "generate"}),
        encode({"type": "unknown", "id": "x"}),
        encode({"type": "generate", "id": "x", "prompt": {"type": "text", "text": "a"}, "surplus": 1}),
        encode({"type": "generate", "id": "x", "prompt": {"type": "text", "text": "a"}, "max_tokens": -1}),
        encode({"type": "generate", "id": "x" * 200, "prompt": {"type": "text", "text": "a"}}),
        encode({"type": "generate", "id": "x", "prompt": {"type": "text", "text": "a"}, "n": 10**30 % 2**60}),
        msgspec.msgpack.encode([1, 2, 3]),
        b"\x82\xa4type\xa6cancel\xa2id\xa2\xff\xfe",
    ],
)
async def test_a_wrong_message_is_answered_and_the_connection_goes_on(steady: Any, message: bytes) -> None:
    async with raw(steady) as connection:
        await connection.send(message)
        answer = await receive(connection)
        assert isinstance(answer, Failed)
        assert answer.code == "invalid_request"
        await connection.send(encode(Generate("good", Text("ab"), max_tokens=1)))
        assert isinstance(await receive(connection), Delta)


async def test_text_frames_and_reused_ids_end_the_connection(serve: Any) -> None:
    running = serve("Slow")
    async with raw(running) as connection:
        await connection.send("{}")
        await connection.wait_closed()
        assert connection.close_code == 1003
    async with raw(running) as connection:
        await connection.send(encode(Generate("same", Text("ab"), max_tokens=10_000)))
        await connection.send(encode(Generate("same", Text("ab"))))
        await connection.wait_closed()
        assert connection.close_code == 1008


async def test_cancelling_the_unknown_is_nothing(steady: Any) -> None:
    async with raw(steady) as connection:
        await connection.send(encode(Cancel("never seen")))
        await connection.send(encode(Generate("good", Text("ab"), max_tokens=1)))
        assert isinstance(await receive(connection), Delta)


async def test_a_message_beyond_the_limit_is_refused(steady: Any) -> None:
    running = steady
    async with raw(running) as connection:
        with contextlib.suppress(ConnectionClosed):  # the refusal may come while we still send
            await connection.send(b"\x00" * (9 << 20))
        await connection.wait_closed()
        assert connection.close_code == 1009
    assert running.client.status()["state"] == "ready"


async def test_a_client_that_goes_takes_its_requests_along(serve: Any, eventually: Any) -> None:
    running = serve("Slow")
    async with raw(running) as connection:
        await connection.send(encode(Generate("long", Text("ab"), max_tokens=10_000)))
        await receive(connection)
        connection.transport.abort()
    eventually(lambda: running.client.status()["open_requests"] == 0, 5, "the request is gone")
