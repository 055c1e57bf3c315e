"""Launching a Triton kernel, or writing down the launch, for a card that is not there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from famulus.kernels.op import interpreting

_RECORD: ContextVar[list[Launch] | None] = ContextVar("launches that are written down", default=None)

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

COMPUTE = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}
"""The dtype of a ``dot``'s operands by the dtype of the activations."""


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
        record.append(_described(kernel, arguments, constants, warps, stages))


@contextlib.contextmanager
def recording() -> Iterator[list[Launch]]:
    """Launches inside are listed and not run; tensors may be on the ``meta`` device."""
    record: list[Launch] = []
    token = _RECORD.set(record)
    try:
        yield record
    finally:
        _RECORD.reset(token)


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


def processors(tensor: Tensor) -> int:
    """Multiprocessors of the card; 132 (an H100) for a launch that is only written down, 4 in the interpreter."""
    if tensor.device.type == "cuda":
        return torch.cuda.get_device_properties(tensor.device).multi_processor_count
    return 4 if interpreting() else 132


def power(n: int) -> int:
    """The next power of two."""
    return int(triton.next_power_of_2(n))
