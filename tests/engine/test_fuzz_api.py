"""Random bodies and frames against one live engine: an answer of the right kind every time, never a failure of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import unix_connect

from famulus.engine.api.reading import depth
from famulus.engine.protocol import MAX_DEPTH, SUBPROTOCOL, Cancel, Generate, Text, encode

STAND_IN = Path(__file__).parent / "stand_in_core.py"
QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

VALID: dict[str, dict[str, Any]] = {
    "/v1/completions": {
        "prompt": "ab",
        "model": "stand-in",
        "suffix": "x",
        "max_tokens": 2,
        "n": 1,
        "logprobs": 1,
        "echo": False,
        "stream": False,
        "stop": ["q"],
        "seed": 1,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "logit_bias": {"1": 1.0},
        "stream_options": {"include_usage": True},
    },
    "/v1/chat/completions": {
        "messages": [{"role": "user", "content": "a", "tool_calls": [{"id": "x"}]}],
        "max_tokens": 2,
        "logprobs": True,
        "top_logprobs": 2,
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "auto",
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
    },
    "/v1/embeddings": {"input": ["a"], "encoding_format": "float"},
    "/infill": {
        "input_prefix": "a",
        "input_suffix": "b",
        "input_extra": [{"filename": "x", "text": "y"}],
        "n_predict": 2,
    },
    "/tokenize": {"content": "a", "with_pieces": True},
    "/detokenize": {"tokens": [97]},
    "/v1/generate": {"id": "a", "prompt": {"type": "text", "text": "a"}, "max_tokens": 2, "sampling": {"top_k": 1}},
    "/v1/score": {"id": "a", "prompt": {"type": "infill", "prefix": "a"}, "continuation": "b"},
}

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of an engine that must live through all of it, with nothing left open and nothing failed inside."""
    home = tmp_path_factory.mktemp("f")
    log = home / "log"
    with open(log, "wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "famulus.engine", "--core", f"{STAND_IN}:Core"],
            env=os.environ | {"FAMULUS_HOME": str(home)},
            stderr=stderr,
        )
    while not (home / "run" / "engine.sock").exists():
        assert process.poll() is None
    with plain(home) as client:
        client.get("/v1/models")
        yield home
        status = client.get("/v1/status").json()
        assert (status["restarts"], status["open_requests"]) == (0, 0)
    process.terminate()
    process.wait(15)
    assert '"level": "error"' not in log.read_text()


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[httpx.Client]:
    """One kept connection, as editors have it."""
    with plain(home) as client:
        yield client


def plain(home: Path) -> httpx.Client:
    transport = httpx.HTTPTransport(uds=str(home / "run" / "engine.sock"))
    return httpx.Client(transport=transport, base_url="http://x", timeout=20)


@pytest.mark.parametrize("path", VALID)
@QUICK
@given(data=st.data())
def test_any_field_may_hold_anything(client: httpx.Client, path: str, data: st.DataObject) -> None:
    body = dict(VALID[path])
    for field in data.draw(st.lists(st.sampled_from(sorted(body)), min_size=1, max_size=3)):
        body[field] = data.draw(anything)
    answer = client.post(path, json=body)
    assert answer.status_code in (200, 400, 404), answer.text
    if answer.status_code != 200:
        assert answer.json()["error"]["message"]


@QUICK
@given(body=st.binary(max_size=200) | anything.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_may_come(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v1/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400, 404)


@QUICK
@given(cuts=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=4), extra=st.binary(max_size=8))
def test_any_frame_is_answered_or_ends_its_own_connection(
    home: Path, cuts: list[tuple[int, int]], extra: bytes
) -> None:
    message = bytearray(encode(Generate("x", Text("ab"), max_tokens=1)))
    for place, value in cuts:
        message[place % len(message)] = value
    with unix_connect(str(home / "run" / "engine.sock"), "ws://x/v1/stream", subprotocols=[SUBPROTOCOL]) as connection:
        connection.send(bytes(message) + extra)
        connection.send(encode(Cancel("x")))
        connection.send(encode(Generate("after", Text("z"), max_tokens=1)))
        try:
            while b"after" not in connection.recv(timeout=10):
                pass
        except ConnectionClosed:
            pytest.fail("one bad message ended the connection")


@given(anything)
def test_depth_is_counted_without_parsing(value: Any) -> None:
    def deepest(inner: Any) -> int:
        if isinstance(inner, dict):
            return 1 + max(map(deepest, inner.values()), default=0)
        if isinstance(inner, list):
            return 1 + max(map(deepest, inner), default=0)
        return 0

    assert depth(msgspec.json.encode(json.loads(json.dumps(value)))) == deepest(value)


def test_brackets_in_strings_are_no_depth() -> None:
    assert depth(json.dumps({"a": "[[[[" * 100, 'b"\\': '"{{{{'}).encode()) == 1
    assert depth(b"[" * (MAX_DEPTH + 1)) == MAX_DEPTH + 1
    assert depth(b'"' + b"[" * 1000) >= 0
