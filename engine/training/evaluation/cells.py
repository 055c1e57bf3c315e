"""Notebook cells for an instruction, judged by running them over the data that the instruction is about."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from famulus.engine.protocol import Text
from famulus.engine.training.evaluation import cell_program
from famulus.engine.training.evaluation.heldout import Pair
from famulus.engine.training.evaluation.measures import Measure
from famulus.engine.training.evaluation.part import Part, Step, asked, same
from famulus.engine.training.evaluation.subject import Subject
from famulus.sandbox.launch import run
from famulus.sandbox.limits import GiB, Limits

STOPS = ("\n\n", "\n#")
"""What ends a cell, as in the notebook."""

TOKENS = 96

Finish = Callable[[str], str]
"""What a model wrote → the cell that would run, "" for none."""


def cells(chosen: Sequence[Pair], name: str, count: int, models: int, finish: Finish) -> Part:
    """What a model writes first: no grammar, no examples, no second try."""
    works = Measure(name, "does what was asked", "share", models)
    equal = Measure(name, "exact match", "share", models)
    bits = Measure(name, "bits per byte of the answer", "ratio", models)

    def step(at: int) -> Step:
        pair = chosen[at]
        prompt = Text(pair.text)

        def ask(model: Subject) -> tuple[float, str]:
            return model.bits(prompt, pair.answer), model.write(prompt, TOKENS, stop=list(STOPS)).text

        def run_one(models: Sequence[Subject]) -> None:
            found = asked(models, at, ask)
            bits.add([cost for cost, _ in found], len(pair.answer.encode()))
            equal.add([float(same(text, pair.answer)) for _, text in found])
            works.add([float(good) for good in judged(pair, [finish(text) for _, text in found])])

        return run_one

    return Part(name, [step(at) for at in range(len(chosen[:count]))], [works, equal, bits])


def judged(pair: Pair, codes: Sequence[str]) -> list[bool]:
    """Which of ``codes`` do what the pair's checks say, in the sandbox. Raises :class:`SandboxError`."""
    orders = [{"setup": pair.setup, "code": code, "check": pair.check, "plot": pair.plot} for code in codes if code]
    if not orders:
        return [False] * len(codes)
    program = Path(cell_program.__file__)
    said = "".join(json.dumps(order) + "\n" for order in orders).encode()
    limits = Limits(cpu_seconds=20.0 * len(orders) + 20, memory_bytes=3 * GiB)
    done = run([sys.executable, "-I", str(program)], readable=[program], stdin=said, limits=limits)
    answers = iter([line == b"true" for line in done.stdout.data.splitlines()])
    return [bool(code) and next(answers, False) for code in codes]
