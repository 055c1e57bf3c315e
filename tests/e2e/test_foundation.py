"""The promise of the foundation: a real model completes real code, for the command and for any OpenAI client."""

from __future__ import annotations

import concurrent.futures
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest

import famulus as package
from famulus.engine.client import Client
from famulus.engine.runtime import Address
from tests.conftest import MODEL

pytestmark = pytest.mark.e2e

CIRCLE = 'def area_of_circle(radius):\n    """Return the area of a circle."""\n    return '


@pytest.fixture
def complete(served: Any, tmp_path: Path) -> Callable[[bytes, str], dict[str, Any]]:
    """What ``famulus complete --json`` prints for a file with this content, at this place."""

    def run(content: bytes, place: str, name: str = "code.py") -> dict[str, Any]:
        file = tmp_path / name
        file.write_bytes(content)
        done = served("complete", f"{file}:{place}", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert file.read_bytes() == content
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return run


def test_a_completion_uses_what_the_file_says(complete: Any) -> None:
    answer = complete(CIRCLE.encode(), "3:12")
    line = answer["text"].partition("\n")[0]
    assert "radius" in line
    assert "return" not in line, "the text before the cursor is not repeated"
    assert answer["model"] == MODEL
    assert answer["finish_reason"] in ("stop", "length")
    assert set(answer) == {"text", "finish_reason", "model", "tokens", "timing_ms"}
    assert set(answer["tokens"]) == {"prompt", "cached", "generated"}
    assert 0 < answer["tokens"]["generated"] <= 64
    timing = answer["timing_ms"]
    assert 0 <= timing["queue"] <= timing["first_token"] <= timing["total"]


def test_the_next_key_is_answered_from_the_cache(complete: Any) -> None:
    before = "import math\n\n\n" + CIRCLE.replace("circle", "sphere")
    first = complete(before.encode(), "6:12")
    second = complete((before + "4").encode(), "6:13")
    assert first["tokens"]["prompt"] > 20
    assert second["tokens"]["prompt"] - second["tokens"]["cached"] <= 5


def test_without_json_the_text_alone_is_printed(served: Any, tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text(CIRCLE)
    done = served("complete", f"{file.name}:3:12", cwd=tmp_path)
    assert done.stdout.startswith("radius") or "radius" in done.stdout
    assert done.stdout.endswith("\n")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", "1:1"),
        (b"\n", "2:1"),
        (b"def add(a, b):\n    return", "2:11"),
        ("title = '👩‍🚀🚀'\nprint(".encode(), "1:11"),
        ("# 🚀".encode(), "1:4"),
        (b"\xef\xbb\xbfx = 1\ny = ", "2:5"),
        (b"x = 1\f\ny = ", "2:5"),
    ],
)
def test_unusual_files_are_completed(complete: Any, content: bytes, place: str) -> None:
    answer = complete(content, place)
    assert answer["finish_reason"]
    answer["text"].encode()  # whole characters only


def test_the_answer_has_the_line_ends_of_the_file(complete: Any) -> None:
    windows = complete(b"def fib(n):\r\n", "2:1")["text"]
    assert "\r\n" in windows
    assert "\n" not in windows.replace("\r\n", "")
    assert "\r" not in complete(b"def fib(n):\n", "2:1")["text"]


def test_a_file_far_beyond_the_context_is_completed_where_the_cursor_stands(complete: Any) -> None:
    filler = "".join(f"value_{i} = {i}\n" for i in range(100_000))
    answer = complete((filler + CIRCLE).encode(), "100003:12")
    assert "radius" in answer["text"]


def test_text_is_streamed_as_it_comes(served: Any) -> None:
    process = served.start("generate", "Once upon a time", "--max-tokens", "400")
    first = process.stdout.read1(1)
    assert first
    assert process.poll() is None, "the first text came only with the last"
    process.send_signal(signal.SIGINT)
    rest, complaint = process.communicate(timeout=30)
    assert process.returncode == 130
    assert complaint == b""
    assert len(rest) < 1500


