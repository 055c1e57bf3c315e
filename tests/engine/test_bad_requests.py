"""Requests that no route's own fields refuse, but the worker could not read: one sentence, and nobody else notices."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from famulus.engine.api.services import sampling
from famulus.engine.errors import InvalidRequest
from famulus.engine.protocol import Detokenize, Generate, Text, Tokens, encode, request_decoder
from famulus.engine.spawn import WorkerCommand
from famulus.engine.supervisor import Supervisor

STAND_IN = Path(__file__).parent / "stand_in_core.py"
HUGE = 10**30
HALF = "x" * (5 << 19)
"""A little more than half of the longest text."""
SCHEMA = {"type": "object", "maxProperties": HUGE}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/detokenize", {"tokens": [-1]}),
        ("/detokenize", {"tokens": [HUGE]}),
        ("/v1/completions", {"prompt": [HUGE]}),
        ("/v1/generate", {"id": "a", "prompt": {"type": "tokens", "tokens": [HUGE]}}),
        ("/v1/generate", {"id": "a", "prompt": {"type": "text", "text": ""}, "sampling": {"logit_bias": {HUGE: 1}}}),
        ("/infill", {"input_prefix": HALF, "prompt": HALF}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "text", "text": HALF}] * 2}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "tools": [{"a": HUGE}]}),
        (
            "/v1/chat/completions",
            {
                "messages": [{"role": "user", "content": "a"}],
                "response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}},
            },
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_beyond_the_protocol_costs_only_its_sender(steady: Any, path: str, body: dict[str, Any]) -> None:
    worker = steady.worker_pid()
    with steady.http() as client:
        answer = client.post(path, json=body)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error["code"] == "invalid_request"
        assert error["message"].endswith(".")
        assert client.post("/tokenize", json={"content": "a"}).json() == {"tokens": [97]}
    assert steady.worker_pid() == worker


def test_any_seed_is_a_seed(steady: Any) -> None:
    with steady.http() as client:
        for seed in (-1, 2**62 + 1, HUGE):
            answer = client.post("/infill", json={"input_prefix": "a", "n_predict": 1, "seed": seed})
            assert answer.status_code == 200, answer.text


@pytest.mark.anyio
async def test_a_bad_request_is_refused_while_the_model_loads(tmp_path: Path) -> None:
    """It would otherwise wait, and take the whole server down when the worker is ready."""
    gate = tmp_path / "gate"
    supervisor = Supervisor(WorkerCommand({"gate": str(gate)}, f"{STAND_IN}:SlowLoad"))
    task = asyncio.create_task(supervisor.run())
    try:
        good = supervisor.open(Generate("good", Text("a"), max_tokens=1))
        for bad in (Generate("bad", Tokens([HUGE])), Detokenize("bad", [-1])):
            with pytest.raises(InvalidRequest):
                supervisor.open(bad)
        gate.touch()
        assert [type(event).__name__ async for event in good] == ["Delta", "Finish", "Done"]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("value", [b"x", msgspec.msgpack.Ext(5, b"x"), {1: 2}, {b"x": 1}, [{"a": [b"x"]}]])
def test_what_json_cannot_hold_is_refused_at_the_door(value: Any) -> None:
    """MessagePack can carry it; the compiler of schemas and the chat template cannot."""
    chat = {"type": "chat", "messages": [{"role": "user", "content": "a"}]}
    good = {"type": "generate", "id": "x", "prompt": {"type": "text", "text": "a"}}
    for request in (
        good | {"constraint": {"json_schema": {"enum": value}}},
        good | {"prompt": chat | {"tools": [{"a": value}]}},
        good | {"prompt": chat | {"messages": [{"role": "user", "tool_calls": [{"a": value}]}]}},
    ):
        with pytest.raises(msgspec.ValidationError, match=r"JSON|text"):
            request_decoder.decode(encode(request))
    request_decoder.decode(encode(good | {"constraint": {"json_schema": {"enum": ["a", 1, 1.5, True, None, {}]}}}))


def test_a_top_p_of_zero_leaves_the_likeliest_token() -> None:
    """Not all of them, which is what the protocol's default would mean."""
    assert sampling(temperature=1.0, top_p=0.0).top_p < 0.001
    assert sampling(temperature=1.0).top_p == 1


def test_a_token_of_half_a_character_claims_no_bytes(steady: Any) -> None:
    """A client puts characters together from bytes: those of the stand-in for what is missing would be wrong."""
    message = {"role": "user", "content": "\ufffd"}
    with steady.http() as client:
        body = {"messages": [message], "max_tokens": 7, "logprobs": True}
        answer = client.post("/v1/chat/completions", json=body).json()
    shown = [(score["token"], score["bytes"]) for score in answer["choices"][0]["logprobs"]["content"]]
    assert shown[3:6] == [("R", [82]), (":", [58]), ("\ufffd", None)]
