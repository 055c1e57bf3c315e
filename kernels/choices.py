"""What runs where: the implementations of every operation on a device with the reasons, before anything is computed."""

from __future__ import annotations

from itertools import product
from typing import Any

from famulus.kernels.op import Op, load_gpu

FORMATS = {"cpu": ("dense", "tiles", "int4+int8", "int8"), "cuda": ("dense", "pairs", "e2m1", "fp8")}
"""The formats that weights have on a device; see :class:`famulus.kernels.pack.Weight`."""


def choices(op: Op[Any, Any], device: str) -> dict[str, str]:
    """The implementations that ``op`` takes on ``device`` ("cpu" or "cuda"), each with the reason; for "cuda" also
    where there is no GPU."""
    if device == "cuda":
        load_gpu()
    parts = [FORMATS[device] if word == "format" else (True, False) for word in op.words]
    keys = [(device, *rest) if op.words else device for rest in product(*parts)]
    return {chosen.name: why for chosen, why in map(op.choose, keys)}
