"""The way to the engine: found, lost, asleep, woken, restarted; whoever waits for it is told."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from famulus.engine.errors import EngineRestarted, FamulusError
from famulus.engine.protocol import Delta, Infill
from famulus.lsp_server.link import EngineLink

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@contextlib.asynccontextmanager
async def linked(home):
    link = EngineLink(home, watch_seconds=0.7)
    link.start()
    try:
        yield link
    finally:
        await link.close()


async def becomes(link, state, seconds=20.0):
    """Wait until the link says so; every change of state is told to its listeners."""
    changed = asyncio.Event()
    stop = link.listen(changed.set)
    async with asyncio.timeout(seconds):
        while link.state != state:
            changed.clear()
            await changed.wait()
    stop()


async def test_answers_and_says_what_it_serves(stand_in):
    async with linked(stand_in) as link:
        await becomes(link, "ready")
        assert (link.reason, link.model["id"]) == ("", "stand-in")
        call = link.generate(Infill("ab"), lane="key", max_tokens=3)
        assert "".join([event.text async for event in call if isinstance(event, Delta)]) == "AB<"
        assert (await link.score(Infill("ab"), "c")).scores


async def test_an_engine_that_nobody_uses_may_leave_and_comes_when_somebody_types(engines):
    home, process = await asyncio.to_thread(engines, "--idle-exit", "1")
    async with linked(home) as link:
        await becomes(link, "ready")
        await becomes(link, "asleep")
        assert await asyncio.to_thread(process.wait, 10) == 0
        assert "when you type" in link.reason
        await asyncio.to_thread(engines, home=home)
        link.wake()
        assert link.state == "starting"
        await becomes(link, "ready")


async def test_a_killed_engine_is_looked_for_at_once(engines):
    home, process = await asyncio.to_thread(engines)
    async with linked(home) as link:
        await becomes(link, "ready")
        call = link.generate(Infill("x" * 4000), max_tokens=100_000)
        await anext(call)
        process.kill()
        with pytest.raises(EngineRestarted) as lost:
            async for _ in call:
                pass
        link.lost(lost.value)
        await becomes(link, "away", 5.0)
        assert "start.lock" in link.reason
        await asyncio.to_thread(engines, home=home)
        link.lost(lost.value)
        await becomes(link, "ready")


async def test_restarting_ends_the_engine_and_says_why_none_comes(engines):
    home, process = await asyncio.to_thread(engines)
    async with linked(home) as link:
        await becomes(link, "ready")
        with pytest.raises(FamulusError, match=r"start\.lock"):
            await link.restart()
        assert link.state == "away"
        assert await asyncio.to_thread(process.wait, 10) == 0


async def test_closing_waits_for_nobody(stranded):
    async with linked(stranded):
        start = time.monotonic()
    assert time.monotonic() - start < 5.0  # at once where nothing else runs
