"""Measured configurations of the Triton kernels: (operation, architecture, shape) → tile sizes.

``tuned/OPERATION.json`` holds ``{"sm_90": {"affine-32 5120x2048 1": {"device": "NVIDIA H100 ...", "bm": 16, ...}}}``,
written by ``famulus bench kernels --tune`` on the card that it names. A shape that is not there gets the kernel's own
rule. Nothing is tuned while a model runs; the tests compile what a table holds for its own architecture.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "tuned"

LIMITS = {"bm": (16, 128), "bn": (16, 256), "splits": (1, 32), "warps": (1, 16)}
"""The smallest and the largest that is tried, by factors of two."""

STAGES = 6
"""The most steps in flight that are tried."""


@dataclass(frozen=True)
class Configuration:
    """Tile of a product: ``bm`` rows of activations, ``bn`` rows of weights; ``splits`` programs share the columns."""

    bm: int
    bn: int
    splits: int
    warps: int
    stages: int

    def neighbours(self) -> Iterator[Configuration]:
        """Those that differ in one number by one step. A block of 16 rows of activations stays one: more are not
        there."""
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            if name == "bm" and value == least:
                continue
            yield from (replace(self, **{name: v}) for v in (value * 2, value // 2) if least <= v <= most)
        yield from (replace(self, stages=s) for s in (self.stages + 1, self.stages - 1) if 1 <= s <= STAGES)


@dataclass(frozen=True)
class Trial:
    """``instead``: what is taken in place of table and rule, by operation and shape; ``asked``: what was taken."""

    instead: Mapping[tuple[str, str], Configuration]
    asked: dict[tuple[str, str], Configuration] = field(default_factory=dict)


_TRIAL: ContextVar[Trial | None] = ContextVar("configurations that are tried", default=None)


@contextmanager
def trying(instead: Mapping[tuple[str, str], Configuration]) -> Iterator[Trial]:
    """Kernels that are launched inside take these configurations, and it is written down what they ask for."""
    token = _TRIAL.set(trial := Trial(instead))
    try:
        yield trial
    finally:
        _TRIAL.reset(token)


def configured(operation: str, architecture: int, shape: str, rule: Callable[[], Configuration]) -> Configuration:
    """The configuration for ``shape`` on cards of ``architecture`` (90 for sm_90): tried, measured, or the rule's."""
    trial = _TRIAL.get()
    found = trial.instead.get((operation, shape)) if trial else None
    found = found or entries(operation, architecture).get(shape) or rule()
    if trial:
        trial.asked[operation, shape] = found
    return found


def entries(operation: str, architecture: int) -> Mapping[str, Configuration]:
    """What was measured on cards of ``architecture``, by shape; empty if nothing was."""
    return _table(FOLDER / f"{operation}.json").get(f"sm_{architecture}", {})


@cache
def _table(path: Path) -> Mapping[str, Mapping[str, Configuration]]:
    return {
        architecture: {s: Configuration(**{n: int(v) for n, v in c.items() if n != "device"}) for s, c in found.items()}
        for architecture, found in _read(path).items()
    }


def _read(path: Path) -> dict[str, dict[str, dict[str, int | str]]]:
    found: dict[str, dict[str, dict[str, int | str]]] = json.loads(path.read_text()) if path.exists() else {}
    return found


def write(folder: Path, operation: str, architecture: int, shape: str, found: Configuration, device: str) -> None:
    """Put one entry into the table in ``folder``, with the name of the ``device`` that it was measured on."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{operation}.json"
    table = _read(path)
    table.setdefault(f"sm_{architecture}", {})[shape] = {"device": device, **asdict(found)}
    path.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