def test_who_stops_reading_stops_the_engine(served: Any) -> None:
    process = served.start("generate", "One, two, three,", "--max-tokens", "4000")
    process.stdout.read1(1)
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == b""
    status = json.loads(served("status", "--json").stdout)
    assert status["open_requests"] == 0
    assert status["stats"]["generated_tokens"] < 3000


def test_a_prompt_comes_from_standard_input_too(served: Any) -> None:
    prompt = "def add(a, b):\n    return"
    given = served("generate", prompt, "--max-tokens", "6")
    read = served("generate", "-", "--max-tokens", "6", stdin=prompt)
    assert given.stdout == read.stdout
    assert "a + b" in given.stdout
    stopped = served("generate", prompt, "--max-tokens", "20", "--stop", " b")
    assert stopped.stdout.rstrip("\n").endswith("+")


def test_a_question_is_answered(served: Any) -> None:
    done = served("generate", "--chat", "What is the capital of France? Answer in one word.", "--max-tokens", "16")
    assert "Paris" in done.stdout


def test_too_long_a_prompt_is_one_sentence_that_says_by_how_much(served: Any) -> None:
    done = served("generate", "-", stdin="word " * 9000)
    assert done.returncode == 1
    assert done.stderr.startswith("famulus: The prompt has 90")
    assert "more than the context" in done.stderr and done.stderr.count("\n") == 1


def test_status_shows_the_engine(served: Any) -> None:
    served("generate", "x", "--max-tokens", "1")
    shown = served("status").stdout
    for words in ("ready", MODEL, "http://127.0.0.1:", str(served.home / "run" / "engine.sock")):
        assert words in shown
    status = json.loads(served("status", "--json").stdout)
    assert status["model"]["id"] == MODEL


def test_a_second_engine_is_refused(served: Any) -> None:
    done = served("serve")
    assert done.returncode == 1
    assert "An engine already runs" in done.stderr.splitlines()[-1]


def test_the_doctor_shows_the_plan_of_the_running_engine(served: Any) -> None:
    served("generate", "x", "--max-tokens", "1")
    plan = [tuple(row) for row in json.loads(served("status", "--json").stdout)["plan"]]
    found = json.loads(served("doctor", "--json").stdout)
    texts = [finding["text"] for finding in found if finding["part"] == "plan"]
    assert texts == [f"{what}: {choice} ({why})" for what, choice, why in plan]


