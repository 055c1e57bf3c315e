"""The supervisor with real worker processes: killed, frozen, crashing, corrupt, slow to load."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from famulus.engine import supervisor as supervisor_module
from famulus.engine.errors import BadWeights, EngineUnavailable, Overloaded
from famulus.engine.health import Limits
from famulus.engine.protocol import Delta, Done, Failed, Generate, Text
from famulus.engine.spawn import WorkerCommand
from famulus.engine.supervisor import MAX_OPEN, Supervisor
from famulus.engine.tickets import Ticket

pytestmark = pytest.mark.anyio

STAND_IN = Path(__file__).parent / "stand_in_core.py"


@contextlib.asynccontextmanager
async def supervised(core: str = "Core", **options: Any) -> AsyncIterator[Supervisor]:
    settings = options.pop("settings", {})
    supervisor = Supervisor(WorkerCommand(settings, f"{STAND_IN}:{core}"), **options)
    task = asyncio.create_task(supervisor.run())
    try:
        yield supervisor
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert supervisor.worker_pid is None


def ask(supervisor: Supervisor, text: str = "abc", max_tokens: int = 3, **fields: Any) -> Ticket:
    return supervisor.open(Generate("mine", Text(text), max_tokens=max_tokens, **fields))


async def last(ticket: Ticket) -> Any:
    return [event async for event in ticket][-1]


async def reached(condition: Callable[[], bool], seconds: float) -> float:
    start = time.monotonic()
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (a process's state has no event to wait for)
            await asyncio.sleep(0.01)
    return time.monotonic() - start


async def test_requests_made_before_the_worker_lives_are_answered_under_their_own_ids() -> None:
    async with supervised() as supervisor:
        tickets = [ask(supervisor) for _ in range(3)]
        for ticket in tickets:
            events = [event async for event in ticket]
            assert "".join(event.text for event in events if isinstance(event, Delta)) == "ABC"
            assert isinstance(events[-1], Done)
            assert {event.id for event in events} == {"mine"}
        assert supervisor.open_requests == 0


async def test_killing_the_worker_ends_every_open_request_within_a_second() -> None:
    async with supervised("Slow") as supervisor:
        await supervisor.wait_ready()
        tickets = [ask(supervisor, max_tokens=100_000) for _ in range(8)]
        for ticket in tickets:
            await anext(ticket)
        assert supervisor.worker_pid is not None
        os.kill(supervisor.worker_pid, signal.SIGKILL)
        async with asyncio.timeout(1):
            for ticket in tickets:
                failed = await last(ticket)
                assert isinstance(failed, Failed)
                assert failed.code == "engine_restarted"
        assert isinstance(await last(ask(supervisor)), Done)
        assert supervisor.restarts == 1


async def test_a_stopped_worker_is_noticed_and_replaced_in_the_promised_times() -> None:
    async with supervised("Slow") as supervisor:
        await supervisor.wait_ready()
        ticket = ask(supervisor, max_tokens=100_000)
        await anext(ticket)
        pid = supervisor.worker_pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        start = time.monotonic()
        await reached(lambda: supervisor.state == "frozen", 2)
        await reached(lambda: supervisor.state == "ready" and supervisor.worker_pid not in (None, pid), 5)
        assert time.monotonic() - start < 5
        failed = await last(ticket)
        assert failed.code == "engine_restarted"


async def test_a_worker_that_is_stopped_for_a_moment_goes_on() -> None:
    async with supervised("Slow", limits=Limits(quiet=30)) as supervisor:
        await supervisor.wait_ready()
        pid = supervisor.worker_pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await reached(lambda: supervisor.state == "frozen", 3)
        os.kill(pid, signal.SIGCONT)
        await reached(lambda: supervisor.state == "ready", 3)
        assert supervisor.worker_pid == pid


async def test_a_worker_that_beats_but_does_not_move_is_replaced() -> None:
    async with supervised("Stuck", limits=Limits(stuck=1.0)) as supervisor:
        await supervisor.wait_ready()
        failed = await last(ask(supervisor))
        assert failed.code == "engine_restarted"


async def test_a_worker_that_was_never_asked_anything_is_left_alone() -> None:
    async with supervised(limits=Limits(stuck=0.6)) as supervisor:
        await supervisor.wait_ready()
        pid = supervisor.worker_pid
        with pytest.raises(TimeoutError):
            await reached(lambda: supervisor.worker_pid != pid, 1.5)


async def test_a_long_native_call_is_not_taken_for_death() -> None:
    """It holds the interpreter for seconds, so no heart beats, but it uses the processor."""
    async with supervised("NativeCall", limits=Limits(missed=0.1, suspect=0.3, quiet=0.5)) as supervisor:
        await supervisor.wait_ready()
        pid = supervisor.worker_pid
        assert isinstance(await last(ask(supervisor, max_tokens=1)), Done)
        assert supervisor.worker_pid == pid


async def test_bad_weights_are_told_to_everybody_and_not_retried_at_once() -> None:
    async with supervised("Corrupt", slow_retry=60) as supervisor:
        early = ask(supervisor)
        failed = await last(early)
        assert (failed.code, "truncated" in failed.message) == ("bad_weights", True)
        assert (await last(ask(supervisor))).code == "bad_weights"
        assert "truncated" in supervisor.reason
        with pytest.raises(BadWeights):
            await supervisor.wait_ready()


async def test_weights_that_were_repaired_are_served_at_a_later_try(tmp_path: Path) -> None:
    gate = tmp_path / "repaired"
    async with supervised("CorruptUntil", settings={"gate": str(gate)}, slow_retry=0.1) as supervisor:
        assert (await last(ask(supervisor))).code == "bad_weights"
        gate.touch()
        await reached(lambda: supervisor.state == "ready", 10)
        assert isinstance(await last(ask(supervisor)), Done)


async def test_a_crash_loop_ends_in_a_steady_degraded_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "BACK_OFF", (0.0,))
    async with supervised("DiesLoading", slow_retry=60) as supervisor:
        waiting = ask(supervisor)
        failed = await last(waiting)
        assert failed.code == "engine_unavailable"
        assert supervisor.state == "failed"
        assert supervisor.restarts == supervisor_module.CRASHES
        assert (await last(ask(supervisor))).code == "engine_unavailable"


async def test_a_poisonous_request_costs_only_those_it_met() -> None:
    async with supervised("DiesOnWord") as supervisor:
        await supervisor.wait_ready()
        assert (await last(ask(supervisor, "poison"))).code == "engine_restarted"
        assert isinstance(await last(ask(supervisor)), Done)


async def test_an_answer_beyond_all_bounds_fails_alone() -> None:
    async with supervised("Monstrous") as supervisor:
        await supervisor.wait_ready()
        monster, other = ask(supervisor, "monster"), ask(supervisor)
        assert (await last(monster)).code == "invalid_request"
        assert isinstance(await last(other), Done)
        assert supervisor.restarts == 0


async def test_cancel_is_idempotent_at_every_phase(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with supervised("SlowLoad", settings={"gate": str(gate)}) as supervisor:
        waiting = ask(supervisor)
        waiting.cancel()
        waiting.cancel()
        assert (await last(waiting)).code == "cancelled"
        gate.touch()
        await supervisor.wait_ready()
        never_read, unfinished = ask(supervisor, max_tokens=100_000), ask(supervisor, max_tokens=100_000)
        await anext(unfinished)
        never_read.cancel()
        unfinished.cancel()
        finished = ask(supervisor)
        await last(finished)
        finished.cancel()
        assert supervisor.open_requests == 0
        await reached(lambda: supervisor.stats.get("running") == 0, 5)
        assert supervisor.stats["cancelled"] == 2


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_thousands_of_cancels_leave_nothing(count: int) -> None:
    """Queued, running, before the first byte, after the end: requests, tasks, descriptors are where they were."""
    async with supervised("Slow") as supervisor:
        await supervisor.wait_ready()
        pids = (os.getpid(), supervisor.worker_pid)
        before = [len(asyncio.all_tasks()), *(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)]
        for number in range(count):
            ticket = ask(supervisor, max_tokens=1 if number % 50 == 25 else 1000)
            if number % 50 == 0:
                await anext(ticket)
            elif number % 50 == 25:
                await last(ticket)
            ticket.cancel()
        assert supervisor.open_requests == 0
        await reached(lambda: supervisor.stats.get("running") == 0, 10)
        assert [len(asyncio.all_tasks()), *(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)] == before
        assert isinstance(await last(ask(supervisor)), Done)


async def test_too_many_requests_are_refused_and_the_rest_is_served() -> None:
    async with supervised("Slow") as supervisor:
        await supervisor.wait_ready()
        tickets = [ask(supervisor, max_tokens=100_000) for _ in range(MAX_OPEN)]
        with pytest.raises(Overloaded):
            ask(supervisor)
        for ticket in tickets:
            ticket.cancel()
        assert isinstance(await last(ask(supervisor)), Done)


async def test_a_ticket_that_nobody_reads_is_dropped_before_it_fills_the_memory() -> None:
    async with supervised("Hefty") as supervisor:
        await supervisor.wait_ready()
        ticket = ask(supervisor, max_tokens=100_000)
        await reached(lambda: ticket.ended, 20)
        assert supervisor.open_requests == 0
        assert (await last(ticket)).code == "slow_consumer"
        await reached(lambda: supervisor.stats.get("running") == 0, 5)


async def test_a_ticket_that_is_read_too_slowly_is_dropped_in_time() -> None:
    dropped: list[Ticket] = []
    ticket = Ticket(Generate("mine", Text("a")), dropped.append, slow_seconds=0.05)
    for _ in range(100):
        ticket.push(Delta("1", "x" * 1024))
    await reached(lambda: ticket.ended, 2)
    assert dropped == [ticket]
    assert [event.code async for event in ticket] == ["slow_consumer"]


async def test_a_ticket_that_is_read_in_the_end_loses_nothing() -> None:
    ticket = Ticket(Generate("mine", Text("a")), lambda _: pytest.fail("it was read"), slow_seconds=0.05)
    for _ in range(100):
        ticket.push(Delta("1", "x" * 1024))
    for _ in range(100):
        await anext(ticket)
    await asyncio.sleep(0.1)
    ticket.push(Done("1"))
    assert isinstance(await last(ticket), Done)


async def test_the_time_spent_waiting_for_the_worker_counts_against_the_deadline(tmp_path: Path) -> None:
    async with supervised("SlowLoad", settings={"gate": str(tmp_path / "gate")}) as supervisor:
        failed = await last(ask(supervisor, deadline_ms=50))
        assert failed.code == "deadline_exceeded"


async def test_an_interpreter_that_is_missing_is_said() -> None:
    supervisor = Supervisor(WorkerCommand(python="/nowhere/python"), slow_retry=60)
    task = asyncio.create_task(supervisor.run())
    with pytest.raises(EngineUnavailable, match="/nowhere/python"):
        await supervisor.wait_ready()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_worker_leaves_with_its_server(tmp_path: Path) -> None:
    """Even while it loads and looks at nothing: the pipe breaks under its heart."""
    supervisor = Supervisor(WorkerCommand({"gate": str(tmp_path / "never")}, f"{STAND_IN}:SlowLoad"))
    task = asyncio.create_task(supervisor.run())
    await reached(lambda: supervisor.stage == "waiting for the gate", 10)
    pid = supervisor.worker_pid
    assert supervisor._writer is not None
    supervisor._writer.transport.abort()
    await reached(lambda: supervisor.worker_pid != pid, 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
