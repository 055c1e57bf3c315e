"""What a matrix of a checkpoint becomes on a GPU: the forms that the Triton kernels stream.

"bf16" and "fp32" stay dense. In "int8" matrices and head have a scale per row. In "fp8" they are e4m3, with the scales
of blocks that they are stored with or a scale per row; in "int4" matrices stand in paired groups, on the grid that they
are stored on (MXFP4's codes as they are), else of 32, and the head in fp8, since it decides between tokens. The
embedding is gathered row by row, so it stays dense.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from famulus.engine.gguf import bad
from famulus.engine.layers import Part
from famulus.engine.source import Source
from famulus.kernels.convert import Grid
from famulus.kernels.pack import (
    FP8_BLOCK,
    GROUP,
    Weight,
    pair_groups,
    quantize_fp8,
    quantize_int4,
    quantize_int8,
    unpack_nibbles,
)

FIELDS = ("dense", "pairs", "e2m1", "pair_scales", "pair_minimums", "fp8", "fp8_scales", "int8", "int8_scales", "bias")
"""Of a :class:`Weight` on a GPU; "e2m1": pairs of MXFP4's codes."""

PAIRED = (128, 64, 32)
"""Groups that the kernels take, the largest first."""


def gpu_format(part: Part, precision: str) -> str:
    """The format of a part's weight: "dense", "int8", "fp8" or "pairs"."""
    if precision in ("bf16", "fp32") or part.kind in ("dense", "embedding"):
        return "dense"
    if precision == "int8":
        return "int8"
    fits = part.shapes[0][1] % (2 * GROUP) == 0
    return "pairs" if precision == "int4" and part.kind != "head" and fits else "fp8"


def gpu_fields(source: Source, part: Part, precision: str) -> dict[str, Tensor]:
    """The tensors of a part's weight, still on the processor, without its bias."""
    form = gpu_format(part, precision)
    if form == "dense":
        return {"dense": source.dense(part).to(torch.float32 if precision == "fp32" else torch.bfloat16)}
    if form == "fp8":
        blocks = source.fp8_blocks(part)
        values, scales = blocks or quantize_fp8(source.dense(part), blocks=False)
        return {"fp8": values, "fp8_scales": scales}
    if form == "int8":
        digits, scales = quantize_int8(source.dense(part))
        return {"int8": digits, "int8_scales": scales}
    codes = source.codes(part)
    if codes is not None:
        return {"e2m1": pair_groups(codes[0], GROUP), "pair_scales": _powers(source, part, codes[1])}
    return pairs(source.grid(part) or _rounded(source.dense(part).float()))


def pairs(grid: Grid) -> dict[str, Tensor]:
    """A grid in paired groups, the largest that the columns allow."""
    columns = grid.values.shape[1]
    group = next(g for g in PAIRED if grid.group % g == 0 and columns % (2 * g) == 0)
    grid = grid.regrouped(group)
    scales, minimums = (t.t().half().contiguous() for t in (grid.scales, grid.minimums))
    return {"pairs": pair_groups(grid.values, group), "pair_scales": scales, "pair_minimums": minimums}


def _rounded(dense: Tensor) -> Grid:
    packed, scale, minimum = quantize_int4(dense)
    return Grid(unpack_nibbles(packed), scale, minimum, GROUP)


def _powers(source: Source, part: Part, exponents: Tensor) -> Tensor:
    """Scales [groups, rows] f16 of MXFP4's exponents. What is too small for f16 is under a millionth."""
    if exponents.max() > 127 + 15:
        name = part.sources[0]
        raise bad(source.checkpoint.path, f"has {name!r} in MXFP4 with exponents that no model has")
    return torch.ldexp(torch.ones(exponents.t().shape), exponents.t().int() - 127).half()


def as_experts(part: Part, shared: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """The fields of an MLP that is ``part.shares`` experts side by side, cut into these: one behind the other, each as
    the experts of ``part`` are. None where they share a bias, or values of two of them a scale."""
    halves, inner = len(part.sources), part.shapes[0][0 if len(part.sources) == 2 else 1]
    found = {}
    for name, tensor in shared.items():
        turned = name in ("pair_scales", "pair_minimums")  # [groups, rows]
        blocks = name == "fp8_scales" and tensor.ndim == 2
        if name == "bias" or (blocks and inner % FP8_BLOCK):
            return None
        if halves == 2:  # gate and up stand one below the other
            rows = tensor.t() if turned else tensor
            if len(rows) % (halves * part.shares):
                return None
            cut = rows.reshape(halves, part.shares, -1, *rows.shape[1:]).transpose(0, 1).flatten(1, 2)
            found[name] = cut.transpose(1, 2) if turned else cut
        elif tensor.ndim == 1:  # a scale per row
            found[name] = tensor.expand(part.shares, -1)
        elif tensor.shape[0 if turned else 1] % part.shares:
            return None
        elif turned:
            found[name] = tensor.reshape(part.shares, -1, tensor.shape[1])
        else:
            found[name] = tensor.reshape(len(tensor), part.shares, -1).transpose(0, 1)
    return found


def gpu_weight(part: Part, precision: str, fields: dict[str, Tensor], device: torch.device) -> Weight:
    """The weight of the ``fields`` on ``device``; with one more dimension in front for experts."""
    rows, columns = sum(shape[0] for shape in part.shapes), part.shapes[0][1]
    form = "e2m1" if "e2m1" in fields else gpu_format(part, precision)
    placed: dict[str, Any] = {"pairs" if n == "e2m1" else n: value.to(device) for n, value in fields.items()}
    group = columns // fields["pair_scales"].shape[-2] if "pair_scales" in fields else GROUP
    arrivals = None
    if form != "dense" and part.kind != "experts":
        arrivals = torch.zeros(-(-rows // 16), dtype=torch.int32, device=device)
    return Weight(rows, columns, form, **placed, group=group, arrivals=arrivals)
