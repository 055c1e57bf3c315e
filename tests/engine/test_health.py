"""When is a worker frozen? Pure decisions on an invented clock."""

from __future__ import annotations

import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from famulus.engine.health import Activity, Limits, Verdict, Watch, activity

TICK = 0.1
STILL = Activity(cpu=100, wants_to_run=False)


def watched(busy: bool = False) -> Watch:
    """A ready worker at time zero."""
    watch = Watch(0.0)
    watch.ready(0.0)
    watch.beat(0.0, 1, busy)
    return watch


def first(watch: Watch, verdict: Verdict, until: float, seen: object = None, beats: float | None = None) -> float:
    """When the verdict is first given; ``seen`` is a function of time. Infinity if not before ``until``."""
    now, next_beat = 0.0, 0.0
    while now < until:
        now = round(now + TICK, 3)
        if beats is not None and now >= next_beat:
            watch.beat(now, 1, True)
            next_beat += beats
        looked = seen(now) if callable(seen) and watch.wants_activity(now) else None
        if watch.judge(now, TICK, looked) == verdict:
            return now
    return float("inf")


def test_a_stopped_process_is_suspect_and_then_dead_within_the_promised_times() -> None:
    assert first(watched(), "suspect", 10, lambda now: STILL) <= 1.4
    assert first(watched(), "dead", 10, lambda now: STILL) <= 2.2


def test_a_process_that_computes_without_beating_is_not_dead() -> None:
    """A long native call holds the interpreter: no beat, but processor time."""
    working = lambda now: Activity(int(now * 90), False)  # noqa: E731
    assert first(watched(), "dead", 30, working) == float("inf")
    assert first(watched(), "suspect", 30, working) < 2


def test_a_starved_process_is_not_dead() -> None:
    """It gets no processor time, but a thread of it wants some."""
    assert first(watched(), "dead", 30, lambda now: Activity(100, True)) == float("inf")


def test_nothing_lasts_for_ever() -> None:
    assert first(watched(), "dead", 100, lambda now: Activity(int(now * 90), True)) <= 61
    assert first(watched(busy=True), "dead", 100, beats=0.25) <= 61


def test_an_idle_worker_may_idle_for_ever() -> None:
    watch = watched()
    for step in range(1, 4000):
        now = step * TICK
        watch.beat(now, 1, False)
        assert watch.judge(now, TICK, None) == "well"


def test_loading_may_take_minutes() -> None:
    watch = Watch(0.0)
    assert first(watch, "dead", 100, lambda now: STILL) == float("inf")
    assert first(Watch(0.0), "dead", 200, lambda now: STILL) <= 121


def test_a_suspended_laptop_wakes_to_a_healthy_worker() -> None:
    watch = watched(busy=True)
    assert watch.judge(TICK, TICK, None) == "well"
    assert watch.judge(3600.0, TICK, STILL) == "well"
    assert watch.judge(3600.1, TICK, STILL) == "well"


def test_without_proc_patience_is_longer_but_ends() -> None:
    assert 10 < first(watched(), "dead", 100) < 20


@given(st.lists(st.tuples(st.floats(0.01, 5), st.booleans(), st.booleans()), max_size=60))
def test_a_worker_that_beats_and_moves_is_never_killed(ticks: list[tuple[float, bool, bool]]) -> None:
    """Whatever the clock does to us, a worker whose last sign of life is fresh is left alone."""
    watch, now = watched(), 0.0
    for number, (gap, busy, looks) in enumerate(ticks):
        now += gap
        watch.beat(now, number + 2, busy)
        assert watch.judge(now, TICK, STILL if looks else None) == "well"


def test_activity_tells_work_from_sleep() -> None:
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        spinning = activity(os.getpid())
        assert spinning is not None
        assert spinning.wants_to_run
    finally:
        worker.communicate(b"\n")
    assert activity(worker.pid) is None
    assert Limits().quiet < 5
