"""The server process: light, quick, never disturbed by rude clients, gone when nobody needs it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from famulus.engine.client import Client
from famulus.engine.protocol import MAX_BODY

COMPLETE = "/v1/completions"


def endless(client: httpx.Client, **fields: Any) -> Any:
    body = {"prompt": "abc", "max_tokens": 100_000, "stream": True, **fields}
    return client.stream("POST", COMPLETE, json=body)


def raw_request(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def connect_raw(running: Any) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(str(running.files.socket))
    return sock


def resident(pid: int) -> int:
    """Megabytes."""
    (line,) = [row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmRSS")]
    return int(line.split()[1]) >> 10


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- light and quick


def test_answers_while_the_model_loads_and_costs_little(serve: Any, tmp_path: Path) -> None:
    running = serve("SlowLoad", "--core-settings", json.dumps({"gate": str(tmp_path / "gate")}), ready=False)
    assert processor_seconds(running.process.pid) < 1.0, "to the first answer"
    with running.http() as client:
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert "loading" in ready.json()["error"]["message"]
        assert client.get("/livez").status_code == 200
        assert client.get("/v1/status").json()["state"] == "loading"
    assert resident(running.process.pid) < 80
    answer = running.client.generate("abc", max_tokens=3)
    (tmp_path / "gate").touch()
    assert answer.read() == "ABC"


def test_the_server_imports_nothing_heavy() -> None:
    program = """
