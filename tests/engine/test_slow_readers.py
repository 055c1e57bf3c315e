"""Clients that stop reading: their generation is cancelled and their connection cut, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import unix_connect

from famulus.engine.api.answering import EventStream
from famulus.engine.api.services import Services
from famulus.engine.api.streams import Session
from famulus.engine.connections import Listener
from famulus.engine.listen import bind_unix
from famulus.engine.metrics import Metrics
from famulus.engine.protocol import Generate, Text, encode, encode_json
from famulus.engine.spawn import WorkerCommand
from famulus.engine.supervisor import Supervisor

pytestmark = pytest.mark.anyio

STAND_IN = Path(__file__).parent / "stand_in_core.py"
SLOW = 0.3


@contextlib.asynccontextmanager
async def served(path: Path) -> AsyncIterator[Supervisor]:
    """A worker that writes kilobytes, behind two routes that lose patience early."""
    supervisor = Supervisor(WorkerCommand(core=f"{STAND_IN}:Hefty"))
    services = Services(
        supervisor,
        Metrics(supervisor),
        status=lambda: pytest.fail("nobody asked"),
        stop=lambda: None,
        switch=lambda _: pytest.fail("nobody asked"),
    )

    async def stream(request: Request) -> Response:
        ticket = supervisor.open(Generate("http", Text("abc"), max_tokens=100_000))

        async def produce() -> AsyncIterator[bytes]:
            async for event in ticket:
                yield encode_json(event)

        return EventStream([ticket], produce, slow_seconds=SLOW)

    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await Session(services, websocket, slow_seconds=SLOW).run()

    door = bind_unix(path)
    listener = Listener(Starlette(routes=[Route("/s", stream), WebSocketRoute("/ws", talk)]), grace_seconds=1)
    supervising = asyncio.create_task(supervisor.run())
    serving = asyncio.create_task(listener.serve([door.sock]))
    await supervisor.wait_ready()
    try:
        yield supervisor
    finally:
        listener.should_exit = True
        await serving
        supervising.cancel()
        await asyncio.gather(supervising, return_exceptions=True)


async def gone(supervisor: Supervisor) -> None:
    async with asyncio.timeout(10):
        while supervisor.open_requests or supervisor.stats.get("running") != 0:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_reader_of_events_that_stops_is_cut(tmp_path: Path) -> None:
    async with served(tmp_path / "s") as supervisor:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(tmp_path / "s"))
            sock.sendall(b"GET /s HTTP/1.1\r\nHost: x\r\n\r\n")
            await gone(supervisor)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(5):
                with contextlib.suppress(ConnectionResetError):
                    while await loop.sock_recv(sock, 1 << 20):
                        pass


async def test_a_front_end_that_stops_reading_is_cut(tmp_path: Path) -> None:
    async with served(tmp_path / "s") as supervisor:
        connection = await unix_connect(str(tmp_path / "s"), "ws://x/ws", max_queue=1, close_timeout=0.1)
        await connection.send(encode(Generate("ws", Text("abc"), max_tokens=100_000)))
        await gone(supervisor)
        await connection.close()
        assert connection.close_code == 1006


async def test_a_reader_that_reads_is_not_cut(tmp_path: Path) -> None:
    """Even when each of its pauses is just short of the limit."""
    async with served(tmp_path / "s") as supervisor:
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b"GET /s HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(5):
            assert await reader.read(1 << 16)
            await asyncio.sleep(SLOW / 3)
        assert supervisor.open_requests == 1
        writer.close()
        await gone(supervisor)
