"""What all parts of an evaluation share: each takes one item after the other, and asks every model for it in turn."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from famulus.engine.training.evaluation.measures import Measure
from famulus.engine.training.evaluation.subject import Subject

Step = Callable[[Sequence[Subject]], None]
"""Asks every model for one item, and counts."""


@dataclass
class Part:
    """``steps``: one for each item; ``measures`` grow with them."""

    name: str
    steps: list[Step]
    measures: list[Measure] = field(default_factory=list)


def asked(models: Sequence[Subject], number: int, ask: Callable[[Subject], Any]) -> list[Any]:
    """The answers of all models to one item, asked in another order each time: none is always the first."""
    turn = number % len(models)
    order = [*range(turn, len(models)), *range(turn)]
    found = {place: ask(models[place]) for place in order}
    return [found[place] for place in range(len(models))]


def same(answer: str, hidden: str) -> bool:
    """Equal but for white space at both ends and at the ends of lines."""
    a, b = ([line.rstrip() for line in text.strip().splitlines()] for text in (answer, hidden))
    return a == b


def parses(text: str) -> bool:
    """Whether it is Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
