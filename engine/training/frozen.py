"""Products with weights that are not trained, whatever form they are kept in.

Weights in 4 bits (ours: groups of 32, with scale and minimum) are brought to the compute dtype where a product needs
them, in both passes, and let go behind it (QLoRA, Dettmers et al. 2023): beside the small form only one matrix at a
time is in memory, and gradients are those of the model whose weights are the rounded ones.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from famulus.kernels.pack import FINER, Weight, dequantize_int4, untile_int4


def whole(weight: Weight, dtype: torch.dtype) -> Tensor:
    """[rows, columns] in ``dtype``: of a dense weight the tensor itself, else made anew."""
    if weight.dense is not None:
        return weight.dense
    if weight.tiles is not None:
        return dequantize_int4(*untile_int4(weight.tiles, weight.rows)).to(dtype)
    assert weight.int8 is not None and weight.int8_scales is not None
    values = weight.int8[: weight.rows].float()
    if len(weight.int8) > weight.rows:
        values.add_(weight.int8[weight.rows :], alpha=1 / FINER)
    return values.mul_(weight.int8_scales[:, None]).to(dtype)


def product(x: Tensor, weight: Weight) -> Tensor:
    """``x`` [..., columns] → [..., rows]; gradients flow to ``x`` alone."""
    if weight.dense is not None:
        return F.linear(x, weight.dense, weight.bias)
    found: Tensor = _Product.apply(x, weight)  # type: ignore[no-untyped-call]
    return found


class _Product(torch.autograd.Function):
    """Keeps the small form for the backward pass, not the matrix that was made from it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Weight) -> Tensor:
        ctx.weight = weight
        return F.linear(x, whole(weight, x.dtype), weight.bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient @ whole(ctx.weight, gradient.dtype), None
