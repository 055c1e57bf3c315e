"""Is the worker alive, or must it be restarted? Pure decisions; the supervisor brings clock and processor
time.

Frozen means: no heartbeat *and* no processor time used. A long step, loading weights, a starved machine
(threads that want to run but are not let) and a suspended laptop (our own tick came late as well) are not
frozen."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["well", "suspect", "dead"]


@dataclass(frozen=True)
class Limits:
    """Seconds without a heartbeat until a look at the process (``missed``) and until not ready (``suspect``);
    without any sign of life until a restart (``quiet``; ``quiet_unseen`` where the system shows no processor
    time); busy without progress, or silent for whatever reason, until a restart (``stuck``); our own lateness
    that is forgiven (``late``)."""

    missed: float = 0.5
    suspect: float = 1.2
    quiet: float = 2.0
    quiet_unseen: float = 15.0
    quiet_loading: float = 120.0
    silent_loading: float = 600.0
    stuck: float = 60.0
    late: float = 0.3


@dataclass(frozen=True)
class Activity:
    """What the system says about a process: processor time in ticks, and whether a thread waits for a core or
    a disk."""

    cpu: int
    wants_to_run: bool


def activity(pid: int) -> Activity | None:
    """Read ``/proc``; None where there is none or the process has gone."""
    cpu, wants = 0, False
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/stat", "rb") as stat:
                fields = stat.read().rpartition(b")")[2].split()
            wants = wants or fields[0] in (b"R", b"D")
            cpu += int(fields[11]) + int(fields[12])
    except (OSError, IndexError, ValueError):
        return None
    return Activity(cpu, wants)


class Watch:
    """Judges one life of a worker. Call :meth:`beat` when one arrives and :meth:`judge` every tick."""

    def __init__(self, now: float, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.loading = True
        self._last_tick = now
        self._last_beat = now
        self._quiet_since = now
        self._progress_at = now
        self._progress = -1
        self._busy = False
        self._cpu: int | None = None

    def ready(self, now: float) -> None:
        """Loading is over: from now on silence counts in seconds."""
        self.loading = False
        self.beat(now, -1, False)

    def beat(self, now: float, progress: int, busy: bool) -> None:
        """A heartbeat arrived. ``progress`` is any number that moves with real work."""
        if progress != self._progress or not (busy and self._busy):
            self._progress_at = now
        self._progress, self._busy = progress, busy
        self._last_beat = self._quiet_since = now
        self._cpu = None

    def wants_activity(self, now: float) -> bool:
        """Is a look at the process due? Only after a missed beat: it costs a few system calls."""
        return now - self._last_beat > self.limits.missed

    def judge(self, now: float, interval: float, seen: Activity | None) -> Verdict:
        """``interval``: how long after the last tick this one was due; ``seen``: the process's activity, if
        looked at."""
        self._forgive_lateness(now, interval)
        if seen is not None and (seen.wants_to_run or self._cpu not in (None, seen.cpu)):
            self._quiet_since = now
        self._cpu = seen.cpu if seen is not None else None
        limits, silence, quiet = self.limits, now - self._last_beat, now - self._quiet_since
        if self.loading:
            return "dead" if quiet > limits.quiet_loading or silence > limits.silent_loading else "well"
        if (self._busy and now - self._progress_at > limits.stuck) or silence > limits.stuck:
            return "dead"
        patience = limits.quiet if seen is not None else limits.quiet_unseen
        if quiet > patience:
            return "dead"
        return "suspect" if silence > limits.suspect else "well"

    def _forgive_lateness(self, now: float, interval: float) -> None:
        late = now - self._last_tick - interval
        self._last_tick = now
        if late <= self.limits.late:
            return
        # We were not running ourselves (suspended, starved), so that time says nothing about the worker.
        self._last_beat = min(now, self._last_beat + late)
        self._quiet_since = min(now, self._quiet_since + late)
        self._progress_at = min(now, self._progress_at + late)
