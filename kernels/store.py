"""The KV store of a layer: keys and values of every token, each in a slot, whole or in 8 bits.

Whole: one tensor [rows, slots, D] in the dtype that the model computes in (rows: keys of all heads, then values).
In 8 bits: :class:`Quantized`, int8 or e4m3 with one f32 scale per row and slot, that is per token and KV head:

    values [rows, slots, D]   int8: -127..127; e4m3: up to ±448
    scales [rows, slots] f32  largest size of the D values / 127 (int8) or / 448 (e4m3), at least 1e-30
    value ≈ values * scale

``values`` are ``x / scale``, rounded to the nearest (ties to even). Both tensors are contiguous, so that those of a
head lie together: in a page (a run of neighbouring slots) values are rows of D bytes one behind the other, and scales
are neighbouring floats. Slots that nobody has written hold anything. A scale per token needs nothing but the token
itself: what is written is never rounded again, whoever reads, copies or evicts it. It multiplies a score (of a key) or
a weight of the softmax (of a value), so that a kernel computes with the 8 bits as they are.

Bytes per token, layer and KV head: ``2 * D * size`` whole, ``2 * (D + 4)`` in 8 bits; for D = 128: 512 and 264.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from famulus.kernels.pack import FP8_LARGEST

FORMATS = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}
"""What a store in 8 bits consists of, by the name in the settings."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, **FORMATS}
"""What "fp32", "bf16" and the forms in 8 bits consist of."""

LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: FP8_LARGEST}
"""The largest size of a value in 8 bits, by dtype."""

SMALLEST_SCALE = 1e-30

SCALE_BYTES = 4
"""Of one f32."""


@dataclass(frozen=True)
class Quantized:
    """A store in 8 bits; see the module's text."""

    values: Tensor
    scales: Tensor

    @property
    def shape(self) -> torch.Size:
        """[rows, slots, D]."""
        return self.values.shape

    @property
    def nbytes(self) -> int:
        """Scales included."""
        return self.values.nbytes + self.scales.nbytes

    def exact(self) -> Tensor:
        """What it stands for, [rows, slots, D] f32."""
        return self.values.float() * self.scales[..., None]


Store = Tensor | Quantized


def empty(shape: tuple[int, int, int], dtype: torch.dtype, device: torch.device) -> Store:
    """A store of ``shape`` [rows, slots, D]; memory is taken when a slot is first written, on a GPU at once."""
    values = torch.empty(shape, dtype=dtype, device=device)
    return Quantized(values, torch.empty(shape[:2], device=device)) if dtype in LARGEST else values


def quantize(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """[..., D] → values [..., D] of ``dtype`` and scales [...] f32."""
    exact = x.float()
    scales = (exact.abs().amax(-1) / LARGEST[dtype]).clamp_(min=SMALLEST_SCALE)
    exact = exact / scales[..., None]
    return (exact.round() if dtype == torch.int8 else exact).to(dtype), scales


def write(kv: Store, first: int, slots: Tensor, x: Tensor) -> None:
    """``x`` [tokens, n, D] into the ``slots`` [tokens] int64 of the rows from ``first`` on."""
    rows = slice(first, first + x.shape[1])
    if isinstance(kv, Tensor):
        kv[rows].index_copy_(1, slots, x.transpose(0, 1).to(kv.dtype))
        return
    values, scales = quantize(x.transpose(0, 1), kv.values.dtype)
    # torch copies e4m3 by index only as bytes.
    kv.values[rows].view(torch.uint8).index_copy_(1, slots, values.view(torch.uint8))
    kv.scales[rows].index_copy_(1, slots, scales)


def read(kv: Store, slots: slice | Tensor, dtype: torch.dtype) -> Tensor:
    """[rows, n, D] in ``dtype``; a view where it can be one."""
    if isinstance(kv, Tensor):
        return (kv[:, slots] if isinstance(slots, slice) else kv.index_select(1, slots)).to(dtype)
    return (kv.values[:, slots].float() * kv.scales[:, slots, None]).to(dtype)


def move(kv: Store, source: int, target: int, count: int) -> None:
    """Copy ``count`` slots from ``source`` on to ``target`` on."""
    for part in (kv,) if isinstance(kv, Tensor) else (kv.values, kv.scales):
        part[:, target : target + count] = part[:, source : source + count]


def clear(kv: Store, first: int) -> None:
    """Zeros in all slots from ``first`` on."""
    for part in (kv,) if isinstance(kv, Tensor) else (kv.values, kv.scales):
        part[:, first:] = 0