import famulus.engine.server, sys
print(sorted({'torch', 'numpy', 'transformers', 'tokenizers', 'httpx'} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- coming and going


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_tidily(serve: Any, eventually: Any, number: signal.Signals) -> None:
    running = serve("Core", "--port", "0")
    worker = running.worker_pid()
    running.process.send_signal(number)
    assert running.process.wait(10) == 0
    assert {path.name for path in running.files.folder.iterdir()} == {"engine.lock"}
    eventually(lambda: not Path(f"/proc/{worker}").exists(), 5, "the worker is gone")


def test_a_running_stream_may_end_before_the_server_does(serve: Any) -> None:
    running = serve("Slow")
    answer = running.client.generate("abc", max_tokens=60)
    next(answer)
    running.client.shutdown()
    assert len(answer.read()) == 60
    assert running.process.wait(10) == 0


def test_an_endless_stream_does_not_keep_it(serve: Any) -> None:
    running = serve("Slow")
    answer = running.client.generate("abc", max_tokens=100_000)
    next(answer)
    running.process.terminate()
    with pytest.raises(Exception, match=r"ended|shutting down"):
        answer.read()
    assert running.process.wait(15) == 0


def test_the_worker_goes_with_a_killed_server(serve: Any, eventually: Any) -> None:
    running = serve("Slow")
    worker = running.worker_pid()
    running.process.kill()
    eventually(lambda: not Path(f"/proc/{worker}").exists(), 5, "the worker is gone")


def test_leaves_when_nobody_asks_but_not_under_somebody(serve: Any) -> None:
    running = serve("Slow", "--idle-exit", "1")
    answer = running.client.generate("abc", max_tokens=150)
    assert len(answer.read()) == 150, "three seconds of work are no idleness"
    assert running.process.wait(10) == 0


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-P", "-m", "famulus.engine", "--port", str(port)],
            env=os.environ | {"FAMULUS_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode != 0
    assert f"Port {port} is already in use" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home" / "run" / "engine.sock").exists()


def test_a_file_in_the_place_of_the_socket_is_said_and_kept(tmp_path: Path) -> None:
    runtime = tmp_path / "h" / "run"
    runtime.mkdir(parents=True)
    (runtime / "engine.sock").write_text("precious")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "famulus.engine"],
        env=os.environ | {"FAMULUS_HOME": str(tmp_path / "h")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert "not a socket" in done.stderr
    assert (runtime / "engine.sock").read_text() == "precious"


# -- a worker that dies or freezes under an HTTP client


def test_a_killed_worker_ends_a_stream_with_an_error_and_serves_the_next(serve: Any) -> None:
    running = serve("Slow")
    with running.http() as client:
        with endless(client) as response:
            lines = response.iter_lines()
            assert next(lines).startswith("data: ")
            os.kill(running.worker_pid(), signal.SIGKILL)
            start = time.monotonic()
            rest = [line for line in lines if line]
            assert time.monotonic() - start < 1.5
        assert json.loads(rest[-1][6:])["error"]["code"] == "engine_restarted"
        assert "data: [DONE]" not in rest
        answer = client.post(COMPLETE, json={"prompt": "abc", "max_tokens": 3})
        assert answer.json()["choices"][0]["text"] == "ABC"


def test_a_frozen_worker_is_not_ready_and_is_replaced(serve: Any, eventually: Any) -> None:
    running = serve("Slow")
    worker = running.worker_pid()
    with running.http() as client:
        os.kill(worker, signal.SIGSTOP)
        start = time.monotonic()
        eventually(lambda: client.get("/readyz").status_code == 503, 2, "readyz says so")
        eventually(lambda: client.get("/readyz").status_code == 200, 5, "a new worker is ready")
        assert time.monotonic() - start < 5
    assert running.worker_pid() != worker


def test_bad_weights_are_in_every_answer(serve: Any) -> None:
    running = serve("Corrupt", ready=False)
    with running.http() as client:
        for answer in (
            client.get("/v1/models"),
            client.get("/readyz"),
            client.post(COMPLETE, json={"prompt": "abc"}),
            client.post("/v1/embeddings", json={"input": "abc"}),
        ):
            assert answer.status_code in (500, 503)
            assert "model.gguf is truncated" in answer.json()["error"]["message"]


# -- clients that go, do not read, or dribble


@pytest.mark.parametrize("path", [COMPLETE, "/v1/generate", "/v1/chat/completions", "/infill"])
def test_a_client_that_goes_mid_stream_costs_nothing_after_a_step(serve: Any, eventually: Any, path: str) -> None:
    running = serve("Slow")
    bodies = {
        COMPLETE: {"prompt": "abc", "max_tokens": 100_000, "stream": True},
        "/v1/generate": {"id": "a", "prompt": {"type": "text", "text": "abc"}, "max_tokens": 100_000},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "a"}], "stream": True},
        "/infill": {"input_prefix": "abc", "n_predict": 100_000, "stream": True},
    }
    with running.http() as client:
        with client.stream("POST", path, json=bodies[path]) as response:
            next(response.iter_lines())
        status = running.client.status
        eventually(lambda: status()["open_requests"] == 0, 2, "the request is gone")
        eventually(lambda: status()["stats"].get("cancelled") == 1, 2, "the worker knows")


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_before_the_first_byte_costs_nothing(serve: Any, eventually: Any, stream: bool) -> None:
    running = serve("Stuck")
    body = json.dumps({"prompt": "abc", "max_tokens": 10, "stream": stream}).encode()
    with connect_raw(running) as sock:
        sock.sendall(raw_request(COMPLETE, body))
        eventually(lambda: running.client.status()["open_requests"] == 1, 5, "it runs")
    eventually(lambda: running.client.status()["open_requests"] == 0, 2, "it is gone")


def test_a_client_that_goes_in_the_middle_of_its_body_costs_nothing(steady: Any) -> None:
    running = steady
    with connect_raw(running) as sock:
        sock.sendall(raw_request(COMPLETE, b'{"prompt": "abc"}', "X: y")[:-5])
    assert running.client.status()["open_requests"] == 0
    assert running.client.generate("ab", max_tokens=2).read() == "AB"


def test_clients_that_never_read_cost_little_memory(serve: Any, eventually: Any) -> None:
    """Their generations are dropped in the end; meanwhile everybody else is served."""
    running = serve("Hefty")
    before = resident(running.process.pid)
    body = json.dumps({"prompt": "abc", "max_tokens": 2000, "stream": True}).encode()
    rude = []
    for _ in range(20):
        sock = connect_raw(running)
        sock.sendall(raw_request(COMPLETE, body))
        rude.append(sock)
    answer = running.client.generate("ab", max_tokens=2)
    assert len(answer.read()) == 2048
    eventually(lambda: running.client.status()["stats"].get("running") == 0, 20, "the worker has nothing to do")
    assert resident(running.process.pid) - before < 80
    for sock in rude:
        sock.close()
    eventually(lambda: running.client.status()["open_requests"] == 0, 5, "all gone")


