"""Other tile sizes for a kernel in one shape: what ``famulus bench kernels --tune`` does where the speed is low.

A kernel asks :mod:`famulus.kernels.tuned` for its configuration; here it is given others, one number changed at a time
for as long as that helps. One whose result differs from the rule's, or that does not fit the card, is not taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from famulus.bench.device_time import seconds
from famulus.kernels.tuned import Configuration, trying, write

GAIN = 0.97
"""A configuration is better if it takes at most this share of the time: less is noise."""

ALIKE = 2e-2
"""The largest difference between two configurations' results, relative to the largest value: sums in another order."""


def better(
    start: Configuration, measure: Callable[[Configuration], float]
) -> tuple[Configuration, float, dict[Configuration, float]]:
    """The best that is found from ``start`` by single steps, its time, and all times; ``measure`` answers infinity for
    what cannot be taken."""
    times = {start: measure(start)}
    best, improved = start, True
    while improved:
        improved = False
        for other in list(best.neighbours()):
            if other not in times:
                times[other] = measure(other)
            if times[other] < GAIN * times[best]:
                best, improved = other, True
                break
    return best, times[best], times


class Tuner:
    """Tunes operations on one device and keeps what it finds in ``folder``."""

    def __init__(self, device: torch.device, folder: Path, budget: float) -> None:
        from famulus.kernels.gpu.launch import card
        from famulus.kernels.op import interpreting

        self.device, self.folder, self.budget = device, folder, budget
        self.architecture = card(torch.empty(0, device=device)).architecture
        interpreted = "Triton's interpreter: its times say nothing of a card"
        self.name = interpreted if interpreting() else torch.cuda.get_device_name(device)

    def tune(self, run: Callable[[], Any]) -> dict[str, tuple[Configuration, float, float]]:
        """Every configuration that ``run`` asks for, in turn. What is better is written; answers, for what was, the
        configuration and the seconds of ``run`` before and after."""
        with trying({}) as trial:
            want = run()
        chosen, found = dict(trial.asked), {}
        for key, start in trial.asked.items():

            def measure(c: Configuration, key: tuple[str, str] = key) -> float:
                with trying({**chosen, key: c}):
                    return self._time(run, want)

            best, took, times = better(start, measure)
            if best != start:
                chosen[key] = best
                write(self.folder, key[0], self.architecture, key[1], best, self.name)
                found[" ".join(key)] = (best, times[start], took)
        return found

    def _time(self, run: Callable[[], Any], want: Any) -> float:
        from triton.errors import TritonError

        try:
            got = run()
        except TritonError:  # too much shared memory, or the assembler gives up
            return math.inf
        except RuntimeError as error:
            if "PassManager" not in str(error):
                raise
            return math.inf
        if not (got - want).abs().max() <= ALIKE * want.abs().max():
            return math.inf
        return seconds(run, self.device, self.budget)
