"""What a matrix of a checkpoint becomes on a GPU: the forms that the Triton kernels stream.

"bf16" and "fp32" stay dense. In "fp8" matrices and head are e4m3 with a scale per row; in "int4" matrices stand in
paired groups of 32 and the head in fp8, since it decides between tokens. The embedding is gathered row by row, so it
stays dense.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from famulus.engine.layers import Part
from famulus.kernels.pack import (
    GROUP,
    Weight,
    pair_groups,
    quantize_fp8,
    quantize_int4,
    unpack_nibbles,
)

FIELDS = ("dense", "pairs", "pair_scales", "pair_minimums", "fp8", "fp8_scales", "bias")
"""Of a :class:`Weight` on a GPU."""

Grid = tuple[Tensor, Tensor, Tensor]
"""Canonical int4: nibbles [rows, columns/2], scale and minimum f32 [rows, groups]."""


def gpu_format(part: Part, precision: str) -> str:
    """The format of a part's weight: "dense", "fp8" or "pairs"."""
    if precision in ("bf16", "fp32") or part.kind in ("dense", "embedding"):
        return "dense"
    fits = part.shapes[0][1] % (2 * GROUP) == 0
    return "pairs" if precision == "int4" and part.kind != "head" and fits else "fp8"


def gpu_fields(part: Part, precision: str, dense: Tensor, grid: Grid | None = None) -> dict[str, Tensor]:
    """The tensors of the weight, still on the processor. ``dense`` [rows, columns] f32; ``grid``: what it was stored
    in."""
    form = gpu_format(part, precision)
    if form == "dense":
        return {"dense": dense.to(torch.float32 if precision == "fp32" else torch.bfloat16)}
    if form == "fp8":
        values, scales = quantize_fp8(dense, blocks=False)
        return {"fp8": values, "fp8_scales": scales}
    packed, scale, minimum = grid or quantize_int4(dense)
    pairs = pair_groups(unpack_nibbles(packed), GROUP)
    return {"pairs": pairs, "pair_scales": scale.t().half(), "pair_minimums": minimum.t().half()}


def gpu_weight(part: Part, precision: str, fields: dict[str, Tensor], device: torch.device) -> Weight:
    """The weight of the ``fields`` on ``device``; with one more dimension in front for experts."""
    rows = sum(shape[0] for shape in part.shapes)
    form = gpu_format(part, precision)
    placed: dict[str, Any] = {name: value.to(device) for name, value in fields.items()}
    arrivals = None
    if form != "dense" and part.kind != "experts":
        arrivals = torch.zeros(-(-rows // 16), dtype=torch.int32, device=device)
    return Weight(rows, part.shapes[0][1], form, **placed, arrivals=arrivals)