def test_the_tour_shows_the_cache_ghost_text_and_the_times(served: Any, tmp_path: Path) -> None:
    counted = served("stats", "--json").stdout
    done = served("tour", "--save-svg", str(tmp_path / "tour.svg"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 of" in done.stdout and "the others are cached" in done.stdout
    for words in ("This machine", "precision", "return sum(", "The file says  line.total()", "first token, next key"):
        assert words in done.stdout
    ghost = done.stdout[done.stdout.index("The same in an editor") :]
    assert "return sum(line.total() for line in self.lines)" in ghost
    assert "ghost text, typed into" in ghost
    notebook = done.stdout[done.stdout.index("A notebook cell in plain words") :]
    assert "sales.groupby('product')['price'].mean()" in notebook and "lamp      51.4" in notebook
    assert "a cell in words" in notebook
    assert "calls gross() with `rate`, which it no longer takes." in notebook and "parcels(0) is now 1" in notebook
    tests = done.stdout[done.stdout.index("Tests that notice more") :]
    assert "+def test_fine" in tests and "none failed" in tests
    before, after = map(int, re.findall(r"fine: mutation score (\d+) % → (\d+) %", tests)[0])
    assert before < 50 < 80 <= after
    assert served("stats", "--json").stdout == counted, "what the tour shows is no user's doing"
    assert (tmp_path / "tour.svg").read_text().startswith("<svg")


def test_the_sdk_reaches_the_same_engine(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAMULUS_HOME", str(served.home))
    with package.connect(start=False) as engine, engine.generate("def add(a, b):\n    return", max_tokens=6) as answer:
        assert "a + b" in answer.read()


# -- a client that nobody here wrote


@pytest.fixture
def client(served: Any) -> openai.OpenAI:
    """The official client, against the port."""
    port = json.loads(served("status", "--json").stdout)["port"]
    token = (served.home / "run/engine.token").read_text().strip()
    return openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=token, max_retries=0, timeout=60)


def test_the_openai_client_lists_streams_and_chats(client: openai.OpenAI) -> None:
    [model] = [model.id for model in client.models.list()]
    assert model == MODEL
    stream = client.completions.create(
        model=model, prompt="def add(a, b):\n    return", max_tokens=8, temperature=0, stream=True
    )
    assert "a + b" in "".join(chunk.choices[0].text for chunk in stream if chunk.choices)
    filled = client.completions.create(model=model, prompt=CIRCLE, suffix="\n", max_tokens=16, temperature=0)
    assert "radius" in filled.choices[0].text
    question = {"role": "user", "content": "What is the capital of France? Answer in one word."}
    answer = client.chat.completions.create(model=model, messages=[question], max_tokens=16, temperature=0)  # type: ignore[list-item]
    assert "Paris" in (answer.choices[0].message.content or "")


def test_the_openai_client_understands_our_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="gpt-9"):
        client.completions.create(model="gpt-9", prompt="x", max_tokens=1)
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.completions.create(model=MODEL, prompt="x", temperature=-1)
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()


# -- the life of an engine


def wait_for_the_end_of(pid: int) -> None:
    """The lock is free a moment before the process is gone. A container may keep the dead as zombies."""
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"process {pid} outlived `famulus stop`"
        time.sleep(0.05)


@pytest.mark.slow
def test_two_requests_start_one_engine_which_stop_ends(lonely: Any, tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text(CIRCLE)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: lonely("complete", f"{file}:3:12"), range(2)))
    for done in both:
        assert (done.returncode, done.stderr) == (0, "")
        assert "radius" in done.stdout
    status = json.loads(lonely("status", "--json").stdout)
    assert status["model"]["id"] == MODEL
    assert (lonely.home / "run/engine.sock").stat().st_mode & 0o777 == 0o600
    assert (lonely.home / "run").stat().st_mode & 0o777 == 0o700
    assert lonely("stop").stdout == "The engine has left.\n"
    wait_for_the_end_of(status["pid"])
    wait_for_the_end_of(status["worker_pid"])
    done = lonely("status")
    assert (done.returncode, done.stderr) == (1, "famulus: No engine runs. Run `famulus serve`.\n")


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_one_sentence(lonely: Any, tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + bytes(100))
    (lonely.home / "config").mkdir()
    (lonely.home / "config/famulus.toml").write_text(f'model = "{bad}"\n')
    done = lonely("generate", "x")
    assert done.returncode == 1
    assert "bad.gguf" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_home_too_deep_for_a_socket_works(tmp_path: Path, lonely: Any) -> None:
    deep = lonely.home / ("x" * 100) / ("y" * 100)
    done = lonely("serve", "--port", "65536", FAMULUS_HOME=str(deep))
    assert done.returncode == 2
    process = subprocess.Popen(
        [Path(sys.executable).with_name("famulus"), "serve"],
        stdout=subprocess.PIPE,
        env=lonely.env(FAMULUS_HOME=str(deep)),
        text=True,
    )
    assert process.stdout is not None
    try:
        socket = process.stdout.readline().split(maxsplit=1)[1].strip()
        assert len(socket) < 104
        assert Client(Address(socket=socket)).status()["socket"] == socket
        assert socket in lonely("status", FAMULUS_HOME=str(deep)).stdout
        assert lonely("stop", FAMULUS_HOME=str(deep)).stdout == "The engine has left.\n"
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
