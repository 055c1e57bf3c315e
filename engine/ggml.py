"""The block formats of ggml: how llama.cpp stores a row of weights, read with numpy.

A row of ``cols`` weights is a run of blocks; each block holds a fixed number of weights, its scale and (some)
its minimum. Formats: ggml ``ggml-common.h`` and ``ggml-quants.c``. Every decoder takes the raw bytes of
blocks, ``[n, bytes]`` uint8, and returns ``[n, weights]`` float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

_CHUNK = 1 << 22
"""Weights decoded at once; bounds the temporary arrays to some 50 MB."""


def _half(blocks: Bytes, at: int) -> Floats:
    """The float16 at byte ``at`` of every block, as a float32 column [n, 1]."""
    return np.ascontiguousarray(blocks[:, at : at + 2]).view(np.float16).astype(np.float32)


def _low_then_high(packed: Bytes) -> Bytes:
    """[..., k] bytes -> [..., 2k]: all low nibbles, then all high nibbles."""
    return np.concatenate([packed & 0x0F, packed >> 4], axis=-1)


def _f32(blocks: Bytes) -> Floats:
    return np.ascontiguousarray(blocks).view(np.float32)


def _f16(blocks: Bytes) -> Floats:
    return np.ascontiguousarray(blocks).view(np.float16).astype(np.float32)


def _bf16(blocks: Bytes) -> Floats:
    wide = np.ascontiguousarray(blocks).view(np.uint16).astype(np.uint32)
    return (wide << np.uint32(16)).view(np.float32)


def _q4_0(blocks: Bytes) -> Floats:
    q = _low_then_high(blocks[:, 2:]).astype(np.float32)
    q -= 8
    return q * _half(blocks, 0)


def _q4_1(blocks: Bytes) -> Floats:
    q = _low_then_high(blocks[:, 4:]).astype(np.float32)
    q *= _half(blocks, 0)
    return q + _half(blocks, 2)


def _q5_0(blocks: Bytes) -> Floats:
    fifth = np.unpackbits(blocks[:, 2:6], axis=1, bitorder="little") << 4  # bit j belongs to weight j
    q = (_low_then_high(blocks[:, 6:]) | fifth).astype(np.float32)
    q -= 16
    return q * _half(blocks, 0)


def _q8_0(blocks: Bytes) -> Floats:
    return blocks[:, 2:].view(np.int8).astype(np.float32) * _half(blocks, 0)


def _k_scales(packed: Bytes) -> tuple[Floats, Floats]:
    """The eight 6-bit scales and minimums that Q4_K and Q5_K pack into 12 bytes; each [n, 8, 1]."""
    low, mid, high = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scale = np.concatenate([low & 0x3F, (high & 0x0F) | ((low >> 2) & 0x30)], axis=1)
    minimum = np.concatenate([mid & 0x3F, (high >> 4) | ((mid >> 2) & 0x30)], axis=1)
    return scale.astype(np.float32)[:, :, None], minimum.astype(np.float32)[:, :, None]


def _k_grid(blocks: Bytes, q: Bytes) -> Floats:
    """d * scale * q - dmin * minimum; q: [n, 8, 32], a block starts with d, dmin, 12 packed bytes."""
    scale, minimum = _k_scales(blocks[:, 4:16])
    d, dmin = _half(blocks, 0)[:, :, None], _half(blocks, 2)[:, :, None]
    return ((d * scale) * q.astype(np.float32) - dmin * minimum).reshape(len(blocks), 256)


def _q4_k(blocks: Bytes) -> Floats:
    n = len(blocks)
    return _k_grid(blocks, _low_then_high(blocks[:, 16:].reshape(n, 4, 32)).reshape(n, 8, 32))


def _q5_k(blocks: Bytes) -> Floats:
    n = len(blocks)
    low = _low_then_high(blocks[:, 48:].reshape(n, 4, 32)).reshape(n, 8, 32)
    bit = np.arange(8, dtype=np.uint8)[:, None]
    fifth: Bytes = (blocks[:, 16:48].reshape(n, 1, 32) >> bit) & np.uint8(
        1
    )  # bit g of byte j belongs to weight j of group g
    return _k_grid(blocks, low | (fifth << np.uint8(4)))


def _q6_k(blocks: Bytes) -> Floats:
    n = len(blocks)
    low = _low_then_high(blocks[:, 0:128].reshape(n, 2, 64)).reshape(n, 2, 4, 32)
    shift = np.array([0, 2, 4, 6], dtype=np.uint8)[:, None]
    high = (blocks[:, 128:192].reshape(n, 2, 1, 32) >> shift) & 3
    q = (low | (high << 4)).astype(np.float32) - 32
    scale = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8).astype(np.float32)
    groups = (_half(blocks, 208) * scale)[:, :, None]
    return (groups * q.reshape(n, 16, 16)).reshape(n, 256)


_E2M1_DOUBLED = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], dtype=np.float32)


def _mxfp4(blocks: Bytes) -> Floats:
    exponent = blocks[:, :1].astype(np.int32) - 128
    found: Floats = np.ldexp(_E2M1_DOUBLED[_low_then_high(blocks[:, 1:])], exponent)
    return found


@dataclass(frozen=True)
class Format:
    """One ggml tensor type: ``weights`` per block, ``bytes`` per block, and its decoder."""

    name: str
    weights: int
    bytes: int
    decode: Callable[[Bytes], Floats]


FORMATS = {
    0: Format("F32", 1, 4, _f32),
    1: Format("F16", 1, 2, _f16),
    30: Format("BF16", 1, 2, _bf16),
    2: Format("Q4_0", 32, 18, _q4_0),
    3: Format("Q4_1", 32, 20, _q4_1),
    6: Format("Q5_0", 32, 22, _q5_0),
    8: Format("Q8_0", 32, 34, _q8_0),
    12: Format("Q4_K", 256, 144, _q4_k),
    13: Format("Q5_K", 256, 176, _q5_k),
    14: Format("Q6_K", 256, 210, _q6_k),
    39: Format("MXFP4", 32, 17, _mxfp4),
}
"""The tensor types that Famulus reads, by their number in a GGUF file."""

NAMED = {form.name: form for form in FORMATS.values()}
"""The same by their names."""

OTHERS = {
    7: "Q5_1", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS",
    19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32",
    27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0",
}  # fmt: skip
"""Names of types that exist but are not read, for a clear error."""


def dequantize(form: Format, raw: Bytes) -> Floats:
    """Decodes rows.

    raw: [..., row_bytes] uint8, C-contiguous, whole blocks per row -> [..., cols] float32.
    """
    cols = raw.shape[-1] // form.bytes * form.weights
    blocks = raw.reshape(-1, form.bytes)
    out = np.empty((len(blocks), form.weights), dtype=np.float32)
    step = max(1, _CHUNK // form.weights)
    with np.errstate(invalid="ignore", over="ignore"):  # a block may hold any scale
        for at in range(0, len(blocks), step):
            out[at : at + step] = form.decode(blocks[at : at + step])
    return out.reshape(*raw.shape[:-1], cols)
