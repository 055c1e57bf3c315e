"""The engine behind words cells: it writes within its grammar, and nothing that happens to it holds a cell up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from famulus.engine.client import connect
from famulus.jupyter_kernel import grammar, intent, prompt, retrieve, slots
from famulus.jupyter_kernel.look import look
from famulus.jupyter_kernel.model import Model, Request

WORDS = "the price in the middle for every city, call it middle"
SALES = pd.DataFrame({"city": ["Oslo", "Rome"], "price": [12, 8]})


@pytest.fixture(scope="module")
def request_() -> Request:
    schema = look({"sales": SALES})
    told = prompt.build(WORDS, schema, slots.propose(WORDS, schema), retrieve.index(), budget=700)
    rules = grammar.build(WORDS, schema, intent.read(WORDS, schema))
    return Request(told.text, rules, ("\n\n",), seed=3, told=told.told)


def begun(home: Path, seconds: float = 90.0) -> Model:
    model = Model(sys.executable, home)
    model.begin(seconds)
    return model


def test_what_is_written_keeps_to_the_grammar(served: Any, request_: Request) -> None:
    model, seen = begun(served.home), list[str]()
    written = asyncio.run(model.write(request_, 3, seen.append))
    assert written and all(one.text.startswith("middle = ") for one in written)
    assert all(one.likelihood is not None and one.likelihood < 0 for one in written)
    assert seen and seen[-1].strip() == written[0].text.strip(), "the first answer is streamed"
    assert model.about.name and model.seed == 3 and model.told is request_.told and not model.trouble


def test_what_fits_the_instruction_is_likelier(served: Any, request_: Request) -> None:
    model = begun(served.home)
    right, wrong = asyncio.run(
        model.score(request_.prompt, ["middle = sales.groupby('city')['price'].median()", "middle = 'zebra' * 17 ** 3"])
    )
    assert right is not None and wrong is not None and right > wrong


def test_a_cancelled_request_ends_in_the_engine_as_well(served: Any, request_: Request) -> None:
    async def give_up() -> float:
        model = begun(served.home)
        await model.connect()
        started = asyncio.Event()
        long = Request(request_.prompt, "", ("never",))
        task = asyncio.create_task(model.write(long, 8, lambda _text: started.set()))
        await started.wait()
        before = time.monotonic()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return time.monotonic() - before

    assert asyncio.run(give_up()) < 1.0
    with connect(served.home, start=False) as client:
        end = time.monotonic() + 60
        while client.status()["open_requests"] and time.monotonic() < end:
            asyncio.run(asyncio.sleep(0.05))
        assert client.status()["open_requests"] == 0


def test_without_an_engine_there_is_a_reason_and_no_answer(tmp_path: Path, request_: Request) -> None:
    model = Model(str(tmp_path / "no-python"), tmp_path)
    model.begin(30)
    assert asyncio.run(model.write(request_)) == [] and "no-python" in model.trouble
    model.begin()
    assert asyncio.run(model.write(request_)) == [] and "a moment ago" in model.trouble


@pytest.fixture
def frozen(mortal: Any) -> Iterator[Path]:
    """The home of an engine that is stopped in the middle of its life, as a debugger or a full swap would do it."""
    with connect(mortal.home, start=False) as client:
        client.models()
        status = client.status()
    processes = [status["pid"], status["worker_pid"]]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    yield mortal.home
    for process in reversed(processes):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGSTOP")
def test_a_frozen_engine_costs_no_more_than_the_time_of_the_cell(frozen: Path, request_: Request) -> None:
    model = begun(frozen, seconds=2.0)
    before = time.monotonic()
    assert asyncio.run(model.write(request_)) == [] and model.trouble
    assert time.monotonic() - before < 10.0
    model.begin()
    before = time.monotonic()
    assert asyncio.run(model.write(request_)) == []
    assert time.monotonic() - before < 1.0, "it is left alone for a while"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGSTOP")
def test_an_interrupt_does_not_wait_for_a_frozen_engine(frozen: Path, start_kernel: Any) -> None:
    with start_kernel(environment={"FAMULUS_HOME": str(frozen)}) as notebook:
        notebook.run("import pandas as pd\nsales = pd.DataFrame({'city': ['Oslo'], 'price': [12]})")
        cell = notebook.send("#!ask what would the fjords have earned had every parrot paid")
        told = {}
        while "asking the model" not in str(told.get("data", "")):
            told = notebook.take("iopub", cell)["content"]
            assert told.get("execution_state") != "idle", "the model was not asked"
        before = time.monotonic()
        notebook.manager.interrupt_kernel()
        assert notebook.finish(cell).reply["ename"] == "KeyboardInterrupt"
        assert time.monotonic() - before < 5.0
        assert notebook.run("len(sales)").value == "1"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_an_engine_that_is_killed_in_the_middle_is_an_answer_less(mortal: Any, request_: Request) -> None:
    async def cut() -> str:
        model = begun(mortal.home)
        assert await model.connect()
        with connect(mortal.home, start=False) as client:
            worker = client.status()["worker_pid"]
        alive = [worker]
        long = Request(request_.prompt, "", ("never",))
        await model.write(long, 8, lambda _text: os.kill(alive.pop(), signal.SIGKILL) if alive else None)
        return model.trouble

    assert asyncio.run(cut())
