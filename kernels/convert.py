"""4-bit weights of other tools → values 0 to 15 with scales and minimums, without a second rounding.

Every reader gives ``values`` [rows, columns] uint8 and, per group of columns, ``scales`` and ``minimums``
[rows, groups], so that ``w = value * scale + minimum``; :func:`famulus.kernels.linear.make_pairs` takes them. Formats:
AutoGPTQ's and AutoAWQ's int32 words, ggml's Q4_0, Q4_1 and Q4_K blocks. MXFP4 has no such grid: its values go as they
are, with :data:`famulus.kernels.pack.E2M1`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""AutoAWQ puts the eight columns of a word into its nibbles in this order, from the lowest nibble up."""


@dataclass(frozen=True)
class Grid:
    """A weight on 4-bit grids: ``values`` [rows, columns] uint8; ``scales``, ``minimums`` [rows, columns/group]."""

    values: Tensor
    scales: Tensor
    minimums: Tensor
    group: int

    def dense(self) -> Tensor:
        """[rows, columns] f32."""
        rows, columns = self.values.shape
        groups = self.values.float().view(rows, columns // self.group, self.group)
        return (groups * self.scales.float()[..., None] + self.minimums.float()[..., None]).view(rows, columns)

    def pick(self, rows: slice | list[int]) -> Grid:
        """These rows, in this order."""
        return Grid(self.values[rows], self.scales[rows], self.minimums[rows], self.group)

    def regrouped(self, group: int) -> Grid:
        """The same in smaller groups; ``group`` divides the present one."""
        times = self.group // group
        scales, minimums = (t.repeat_interleave(times, 1) for t in (self.scales, self.minimums))
        return Grid(self.values, scales, minimums, group)


def _nibbles(words: Tensor) -> Tensor:
    """[..., n] int32 → [..., n, 8] uint8, the lowest nibble first."""
    shifts = torch.arange(0, 32, 4, device=words.device, dtype=torch.int32)
    return ((words[..., None] >> shifts) & 15).to(torch.uint8)


def _affine(values: Tensor, zeros: Tensor, scales: Tensor) -> Grid:
    """``w = (value - zero) * scale``; all [columns or groups, rows]."""
    group = len(values) // len(scales)
    minimums = -(zeros.float() * scales.float())
    return Grid(values.t().contiguous(), scales.t().contiguous(), minimums.t().contiguous(), group)


def gptq(
    qweight: Tensor, qzeros: Tensor, scales: Tensor, g_idx: Tensor | None = None, *, less_one: bool = True
) -> Grid:
    """AutoGPTQ, 4 bits: ``qweight`` [columns/8, rows] int32 with eight columns in a word, ``qzeros`` [groups, rows/8]
    int32 with eight rows in a word, each zero stored ``less_one`` (its second format stores them as they are),
    ``scales`` [groups, rows] f16.

    ``g_idx`` [columns] says which group a column belongs to. Where these are no neighbours (``desc_act``), every column
    is a group of its own in the answer.
    """
    values = _nibbles(qweight).transpose(1, 2).reshape(-1, qweight.shape[1])
    # One is added to whole words, as it was taken off: what a zero of 0 borrowed from its neighbour is given back.
    zeros = _nibbles(qzeros + 0x11111111 if less_one else qzeros).reshape(len(qzeros), -1)
    if g_idx is not None:
        group = len(values) // len(scales)
        if not torch.equal(g_idx.long().cpu(), torch.arange(len(values)) // group):
            zeros, scales = zeros[g_idx.long()], scales[g_idx.long()]
    return _affine(values, zeros, scales)


def awq(qweight: Tensor, qzeros: Tensor, scales: Tensor) -> Grid:
    """AutoAWQ, 4 bits: ``qweight`` [columns, rows/8] and ``qzeros`` [groups, rows/8] int32 with eight rows in a word,
    in :data:`AWQ_ORDER`; ``scales`` [groups, rows] f16."""
    back = torch.tensor([AWQ_ORDER.index(i) for i in range(8)], device=qweight.device)
    values = _nibbles(qweight)[..., back].reshape(len(qweight), -1)
    zeros = _nibbles(qzeros)[..., back].reshape(len(qzeros), -1)
    return _affine(values, zeros, scales)


def _half(blocks: Tensor, at: int) -> Tensor:
    """The f16 at byte ``at`` of every block, as f32."""
    return blocks[..., at : at + 2].contiguous().view(torch.float16)[..., 0].float()


def _low_then_high(packed: Tensor) -> Tensor:
    return torch.cat([packed & 15, packed >> 4], -1)


def q4_0(raw: Tensor) -> Grid:
    """ggml's Q4_0: ``raw`` [rows, bytes] uint8, blocks of 18 bytes: scale f16, 32 values of which 8 stands for 0."""
    blocks = raw.view(len(raw), -1, 18)
    scales = _half(blocks, 0)
    return Grid(_low_then_high(blocks[..., 2:]).view(len(raw), -1), scales, scales * -8, 32)


def q4_1(raw: Tensor) -> Grid:
    """ggml's Q4_1: blocks of 20 bytes: scale f16, minimum f16, 32 values."""
    blocks = raw.view(len(raw), -1, 20)
    return Grid(_low_then_high(blocks[..., 4:]).view(len(raw), -1), _half(blocks, 0), _half(blocks, 2), 32)


def q4_k(raw: Tensor) -> Grid:
    """ggml's Q4_K: blocks of 144 bytes for 256 values: two f16 (of the scales, of the minimums), eight 6-bit scales and
    minimums in 12 bytes, the values; groups of 32. Products of an f16 and six bits: exact in f32."""
    blocks = raw.view(len(raw), -1, 144)
    low, mid, high = blocks[..., 4:8], blocks[..., 8:12], blocks[..., 12:16]
    scale = torch.cat([low & 63, (high & 15) | ((low >> 2) & 48)], -1).float() * _half(blocks, 0)[..., None]
    minimum = torch.cat([mid & 63, (high >> 4) | ((mid >> 2) & 48)], -1).float() * _half(blocks, 2)[..., None]
    pairs = blocks[..., 16:].reshape(len(raw), -1, 4, 32)
    values = torch.stack([pairs & 15, pairs >> 4], -2)
    return Grid(values.reshape(len(raw), -1), scale.view(len(raw), -1), -minimum.view(len(raw), -1), 32)
