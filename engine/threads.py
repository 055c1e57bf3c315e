"""How many threads compute, decided while running: a developer's machine is busy with other things.

With both cores free two threads halve a step; with a compiler on one of them every product waits for the thread that
was put aside, and a step takes up to thirty times as long (measured). So the number is not a constant: the governor
times the steps it sees, and now and then tries a neighbouring number for a few of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

SPIN = 16_000
"""How often a thread of libgomp looks for its next piece of work before it sleeps: somewhat under a millisecond. With
1,000 it sleeps between the products of a step, and on a free machine decoding takes twice as long."""

PROBE_STEPS = 3
"""Steps of a trial; its best one counts, since the first with another number of threads is slow."""
FOREIGN_STEPS = 16
"""Steps of other kinds after which a trial is given up: its own kind of work may never come again."""
PATIENCE = 8, 4096
"""Steps between two trials while nothing changes: doubled from the first to the second with every vain one."""
ALARM, DISASTER = 1.6, 4.0
"""Two steps in a row that take ALARM times their usual, or one of DISASTER times, start a trial at once; a trial is
given up at its first step of DISASTER times the usual."""
GAIN = 0.95
"""Another number must be better by this factor to be taken: flapping costs more than it wins."""


def worker_environment() -> dict[str, str]:
    """The environment of a process that computes.

    By default a waiting thread spins for many milliseconds and so keeps the core from the very thread that it waits
    for: measured with other load on both cores, a product of 60 µs took 3 to 19 ms, and a tenth of that with a shorter
    spin. What the user has set is left alone.
    """
    environment = dict(os.environ)
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & environment.keys():
        environment["GOMP_SPINCOUNT"] = str(SPIN)
    return environment


@dataclass
class _Trial:
    threads: int
    left: int = PROBE_STEPS
    foreign: int = FOREIGN_STEPS
    best: float = float("inf")


@dataclass
class Governor:
    """Chooses among ``candidates`` (ascending). ``apply`` sets a number of threads; :meth:`observe` follows each step.

    Times are compared per unit of work that the caller names by ``kind`` (decoding, prompts): seconds of one step, or
    seconds per token, as long as it is the same for one kind.
    """

    candidates: Sequence[int]
    current: int
    apply: Callable[[int], None]
    _usual: dict[str, float] = field(default_factory=dict)
    _trial: _Trial | None = None
    _kind: str = ""
    _patience: int = PATIENCE[0]
    _since: int = 0
    _slow: int = 0
    _trials: int = 0

    def observe(self, kind: str, seconds: float) -> None:
        """A step of ``kind`` took ``seconds`` (per unit) with the current number of threads."""
        if len(self.candidates) < 2:
            return
        if self._trial is not None:
            if kind == self._kind:
                self._tried(self._trial, seconds)
            else:
                self._passed(self._trial)
            return
        usual = self._usual.setdefault(kind, seconds)
        self._slow = self._slow + 1 if seconds > ALARM * usual else 0
        self._usual[kind] = 0.8 * usual + 0.2 * min(seconds, ALARM * usual)
        self._since += 1
        if self._slow >= 2 or seconds > DISASTER * usual:
            self._patience = PATIENCE[0]
            self._usual[kind] = seconds
            self._try_another(kind)
        elif self._since >= self._patience:
            self._try_another(kind)

    def _try_another(self, kind: str) -> None:
        others = [n for n in self.candidates if n != self.current]
        near = sorted(others, key=lambda n: abs(self.candidates.index(n) - self.candidates.index(self.current)))[:2]
        self._trials += 1
        self._trial, self._kind = _Trial(near[self._trials % len(near)]), kind
        self._since = self._slow = 0
        self.apply(self._trial.threads)

    def _passed(self, trial: _Trial) -> None:
        trial.foreign -= 1
        if trial.foreign == 0:
            self._trial = None
            self.apply(self.current)

    def _tried(self, trial: _Trial, seconds: float) -> None:
        usual = self._usual[self._kind]
        trial.best = min(trial.best, seconds)
        trial.left -= 1
        if trial.left and seconds <= DISASTER * usual:
            return
        self._trial = None
        if trial.best < GAIN * usual:
            self.current, self._patience = trial.threads, PATIENCE[0]
            # The other kinds' usual times belong to the number before.
            self._usual = {self._kind: trial.best}
        else:
            self._patience = min(2 * self._patience, PATIENCE[1])
            self.apply(self.current)
