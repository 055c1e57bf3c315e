"""The governor against simulated machines: it must find the better number, follow a change, and not flap."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.engine.spawn import CORE, start_worker
from famulus.engine.threads import SPIN, Governor


class Machine:
    """Step times by number of threads, with some noise; remembers what was applied."""

    def __init__(self, times: dict[int, float], seed: int = 0) -> None:
        self.times, self.threads, self.changes = times, 0, 0
        self._random = random.Random(seed)

    def apply(self, threads: int) -> None:
        self.changes += threads != self.threads
        self.threads = threads

    def run(self, governor: Governor, steps: int, kind: str = "decode") -> float:
        total = 0.0
        for _ in range(steps):
            seconds = self.times[self.threads] * self._random.uniform(1, 1.1)
            governor.observe(kind, seconds)
            total += seconds
        return total


def _start(times: dict[int, float], current: int) -> tuple[Machine, Governor]:
    machine = Machine(times)
    machine.apply(current)
    return machine, Governor(sorted(times), current, machine.apply)


def test_a_machine_that_becomes_busy_is_noticed_within_a_few_steps() -> None:
    machine, governor = _start({1: 0.016, 2: 0.009}, 2)
    machine.run(governor, 100)
    assert governor.current == 2
    machine.times = {1: 0.018, 2: 0.3}
    machine.run(governor, 8)
    assert governor.current == 1
    assert machine.threads == 1


def test_it_returns_when_the_machine_is_free_again() -> None:
    machine, governor = _start({1: 0.018, 2: 0.3}, 1)
    machine.run(governor, 60)
    machine.times = {1: 0.016, 2: 0.009}
    machine.run(governor, 200)
    assert governor.current == 2


def test_looking_costs_little_when_nothing_changes() -> None:
    machine, governor = _start({1: 0.016, 2: 0.009}, 2)
    spent = machine.run(governor, 1000)
    assert spent < 1.03 * 1000 * 0.009 * 1.05


def test_trying_a_disastrous_number_costs_one_step_now_and_then() -> None:
    machine, governor = _start({1: 0.018, 2: 0.3}, 1)
    spent = machine.run(governor, 1000)
    assert governor.current == 1
    assert spent < 1.1 * 1000 * 0.018 * 1.05


@given(st.dictionaries(st.sampled_from([1, 2, 4, 8]), st.floats(0.001, 0.1), min_size=1), st.data())
def test_it_ends_near_the_best_of_its_neighbours(times: dict[int, float], data: st.DataObject) -> None:
    machine, governor = _start(times, data.draw(st.sampled_from(sorted(times))))
    machine.run(governor, 1500)
    candidates = sorted(times)
    at = candidates.index(governor.current)
    near = [times[n] for n in candidates[max(0, at - 1) : at + 2]]
    assert times[governor.current] <= 1.2 * min(near)
    assert machine.threads in times


def test_a_trial_whose_kind_of_work_never_comes_again_is_given_up() -> None:
    machine, governor = _start({1: 0.3, 2: 0.009}, 2)
    machine.run(governor, 7, "prompt")
    machine.run(governor, 1, "prompt")
    assert machine.threads == 1, "no trial began: the test is too easy"
    machine.run(governor, 40)
    assert machine.threads == governor.current == 2


def test_one_candidate_is_left_alone() -> None:
    machine, governor = _start({2: 0.01}, 2)
    machine.run(governor, 200)
    assert machine.changes == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("chosen", [None, "7"])
def test_a_worker_is_told_to_sleep_early_unless_the_user_said_otherwise(
    chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    if chosen is not None:
        monkeypatch.setenv("GOMP_SPINCOUNT", chosen)

    worker = start_worker(sys.executable, CORE)
    try:
        raw, deadline = b"", time.monotonic() + 30
        while not raw and time.monotonic() < deadline:  # empty until the new program is in place
            raw = Path(f"/proc/{worker.pid}/environ").read_bytes()
    finally:
        worker.end()
    environment = dict(os.fsdecode(entry).split("=", 1) for entry in raw.split(b"\0") if entry)
    assert environment["GOMP_SPINCOUNT"] == (chosen or str(SPIN))
