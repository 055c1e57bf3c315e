"""Who may ask at all: every route, every host name, every origin, every token, over real TCP and the real
socket."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from famulus.engine.gate import Access, Gate
from famulus.engine.protocol import SUBPROTOCOL

GOOD_HOSTS = ("127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}", "LOCALHOST:{port}")
BAD_HOSTS = (
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1",
    "localhost",
    "127.0.0.1:1",
    "127.0.0.1.evil.example:{port}",
    "localhost.:{port}",
    "0.0.0.0:{port}",
    "127.1:{port}",
    "",
    "localhost:{port}@evil.example",
    "[::ffff:127.0.0.1]:{port}",
)
BAD_ORIGINS = (
    "http://evil.example",
    "null",
    "http://localhost:{port}",
    "http://127.0.0.1:{port}",
    "file://",
    "vscode-webview://x",
    "",
    "https://localhost",
)
ROUTES = (
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/v1/status"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/stand-in"),
    ("GET", "/v1/stream"),
    ("POST", "/v1/shutdown"),
    ("POST", "/v1/switch"),
    ("POST", "/v1/generate"),
    ("POST", "/v1/score"),
    ("POST", "/v1/embed"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/embeddings"),
    ("POST", "/infill"),
    ("POST", "/tokenize"),
    ("POST", "/detokenize"),
    ("POST", "/livez"),
    ("GET", "/livez/"),
    ("GET", "//livez"),
    ("GET", "/livez%2f..%2fmetrics"),
    ("GET", "/no/such/route"),
    ("DELETE", "/v1/models"),
    ("OPTIONS", "/v1/models"),
)


@pytest.fixture(scope="module")
def tcp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """Port and token of an engine on loopback."""
    home = tmp_path_factory.mktemp("h")
    core = Path(__file__).parent / "stand_in_core.py"
    command = [sys.executable, "-P", "-m", "famulus.engine", "--port", "0", "--core", f"{core}:Core"]
    process = subprocess.Popen(command, env=os.environ | {"FAMULUS_HOME": str(home)}, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    first = process.stderr.readline()
    port = int(first.rpartition('"port": ')[2].rstrip("}\n"))
    token = next(home.rglob("engine.token")).read_text()
    httpx.get(f"http://127.0.0.1:{port}/v1/models", headers={"authorization": f"Bearer {token}"}, timeout=20)
    yield port, token
    process.terminate()
    process.communicate(timeout=15)


def ask(port: int, method: str, path: str, headers: list[tuple[str, str]], body: str = "") -> int:
    """The status of one raw request: no client library tidies anything up."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "Connection: close"]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall("\r\n".join([*lines, "", body]).encode("latin-1"))
        answer = b""
        while b"\r\n" not in answer and (chunk := sock.recv(4096)):
            answer += chunk
    return int(answer.split(b" ", 2)[1])


def test_only_the_one_good_combination_enters(tcp: tuple[int, str]) -> None:
    port, token = tcp
    hosts = [host.format(port=port) for host in (*GOOD_HOSTS, *BAD_HOSTS)]
    origins = [None, *(origin.format(port=port) for origin in BAD_ORIGINS)]
    tokens = [None, "", "Bearer", "Bearer wrong", f"Basic {token}", token, f"Bearer {token[:-1]}", f"Bearer {token}"]
    entered = []
    for host in hosts:
        for origin in origins:
            for shown in tokens:
                headers = [("Host", host)]
                headers += [("Origin", origin)] if origin is not None else []
                headers += [("Authorization", shown)] if shown is not None else []
                if ask(port, "GET", "/v1/status", headers) not in (400, 401, 403):
                    entered.append((host, origin, shown))
    assert entered == [(host.format(port=port), None, f"Bearer {token}") for host in GOOD_HOSTS]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_asks_for_host_origin_and_token(tcp: tuple[int, str], method: str, path: str) -> None:
    port, token = tcp
    right = ("Authorization", f"Bearer {token}")
    host = ("Host", f"127.0.0.1:{port}")
    upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Protocol", SUBPROTOCOL),
    ]
    for extra in ([], upgrade if method == "GET" else []):
        assert ask(port, method, path, [host, *extra]) == 401
        assert ask(port, method, path, [host, ("Authorization", "Bearer x"), *extra]) == 401
        assert ask(port, method, path, [("Host", "evil.example"), right, *extra]) == 403
        assert ask(port, method, path, [host, right, ("Origin", "http://evil.example"), *extra]) == 403
        assert ask(port, method, path, [host, ("Host", "evil.example"), right, *extra]) in (400, 403)
        assert ask(port, method, path, [host, right, right, *extra]) == 401


def test_the_routes_above_are_all_there_are() -> None:
    """A route that somebody adds must join the table."""
    from famulus.engine.api.app import routes_app
    from famulus.engine.api.services import Services
    from famulus.engine.metrics import Metrics
    from famulus.engine.spawn import WorkerCommand
    from famulus.engine.supervisor import Supervisor

    supervisor = Supervisor(WorkerCommand())
    services = Services(
        supervisor,
        Metrics(supervisor),
        status=lambda: pytest.fail("nobody asked"),
        stop=lambda: None,
        switch=lambda _: pytest.fail("nobody asked"),
    )
    paths = {getattr(route, "path", "") for route in routes_app(services).routes}
    covered = {path for _, path in ROUTES} | {"/v1/models/{id:path}", "/livez"}
    assert paths <= covered