def test_pipelined_and_kept_connections_are_served(steady: Any) -> None:
    running = steady
    with connect_raw(running) as sock:
        sock.sendall(raw_request("/tokenize", b'{"content": "a"}') * 3)
        answer = b""
        while answer.count(b'{"tokens":[97]}') < 3:
            answer += sock.recv(4096)


# -- bad input: one clear error each, nothing else disturbed

DEEP = '{"prompt": "a", "logit_bias": ' + '{"1":' * 70 + "1" + "}" * 70 + "}"
BAD_BODIES = {
    "nothing": "",
    "no JSON": "hello",
    "half JSON": '{"prompt": "a"',
    "a list": "[]",
    "a number": "1",
    "null": "null",
    "invalid UTF-8": b'{"prompt": "\xff"}',
    "a lone surrogate": '{"prompt": "\\ud800"}',
    "too deep": DEEP,
    "far too deep": "[" * 200_000,
    "NaN": '{"prompt": "a", "temperature": NaN}',
    "infinity": '{"prompt": "a", "temperature": 1e999}',
    "negative temperature": '{"prompt": "a", "temperature": -1}',
    "hot": '{"prompt": "a", "temperature": 1000}',
    "top_p above one": '{"prompt": "a", "top_p": 1.5}',
    "negative tokens": '{"prompt": "a", "max_tokens": -1}',
    "endless tokens": '{"prompt": "a", "max_tokens": 1000000000000000000000}',
    "tokens as text": '{"prompt": "a", "max_tokens": "7"}',
    "fractional tokens": '{"prompt": "a", "max_tokens": 1.5}',
    "no choices": '{"prompt": "a", "n": 0}',
    "too many choices": '{"prompt": "a", "n": 1000}',
    "best_of beyond n": '{"prompt": "a", "n": 1, "best_of": 5}',
    "prompt as number": '{"prompt": 7}',
    "prompt as object": '{"prompt": {}}',
    "no prompt at all in a list": '{"prompt": []}',
    "mixed list": '{"prompt": [1, "a", 2.5]}',
    "negative token": '{"prompt": [-1]}',
    "too many prompts": json.dumps({"prompt": ["a"] * 33}),
    "suffix for tokens": '{"prompt": [1, 2], "suffix": "b"}',
    "echo with suffix": '{"prompt": "a", "suffix": "b", "echo": true}',
    "stop as number": '{"prompt": "a", "stop": 7}',
    "too many stops": json.dumps({"prompt": "a", "stop": ["x"] * 33}),
    "long stop": json.dumps({"prompt": "a", "stop": "x" * 257}),
    "bias of words": '{"prompt": "a", "logit_bias": {"word": 1}}',
    "huge bias": '{"prompt": "a", "logit_bias": {"1": 1000}}',
    "many logprobs": '{"prompt": "a", "logprobs": 1000}',
    "stream as text": '{"prompt": "a", "stream": "yes"}',
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One engine that has to survive the whole corpus."""
    home = tmp_path_factory.mktemp("b")
    core = Path(__file__).parent / "stand_in_core.py"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "famulus.engine", "--core", f"{core}:Core"],
        env=os.environ | {"FAMULUS_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "engine listens" in process.stderr.readline()
    transport = httpx.HTTPTransport(uds=str(home / "run" / "engine.sock"))
    with httpx.Client(transport=transport, base_url="http://localhost", timeout=20) as client:
        generation = client.get("/v1/status").json()["generation"]
        yield client
        after = client.get("/v1/status").json()
        assert (after["generation"], after["restarts"], after["open_requests"]) == (generation, 0, 0)
    process.terminate()
    _, log = process.communicate(timeout=15)
    assert "Exception in ASGI" not in log


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_body_gets_one_clear_error(shared: httpx.Client, name: str) -> None:
    body = BAD_BODIES[name]
    content = body if isinstance(body, bytes) else body.encode()
    answer = shared.post(COMPLETE, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"].endswith(".")
    assert len(error["message"]) < 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": []}),
        ("/v1/chat/completions", {"messages": [{"content": "a"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": 7}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "response_format": {"type": "xml"}}),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json_schema"}},
        ),
        ("/v1/embeddings", {"input": []}),
        ("/v1/embeddings", {"input": [[1, 2]]}),
        ("/v1/embeddings", {"input": "a", "dimensions": 3}),
        ("/v1/embeddings", {"input": ["a"] * 257}),
        ("/infill", {"input_prefix": 7}),
        ("/infill", {"input_prefix": "a", "n_predict": -7}),
        ("/infill", {"input_extra": [{"filename": "x"}]}),
        ("/tokenize", {}),
        ("/detokenize", {"tokens": ["a"]}),
        ("/v1/generate", {"id": "a", "prompt": {"type": "text", "text": "a"}, "surplus": 1}),
        ("/v1/generate", {"id": "a", "prompt": {"type": "rhyme", "text": "a"}}),
        ("/v1/generate", {"id": "", "prompt": {"type": "text", "text": "a"}}),
        ("/v1/score", {"id": "a", "prompt": {"type": "text", "text": "a"}}),
    ],
)
def test_bad_fields_elsewhere_get_one_clear_error(shared: httpx.Client, path: str, body: Any) -> None:
    answer = shared.post(path, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"].endswith(".")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("DELETE", "/v1/models", 405), ("GET", COMPLETE, 405), ("GET", "/v1/models/x", 404)],
)
def test_wrong_routes_speak_the_same_language(shared: httpx.Client, method: str, path: str, status: int) -> None:
    answer = shared.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["code"]


def test_an_oversized_body_is_refused_before_it_is_read(shared: httpx.Client) -> None:
    answer = shared.post(COMPLETE, content=b" " * (MAX_BODY + 1), headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_an_oversized_body_without_a_length_is_refused_too(shared: httpx.Client) -> None:
    def chunks() -> Any:
        for _ in range(9):
            yield b" " * (1 << 20)

    try:
        answer = shared.post(COMPLETE, content=chunks(), headers={"content-type": "application/json"})
    except httpx.WriteError:
        return  # refused while we still wrote
    assert answer.status_code == 413


def test_nul_bytes_and_strange_letters_come_back_unharmed(shared: httpx.Client) -> None:
    text = "a\x00b\u202e\U0001f600é\r\n"
    answer = shared.post(COMPLETE, json={"prompt": text, "max_tokens": 0, "echo": True})
    assert answer.json()["choices"][0]["text"] == text


def test_unknown_fields_are_ignored_and_logged_once(serve: Any, tmp_path: Path) -> None:
    with serve().http() as client:
        for _ in range(3):
            assert client.post(COMPLETE, json={"prompt": "sesame", "frobnicate": 1}).status_code == 200
    log = (tmp_path / "engine0.log").read_text()
    assert log.count("frobnicate") == 1


def test_no_prompt_ever_reaches_the_log(serve: Any, tmp_path: Path) -> None:
    """Not even through errors, unknown fields' values, or a worker that dies on it."""
    running = serve("DiesOnWord")
    canary = "XYZZY-CANARY"
    with running.http() as client:
        client.post(COMPLETE, json={"prompt": canary, canary.lower(): canary})
        client.post(COMPLETE, json={"prompt": [canary, 1]})
        client.post(COMPLETE, content=f'{{"prompt": "{canary}', headers={"content-type": "application/json"})
        client.post(COMPLETE, json={"prompt": f"poison {canary}"})
        client.get(f"/nowhere?q={canary}")
    running.client.models()
    assert canary not in (tmp_path / "engine0.log").read_text()


def test_metrics_count_what_happened(serve: Any, eventually: Any) -> None:
    running = serve()
    assert running.client.generate("abc", max_tokens=5).read() == "ABCAB"
    with running.http() as client:
        client.post(COMPLETE, json={"prompt": 7})
        text = client.get("/metrics").text
    assert 'famulus_tokens_total{kind="generated"} 5.0' in text
    assert 'famulus_tokens_total{kind="prompt"} 3.0' in text
    assert 'famulus_requests_total{end="done"} 1.0' in text
    assert 'famulus_http_responses_total{status="400"} 1.0' in text
    assert "famulus_ready 1.0" in text


def test_another_model_is_refused_by_naming_the_served_one(steady: Any) -> None:
    running = steady
    with running.http() as client:
        for path, body in (
            (COMPLETE, {"prompt": "a"}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
            ("/v1/embeddings", {"input": "a"}),
        ):
            answer = client.post(path, json={**body, "model": "gpt-9"})
            assert answer.status_code == 404
            assert "stand-in" in answer.json()["error"]["message"]
    assert isinstance(running.client, Client)
