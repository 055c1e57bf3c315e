"""The OpenAI dialect, asked by the official client that nobody here wrote; and llama.cpp's dialect beside it."""

from __future__ import annotations

import base64
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

STAND_IN = Path(__file__).parent / "stand_in_core.py"


class Engine:
    """An engine on loopback with the official client and a plain one."""

    def __init__(self, port: int, token: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.openai = openai.OpenAI(base_url=f"{self.url}/v1", api_key=token, max_retries=0, timeout=20)
        self.http = httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {token}"}, timeout=20)


@pytest.fixture(scope="module", params=["Slow"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One engine for all tests of this file."""
    home = tmp_path_factory.mktemp("o")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "famulus.engine", "--port", "0", "--core", f"{STAND_IN}:{request.param}"],
        env={"FAMULUS_HOME": str(home), "PATH": "/usr/bin:/bin"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    port = json.loads(process.stderr.readline())["port"]
    served = Engine(port, (home / "run" / "engine.token").read_text())
    yield served
    served.openai.close()
    served.http.close()
    process.terminate()
    process.communicate(timeout=15)


# -- models


def test_lists_and_describes_its_model(engine: Engine) -> None:
    assert [model.id for model in engine.openai.models.list()] == ["stand-in"]
    assert engine.openai.models.retrieve("stand-in").owned_by == "famulus"
    with pytest.raises(openai.NotFoundError, match="stand-in"):
        engine.openai.models.retrieve("gpt-9")


def test_a_wrong_key_is_an_authentication_error(engine: Engine) -> None:
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{engine.url}/v1", api_key="wrong", max_retries=0).models.list()


# -- completions


def test_completes_whole_with_usage(engine: Engine) -> None:
    answer = engine.openai.completions.create(model="stand-in", prompt="abc", max_tokens=5)
    assert answer.choices[0].text == "ABCAB"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 5, 8)


def test_completes_sixteen_tokens_unless_told_otherwise(engine: Engine) -> None:
    answer = engine.openai.completions.create(model="stand-in", prompt="abcd")
    assert answer.choices[0].text == "ABCD" * 4


def test_streams_the_same_text_and_the_usage_last(engine: Engine) -> None:
    stream = engine.openai.completions.create(
        model="stand-in", prompt="abc", max_tokens=5, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == "ABCAB"
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5


def test_several_prompts_and_candidates_are_numbered_as_openai_does(engine: Engine) -> None:
    whole = engine.openai.completions.create(model="stand-in", prompt=["ab", "xy"], max_tokens=2, n=2)
    assert [(choice.index, choice.text) for choice in whole.choices] == [(0, "AB"), (1, "AB"), (2, "XY"), (3, "XY")]
    texts = dict.fromkeys(range(4), "")
    for chunk in engine.openai.completions.create(
        model="stand-in", prompt=["ab", "xy"], max_tokens=2, n=2, stream=True
    ):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == {0: "AB", 1: "AB", 2: "XY", 3: "XY"}


def test_prompts_may_be_tokens(engine: Engine) -> None:
    answer = engine.openai.completions.create(model="stand-in", prompt=[97, 98], max_tokens=2, echo=True)
    assert answer.choices[0].text == "abAB"
    answer = engine.openai.completions.create(model="stand-in", prompt=[[97], [98]], max_tokens=1)
    assert [choice.text for choice in answer.choices] == ["A", "B"]


def test_echo_and_log_probabilities_line_up(engine: Engine) -> None:
    answer = engine.openai.completions.create(model="stand-in", prompt="ab", max_tokens=2, echo=True, logprobs=2)
    choice = answer.choices[0]
    assert choice.text == "abAB"
    assert choice.logprobs is not None
    assert choice.logprobs.tokens == ["a", "b", "A", "B"]
    assert choice.logprobs.text_offset == [0, 1, 2, 3]
    assert choice.logprobs.top_logprobs is not None
    assert len(choice.logprobs.top_logprobs[3]) == 2


def test_streamed_log_probabilities_continue_their_offsets(engine: Engine) -> None:
    stream = engine.openai.completions.create(model="stand-in", prompt="ab", max_tokens=3, logprobs=0, stream=True)
    offsets = [c.choices[0].logprobs.text_offset for c in stream if c.choices[0].text and c.choices[0].logprobs]
    assert offsets == [[0], [1], [2]]


def test_a_suffix_makes_it_an_infilling(engine: Engine) -> None:
    answer = engine.openai.completions.create(model="stand-in", prompt="ab", suffix="cd", max_tokens=10)
    assert answer.choices[0].text == "AB<HOLE>CD"


def test_errors_arrive_as_the_clients_own_types(engine: Engine) -> None:
    with pytest.raises(openai.BadRequestError, match="temperature"):
        engine.openai.completions.create(model="stand-in", prompt="a", temperature=-1)
    with pytest.raises(openai.NotFoundError, match="stand-in"):
        engine.openai.completions.create(model="gpt-9", prompt="a")
    with pytest.raises(openai.BadRequestError, match="too long"):
        engine.openai.completions.create(model="stand-in", prompt="a" * 5000, stream=True)


def test_closing_a_stream_cancels_it(engine: Engine, eventually: Any) -> None:
    stream = engine.openai.completions.create(model="stand-in", prompt="abc", max_tokens=100_000, stream=True)
    next(iter(stream))
    stream.close()
    eventually(lambda: engine.http.get("/v1/status").json()["open_requests"] == 0, 2, "it is gone")


def test_fields_of_other_clients_do_no_harm(engine: Engine) -> None:
    """What editors' plugins send along."""
    answer = engine.http.post(
        "/v1/completions",
        json={
            "prompt": "abc",
            "max_tokens": 2,
            "model": None,
            "stop": None,
            "n": None,
            "logprobs": None,
            "logit_bias": None,
            "suffix": None,
            "user": "me",
            "presence_penalty": 0.5,
            "frequency_penalty": 0,
            "extra": {"deep": [1, 2, {"x": None}]},
        },
    )
    assert answer.json()["choices"][0]["text"] == "AB"


# -- chat


def test_chats_whole_and_streamed(engine: Engine) -> None:
    messages: Any = [{"role": "system", "content": "be"}, {"role": "user", "content": "hi"}]
    whole = engine.openai.chat.completions.create(model="stand-in", messages=messages, max_tokens=10)
    assert whole.choices[0].message.content == "SYSTEM:BE;"
    stream = engine.openai.chat.completions.create(
        model="stand-in", messages=messages, max_tokens=10, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "SYSTEM:BE;"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 10


def test_message_parts_are_joined_and_log_probabilities_given(engine: Engine) -> None:
    answer = engine.openai.chat.completions.create(
        model="stand-in",
        messages=[{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
        max_completion_tokens=8,
        logprobs=True,
        top_logprobs=2,
    )
    assert answer.choices[0].message.content == "USER:AB;"
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.content is not None
    assert len(answer.choices[0].logprobs.content[0].top_logprobs) == 2


def test_tools_and_schemas_reach_the_engine(engine: Engine) -> None:
    """The stand-in names what it was given besides the messages."""
    tool: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    schema: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "integer"}, "strict": True}}
    messages: Any = [{"role": "user", "content": "describe"}]
    ask = engine.openai.chat.completions.create
    with_tools = ask(model="stand-in", messages=messages, tools=[tool], max_tokens=100)
    assert "[LOOK]" in (with_tools.choices[0].message.content or "")
    without = ask(model="stand-in", messages=messages, tools=[tool], tool_choice="none", max_tokens=100)
    assert "[LOOK]" not in (without.choices[0].message.content or "")
    constrained = ask(model="stand-in", messages=messages, response_format=schema, max_tokens=100)
    assert "{INTEGER}" in (constrained.choices[0].message.content or "")
    anything = ask(model="stand-in", messages=messages, response_format={"type": "json_object"}, max_tokens=100)
    assert "{OBJECT}" in (anything.choices[0].message.content or "")


# -- embeddings


def test_embeds_for_the_official_client_and_for_plain_ones(engine: Engine) -> None:
    answer = engine.openai.embeddings.create(model="stand-in", input=["a", "bcd"])
    assert [item.embedding for item in answer.data] == [[1.0, 0.5], [3.0, 0.5]]
    plain = engine.http.post("/v1/embeddings", json={"input": "abc", "encoding_format": "base64"}).json()
    assert struct.unpack("<2f", base64.b64decode(plain["data"][0]["embedding"])) == (3.0, 0.5)


# -- llama.cpp's shapes


def test_infills_in_the_shape_of_llama_cpp(engine: Engine) -> None:
    body = {
        "input_prefix": "a\n",
        "prompt": "b",
        "input_suffix": "c",
        "input_extra": [{"filename": "x.py", "text": "..."}],
        "n_predict": 16,
        "samplers": ["top_k", "top_p"],
        "cache_prompt": True,
        "t_max_prompt_ms": 500,
    }
    answer = engine.http.post("/infill", json=body).json()
    assert answer["content"] == "A\nB<HOLE>C<X.PY>"
    assert (answer["stop"], answer["stop_type"], answer["tokens_predicted"]) == (True, "limit", 16)
    assert answer["timings"]["predicted_n"] == 16


def test_streams_infillings(engine: Engine) -> None:
    with engine.http.stream("POST", "/infill", json={"input_prefix": "ab", "n_predict": 4, "stream": True}) as answer:
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line]
    assert "".join(event["content"] for event in events) == "AB<H"
    assert [event["stop"] for event in events] == [False] * 4 + [True]


def test_an_infilling_ends_when_its_time_is_up_and_keeps_what_it_has(engine: Engine) -> None:
    body = {"input_prefix": "ab", "n_predict": 100_000, "t_max_predict_ms": 100}
    answer = engine.http.post("/infill", json=body).json()
    assert answer["content"].startswith("AB<H")
    assert answer["stop_type"] == "limit"
    assert engine.http.get("/v1/status").json()["open_requests"] == 0


def test_warming_the_cache_answers_nothing(engine: Engine) -> None:
    answer = engine.http.post("/infill", json={"input_prefix": "ab", "n_predict": 0})
    assert answer.json()["content"] == ""


def test_tokens_there_and_back(engine: Engine) -> None:
    assert engine.http.post("/tokenize", json={"content": "ab"}).json() == {"tokens": [97, 98]}
    pieces = engine.http.post("/tokenize", json={"content": "a", "with_pieces": True}).json()
    assert pieces == {"tokens": [{"id": 97, "piece": "a"}]}
    assert engine.http.post("/detokenize", json={"tokens": [97, 98]}).json() == {"content": "ab"}
