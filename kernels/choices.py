"""What runs where: the implementations of every operation on a device with the reasons, before anything is computed."""

from __future__ import annotations

from itertools import product
from typing import Any

from famulus.kernels.op import Op, load_gpu

FORMATS = {"cpu": ("dense", "tiles", "int4+int8", "int8"), "cuda": ("dense", "pairs", "e2m1", "fp8", "int8")}
"""The formats that weights have on a device; see :class:`famulus.kernels.pack.Weight`."""


def choice(op: Op[Any, Any], key: Any) -> tuple[str, str]:
    """What is taken for ``key`` and why: an implementation, or that an engine calls other operations instead."""
    chosen, why = op.choose(key)
    if chosen.name == "reference" and op.made_of and op.forced is None:
        return "not called", f"a layer calls {', '.join(op.made_of)} one by one"
    return chosen.name, why


def choices(op: Op[Any, Any], device: str) -> dict[str, str]:
    """What ``op`` takes on ``device`` ("cpu" or "cuda") in all cases, each with the reason; for "cuda" also where there
    is no GPU."""
    if device == "cuda":
        load_gpu()
    parts = [FORMATS[device] if word == "format" else (True, False) for word in op.words]
    keys = [(device, *rest) if op.words else device for rest in product(*parts)]
    return dict(choice(op, key) for key in keys)


def told(op: Op[Any, Any]) -> str:
    """Both devices in one line."""
    here, card = ("; ".join(f"{n} ({why})" for n, why in choices(op, device).items()) for device in ("cpu", "cuda"))
    return f"{op.name}: {here}; on a GPU: {card}"