def test_livez_needs_no_token_but_still_the_right_host(tcp: tuple[int, str]) -> None:
    port, _ = tcp
    assert ask(port, "GET", "/livez", [("Host", f"127.0.0.1:{port}")]) == 200
    assert ask(port, "GET", "/livez", [("Host", "evil.example")]) == 403
    assert ask(port, "GET", "/livez", [("Host", f"127.0.0.1:{port}"), ("Origin", "null")]) == 403


def test_a_token_in_the_address_is_no_token(tcp: tuple[int, str]) -> None:
    port, token = tcp
    assert ask(port, "GET", f"/v1/status?token={token}&api_key={token}", [("Host", f"127.0.0.1:{port}")]) == 401


@pytest.mark.anyio
async def test_a_route_that_somebody_adds_is_guarded_without_doing_anything() -> None:
    async def added(request: Any) -> PlainTextResponse:
        return PlainTextResponse("secret")

    app = Gate(Starlette(routes=[Route("/added", added)]), Access(8000, "right"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as client:
        assert (await client.get("/added")).status_code == 401
        assert (await client.get("/added", headers={"authorization": "Bearer right"})).text == "secret"


@pytest.mark.anyio
async def test_without_a_port_no_stranger_enters_even_with_an_empty_token() -> None:
    app = Gate(Starlette(), Access())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as client:
        for shown in ("Bearer ", "Bearer None", "Bearer"):
            assert (await client.get("/", headers={"authorization": shown})).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("Content-Type", "text/plain")], 415),
        ([("Content-Type", "application/x-www-form-urlencoded")], 415),
        ([("Content-Type", "multipart/form-data; boundary=x")], 415),
        ([], 415),
        ([("Content-Type", "application/json"), ("Content-Encoding", "gzip")], 415),
        ([("Content-Type", "application/json; charset=utf-8")], 200),
    ],
)
def test_bodies_are_plain_json_or_nothing(tcp: tuple[int, str], headers: list[tuple[str, str]], status: int) -> None:
    port, token = tcp
    known = [("Host", f"127.0.0.1:{port}"), ("Authorization", f"Bearer {token}")]
    assert ask(port, "POST", "/tokenize", [*known, *headers], '{"content": "a"}') == status


def test_files_are_private_whatever_the_umask(tmp_path: Path, serve: Any) -> None:
    old = os.umask(0)
    try:
        running = serve("Core", "--port", "0")
    finally:
        os.umask(old)
    assert stat.S_IMODE(running.files.folder.stat().st_mode) == 0o700
    for path in running.files.folder.iterdir():
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600, path


def test_the_token_is_fresh_at_every_start_and_shown_nowhere(serve: Any) -> None:
    first, second = serve("Core", "--port", "0"), serve("Core", "--port", "0")
    assert first.token != second.token
    assert len(first.token) >= 43
    for pid in (first.process.pid, first.worker_pid()):
        for source in ("cmdline", "environ"):
            assert first.token.encode() not in Path(f"/proc/{pid}/{source}").read_bytes()
    assert first.token not in first.client.status().__repr__()
    first.process.terminate()
    first.process.wait(10)
    assert not first.files.token.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_another_user_is_cut_off_at_the_socket(serve: Any) -> None:
    """Even one whom the file modes would let in."""
    running = serve()
    for folder in (running.files.folder, *running.files.folder.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    running.files.socket.chmod(0o666)
    program = f"""
import os, socket
os.setgid(65534); os.setuid(65534)
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect({str(running.files.socket)!r})
    try:
        sock.sendall(b"GET /livez HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        print(len(sock.recv(100)))
    except (BrokenPipeError, ConnectionResetError):
        print(0)
"""
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
    assert running.client.models() == ["stand-in"]


def test_our_own_user_needs_no_token_on_the_socket_but_is_no_web_page(steady: Any) -> None:
    with steady.http() as client:
        assert client.get("/v1/status").status_code == 200
        assert client.get("/v1/status", headers={"origin": "http://evil.example"}).status_code == 403


def test_another_protocol_version_gets_one_clear_sentence(steady: Any) -> None:
    with steady.http() as client:
        answer = client.get("/v1/models", headers={"famulus-protocol": "999"})
        assert answer.status_code == 409
        assert "protocol 1" in answer.json()["error"]["message"]
        assert "999" in answer.json()["error"]["message"]


def test_another_protocol_version_can_still_look_and_stop(serve: Any) -> None:
    """After an update, `famulus stop` has to reach the old engine."""
    running = serve()
    with running.http() as client:
        assert client.get("/v1/status", headers={"famulus-protocol": "999"}).json()["protocol"] == 1
        assert client.post("/v1/shutdown", json={}, headers={"famulus-protocol": "999"}).status_code == 202
    assert running.process.wait(10) == 0
