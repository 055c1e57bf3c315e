"""Weight layouts: what is cached on disk is canonical, what depends on the processor is made from it.

Canonical int4 (group 32): per row and group 16 bytes, byte j holds value j in its low and value j+16 in its high
nibble (the split-halves order, also that of GGUF's Q4 blocks), with ``scale`` and ``minimum`` per group:
``w = q * scale + minimum``. Canonical int8: one scale per row, ``w = q * scale``.

On a GPU int4 stands in *paired groups* of 32, 64 or 128: byte j of a pair holds value j of its first group in the low
and value j of its second in the high nibble. So a block of bytes is two operands of a ``dot``, each with one scale
per row that is applied to the product, and no weight is read a byte at a time. Scales are [groups, rows]: those that
are needed together lie together.
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

    On a GPU: ``pairs`` [rows, columns/2] uint8 in paired groups of ``group`` with ``pair_scales`` and
    ``pair_minimums`` [columns/group, rows] f16 (no minimums: ``w = (q - 8) * scale``; "e2m1": the nibbles are MXFP4's
    floats). ``fp8`` [rows, columns] e4m3 with ``fp8_scales`` f32, [rows/128, columns/128] of blocks or [rows]. They
    come with ``arrivals`` [rows/16] int32, all 0: how many programs are through with a tile.

    ``tiles``: int4 for the compiled kernels of the processor, see :func:`tile_int4`.
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
    pairs: Tensor | None = None
    pair_scales: Tensor | None = None
    pair_minimums: Tensor | None = None
    group: int = GROUP
    fp8: Tensor | None = None
    fp8_scales: Tensor | None = None
    arrivals: Tensor | None = None
    tiles: Tensor | None = None

    @property
    def decode_bytes(self) -> int:
        """What one row reads: the smallest form with its scales."""
        forms = (
            (self.tiles,),
            (self.pairs, self.pair_scales, self.pair_minimums),
            (self.int4, self.int4_scales),
            (self.fp8, self.fp8_scales),
            (self.int8, self.int8_scales),
            (self.dense,),
        )
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


TILE = 16
"""Rows of a tile of the compiled kernels."""


def tile_int4(packed: Tensor, scale: Tensor, minimum: Tensor) -> Tensor:
    """Canonical int4 → [rows/16, groups, 320] uint8 for ``kernels/cpu``, the rows filled up with zeros to whole tiles.
    Where every minimum is -8 scales, as in ggml's Q4_0, they are left out: [rows/16, groups, 288].

    Of a group: four lines of 64 bytes, of which line i holds for each of 16 rows the columns 4i..4i+3 in the low and
    16+4i..16+4i+3 in the high nibbles; then 16 scales and 16 minimums in f16. The same for all instruction sets.
    """
    kept = [scale] if torch.equal(minimum, -8 * scale) else [scale, minimum]
    missing = -packed.shape[0] % TILE
    if missing:
        packed, *kept = (torch.nn.functional.pad(t, (0, 0, 0, missing)) for t in (packed, *kept))
    tiles, groups = packed.shape[0] // TILE, scale.shape[1]
    lines = packed.view(tiles, TILE, groups, 4, 4).permute(0, 2, 3, 1, 4).reshape(tiles, groups, 256)
    halves = [
        t.view(tiles, TILE, groups).transpose(1, 2).to(torch.float16).contiguous().view(torch.uint8) for t in kept
    ]
    return torch.cat([lines, *halves], -1)


def symmetric(tiles: Tensor) -> bool:
    """Whether tiles have no minimums."""
    return tiles.shape[-1] == 288


def with_minimums(tiles: Tensor) -> Tensor:
    """The same with minimums, for a stack of which others have some."""
    if not symmetric(tiles):
        return tiles
    minimums = tiles[..., 256:].contiguous().view(torch.float16) * -8
    return torch.cat([tiles, minimums.view(torch.uint8)], -1)


def untile_int4(tiles: Tensor, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inverse of :func:`tile_int4`; exact but for the rounding of scale and minimum to f16."""
    count, groups = tiles.shape[:2]
    lines = tiles[..., :256].reshape(count, groups, 4, TILE, 4).permute(0, 3, 1, 2, 4)
    packed = lines.reshape(count * TILE, groups * GROUP // 2)[:rows]
    halves = with_minimums(tiles)[..., 256:].contiguous().view(torch.float16).float().view(count, groups, 2, TILE)
    scale, minimum = (halves[:, :, i].transpose(1, 2).reshape(-1, groups)[:rows] for i in (0, 1))
    return packed, scale, minimum


def pair_groups(values: Tensor, group: int) -> Tensor:
    """[..., rows, columns] uint8 of 0..15 → [..., rows, columns/2] in paired groups; ``columns`` a multiple of twice
    ``group``."""
    pairs = values.view(*values.shape[:-1], -1, 2, group)
    return (pairs[..., 0, :] | (pairs[..., 1, :] << 4)).flatten(-2).contiguous()


def unpair_groups(pairs: Tensor, group: int) -> Tensor:
    """Inverse of :func:`pair_groups`; exact."""
    both = pairs.view(*pairs.shape[:-1], -1, group)
    return torch.stack([both & 15, both >> 4], -2).flatten(-3)


E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)
"""What MXFP4's sixteen nibbles stand for: sign, two bits of exponent, one of mantissa (OCP MX specification 1.0)."""


def dequantize_pairs(
    pairs: Tensor, scales: Tensor, minimums: Tensor | None, group: int, *, e2m1: bool = False
) -> Tensor:
    """Paired groups [rows, columns/2] with scales [columns/group, rows] → [rows, columns] f32."""
    values = unpair_groups(pairs, group)
    exact = torch.tensor(E2M1, device=pairs.device)[values.long()] if e2m1 else values.float()
    groups = exact.view(len(pairs), -1, group)
    scale = scales.float().t()[..., None]
    if minimums is None:
        found = (groups if e2m1 else groups - 8) * scale
    else:
        found = groups * scale + minimums.float().t()[..., None]
    return found.view(len(pairs), -1)


FP8_BLOCK = 128
"""Rows and columns that share a scale in DeepSeek's fp8 checkpoints."""

FP8_LARGEST = 448.0


def quantize_fp8(weight: Tensor, *, blocks: bool) -> tuple[Tensor, Tensor]:
    """[rows, columns] → e4m3 and scales f32: [rows/128, columns/128] (rounded up) for ``blocks``, else [rows]."""
    exact = weight.float()
    if not blocks:
        scale = exact.abs().amax(-1).div_(FP8_LARGEST).clamp_(min=1e-12)
        return (exact / scale[:, None]).to(torch.float8_e4m3fn), scale
    rows, columns = weight.shape
    padded = torch.nn.functional.pad(exact, (0, -columns % FP8_BLOCK, 0, -rows % FP8_BLOCK))
    tiles = padded.view(-1, FP8_BLOCK, padded.shape[1] // FP8_BLOCK, FP8_BLOCK)
    scale = tiles.abs().amax((1, 3)).div_(FP8_LARGEST).clamp_(min=1e-12)
    return (exact / fp8_scales(scale, rows, columns)).to(torch.float8_e4m3fn), scale


def fp8_scales(scales: Tensor, rows: int, columns: int) -> Tensor:
    """The scale of every value, [rows, columns] or [rows, 1]."""
    if scales.ndim == 1:
        return scales[:, None]
    return scales.repeat_interleave(FP8_BLOCK, 0)[:rows].repeat_interleave(FP8_BLOCK, 1)[:, :columns]
