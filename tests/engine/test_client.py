"""The synchronous client against a real server: what a notebook kernel relies on."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from famulus.engine import client as client_module
from famulus.engine import protocol
from famulus.engine.client import Client, chat, connect, infill
from famulus.engine.errors import EngineRestarted, EngineUnavailable, InvalidRequest, ModelNotFound
from famulus.engine.runtime import Address


def test_streams_text_and_reports_usage_at_the_end(steady: Any) -> None:
    with steady.client.generate("abc", max_tokens=5) as answer:
        assert [delta.text for delta in answer] == ["A", "B", "C", "A", "B"]
        assert answer.finish_reasons == {0: "length"}
        assert (answer.usage.prompt, answer.usage.generated) == (3, 5)
        assert answer.model == "stand-in"
        assert answer.timing.total == pytest.approx(0.3)


def test_several_candidates_and_log_probabilities_arrive(steady: Any) -> None:
    answer = steady.client.generate("xy", max_tokens=2, n=2, logprobs=3, prompt_logprobs=True)
    deltas = list(answer)
    assert [delta.index for delta in deltas] == [0, 1, 0, 1]
    assert deltas[0].logprobs is not None
    assert len(deltas[0].logprobs[0].top) == 3
    assert [score.text for score in answer.prompt_scores] == ["x", "y"]


def test_structured_prompts_reach_the_engine(steady: Any) -> None:
    engine = steady.client
    hole = infill("ab", "cd", path="a.py", pieces=[{"path": "b.py", "text": "x"}])
    assert engine.generate(hole, max_tokens=16).read() == "AB<HOLE>CD<B.PY>"
    assert engine.generate(chat([{"role": "user", "content": "hi"}]), max_tokens=8).read() == "USER:HI;"


def test_scores_embeds_tokenizes_and_names_its_model(steady: Any) -> None:
    engine = steady.client
    assert [score.text for score in engine.score("ab", "cd")] == ["c", "d"]
    assert engine.embed(["a", "bcd"]) == [[1.0, 0.5], [3.0, 0.5]]
    assert engine.tokenize("é") == [233]
    assert engine.models() == ["stand-in"]
    assert engine.status()["state"] == "ready"


def test_closing_cancels_in_the_engine(serve: Any, eventually: Any) -> None:
    engine = serve("Slow").client
    answer = engine.generate("abc", max_tokens=100_000)
    next(answer)
    answer.close()
    eventually(lambda: engine.status()["stats"].get("cancelled") == 1, 5, "the worker was told")
    assert engine.status()["open_requests"] == 0


def test_closing_wakes_a_thread_that_waits_for_the_next_word(serve: Any) -> None:
    answer = serve("Stuck").client.generate("abc", max_tokens=10)
    ended = threading.Event()

    def read() -> None:
        assert answer.read() == ""
        ended.set()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    answer.close()
    assert ended.wait(2)
    thread.join()


def test_errors_are_typed_and_name_the_field(steady: Any) -> None:
    engine = steady.client
    with pytest.raises(InvalidRequest, match="temperature"):
        engine.generate("a", temperature=-1).read()
    with pytest.raises(ModelNotFound, match="stand-in"):
        engine.generate("a", model="another").read()
    with pytest.raises(InvalidRequest, match="exactly one"):
        engine.generate("a", constraint={}).read()


def test_what_json_cannot_say_is_a_typed_error_too(steady: Any) -> None:
    for sampling in ({"temperature": float("nan")}, {"logit_bias": {"1": b"x"}}):
        with pytest.raises(InvalidRequest, match="cannot be written as JSON"):
            steady.client.generate("x", **sampling)


def test_a_dead_server_is_an_error_never_a_short_answer(serve: Any) -> None:
    running = serve("Slow")
    answer = running.client.generate("abc", max_tokens=100_000)
    next(answer)
    running.process.kill()
    with pytest.raises(EngineRestarted):
        answer.read()
    running.process.wait(10)
    with pytest.raises(EngineUnavailable, match="No engine answers"):
        running.client.status()


def test_asks_over_tcp_with_the_token(serve: Any) -> None:
    running = serve("Core", "--port", "0")
    engine = Client(Address(port=running.port, token=running.token))
    assert engine.generate("ab", max_tokens=2).read() == "AB"


def test_an_engine_that_left_is_looked_for_once_more(serve: Any) -> None:
    first, second = serve(), serve()
    engine = Client(first.address, find_again=lambda: second.address)
    first.process.kill()
    first.process.wait(10)
    assert engine.generate("ab", max_tokens=2).read() == "AB"


def test_finds_an_engine_by_its_home_and_says_so_when_there_is_none(steady: Any, tmp_path: Path) -> None:
    running = steady
    assert connect(running.home, start=False).models() == ["stand-in"]
    with pytest.raises(EngineUnavailable, match="No engine runs"):
        connect(tmp_path / "elsewhere", start=False)


def test_needs_nothing_but_the_standard_library(steady: Any) -> None:
    """Any interpreter that has only the two folders on its path can ask: ``-I -S`` hides site-packages."""
    running = steady
    package = Path(client_module.__file__).resolve().parent
    program = f"""
import sys, types
famulus = types.ModuleType("famulus"); famulus.__path__ = []
sys.modules["famulus"] = famulus
import importlib.util
spec = importlib.util.spec_from_file_location(
    "famulus.engine", {str(package / "__init__.py")!r}, submodule_search_locations=[{str(package)!r}])
sys.modules["famulus.engine"] = engine = importlib.util.module_from_spec(spec)
spec.loader.exec_module(engine)
from pathlib import Path
from famulus.engine.client import connect
print(connect(Path({str(running.home)!r}), start=False).generate("abc", max_tokens=3).read())
assert not {{"msgspec", "starlette", "torch", "numpy"}} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout == "ABC\n", done.stderr


def test_client_and_protocol_agree_on_the_version() -> None:
    assert client_module.PROTOCOL == protocol.VERSION


def test_an_unread_answer_does_not_keep_the_engine_busy(serve: Any, eventually: Any) -> None:
    """Dropping the answer without closing it is closing it."""
    engine = serve("Slow").client
    start = time.monotonic()
    next(engine.generate("abc", max_tokens=100_000))
    eventually(lambda: engine.status()["open_requests"] == 0, 5, "the request is gone")
    assert time.monotonic() - start < 6
