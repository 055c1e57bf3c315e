"""Weight layouts: what is cached on disk is canonical, what depends on the processor is made from it.

Canonical int4 (group 32): per row and group 16 bytes, byte j holds value j in its low and value j+16 in its high
nibble (the split-halves order, also that of GGUF's Q4 blocks), with ``scale`` and ``minimum`` per group:
``w = q * scale + minimum``. Canonical int8: one scale per row, ``w = q * scale``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

GROUP = 32
"""Values that share one scale and minimum."""

FINER = 254
"""How much less the second int8 digit of a weight counts than the first: what rounding left, in 127 steps each way."""


@dataclass(frozen=True)
class Weight:
    """A linear layer's weight [rows, columns] in one or two forms, and its bias.

    ``dense``: [rows, columns] in the compute dtype. ``int4``: torch's processor-dependent packing of the nibbles with
    ``int4_scales`` [columns/32, rows, 2] bf16 (scale, value of q=8). ``int8`` [rows, columns] (twice the rows for two
    digits) with ``int8_scales`` [rows] f32. A weight with both forms answers few rows from int4 and many from int8.
    """

    rows: int
    columns: int
    format: str
    dense: Tensor | None = None
    int4: Tensor | None = None
    int4_scales: Tensor | None = None
    int8: Tensor | None = None
    int8_scales: Tensor | None = None
    bias: Tensor | None = None

    @property
    def decode_bytes(self) -> int:
        """What one row reads: the smallest form with its scales."""
        forms = ((self.int4, self.int4_scales), (self.int8, self.int8_scales), (self.dense,))
        return next(sum(t.nbytes for t in form if t is not None) for form in forms if form[0] is not None)


def unpack_nibbles(packed: Tensor) -> Tensor:
    """[rows, columns/2] uint8 in canonical order → [rows, columns] uint8 of 0..15."""
    rows = packed.shape[0]
    groups = packed.view(rows, -1, GROUP // 2)
    return torch.cat([groups & 15, groups >> 4], dim=-1).view(rows, -1)


def pack_nibbles(values: Tensor) -> Tensor:
    """Inverse of :func:`unpack_nibbles`; exact."""
    rows = values.shape[0]
    groups = values.view(rows, -1, GROUP)
    half = GROUP // 2
    return (groups[..., :half] | (groups[..., half:] << 4)).view(rows, -1).contiguous()


def quantize_int4(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Round to nearest: [rows, columns] → nibbles uint8 [rows, columns/2], scale and minimum f32 [rows, groups]."""
    groups = weight.float().view(weight.shape[0], -1, GROUP)
    low, high = groups.amin(-1), groups.amax(-1)
    scale = (high - low) / 15
    safe = torch.where(scale > 0, scale, torch.ones_like(scale))
    values = ((groups - low[..., None]) / safe[..., None]).round_().clamp_(0, 15).to(torch.uint8)
    return pack_nibbles(values.view(weight.shape)), scale, low


def dequantize_int4(packed: Tensor, scale: Tensor, minimum: Tensor) -> Tensor:
    """Canonical int4 → [rows, columns] f32."""
    values = unpack_nibbles(packed).view(packed.shape[0], -1, GROUP).float()
    return values.mul_(scale[..., None]).add_(minimum[..., None]).view(packed.shape[0], -1)


def quantize_int8(weight: Tensor, digits: int = 1) -> tuple[Tensor, Tensor]:
    """Symmetric per row: [rows, columns] → (int8 [digits * rows, columns], scale f32 [rows]).

    With two digits ``w ≈ scale * (first + second / FINER)``; the rows of all second digits follow those of the first.
    """
    exact = weight.float()
    scale = exact.abs().amax(-1).div_(127).clamp_(min=1e-12)
    exact = exact / scale[:, None]
    first = exact.round()
    if digits == 1:
        return first.to(torch.int8), scale
    return torch.cat([first, exact.sub_(first).mul_(FINER).round_()]).to(torch.int8), scale


def torch_int4(packed: Tensor, scale: Tensor, minimum: Tensor) -> tuple[Tensor, Tensor]:
    """Canonical int4 → torch's CPU packing, valid for this processor's instruction set only.

    torch computes ``(q - 8) * scale + zero``, so ``zero = minimum + 8 * scale``. Its tiles want rows in multiples
    of 16; the loader pads.
    """
    values = unpack_nibbles(packed).to(torch.int32)
    tiles = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values, 1)
    scales = torch.stack([scale, minimum + 8 * scale], dim=-1).transpose(0, 1).to(torch.bfloat16).contiguous()
    return tiles, scales
