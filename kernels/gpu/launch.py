"""Launching a Triton kernel, or writing down the launch, for a card that is not there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from famulus.kernels.op import interpreting

_RECORD: ContextVar[Record | None] = ContextVar("launches that are written down", default=None)

_TYPES = {
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.float8_e4m3fn: "fp8e4nv",
    torch.uint8: "u8",
    torch.int8: "i8",
    torch.int32: "i32",
    torch.int64: "i64",
}

COMPUTE = {
    torch.float32: tl.float32,
    torch.float16: tl.float16,
    torch.bfloat16: tl.bfloat16,
    torch.int8: tl.int8,
    torch.float8_e4m3fn: tl.float8e4nv,
}
"""The dtype of a ``dot``'s operands by the dtype of the activations."""


@dataclass(frozen=True)
class Card:
    """``architecture``: 90 for sm_90. ``processors``: its multiprocessors."""

    architecture: int
    processors: int


CARDS = {80: Card(80, 108), 89: Card(89, 128), 90: Card(90, 132), 120: Card(120, 170)}
"""A100, RTX 4090, H100 SXM, RTX 5090: one for each architecture that kernels are compiled for."""

INTERPRETED = Card(0, 4)


@dataclass(frozen=True)
class Launch:
    """What the compiler needs to know of a launch: types, constants, and what is a multiple of 16."""

    kernel: Any
    signature: dict[str, str]
    constants: dict[str, Any]
    multiples: tuple[int, ...]
    warps: int
    stages: int


def launch(
    kernel: Any, grid: tuple[int, ...], *arguments: Any, warps: int = 4, stages: int = 2, **constants: Any
) -> None:
    """Run ``kernel`` over ``grid``; inside :func:`recording` only write it down."""
    record = _RECORD.get()
    if record is None:
        kernel[grid](*arguments, **constants, num_warps=warps, num_stages=stages)
    else:
        devices = {given.device.type for given in arguments if isinstance(given, Tensor)}
        assert len(devices) == 1, f"{kernel.__name__} is given tensors of {sorted(devices)}"
        record.launches.append(_described(kernel, arguments, constants, warps, stages))


@dataclass(frozen=True)
class Record:
    """Launches for a card that is not there."""

    card: Card
    launches: list[Launch]


@contextlib.contextmanager
def recording(card: Card) -> Iterator[list[Launch]]:
    """Launches inside are listed and not run, as they would be on ``card``; tensors may be on the ``meta`` device."""
    record = Record(card, [])
    token = _RECORD.set(record)
    try:
        yield record.launches
    finally:
        _RECORD.reset(token)


def card(tensor: Tensor) -> Card:
    """The card that kernels with ``tensor`` run on."""
    record = _RECORD.get()
    if record is not None:
        return record.card
    return INTERPRETED if interpreting() else _card(tensor.device)


@cache
def _card(device: torch.device) -> Card:
    major, minor = torch.cuda.get_device_capability(device)
    return Card(10 * major + minor, torch.cuda.get_device_properties(device).multi_processor_count)


def _described(kernel: Any, arguments: tuple[Any, ...], constants: dict[str, Any], warps: int, stages: int) -> Launch:
    signature: dict[str, str] = {}
    fixed = dict(constants)
    multiples = []
    for place, (name, value) in enumerate(zip(kernel.arg_names, arguments, strict=False)):
        if isinstance(value, Tensor):
            signature[name] = "*" + _TYPES[value.dtype]
            multiples.append(place)
        elif value is None or (isinstance(value, int) and value == 1):  # Triton compiles these in
            signature[name] = "constexpr"
            fixed[name] = value
        elif isinstance(value, int):
            signature[name] = "i32" if abs(value) < 1 << 31 else "i64"
            if value % 16 == 0:
                multiples.append(place)
        else:
            signature[name] = "fp32"
    signature |= dict.fromkeys(constants, "constexpr")
    return Launch(kernel, signature, fixed, tuple(multiples), warps, stages)


_COUNTERS: dict[torch.device, Tensor] = {}
_OUTGROWN: list[Tensor] = []


def counters(device: torch.device, count: int) -> Tensor:
    """``count`` int32 zeros by which the programs of one launch tell who is through; the launch leaves them at 0.

    All launches on a device take the same ones, since they run one after the other: to fill new ones each time would be
    a launch of its own. Recorded graphs hold their address, so those that became too few stay."""
    found = _COUNTERS.get(device)
    if found is not None and len(found) >= count:
        return found
    made = torch.zeros(max(1 << 14, power(count)), dtype=torch.int32, device=device)
    if _RECORD.get() is not None or (device.type == "cuda" and torch.cuda.is_current_stream_capturing()):
        return made  # not there yet, or not before the graph is replayed
    if found is not None:
        _OUTGROWN.append(found)
    _COUNTERS[device] = made
    return made


def power(n: int) -> int:
    """The next power of two."""
    return int(triton.next_power_of_2(n))
