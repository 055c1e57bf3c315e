"""The sockets of ``famulus lsp``: only this user's programs enter, and no client's behaviour reaches another."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from famulus.lsp_server.framing import frame

INITIALIZE = {"processId": None, "rootUri": None, "capabilities": {}}
HOSTS = [
    "127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "127.0.0.1", "localhost", "127.0.0.1:1", "evil.example",
    "evil.example:{port}", "127.0.0.1.evil.example:{port}", "0.0.0.0:{port}", "", None,
]  # fmt: skip
ORIGINS = [
    None, "", "null", "http://evil.example", "http://localhost:{port}", "http://127.0.0.1:{port}", "vscode-file://app",
    "https://editor.example",
]  # fmt: skip


class Served:
    """A running ``famulus lsp`` with both kinds of sockets."""

    def __init__(self, home: Path) -> None:
        command = [Path(sys.executable).with_name("famulus"), "lsp", "--tcp", "0", "--ws", "0"]
        command += ["--allow-origin", "https://editor.example"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | {"FAMULUS_HOME": str(home)}
        )
        self.ports, self.files = {}, {}
        for _ in range(2):
            kind, _, rest = self.process.stdout.readline().decode().strip().partition(": 127.0.0.1:")
            port, _, path = rest.partition(", token in ")
            self.ports[kind], self.files[kind] = int(port), Path(path)

    def token(self, kind):
        return self.files[kind].read_text()

    def options(self, token=None):
        return {"famulus": {"token": token if token is not None else self.token("TCP")}}

    def knock(self):
        return socket.create_connection(("127.0.0.1", self.ports["TCP"]), 10)

    def websocket(self, **options):
        options.setdefault("additional_headers", {"Authorization": f"Bearer {self.token('WebSocket')}"})
        return connect(f"ws://127.0.0.1:{self.ports['WebSocket']}", proxy=None, compression=None, **options)


@pytest.fixture(scope="module")
def served_lsp(tmp_path_factory):
    home = tmp_path_factory.mktemp("sockets")
    (home / "run/start.lock").mkdir(parents=True)
    served = Served(home)
    yield served
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(5) == 0
    assert not any(path.exists() for path in served.files.values())


@pytest.fixture
def client(served_lsp, editor_class):
    """Connects to the TCP port: ``client()``."""
    opened = []

    def start(**params):
        sock = served_lsp.knock()
        sock.settimeout(None)
        editor = editor_class(sock.makefile("rb"), sock.makefile("wb"))
        opened.append((editor, sock))
        editor.initialize(**({"options": served_lsp.options()} | params))
        return editor

    yield start
    for editor, sock in opened:
        sock.shutdown(socket.SHUT_RDWR)
        sock.close()
        editor.end()


def test_listens_on_loopback_alone_with_private_tokens(served_lsp):
    listening = [c for c in psutil.Process(served_lsp.process.pid).net_connections("inet") if c.status == "LISTEN"]
    assert {c.laddr for c in listening} == {("127.0.0.1", port) for port in served_lsp.ports.values()}
    for path in served_lsp.files.values():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(path.read_text()) >= 43
    assert served_lsp.token("TCP") != served_lsp.token("WebSocket")


def test_each_tcp_client_has_a_session_of_its_own(client):
    one, two = client(), client()
    one.open("file:///a.py", "one")
    with pytest.raises(Exception, match="-32601"):
        two.request("no/such")
    one.request("shutdown")
    one.notify("exit")
    one.gone()
    with pytest.raises(Exception, match="-32601"):
        two.request("no/such")
    client().request("shutdown")


@pytest.mark.parametrize(
    "options", [None, {"famulus": {"token": ""}}, {"famulus": {"token": "x" * 43}}, {"famulus": 1}]
)
def test_tcp_asks_for_the_token(client, options):
    with pytest.raises(Exception, match=r"-32600.*token"):
        client(options=options)


def test_nothing_is_done_before_the_token_was_shown(served_lsp):
    with served_lsp.knock() as sock:
        sock.sendall(frame(b'{"jsonrpc":"2.0","id":1,"method":"shutdown"}'))
        answer = sock.makefile("rb").read()
        assert b"-32600" in answer and answer.count(b"Content-Length") == 1


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"Content-Length: 67108865\r\n\r\n",
        b"X: y\r\n" * 3000,
    ],
    ids=["GET", "POST", "TLS", "too large", "endless header"],
)
def test_strangers_are_shown_out_at_once(served_lsp, said):
    start = time.monotonic()
    with served_lsp.knock() as sock:
        try:
            sock.sendall(said)
            assert b"jsonrpc" not in sock.makefile("rb").read()
        except (ConnectionResetError, BrokenPipeError):
            pass
    assert time.monotonic() - start < 5.0  # a tenth of a second where nothing else runs


def test_the_hundredth_client_after_rude_ones_is_served(served_lsp, client):
    draw = random.Random(7)
    params = INITIALIZE | {"initializationOptions": served_lsp.options()}
    good = frame(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).encode())
    first = client()
    for _ in range(100):
        with served_lsp.knock() as sock:
            if draw.random() < 0.3:  # leaves with a reset
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            said = draw.choice([good[: draw.randint(0, len(good))], good + good[:40], draw.randbytes(50), good])
            sock.sendall(said)
    for _ in range(20):
        url = socket.create_connection(("127.0.0.1", served_lsp.ports["WebSocket"]), 5)
        url.sendall(draw.choice([b"GET / HTTP/1.1\r\n", draw.randbytes(200), b""]))
        url.close()
    for editor in (first, client()):
        with pytest.raises(Exception, match="-32601"):
            editor.request("no/such")
    assert psutil.Process(served_lsp.process.pid).memory_info().rss < 200 << 20


def handshake(port, host, origin, authorization):
    key = base64.b64encode(b"0123456789abcdef").decode()
    lines = ["GET / HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
             f"Sec-WebSocket-Key: {key}"]  # fmt: skip
    named = {"Host": host, "Origin": origin, "Authorization": authorization}
    lines += [f"{name}: {value.format(port=port)}" for name, value in named.items() if value is not None]
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(sock.makefile("rb").readline().split()[1])


def test_a_websocket_needs_host_no_origin_and_token(served_lsp):
    port, token = served_lsp.ports["WebSocket"], served_lsp.token("WebSocket")
    for host in HOSTS:
        for origin in ORIGINS:
            for shown in (None, "Bearer wrong", f"Basic {token}", f"Bearer {token}"):
                status = handshake(port, host, origin, shown)
                right_host = host in HOSTS[:3]
                right_origin = origin in (None, "https://editor.example")
                may = right_host and right_origin and shown == f"Bearer {token}"
                assert (status == 101) == may, (host, origin, shown, status)
                assert may or status in (400, 401, 403)


def test_speaks_over_a_websocket(served_lsp):
    token = served_lsp.token("WebSocket")
    with served_lsp.websocket(
        additional_headers=None, subprotocols=["famulus.lsp", f"famulus.token.{token}"]
    ) as socket:
        assert socket.subprotocol == "famulus.lsp"
        socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}))
        assert "capabilities" in json.loads(socket.recv(10))["result"]
        socket.send("{]")
        socket.send(b'{"jsonrpc":"2.0","id":2,"method":"no/such"}')
        said = [json.loads(socket.recv(10)) for _ in range(2)]
        assert {m["error"]["code"] for m in said if "error" in m} == {-32700, -32601}
    with pytest.raises(InvalidStatus):
        served_lsp.websocket(additional_headers={})


def test_a_message_beyond_the_limit_ends_that_websocket_alone(served_lsp):
    with served_lsp.websocket() as other, served_lsp.websocket(max_size=None) as huge:
        with contextlib.suppress(ConnectionClosed):  # or else it is noticed below
            huge.send("x" * (17 << 20))
        with pytest.raises(ConnectionClosed):
            huge.recv(10)
        other.send('{"jsonrpc":"2.0","id":2,"method":"no/such"}')
        assert json.loads(other.recv(10))["error"]["code"] == -32002


def test_a_client_that_never_reads_loses_its_connection_not_our_memory(inside):
    editor = inside(initialize=False)
    editor.loop.call(lambda: editor.connection.server.feature("test/large")(lambda params: "x" * (1 << 20)))
    editor.initialize()
    editor.stop_reading()
    with contextlib.suppress(OSError):  # it may be closed while we ask
        for _ in range(64):
            editor.ask("test/large", {})
    editor.loop.run(asyncio.wait_for(asyncio.shield(editor.task), 10))
    assert editor.loop.call(lambda: editor.connection._outlet.outbox._bytes) < 18 << 20


def test_a_port_in_use_is_said_in_one_sentence(served_lsp, tmp_path):
    command = [Path(sys.executable).with_name("famulus"), "lsp", "--tcp", str(served_lsp.ports["TCP"])]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"FAMULUS_HOME": str(tmp_path)})
    assert done.returncode == 1
    assert "already in use" in done.stderr and done.stderr.count("\n") == 1
