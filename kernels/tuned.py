"""Measured configurations of the Triton kernels: (operation, architecture, shape bucket) → tile sizes.

``tuned/OPERATION.json`` holds ``{"sm_90": {"pairs 2048 768 1": {"bm": 16, ...}}}``, written by ``python -m
famulus.kernels bench --tune`` on the card. A shape that is not there gets the kernel's own rule. Nothing is tuned while
a model runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "tuned"


@dataclass(frozen=True)
class Configuration:
    """Tile of a product: ``bm`` rows of activations, ``bn`` rows of weights; ``splits`` programs share the columns."""

    bm: int
    bn: int
    splits: int
    warps: int
    stages: int


@cache
def table(operation: str) -> Mapping[str, Mapping[str, Configuration]]:
    """All configurations of an operation by architecture and bucket; empty if none were measured."""
    path = FOLDER / f"{operation}.json"
    if not path.exists():
        return {}
    read = json.loads(path.read_text())
    return {arch: {bucket: Configuration(**c) for bucket, c in found.items()} for arch, found in read.items()}


def tuned(operation: str, architecture: int, bucket: tuple[object, ...]) -> Configuration | None:
    """The measured configuration for ``bucket`` on cards of ``architecture`` (90 for sm_90)."""
    return table(operation).get(f"sm_{architecture}", {}).get(" ".join(map(str, bucket)))
