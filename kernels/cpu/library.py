"""The compiled library, called through ctypes on the addresses of tensors; None where it was not built.

It shares torch's threads: torch brings the process's one libgomp, and both take their number of threads from it.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_char_p, c_float, c_int, c_int64, c_uint64, c_void_p
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

LEVELS = ("avx512", "avxvnni", "avx2", "neon", "portable")
"""Instruction levels, the best first; all compute the same from the same layout."""


class CLinear(Structure):
    """Tiles [rows/16, columns/32, 320], symmetric ones [..., 288], and a bias f32."""

    _fields_ = (
        ("tiles", c_void_p),
        ("bias", c_void_p),
        ("rows", c_int64),
        ("columns", c_int64),
        ("symmetric", c_int64),
    )


class CAttention(Structure):
    """See :class:`famulus.kernels.block.AttentionPart`."""

    _fields_ = (
        ("qkv", CLinear),
        ("out", CLinear),
        ("norm", c_void_p),
        ("q_norm", c_void_p),
        ("k_norm", c_void_p),
        ("sinks", c_void_p),
        ("heads", c_int64),
        ("kv_heads", c_int64),
        ("dim", c_int64),
        ("eps", c_float),
        ("scale", c_float),
        ("residual", c_float),
        ("together", c_int),
    )


class CMlp(Structure):
    """See :class:`famulus.kernels.block.MlpPart`."""

    _fields_ = (
        ("gate_up", CLinear),
        ("down", CLinear),
        ("norm", c_void_p),
        ("eps", c_float),
        ("residual", c_float),
    )


class CSegment(Structure):
    """See :class:`famulus.kernels.attention.Segment`."""

    _fields_ = (
        ("row", c_int64),
        ("count", c_int64),
        ("context", c_int64),
        ("start", c_int64),
        ("window", c_int64),
        ("slots", c_void_p),
    )


class CStep(Structure):
    """See :class:`famulus.kernels.block.Tokens`."""

    _fields_ = (
        ("tokens", c_int64),
        ("segments", c_int64),
        ("each", POINTER(CSegment)),
        ("cos", c_void_p),
        ("sin", c_void_p),
        ("slots", c_void_p),
    )


_SIGNATURES = {
    "famulus_level": (c_char_p, ()),
    "famulus_force": (c_int, (c_char_p,)),
    "famulus_runs": (c_int, (c_char_p,)),
    "famulus_linear": (None, (c_void_p, c_void_p, c_int, c_int64, c_void_p, c_void_p)),
    "famulus_linear_scratch": (c_int64, (c_void_p, c_int64)),
    "famulus_rows8": (None, (c_void_p, c_void_p, c_int64, c_int64, c_void_p, c_int64, c_void_p, c_void_p)),
    "famulus_rows8_scratch": (c_int64, (c_int64, c_int64)),
    "famulus_draw": (c_int64, (c_void_p, c_int64, c_float, c_int64, c_float, c_float, c_uint64, c_void_p)),
    "famulus_attention": (None, (*[c_void_p] * 5, c_int64, c_void_p)),
    "famulus_attention_scratch": (c_int64, (c_void_p, c_void_p)),
    "famulus_mlp": (None, (c_void_p, c_void_p, c_int64, c_void_p)),
    "famulus_mlp_scratch": (c_int64, (c_void_p, c_int64)),
    "famulus_route": (None, (c_void_p, c_void_p, c_int64, c_void_p, c_void_p, c_void_p, c_void_p)),
    "famulus_route_scratch": (c_int64, (c_void_p, c_int64)),
    "famulus_experts": (None, (c_void_p, c_void_p, c_int, c_int64, c_int64, *[c_void_p] * 5)),
    "famulus_experts_scratch": (c_int64, (c_void_p, c_int64, c_int64)),
    "famulus_mixture": (None, (c_void_p, c_void_p, c_int64, c_void_p)),
    "famulus_mixture_scratch": (c_int64, (c_void_p, c_int64)),
    "famulus_turns": (None, (c_void_p, c_int64, c_void_p, c_int64, c_float, c_void_p, c_void_p)),
    "famulus_norm": (None, (c_void_p, c_void_p, c_int64, c_int64, c_float, c_void_p)),
    "famulus_largest": (None, (c_void_p, c_int64, c_int64, c_void_p)),
    "famulus_layers": (None, (c_void_p, c_int64, c_void_p, c_void_p, c_void_p)),
    "famulus_layers_scratch": (c_int64, (c_void_p, c_int64, c_void_p)),
}


@cache
def library() -> ctypes.CDLL | None:
    """The library, None if it was not built or cannot be loaded."""
    for path in sorted(Path(__file__).parent.glob("native*.so")):
        try:
            found = ctypes.CDLL(str(path))
            for name, (result, arguments) in _SIGNATURES.items():
                function = getattr(found, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError):  # of another system, or older than this file
            continue
        return found
    return None


def ready() -> bool:
    """Whether the library is there and has a vectorised level for this processor."""
    return level() not in ("", "portable")


def level() -> str:
    """The instruction level that computes; empty without the library."""
    found = library()
    return "" if found is None else str(found.famulus_level().decode())


def levels() -> list[str]:
    """The levels that this processor has."""
    found = library()
    return [] if found is None else [name for name in LEVELS if found.famulus_runs(name.encode())]


def force(name: str | None) -> None:
    """Compute with the level ``name`` (None: the best again). For tests. Raises :class:`ValueError` if it cannot."""
    found = library()
    if found is None or not found.famulus_force((name or "").encode()):
        raise ValueError(f"the instruction level {name!r} is not available here")


def scratch(size: int) -> Tensor:
    """Memory for one call; the library wants it at a multiple of 64 bytes, as torch's is."""
    return torch.empty(size, dtype=torch.uint8)
